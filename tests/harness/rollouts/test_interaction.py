"""Runs that go on in their environment: what is lived through, resumed, stacked and refused."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from numpy.typing import NDArray

from algorithms.transitions import Transitions
from harness.execution.plan import Plan
from harness.execution.pretraining import pretraining_key
from harness.execution.work import work
from harness.rollouts import interaction as online
from harness.rollouts.interaction import Lived, OnlineTraining
from harness.tasks import get_task
from tests.harness.conftest import checkpoint_step, trials_of

PlanOf = Callable[..., Plan]
BANDIT = {"multimodal/modes-2-dim-2": {"transitions": 200}}  # episodes of one step
SHORT = {"steps": 20, "online_steps": 12, "compile": False}
OFTEN = {"every": 4, "episodes": 2}


class Counter(gym.Env[NDArray[np.float32], NDArray[np.float32]]):
    """Counts its steps; an episode with an even reset seed ends after 3, others are cut after 2."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        assert seed is not None
        self.even, self.count, self.start = seed % 2 == 0, 0, seed
        return np.array([0.0, seed % 997], np.float32), {}

    def step(self, action: NDArray[np.float32]) -> Any:
        self.count += 1
        observation = np.array([self.count, self.start % 997], np.float32)
        reward = 10.0 * self.count + float(action[0])
        return observation, reward, self.even and self.count == 3, self.count == 2 + self.even, {}


class FakeEngine:
    """Acts by its own step over 100 and remembers what it is told."""

    def __init__(self, seeds: tuple[int, ...]) -> None:
        self.seeds, self.step = seeds, 50
        self.told: list[Transitions] = []
        self.streams: list[str] = []

    def policy(self, stream: str, selection: str) -> Any:
        assert selection == "noise-1"
        self.streams.append(stream)
        return lambda observations: np.full(
            (*observations.shape[:2], 1), self.step / 100, np.float32
        )

    def add(self, transitions: Transitions) -> None:
        assert len(self.told) == self.step - 50
        self.told.append(transitions)

    def train(self, steps: int) -> None:
        assert len(self.told) == self.step - 50 + 1
        self.step += steps


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[FakeEngine, list[Lived]]]:
    monkeypatch.setattr(online, "make_environment", lambda _: Counter())

    def live(seeds: tuple[int, ...], steps: int) -> tuple[FakeEngine, list[Lived]]:
        engine = FakeEngine(seeds)
        training = OnlineTraining(get_task("pointmaze/umaze"), engine)  # type: ignore[arg-type]
        lived = training.train(steps) + training.train(steps)
        training.close()
        return engine, lived

    return live


Live = Callable[..., tuple[FakeEngine, list[Lived]]]


def test_what_happens_is_told_to_the_learners_as_data_have_it(counted: Live) -> None:
    engine, _ = counted((0, 3, 4), 10)
    told = np.stack([transitions.rows for transitions in engine.told], 1)  # [seeds, steps, row]
    assert told.shape == (3, 20, 2 * 2 + 1 + 3)
    for rows in told:
        observation, action, reward, following, terminal, timeout = np.split(
            rows, [2, 3, 4, 6, 7], axis=1
        )
        np.testing.assert_allclose(action[:, 0], (50 + np.arange(20)) / 100, rtol=1e-6)
        np.testing.assert_allclose(reward, 10 * following[:, :1] + action, rtol=1e-6)
        assert np.array_equal(following[:, 0], observation[:, 0] + 1)
        ended = (terminal + timeout)[:, 0]
        assert np.array_equal(terminal[:, 0] == 1, following[:, 0] == 3)
        assert set(following[timeout[:, 0] == 1, 0]) <= {2}
        # After an episode's end comes a reset, never the last observation.
        assert np.array_equal(observation[1:, 0] == 0, ended[:-1] == 1)
        running = ended[:-1] == 0
        assert np.array_equal(observation[1:][running], following[:-1][running])
    assert {0.0, 1.0} == set(told[..., -1].ravel()) == set(told[..., -2].ravel())
    assert len(set(engine.streams)) == 20


def test_episodes_are_told_with_the_step_they_ended_at(counted: Live) -> None:
    engine, lived = counted((0, 3), 10)
    assert [one.step for one in lived] == sorted(one.step for one in lived)
    for slot, seed in enumerate(engine.seeds):
        mine = [one for one in lived if one.episode.seed == seed]
        assert [one.episode.episode for one in mine] == list(range(len(mine)))
        rows = np.stack([transitions.rows[slot] for transitions in engine.told])
        ends = 50 + 1 + np.flatnonzero(rows[:, -2:].any(axis=1))
        assert [one.step for one in mine] == ends.tolist()
        assert [one.episode.length for one in mine] == np.diff([50, *ends]).tolist()
        for one in mine:
            last = one.step - 50
            parts = rows[last - one.episode.length : last, 3]
            assert one.episode.episode_return == pytest.approx(parts.sum(), rel=1e-5)
            assert one.episode.terminated == bool(rows[last - 1, -2])


def test_a_seed_starts_its_episodes_the_same_beside_any_neighbours(counted: Live) -> None:
    alone, _ = counted((4,), 10)
    beside, _ = counted((0, 4), 10)
    for mine, ours in zip(alone.told, beside.told, strict=True):
        assert np.array_equal(mine.rows[0], ours.rows[1])
    starts = {row[1] for transitions in beside.told for row in transitions.rows}
    assert len(starts) > 6  # seeds and episodes differ


