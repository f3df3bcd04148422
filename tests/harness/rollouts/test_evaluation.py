"""The evaluator against an environment whose every episode can be computed by hand."""

from __future__ import annotations

import math
import time
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from numpy.typing import NDArray

from algorithms.engine.seeding import derive_seed
from harness.errors import EnvironmentFailedError
from harness.rollouts import evaluation
from harness.rollouts.evaluation import Evaluation, Evaluator, Policy
from harness.tasks import get_task

Floats = NDArray[np.float32]


class Countdown(gym.Env[Floats, Floats]):
    """Shows [n, steps done]; step k pays k, step n pays 100 more and ends the episode.

    n is drawn at reset from 2 to 9, and there is a time limit of 6 steps. Stepping on after the
    end is an error, as is a second reset without a seed.
    """

    observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self) -> None:
        self.actions: list[float] = []

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Floats, Any]:
        assert seed is not None
        super().reset(seed=seed)
        self.n, self.k, self.over = length_of(seed), 0, False
        return self._show(), {}

    def step(self, action: Floats) -> tuple[Floats, float, bool, bool, dict[str, Any]]:
        assert not self.over
        self.actions.append(float(action[0]))
        self.k += 1
        terminated, truncated = self.k == self.n, self.k == 6
        self.over = terminated or truncated
        # Success shows in the second step only: it must be remembered.
        info = {"success": self.k == 2 and self.n % 2 == 0}
        return self._show(), self.k + 100.0 * terminated, terminated, truncated, info

    def _show(self) -> Floats:
        return np.array([self.n, self.k], np.float32)


class Silent(Countdown):
    """The same without a word about success."""

    def step(self, action: Floats) -> tuple[Floats, float, bool, bool, dict[str, Any]]:
        return (*super().step(action)[:4], {})


class Lists(Countdown):
    """The same with arrays of one number for reward and success, 2 for a success."""

    def step(self, action: Floats) -> tuple[Floats, Any, bool, bool, dict[str, Any]]:
        seen, reward, terminated, truncated, info = super().step(action)
        success = 2.0 * np.array([info["success"]])
        return seen, np.array([reward]), terminated, truncated, {"success": success}


class TwoRewards(Countdown):
    """The same with two rewards a step."""

    def step(self, action: Floats) -> tuple[Floats, Any, bool, bool, dict[str, Any]]:
        seen, reward, terminated, truncated, info = super().step(action)
        return seen, np.array([reward, reward]), terminated, truncated, info


class NotANumber(Countdown):
    """The same, but what it pays or shows after so many steps is not finite."""

    def __init__(self, what: str, when: int, value: float) -> None:
        super().__init__()
        self.what, self.when, self.value = what, when, value

    def step(self, action: Floats) -> tuple[Floats, float, bool, bool, dict[str, Any]]:
        seen, reward, terminated, truncated, info = super().step(action)
        wrong = self.what == "reward" and self.k == self.when
        return seen, self.value if wrong else reward, terminated, truncated, info

    def _show(self) -> Floats:
        shown = np.asarray(super()._show(), np.float32)
        if self.what == "observation" and self.k == self.when:
            shown[1] = self.value
        return shown


class Measured(Countdown):
    """The same with measures in every step, of which the last step's are the episode's."""

    def step(self, action: Floats) -> tuple[Floats, float, bool, bool, dict[str, Any]]:
        measures = {"steps": np.float32(self.k + 1)}
        return (*super().step(action)[:4], {"measures": measures})


def length_of(reset_seed: int) -> int:
    return 2 + int(np.random.default_rng(reset_seed).integers(8))


def lengths(seed: int, episodes: int) -> list[int]:
    return [length_of(derive_seed("evaluation", seed, e) % 2**31) for e in range(episodes)]


def zeros(observations: Floats, rewards: Floats) -> Floats:
    return np.zeros((*observations.shape[:2], 1), np.float32)


def evaluate(seeds: list[int], episodes: int) -> Evaluation:
    evaluator = Evaluator(Countdown, seeds, episodes)
    evaluator.evaluate(zeros)  # the second evaluation must not depend on the first
    return evaluator.evaluate(zeros)


