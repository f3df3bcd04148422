"""Where a block stands, and what it is made from."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from harness.errors import UserError

Found = TypeVar("Found", bound=BaseModel)


@dataclass(frozen=True)
class Place:
    """A page, and the folder of all suites' results."""

    page: Path
    results: Path

    def link(self, path: Path) -> str:
        """The way from the page to a file."""
        return Path(os.path.relpath(path.resolve(), self.page.resolve().parent)).as_posix()

    def measured(self, file: str, kind: type[Found], bench: str) -> Found:
        """What `harness bench`, with the options `bench`, wrote to a file under the results.

        Raises UserError, with the command, if the file cannot be read.
        """
        path = self.results / file
        try:
            return kind.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise UserError(
                f"{path} cannot be read: {error}; write it with "
                f"`{' '.join(['harness bench', *filter(None, [bench])])} --json {path}`"
            ) from error
