"""The sign of the palm's distance, told from observations of the environments themselves."""

from __future__ import annotations

import functools
from typing import Any

import h5py
import numpy as np
import pytest

from harness.tasks import get_task
from harness.tasks.d4rl_rules import corrected_rewards, palm_distance
from harness.tasks.environment import make_unwrapped
from harness.tasks.ids import RewardRule
from harness.tasks.reward_sign import recorded_sign, with_d4rl_sign
from tests.conftest import LOCAL_DATA, needs_local_data

HANDS = ("door", "hammer", "relocate")
Columns = dict[str, np.ndarray[Any, Any]]


@functools.cache
def recorded(hand: str) -> Columns:
    """Five episodes of smooth noise as gymnasium-robotics pays them: with the distance added."""
    task = get_task(f"adroit/{hand}/human")
    env, rng = make_unwrapped(task.environment, task.horizon), np.random.default_rng(3)
    rows: list[tuple[Any, ...]] = []
    assert env.action_space.shape is not None
    for seed in range(5):
        observation, truncated = env.reset(seed=seed)[0], False
        action = np.zeros(env.action_space.shape)
        while not truncated:
            action = 0.9 * action + 0.3 * rng.normal(size=action.shape)
            after, reward, _, truncated, _ = env.step(np.clip(action, -1, 1).astype(np.float32))
            rows.append((observation, reward, after, 0.0, truncated))
            observation = after
    names = ("observations", "rewards", "next_observations", "terminals", "timeouts")
    columns = zip(names, zip(*rows, strict=True), strict=True)
    return {name: np.array(values, np.float32) for name, values in columns}


def d4rls(hand: str, columns: Columns) -> Columns:
    """The same with the distance subtracted, computed from its definition."""
    after = columns["next_observations"]
    palm, thing = {
        "door": (after[:, 29:32], after[:, 32:35]),
        "hammer": (after[:, 33:36], after[:, 36:39]),
        "relocate": (after[:, 30:33], 0.0),
    }[hand]
    added = 0.1 * np.linalg.norm(palm - thing, axis=1)
    return columns | {"rewards": columns["rewards"] - 2 * added}


@pytest.mark.parametrize("hand", HANDS)
def test_both_signs_are_told_and_d4rls_is_given(hand: str) -> None:
    shipped = recorded(hand)
    original = d4rls(hand, shipped)
    assert recorded_sign(hand, shipped) == "added"
    assert recorded_sign(hand, original) == "subtracted"
    for columns in (shipped, original):
        given = with_d4rl_sign(hand, columns)
        assert given is not None
        np.testing.assert_allclose(given, original["rewards"], atol=1e-6)


@pytest.mark.parametrize("hand", HANDS)
def test_rewards_of_neither_sign_are_not_guessed_at(hand: str) -> None:
    columns = recorded(hand)
    without = columns | {
        "rewards": columns["rewards"] - 0.1 * palm_distance(hand, columns["next_observations"])
    }
    assert recorded_sign(hand, without) is None
    assert with_d4rl_sign(hand, without) is None
    few = {name: values[:3] for name, values in columns.items()}
    assert recorded_sign(hand, few) is None


@needs_local_data
@pytest.mark.parametrize(
    "name", ["door/human", "door/cloned", "door/expert", "hammer/expert", "relocate/expert"]
)
def test_the_local_datasets_have_the_shipped_sign(name: str) -> None:
    hand = name.partition("/")[0]
    columns: dict[str, list[Any]] = {}
    with h5py.File(LOCAL_DATA / f"local/{name}-v0" / "data" / "main_data.hdf5") as file:
        for index in range(len(file)):
            episode = file[f"episode_{index}"]
            observations = episode["observations"][()]
            pieces = {
                "observations": observations[:-1],
                "next_observations": observations[1:],
                "rewards": episode["rewards"][()],
                "terminals": episode["terminations"][()],
                "timeouts": episode["truncations"][()],
            }
            for key, piece in pieces.items():
                columns.setdefault(key, []).append(piece)
    joined = {key: np.concatenate(pieces) for key, pieces in columns.items()}
    assert recorded_sign(hand, joined) == "added"
    assert recorded_sign(hand, d4rls(hand, joined)) == "subtracted"


@pytest.mark.parametrize("rule", ["as recorded", "as-recorded.", RewardRule.DOOR_SIGN])
def test_rewards_by_a_rule_that_cannot_be_followed_raise(rule: Any) -> None:
    with pytest.raises(ValueError, match="cannot follow the rule"):
        corrected_rewards(rule, {"rewards": np.zeros(3)})
