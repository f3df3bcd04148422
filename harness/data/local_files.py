"""Folders of files that this project does not ship: fetched, put there by the user, or named."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from harness.data.store import data_root
from harness.errors import UserError


@dataclass(frozen=True)
class LocalFolder:
    """A folder that an environment variable names, or else one of the data root.

    Attributes:
        variable: the environment variable.
        default: the folder's name in `local/` of the data root.
        how: how a file gets there, the beginning of a sentence.
    """

    variable: str
    default: str
    how: str

    @property
    def path(self) -> Path:
        """Where it is or would be, absolute."""
        given = os.environ.get(self.variable)
        return (
            Path(given).expanduser().absolute() if given else data_root() / "local" / self.default
        )

    def file(self, name: str, what: str) -> Path:
        """A file of it. Raises UserError, which calls it `what`, if it is not there."""
        if not (self.path / name).is_file():
            raise UserError(
                f"{what} is not on this machine: there is no {self.path / name}. {self.how}, or "
                f"set {self.variable} to the folder that holds {name}"
            )
        return self.path / name


DATASETS = LocalFolder(
    "HARNESS_LOCAL_DATA",
    "minari",
    "It is not downloaded (docs/data.md says where it is from): put it there",
)
POLICIES = LocalFolder(
    "HARNESS_POLICIES", "policies", "Get it with: python -m harness data fetch policies"
)
