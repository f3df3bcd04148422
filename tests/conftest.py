"""One thread a process, as runs have: small tensors gain nothing from more, and bits stay put.

Also where the local datasets and policies are, which the project does not ship.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slow ones first, so that at the end no worker waits long for another."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


_BESIDE_THE_REPOSITORY = Path(__file__).resolve().parents[2] / "shared" / "data"


def _given(variable: str, default: str) -> Path:
    """The folder that a user's variable names, else the one beside the repository."""
    return Path(os.environ.get(variable) or _BESIDE_THE_REPOSITORY / default)


LOCAL_DATA = _given("HARNESS_LOCAL_DATA", "minari")
POLICIES = _given("HARNESS_POLICIES", "policies")


def needs(path: Path, variable: str) -> pytest.MarkDecorator:
    """Skips where a local file or folder is absent, and says what would bring it."""
    reason = f"there is no {path}: set {variable} to have this tested"
    return pytest.mark.skipif(not path.exists(), reason=reason)


needs_local_data = needs(LOCAL_DATA, "HARNESS_LOCAL_DATA")
needs_policies = needs(POLICIES, "HARNESS_POLICIES")
