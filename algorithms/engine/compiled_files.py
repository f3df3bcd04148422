"""Compiled libraries that a killed compiler left unfinished.

torch (2.13, CPU) has the compiler write to the path at which it looks for the library the next
time, and takes whatever is there for whole (pytorch/pytorch#102539): one kill, and no later run
with that update could be compiled on the machine, or all were compiled for a lesser processor.
"""

from __future__ import annotations

import struct
from contextlib import suppress
from pathlib import Path

from filelock import FileLock

_HEADER = struct.Struct("<4s36xQ10xHH2x")  # of ELF: magic; offset, size and number of sections
_MAGIC = b"\x7fELF"


def delete_unfinished_libraries() -> None:
    """Delete what nobody compiles any more and cannot be loaded, so that torch makes it anew."""
    from torch._inductor.codecache import get_lock_dir  # slow to import
    from torch._inductor.runtime.cache_dir_utils import cache_dir

    for library in Path(cache_dir()).glob("*/*.so"):
        if _is_unfinished(library):
            key = library.name.partition(".")[0]
            lock = FileLock(Path(get_lock_dir(), f"{key}.lock"), timeout=0)  # the compiler's
            # A timeout, which is one, where it is at work; others where the file is another user's.
            with suppress(OSError), lock:
                if _is_unfinished(library):
                    library.unlink()


def _is_unfinished(library: Path) -> bool:
    """Whether it ends before its table of sections does, which linkers write last."""
    try:
        with library.open("rb") as file:
            header, size = file.read(_HEADER.size), file.seek(0, 2)
    except OSError:
        return False
    if len(header) < _HEADER.size or not any(header):
        return True
    magic, offset, entry, count = _HEADER.unpack(header)
    return bool(magic == _MAGIC and offset + entry * count > size)
