"""The benchmark's parts. How fast they are is its output, never a test."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.bench.parts import acting_milliseconds
from harness.bench.rotation import measure
from harness.errors import UserError


def test_a_contender_that_dies_ends_the_benchmark_with_its_name(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    core = max(os.sched_getaffinity(0))
    with pytest.raises(UserError, match="worker for 'CORL iql' ended early"):
        measure([("CORL iql", ["corl-iql", str(tmp_path)])], core)
    assert "give the folder of a checkout of CORL" in capfd.readouterr().err


def test_acting_is_measured_on_a_real_policy() -> None:
    assert acting_milliseconds() > 0