def test_returns_lengths_and_endings_are_those_computed_by_hand() -> None:
    result = evaluate([0, 7], 12)
    expected = [(seed, e, n) for seed in (0, 7) for e, n in enumerate(lengths(seed, 12))]
    assert {n < 6 for _, _, n in expected} == {n > 6 for _, _, n in expected} == {True, False}
    assert any(n == 6 for _, _, n in expected)  # terminated by the MDP in the limit's very step
    for found, (seed, index, n) in zip(result.episodes, expected, strict=True):
        steps = min(n, 6)
        assert (found.seed, found.episode, found.length) == (seed, index, steps)
        assert found.episode_return == steps * (steps + 1) / 2 + (100 if n <= 6 else 0)
        assert found.terminated == (n <= 6)
        assert found.success == float(n % 2 == 0)
    assert result.seconds > 0
    assert result.amortized_action_ms > 0


def test_a_seed_is_scored_alike_alone_and_in_any_batch() -> None:
    alone = evaluate([7], 5).episodes
    batched = [e for e in evaluate([3, 7, 0], 5).episodes if e.seed == 7]
    longer = [e for e in evaluate([7], 9).episodes if e.episode < 5]
    assert alone == batched == longer


def test_an_environment_that_never_speaks_of_success_gives_nan() -> None:
    result = Evaluator(Silent, [0], 2).evaluate(zeros)
    assert all(math.isnan(episode.success) for episode in result.episodes)


def test_arrays_of_one_number_are_that_number_and_any_success_is_one() -> None:
    plain, lists = (
        [
            (episode.episode_return, episode.success)
            for episode in Evaluator(kind, [0, 7], 6).evaluate(zeros).episodes
        ]
        for kind in (Countdown, Lists)
    )
    assert plain == lists
    assert {success for _, success in lists} == {0.0, 1.0}


def test_two_rewards_a_step_are_the_environments_failure() -> None:
    with pytest.raises(EnvironmentFailedError, match="step 0 of evaluation episode 0 of seed 0"):
        Evaluator(TwoRewards, [0], 2).evaluate(zeros)


@pytest.mark.parametrize(
    ("what", "when", "value", "said"),
    [
        ("reward", 2, math.nan, "step 1 of evaluation episode 0 of seed 7: its reward is nan."),
        ("reward", 1, -math.inf, "step 0 of evaluation episode 0 of seed 7: its reward is -inf."),
        (
            "observation",
            2,
            math.nan,
            "step 1 of evaluation episode 0 of seed 7: number 1 of its observation is nan.",
        ),
        (
            "observation",
            0,
            math.inf,
            "the reset before evaluation episode 0 of seed 7: number 1 of its observation is inf.",
        ),
    ],
)
@pytest.mark.parametrize("alone", [True, False], ids=["decision", "evaluation"])
def test_what_is_not_finite_is_the_failure_of_its_environment(
    what: str, when: int, value: float, said: str, alone: bool
) -> None:
    made: list[Countdown] = []

    def make() -> Countdown:
        """The first environment of the second seed is the one that fails."""
        made.append(NotANumber(what, when, value) if len(made) == 2 else Countdown())
        return made[-1]

    evaluator = Evaluator(make, [4, 7], 2)
    if alone:
        evaluator.drop(0)
    with pytest.raises(EnvironmentFailedError) as found:
        evaluator.decision_ms(zeros) if alone else evaluator.evaluate(zeros)
    assert str(found.value).startswith(f"the environment failed in {said}")
    assert found.value.seed == 7


def test_measures_are_those_of_the_last_step() -> None:
    result = Evaluator(Measured, [0, 7], 4).evaluate(zeros)
    assert [episode.measures for episode in result.episodes] == [
        {"steps": float(episode.length)} for episode in result.episodes
    ]
    assert evaluate([0], 1).episodes[0].measures == {}


def test_each_environment_receives_its_own_row_and_finished_rows_stand_still() -> None:
    made: list[Countdown] = []

    def make() -> Countdown:
        made.append(Countdown())
        return made[-1]

    seen: list[Floats] = []

    def policy(observations: Floats, rewards: Floats) -> Floats:
        seen.append(observations.copy())
        seeds, episodes, _ = observations.shape
        return np.arange(seeds * episodes, dtype=np.float32).reshape(seeds, episodes, 1) / 10

    Evaluator(make, [0, 7], 3).evaluate(policy)
    for row, env in enumerate(made):
        assert env.actions == pytest.approx([row / 10] * min(env.n, 6))
        assert seen[-1].reshape(6, 2)[row].tolist() == [env.n, min(env.n, len(seen) - 1, 6)]


