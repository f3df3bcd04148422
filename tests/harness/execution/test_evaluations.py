"""Evaluation beside training leaves what evaluation in turn leaves: with real processes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.execution.plan import Plan
from tests.harness.execution.test_environments import left
from tests.harness.execution.test_work import finish, states, small_chunks

PlanOf = Callable[..., Plan]
BANDIT = {"multimodal/modes-2-dim-2": {"transitions": 200}}

@pytest.mark.parametrize("cpus", [2, 3])
def test_x(plan_of: PlanOf, tmp_path: Path, cpus: int, small_chunks) -> None:
    plan = plan_of(algorithms={"iql": {}}, seeds=3, training={"steps": 60, "compile": False})
    finish(plan)
    whole = left(plan)
    shutil.rmtree(tmp_path / "results")
    finish(plan, cpus=cpus)
    assert states(plan) == ["done"]*3
    assert left(plan) == whole