def table(plan: Plan, index: int, name: str) -> list[dict[str, str]]:
    with (plan.folder(plan.runs[index]).path / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def files(plan: Plan) -> dict[str, bytes]:
    """The bytes of all scores and learning states that runs left, by path."""
    names = {"evaluations.csv", "online.csv", "checkpoint.safetensors"}
    found = (path for path in sorted(plan.directory.rglob("*")) if path.name in names)
    return {str(path.relative_to(plan.directory)): path.read_bytes() for path in found}


def finish(plan: Plan, seeds_per_trial: int = 4) -> list[int]:
    return [step for trial in trials_of(plan, seeds_per_trial) for step in work(trial)]


def test_a_run_goes_on_after_its_offline_steps(plan_of: PlanOf) -> None:
    plan = plan_of(
        tasks=[BANDIT],
        algorithms={"df-div": {}},
        training=SHORT,
        evaluation={**OFTEN, "action_selections": ["noise-0"]},
    )
    assert finish(plan) == [16, 20, 24, 28, 32]  # nothing within pretraining
    status = plan.folder(plan.runs[1]).status()
    assert status is not None
    assert (status.state, status.step, status.total_steps) == ("done", 32, 32)
    assert checkpoint_step(plan.folder(plan.runs[1])) == 32
    lived = table(plan, 1, "online")
    assert [int(row["step"]) for row in lived] == list(range(21, 33))
    assert [int(row["episode"]) for row in lived] == list(range(12))
    assert {(row["seed"], row["length"]) for row in lived} == {("1", "1")}
    reference = plan.runs[1].task.normalized_score
    for row in lived:
        assert float(row["normalized_score"]) == reference(float(row["return"]))
    rows = table(plan, 1, "evaluations")
    assert {row["step"] for row in rows if row["action_selection"] == "noise-0"} == {"32"}


def test_an_offline_run_is_described_as_before_there_were_online_ones(plan_of: PlanOf) -> None:
    algorithms = {"iql": {}}
    offline = plan_of(
        algorithms=algorithms, training={**SHORT, "online_steps": 0}, evaluation=OFTEN
    )
    further = plan_of(algorithms=algorithms, training=SHORT, evaluation=OFTEN)
    assert "online_steps" not in offline.runs[0].to_json()
    fields = {**further.runs[0].to_json(), "online_steps": 0}
    assert further.runs[0].to_json()["online_steps"] == 12
    assert further.runs[0].hash != offline.runs[0].hash
    del fields["hash"], fields["cell"]
    assert type(offline.runs[0]).model_validate(fields).hash == offline.runs[0].hash
    finish(offline)
    assert not list(offline.directory.rglob("online.csv"))


def test_a_run_evaluates_at_the_boundary_and_at_the_end(plan_of: PlanOf) -> None:
    [spec, _] = plan_of(algorithms={"iql": {}}, training=SHORT, evaluation=OFTEN).runs
    rarely = spec.evaluation.model_copy(update={"every": 50})
    assert spec.model_copy(update={"evaluation": rarely}).evaluation_steps() == [20, 32]


@pytest.mark.parametrize("checks", [9, 12, 17, 22])
def test_an_interrupted_run_lives_through_the_same_again(
    plan_of: PlanOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checks: int
) -> None:
    monkeypatch.setattr("harness.execution.work._CHUNK_SECONDS", 0.0)
    monkeypatch.setattr("harness.execution.work._FIRST_CHUNK", 3)
    monkeypatch.setattr("harness.execution.work._CHECKPOINT_SECONDS", 0.0)
    plan = plan_of(
        tasks=[BANDIT],
        algorithms={"iql": {}},
        training=SHORT,
        evaluation=OFTEN,
    )
    finish(plan)
    whole = files(plan)
    assert len(whole) == 2 * 3
    shutil.rmtree(tmp_path / "results")

    left = iter(range(checks))
    [trial] = trials_of(plan)
    list(work(trial, lambda: next(left, None) is None))
    statuses = [plan.folder(spec).status() for spec in plan.runs]
    assert [status.state for status in statuses if status] == ["interrupted"] * 2
    assert files(plan) != whole
    assert all(checkpoint_step(plan.folder(spec)) <= 20 for spec in plan.runs)
    finish(plan)
    assert files(plan) == whole


@pytest.mark.parametrize("task", [BANDIT, {"pointmaze/umaze": {"transitions": 2000}}], ids=str)
def test_stacking_changes_no_byte(plan_of: PlanOf, tmp_path: Path, task: dict[str, Any]) -> None:
    """Networks this narrow would round one observation of one seed unlike those of two."""
    plan = plan_of(
        tasks=[task],
        algorithms={"df-div": {}, "iql": {}},
        training={**SHORT, "steps": 12},
        evaluation={"every": 12, "episodes": 2},
    )
    finish(plan, seeds_per_trial=2)
    stacked = files(plan)
    shutil.rmtree(tmp_path / "results")
    finish(plan, seeds_per_trial=1)
    assert files(plan) == stacked
    assert len(stacked) == len(set(stacked.values()))


def test_pretraining_is_shared_with_runs_that_stay_offline(plan_of: PlanOf) -> None:
    algorithms = {"df-div": {}}
    keys = {
        pretraining_key(
            plan_of(algorithms=algorithms, training={**SHORT, **more}, evaluation=OFTEN).runs[0]
        )
        for more in ({}, {"online_steps": 0})
    }
    assert len(keys) == 1


def test_a_smoke_test_goes_online_too(plan_of: PlanOf) -> None:
    plan = plan_of(
        {"smoke": True},
        algorithms={"iql": {}},
        training={"steps": 5000, "online_steps": 4000},
    )
    [spec, *_] = plan.runs
    assert 0 < spec.online_steps <= 200
    assert (spec.steps % spec.evaluation.every, spec.online_steps % spec.evaluation.every) == (0, 0)
