"""Rewards recomputed from observations, against the environments that paid them."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from algorithms.transitions import Transitions
from harness.data import minari_format
from harness.data.checks import rewards as reward_checks
from harness.data.checks import rows as row_checks
from harness.data.checks.adroit_rewards import palm_tenths
from harness.data.recipes.multimodal import Multimodal
from harness.tasks import TaskSpec, get_task, make_environment
from harness.tasks.environment import make_unwrapped
from tests.conftest import LOCAL_DATA, needs_local_data

HANDS = ("door", "hammer", "relocate")
TASKS = [f"local/{hand}/expert" for hand in (*HANDS, "pen")]
TASKS += [f"local/{body}/medium" for body in ("halfcheetah", "hopper", "walker2d")]


def roll_out(env: gym.Env[Any, Any], episodes: int = 4, steps: int = 60) -> Transitions:
    """Random actions, at most so many steps an episode."""
    rng, columns = np.random.default_rng(0), []
    for seed in range(episodes):
        before, _ = env.reset(seed=seed)
        for step in range(steps):
            action = rng.uniform(-1, 1, env.action_space.shape)
            after, reward, terminated, truncated, _ = env.step(action.astype(np.float32))
            stop = (truncated or step == steps - 1) and not terminated
            columns.append((before, action, float(reward), after, terminated, stop))
            before = after
            if terminated or stop:
                break
    names = ("observations", "actions", "rewards", "next_observations", "terminals", "timeouts")
    arrays = (np.asarray(column) for column in zip(*columns, strict=True))
    return Transitions.pack(**dict(zip(names, arrays, strict=True)))


def complaints(task: TaskSpec, rows: Transitions) -> list[str]:
    checks = (*row_checks.CHECKS, *reward_checks.CHECKS)
    return [sentence for check in checks for sentence in check(task, rows)]


@pytest.mark.parametrize("task_id", TASKS)
def test_what_the_environment_pays_is_what_its_observations_say(task_id: str) -> None:
    task = get_task(task_id)
    rows = roll_out(make_environment(task))
    assert complaints(task, rows) == []
    rows.rewards[70] += 7.0
    (problem,) = complaints(task, rows)
    first = rows.episode_ends()
    episode = int((first <= 70).sum())
    step = 70 - (first[episode - 1] if episode else 0)
    assert f"step {step} of episode {episode} has a reward of" in problem


@pytest.mark.parametrize("hand", HANDS)
def test_the_sign_of_the_palms_distance_is_told_from_observations(hand: str) -> None:
    task = get_task(f"local/{hand}/expert")
    as_shipped = roll_out(make_unwrapped(task.environment, task.horizon))
    assert palm_tenths(hand, as_shipped) == 1
    assert palm_tenths(hand, roll_out(make_environment(task))) == -1
    (problem,) = complaints(task, as_shipped)
    assert "a tenth of the palm's distance is added, and where" in problem
    assert f"{task.id} is scored a tenth of the palm's distance is subtracted" in problem


@needs_local_data
@pytest.mark.parametrize("hand", HANDS)
def test_data_of_experts_tell_the_sign_and_whether_it_was_converted_twice(hand: str) -> None:
    names = ("observations", "actions", "rewards", "terminations", "truncations")
    pieces: dict[str, list[Any]] = {}
    for episode in minari_format.read(LOCAL_DATA / f"local/{hand}/expert-v0" / "data", names):
        episode["next_observations"] = episode["observations"][1:]
        episode["observations"] = episode["observations"][:-1]
        for name, array in episode.items():
            pieces.setdefault(name, []).append(array)
    whole = {name: np.concatenate(arrays) for name, arrays in pieces.items()}
    whole |= {"terminals": whole.pop("terminations"), "timeouts": whole.pop("truncations")}
    after = whole["next_observations"]
    palm_to_thing = {
        "door": after[:, 29:32] - after[:, 32:35],
        "hammer": after[:, 33:36] - after[:, 36:39],
        "relocate": after[:, 30:33],
    }[hand]
    distance = np.linalg.norm(palm_to_thing, axis=1)
    for fifths, expected in ((0, 1), (1, -1), (2, -3)):
        rewards = whole["rewards"] - 0.2 * fifths * distance
        assert palm_tenths(hand, Transitions.pack(**whole | {"rewards": rewards})) == expected


def test_a_multimodal_reward_that_is_not_the_closed_form_is_named() -> None:
    task = get_task("multimodal/modes-4-dim-2", {"transitions": 50})
    (episode,) = Multimodal().episodes(task, None, lambda _: None)
    rows = Transitions.pack(
        observations=episode["observations"][:-1],
        next_observations=episode["observations"][1:],
        actions=episode["actions"],
        rewards=episode["rewards"],
        terminals=episode["terminations"],
        timeouts=episode["truncations"],
    )
    assert complaints(task, rows) == []
    rows.rewards[9] += 0.01
    assert "step 0 of episode 9 has a reward of" in complaints(task, rows)[0]


def drifting(steps: int = 20) -> Transitions:
    """A point that drifts right in umaze's upper corridor, as its velocity says; three episodes."""
    x = -0.85 + 0.01 * np.arange(steps + 1)  # the goal's centre is at (-1, 1)
    states = np.stack([x, np.ones_like(x), np.ones_like(x), np.zeros_like(x)], 1)
    ends = np.isin(np.arange(steps), (4, 11, steps - 1))
    return Transitions.pack(
        observations=states[:-1],
        next_observations=states[1:],
        actions=np.zeros((steps, 2)),
        rewards=np.full(steps, 0.9),
        terminals=np.zeros(steps),
        timeouts=ends,
    )


@pytest.mark.parametrize(
    ("column", "value", "sentence"),
    [
        (4, 1.25, "step 1 of episode 1 has an action of 1.25, outside [-1, 1]"),
        (0, np.nan, "step 1 of episode 1 has a NaN or an infinite number"),
        (-2, 1.0, "step 1 of episode 1 ends in a terminal"),
        (-1, 0.5, "step 1 of episode 1 has a terminal or timeout that is neither 0 nor 1"),
        (7, -0.5, "step 1 of episode 1 leads to another observation than the next step has"),
        (7, -0.5, "step 1 of episode 1 jumps 0.28 m from where its velocity leads"),
        (6, 1.5, "step 1 of episode 1 has a reward of 1.5"),
    ],
)
def test_a_wrong_number_in_a_row_is_named(column: int, value: float, sentence: str) -> None:
    task, rows = get_task("pointmaze/umaze"), drifting()
    assert complaints(task, rows) == []
    if column == -2:
        rows.rows[6, -1] = 1.0  # a timeout already
        sentence = sentence.replace("a terminal", "a terminal and in a timeout")
    rows.rows[6, column] = value
    found = complaints(task, rows)
    assert any(sentence in problem for problem in found), found


def test_a_last_episode_without_an_end_is_named() -> None:
    task, rows = get_task("pointmaze/umaze"), drifting()
    rows.rows[-1, -1] = 0.0
    assert complaints(task, rows) == [
        "pointmaze/umaze-v0: step 7 of episode 2 is the last one and ends no episode."
    ]


def test_rows_of_another_environment_are_named() -> None:
    task = get_task("local/hopper/medium")
    (problem, *_) = row_checks.dimensions(task, drifting())
    assert "have 4 and 2 numbers, those of Hopper-v5 11 and 3" in problem
