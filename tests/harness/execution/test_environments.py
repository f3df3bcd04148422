"""Environments that raise or hang: their own run fails with a sentence, its neighbours go on."""

from __future__ import annotations

import csv
import json
import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from algorithms.engine.seeding import derive_seed
from harness.execution.plan import Plan
from harness.rollouts import evaluation, interaction
from harness.tasks import make_environment
from harness.tasks.spec import TaskSpec
from tests.harness.conftest import CommandLine
from tests.harness.execution.test_work import finish, states
from tests.harness.their_package import TheirPackage

PlanOf = Callable[..., Plan]
BANDIT = {"multimodal/modes-2-dim-2": {"transitions": 200}}  # episodes of one step
SEEDS, UNLUCKY = 3, 1
HANGING = f"""
import time
from algorithms.engine.seeding import derive_seed
from baselines.bc import BC
from harness.rollouts import evaluation

class Theirs(BC):
    pass

class Rollout(evaluation.Rollout):
    def step(self, action):
        seed, episode = self._key
        if seed == {UNLUCKY}:
            self._environment.step = lambda action: time.sleep(10**6)
        super().step(action)

evaluation.Rollout = Rollout
evaluation.STEP_SECONDS = 1.0
"""


class Faulty(gym.Wrapper[Any, Any, Any, Any]):
    """Does something else in one episode, recognised by its reset seed."""

    def __init__(self, env: gym.Env[Any, Any], purpose: str, where: str, fault: Any) -> None:
        super().__init__(env)
        self.unlucky = derive_seed(purpose, UNLUCKY, 1) % 2**31
        self.where, self.fault, self.seed = where, fault, -1

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        assert seed is not None
        self.seed = seed
        if self.where == "reset" and seed == self.unlucky:
            self.fault()
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> Any:
        if self.where == "step" and self.seed == self.unlucky:
            self.fault()
        return self.env.step(action)


class NotANumber(Faulty):
    """Pays nan in that episode, or shows it; `fault` says which."""

    def step(self, action: Any) -> Any:
        seen, reward, *end = self.env.step(action)
        if self.seed == self.unlucky:
            reward = math.nan if self.fault == "reward" else reward
            seen = np.full_like(seen, math.nan) if self.fault == "observation" else seen
        return seen, reward, *end


def broken() -> None:
    raise OSError("the simulator is gone")


def hanging() -> None:
    time.sleep(10**6)


def left(plan: Plan) -> list[dict[str, bytes]]:
    """What each run has left that no clock is in."""
    names = ("evaluations.csv", "metrics.csv", "online.csv", "checkpoint.safetensors")
    return [
        {name: file.read_bytes() for name in names if (file := folder / name).exists()}
        for folder in (plan.folder(spec).path for spec in plan.runs)
    ]


@pytest.mark.parametrize(
    ("purpose", "where", "fault", "said"),
    [
        ("evaluation", "reset", broken, "the reset before evaluation episode 1"),
        ("evaluation", "step", broken, "step 0 of evaluation episode 1"),
        ("evaluation", "step", hanging, "step 0 of evaluation episode 1"),
        ("online", "reset", broken, "the reset before online episode 1"),
        ("online", "step", broken, "step 0 of online episode 1"),
        ("online", "step", hanging, "step 0 of online episode 1"),
    ],
)
def test_only_the_run_whose_environment_fails_ends(
    plan_of: PlanOf,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    purpose: str,
    where: str,
    fault: Callable[[], None],
    said: str,
) -> None:
    training = {"steps": 20, "online_steps": 10, "compile": False}
    evaluations = {"every": 10, "episodes": 2}
    plan = plan_of(
        tasks=[BANDIT],
        algorithms={"iql": {}},
        seeds=SEEDS,
        training=training,
        evaluation=evaluations,
    )
    finish(plan)
    whole = left(plan)
    shutil.rmtree(tmp_path / "results")

    def faulty(task: TaskSpec) -> gym.Env[Any, Any]:
        return Faulty(make_environment(task), purpose, where, fault)

    with monkeypatch.context() as patch:
        for module in (evaluation, interaction):
            patch.setattr(module, "make_environment", faulty)
            patch.setattr(module, "STEP_SECONDS", 0.3)
        finish(plan)
    assert states(plan) == ["done", "failed", "done"]
    status = plan.folder(plan.runs[UNLUCKY]).status()
    assert status is not None
    what = "TimeoutError: no answer within 0.3" if fault is hanging else "OSError: the simulator is"
    assert status.error.startswith(f"the environment failed in {said} of seed {UNLUCKY}: {what} ")
    assert "mend the environment" in status.error.splitlines()[0]
    finish(plan)  # with the environment mended
    assert states(plan) == ["done"] * SEEDS
    assert left(plan) == whole


@pytest.mark.parametrize("purpose", ["evaluation", "online"])
@pytest.mark.parametrize("what", ["reward", "observation"])
def test_a_run_whose_environment_gives_no_number_ends_with_that(
    plan_of: PlanOf, monkeypatch: pytest.MonkeyPatch, purpose: str, what: str
) -> None:
    plan = plan_of(
        tasks=[BANDIT],
        algorithms={"iql": {}},
        seeds=SEEDS,
        training={"steps": 20, "online_steps": 10, "compile": False},
        evaluation={"every": 10, "episodes": 2},
    )

    def faulty(task: TaskSpec) -> gym.Env[Any, Any]:
        return NotANumber(make_environment(task), purpose, "step", what)

    for module in (evaluation, interaction):
        monkeypatch.setattr(module, "make_environment", faulty)
    finish(plan)
    assert states(plan) == ["done", "failed", "done"]
    status = plan.folder(plan.runs[UNLUCKY]).status()
    assert status is not None
    found = "its reward is nan" if what == "reward" else "number 0 of its observation is nan"
    assert status.error.splitlines()[0] == (
        f"the environment failed in step 0 of {purpose} episode 1 of seed {UNLUCKY}: {found}. "
        "What was saved before is intact: mend the environment, then run again."
    )
    for table in plan.folder(plan.runs[UNLUCKY]).path.glob("*.csv"):
        with table.open(newline="") as file:
            assert all(row.get("return") != "nan" for row in csv.DictReader(file))


@pytest.mark.parametrize("executor", ["local", pytest.param("ray", marks=pytest.mark.slow)])
def test_the_command_ends_though_an_environment_hangs(
    their_package: TheirPackage,
    write_suite: Callable[..., Path],
    harness: CommandLine,
    executor: str,
) -> None:
    their_package.write_method(HANGING)
    suite = write_suite(tasks=[BANDIT], algorithms={"theirs": {}}, seeds=2)
    printed = harness("run", suite, "--executor", executor, code=1)
    assert "theirs seed 1: the environment failed in step 0 of evaluation episode 0" in printed
    assert "no answer within 1 seconds" in printed
    found = [json.loads(path.read_text()) for path in harness.results.rglob("status.json")]
    assert sorted(status["state"] for status in found) == ["done", "failed"]
