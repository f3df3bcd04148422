"""`checkpoint.safetensors`: all that a run needs to go on, in one file that is whole or not used.

It holds a seed's learning state, what else acting needs, the run's tables up to the same step, and
a digest of all, so that a damaged or exchanged file is noticed instead of trained on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from harness.files import write_bytes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    SeedState = dict[str, NDArray[np.generic]]

_TABLES, _PREPROCESSING = "tables/", "preprocessing/"
_ABOUT = "about"
_DIGITS = 64  # of a sha256


class DamagedError(Exception):
    """A checkpoint that cannot be trusted; the message says why."""


@dataclass(frozen=True)
class Checkpoint:
    """One seed after `step` gradient steps.

    Attributes:
        owner: the hash of the run, or the key of the shared pretraining, that it belongs to.
        step: gradient steps so far.
        state: the learning state.
        tables: the run's CSV files up to here, by name, as bytes.
        preprocessing: what the data decide of acting; nothing in files of earlier versions.
    """

    owner: str
    step: int
    state: SeedState
    tables: Mapping[str, bytes]
    preprocessing: SeedState = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Replace the file at `path`; on the disk when this returns."""
        import numpy as np
        from safetensors.numpy import save

        tables = {
            f"{_TABLES}{name}": np.frombuffer(content, np.uint8)
            for name, content in self.tables.items()
        }
        beside = {f"{_PREPROCESSING}{name}": a for name, a in self.preprocessing.items()}
        arrays = {**self.state, **tables, **beside}
        about = json.dumps({"owner": self.owner, "step": self.step})
        # One entry, since the library writes several in no fixed order.
        content = save(arrays, {_ABOUT: _digest(about, arrays) + about})
        write_bytes(path, content, durable=True)

    @classmethod
    def read(cls, path: Path, owner: str) -> Checkpoint | None:
        """What was written for `owner`; None if there is no file.

        Raises DamagedError if it is not what was written, or was written for another owner.
        """
        from safetensors import SafetensorError, safe_open

        if not path.exists():
            return None
        try:
            with safe_open(path, framework="numpy") as file:
                signed = (file.metadata() or {})[_ABOUT]
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            raise DamagedError(f"{path} cannot be read ({error})") from error
        digest, about = signed[:_DIGITS], signed[_DIGITS:]
        if _digest(about, arrays) != digest:
            raise DamagedError(f"{path} is not what was written there")
        facts = json.loads(about)
        if facts["owner"] != owner:
            raise DamagedError(f"{path} belongs to another run")
        tables, beside = _part(arrays, _TABLES), _part(arrays, _PREPROCESSING)
        return cls(
            owner=owner,
            step=facts["step"],
            state={k: a for k, a in arrays.items() if not k.startswith((_TABLES, _PREPROCESSING))},
            tables={name: content.tobytes() for name, content in tables.items()},
            preprocessing=beside,
        )


def _part(arrays: SeedState, prefix: str) -> SeedState:
    return {k.removeprefix(prefix): a for k, a in arrays.items() if k.startswith(prefix)}


def _digest(about: str, arrays: SeedState) -> str:
    """Sha256 of everything in the file: names, kinds, shapes and bytes, in a fixed order."""
    import numpy as np

    found = hashlib.sha256(about.encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        found.update(f"{name} {array.dtype.str} {array.shape}".encode())
        found.update(array.tobytes())
    return found.hexdigest()
