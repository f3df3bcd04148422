"""How fast a trial goes, by a clock that only its steps move."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from algorithms.engine.engine import Engine
from harness.bench.scale import leave_finished
from harness.bench.trial import trial_times
from harness.execution.plan import Plan
from harness.rollouts.rollout import Rollout

PlanOf = Callable[..., Plan]


class Clock:
    """Goes on by what steps are said to take."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A gradient step takes 10 ms in the first stage and 40 ms later, an environment's 1 ms."""
    clock, step = Clock(), Rollout.step

    def train(engine: Engine, steps: int) -> None:
        clock.seconds += steps * (0.01 if engine.stage_end < engine.total_steps else 0.04)
        engine.step += steps

    def act(rollout: Rollout, *arguments: Any) -> None:
        clock.seconds += 0.001
        step(rollout, *arguments)

    monkeypatch.setattr("time.process_time", clock)
    monkeypatch.setattr(Engine, "train", train)
    monkeypatch.setattr(Rollout, "step", act)
    monkeypatch.setattr("harness.bench.trial._MOST_ROWS", 500)
    return clock


def test_stages_and_evaluation_are_timed_apart(clock: Clock, plan_of: PlanOf) -> None:
    clock.seconds = 3.0  # of imports
    plan = plan_of(
        algorithms={"df-div": {"config": {"pretrain_share": 0.5}}},
        evaluation={"every": 20, "episodes": 5, "action_selections": ["noise-0"]},
    )
    times = trial_times(plan.runs[0], 2)
    assert times.steps_per_second == pytest.approx([100, 25])
    assert times.interaction_seconds == pytest.approx(2 * 0.001)
    assert times.evaluation_seconds.keys() == {"noise-1", "noise-0"}
    assert [*times.evaluation_seconds.values()] == pytest.approx(2 * [2 * 5 * 0.001])
    assert times.start_seconds == pytest.approx(3.0 + 8 * 0.01 + 8 * 0.04)  # the warm-ups
    assert times.memory_mb > 50
    assert times.rows == 500
    assert times.row_bytes == 4 * (2 * 4 + 2 + 3) + 16


def test_a_planner_is_timed_by_few_decisions(clock: Clock, plan_of: PlanOf) -> None:
    plan = plan_of(evaluation={"every": 20, "episodes": 2000})
    times = trial_times(plan.runs[0], 2)
    # A step of 2 x 250 episodes would take half a second: five of them are too many.
    [whole] = times.evaluation_seconds.values()
    assert whole == pytest.approx(250 * 2 * 0.001)


def test_runs_that_the_bench_makes_up_count_as_done(plan_of: PlanOf) -> None:
    plan = plan_of(seeds=2)
    leave_finished(plan)
    assert plan.unfinished() == []
    assert plan_of(seeds=2).left == []
