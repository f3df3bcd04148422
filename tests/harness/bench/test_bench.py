"""The benchmark's parts. How fast they are is its output, never a test."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.bench.parts import acting_milliseconds
from harness.bench.rotation import last_core, measure
from harness.errors import UserError


def test_a_contender_that_dies_ends_the_benchmark_with_its_name(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    core = last_core()
    with pytest.raises(UserError, match="worker for 'CORL iql' ended early"):
        measure([("CORL iql", ["corl", "iql", str(tmp_path)])], core, {})
    assert "give the folder of a checkout of CORL" in capfd.readouterr().err


def test_acting_is_measured_on_a_real_policy() -> None:
    assert acting_milliseconds() > 0
