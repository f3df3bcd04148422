"""Where a block stands."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Place:
    """A page, and the folder of all suites' results."""

    page: Path
    results: Path

    def link(self, path: Path) -> str:
        """The way from the page to a file."""
        return Path(os.path.relpath(path.resolve(), self.page.resolve().parent)).as_posix()
