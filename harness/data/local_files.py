"""Where files that this project does not ship are looked for."""

from __future__ import annotations

import os
from pathlib import Path

from harness.errors import UserError

_BESIDE_REPOSITORY = Path(__file__).resolve().parents[3] / "shared" / "data"


def local_file(variable: str, default: str, file: str, what: str) -> Path:
    """A file under the folder that an environment variable names, or else under a default one.

    Args:
        variable: the environment variable.
        default: a folder in `shared/data` beside the repository.
        file: the file's path in either folder.
        what: what it is, for the message.

    Raises:
        UserError: the file is not there.
    """
    given = os.environ.get(variable)
    folder = Path(given).absolute() if given else _BESIDE_REPOSITORY / default
    if not (folder / file).is_file():
        raise UserError(
            f"{what} is not on this machine: there is no {folder / file}. Set the environment "
            f"variable {variable} to the folder that holds it (it is not downloaded)."
        )
    return folder / file