def test_an_action_that_is_not_finite_fails_the_run() -> None:
    def broken(observations: Floats, rewards: Floats) -> Floats:
        return np.where(observations[..., 1:] == 2, np.nan, 0.0).astype(np.float32)

    seed = next(s for s in range(20) if lengths(s, 1)[0] > 2)
    with pytest.raises(RuntimeError, match=f"seed {seed} .* not finite in step 2 of episode 0"):
        Evaluator(Countdown, [seed], 1).evaluate(broken)


def test_actions_of_the_wrong_shape_fail_the_run() -> None:
    with pytest.raises(RuntimeError, match=r"shape \[3, 1\], expected \[1, 3"):
        Evaluator(Countdown, [0], 3).evaluate(lambda observations, rewards: observations[0, :, :1])


def test_a_task_is_evaluated_in_its_own_environment() -> None:
    task = get_task("pointmaze/umaze")
    evaluator = Evaluator(task, [0], 2)
    result = evaluator.evaluate(lambda seen, rewards: np.zeros((*seen.shape[:2], 2), np.float32))
    evaluator.close()
    # Without a push the point stays where it starts, more than 0.45 away from the goal.
    assert [(e.length, e.episode_return, e.success) for e in result.episodes] == [(300, 0, 0)] * 2


def test_the_way_through_a_maze_is_kept_of_the_first_episodes() -> None:
    task = get_task("pointmaze/umaze")
    evaluator = Evaluator(task, [0], evaluation.PATHS + 1)
    seen: list[Floats] = []

    def push(observations: Floats, rewards: Floats) -> Floats:
        seen.append(observations[0].copy())
        return np.ones((*observations.shape[:2], 2), np.float32)

    *first, last = evaluator.evaluate(push).episodes
    evaluator.close()
    for number, episode in enumerate(first):
        assert len(episode.path) == episode.length + 1
        shown = np.array([step[number, :2] for step in seen])
        assert np.array(episode.path[:-1]) == pytest.approx(shown)
    assert last.path == ()


def test_a_decision_is_timed_alone_and_without_its_first_call() -> None:
    calls: list[tuple[int, ...]] = []

    def policy(observations: Floats, rewards: Floats) -> Floats:
        calls.append((*observations.shape, *rewards.shape))
        time.sleep(0.5 if len(calls) == 1 else 0.02)
        return np.zeros((1, 1, 1), np.float32)

    seed = next(seed for seed in range(99) if lengths(seed, 1) == [2])
    milliseconds = Evaluator(Countdown, [seed, 1], 3).decision_ms(policy)
    assert set(calls) == {(1, 1, 2, 1, 1)}
    assert 20 <= milliseconds < 200  # the median of both calls would be above 260


@pytest.mark.parametrize("hangs", ["reset", "step"])
def test_an_environment_that_hangs_while_a_decision_is_timed_holds_nobody(
    hangs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "STEP_SECONDS", 0.3)
    monkeypatch.setattr(Countdown, hangs, lambda *_, **__: time.sleep(10**6))
    with pytest.raises(EnvironmentFailedError, match=r"no answer within 0\.3 seconds"):
        Evaluator(Countdown, [0], 1).decision_ms(zeros)


def test_many_episodes_come_in_waves_and_are_the_same_as_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """7 episodes of 2 seeds, 3 at a time, take 6 environments and not 14."""
    whole = Evaluator(Countdown, [4, 9], 7).evaluate(zeros)
    monkeypatch.setattr(evaluation, "MOST_AT_ONCE", 3)
    built: list[Countdown] = []

    def make() -> Countdown:
        built.append(Countdown())
        return built[-1]

    shapes: list[tuple[int, int]] = []

    def policy_of(wave: int) -> Policy:
        def policy(observations: Floats, rewards: Floats) -> Floats:
            shapes.append((wave, observations.shape[1]))
            return zeros(observations, rewards)

        return policy

    in_waves = Evaluator(make, [4, 9], 7).evaluate(policy_of(0), policy_of)
    assert len(built) == 6
    assert in_waves.episodes == whole.episodes
    assert set(shapes) == {(0, 3), (1, 3), (2, 1)}
