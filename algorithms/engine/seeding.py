"""Named random streams: every random number in the project comes from `derive_seed`."""

from __future__ import annotations

import hashlib


def derive_seed(*key: int | str) -> int:
    """A 63-bit seed for the stream named by `key`; the same key gives the same seed everywhere.

    Streams are independent by construction, so drawing more numbers from one (a longer
    evaluation, say) can never shift another (the training batches).
    """
    digest = hashlib.sha256("\x1f".join(f"{type(k).__name__}:{k}" for k in key).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1
