from __future__ import annotations

from tests.algorithms.conftest import transitions

__all__ = ["transitions"]
