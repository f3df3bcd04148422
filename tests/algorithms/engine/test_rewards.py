"""Reward transforms against their definitions, and settings that change nothing."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import pytest

from algorithms.base import Config
from algorithms.engine.rewards import LearnedRewards
from algorithms.fields import Neutral
from algorithms.registry import load, resolve_config
from algorithms.transitions import Transitions
from harness.files import digest_of


@pytest.fixture
def episodes() -> Transitions:
    """Two episodes, of returns 6 and -2."""
    rewards = np.array([1.0, 2.0, 3.0, -4.0, 2.0])
    ends = np.array([0, 0, 1, 0, 1])
    zeros = np.zeros((5, 1))
    return Transitions.pack(
        observations=zeros,
        actions=zeros,
        rewards=rewards,
        next_observations=zeros,
        terminals=ends,
        timeouts=0 * ends,
    )


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [1, 2, 3, -4, 2]),
        ({"reward_scale": 4.0, "reward_shift": -2.0}, [2, 6, 10, -18, 6]),
        ({"reward_transform": "return-range"}, [125, 250, 375, -500, 250]),
        # |returns to go| 6, 5, 3, 2, 2 of mean 3.6
        ({"reward_transform": "mean-return", "discount": 1.0}, np.array([1, 2, 3, -4, 2]) / 3.6),
        (
            {"reward_transform": "standard"},
            (np.array([1, 2, 3, -4, 2]) - 0.8) / np.std([1, 2, 3, -4, 2]),
        ),
        (
            {"reward_transform": "standard", "reward_scale": 3.0, "reward_shift": 1.0},
            3 * (np.array([1, 2, 3, -4, 2]) - 0.8) / np.std([1, 2, 3, -4, 2]) + 1,
        ),
    ],
    ids=str,
)
def test_rewards_are_what_the_transform_says(
    settings: dict[str, object], expected: list[float], episodes: Transitions
) -> None:
    rewards = LearnedRewards.of(episodes, Config.model_validate(settings))
    np.testing.assert_allclose(rewards(episodes.rewards), expected, rtol=1e-5)
    facts = rewards.facts(episodes)
    totals = [sum(expected[:3]), sum(expected[3:])]
    assert facts.longest_episode == 3
    assert facts.best_return == pytest.approx(max(totals), rel=1e-4)
    assert facts.lowest_reward == pytest.approx(min(expected), rel=1e-4)
    assert facts.highest_reward == pytest.approx(max(expected), rel=1e-4)


def test_a_setting_added_later_changes_no_hash_while_it_is_neutral() -> None:
    before = load("iql").Config

    class After(before):  # type: ignore[valid-type,misc]
        added: Annotated[float, Neutral(0.0)] = 0.0

    plain = resolve_config("iql", {}).model_dump(mode="json")
    assert digest_of(After().model_dump(mode="json")) == digest_of(plain)
    used = After(added=0.5).model_dump(mode="json")
    assert used["added"] == 0.5
    assert digest_of(used) != digest_of(plain)
    assert After.model_validate(plain) == After()
