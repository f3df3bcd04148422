"""What a card says of rows, against the same counted by hand."""

from __future__ import annotations

import numpy as np

from algorithms.transitions import Transitions
from harness.data.card import histogram
from harness.data.facts import facts_of


def test_facts_are_those_of_every_episode_and_action() -> None:
    actions = np.array([[1, 0], [-1, 0.5], [1, 1], [0, 0], [0.99, -1]], np.float32)
    rows = Transitions.pack(
        observations=np.zeros((5, 1)),
        next_observations=np.zeros((5, 1)),
        actions=actions,
        rewards=np.array([1.0, 2.0, 4.0, 8.0, 16.0]),
        terminals=np.array([0, 1, 0, 0, 0]),
        timeouts=np.array([0, 0, 0, 0, 1]),
    )
    facts = facts_of(rows)
    assert facts.lengths.tolist() == [2, 3]
    assert facts.returns.tolist() == [3.0, 28.0]
    np.testing.assert_allclose(facts.at_low, [0.2, 0.2])
    np.testing.assert_allclose(facts.at_high, [0.4, 0.2])
    assert facts.saturation == np.mean(np.abs(actions) == 1)
    assert (facts.terminals, facts.mean_reward) == (1, 6.2)


def test_a_histogram_counts_everything_once_and_the_longest_bar_is_the_fullest() -> None:
    values = np.array([0.0] * 7 + [5.0] * 2 + [10.0])
    lines = histogram(values).splitlines()
    assert len(lines) == 10
    assert [int(line.rsplit(" ", 1)[1]) for line in lines] == [7, 0, 0, 0, 0, 2, 0, 0, 0, 1]
    bars = [line.count("█") for line in lines]
    assert bars[0] == max(bars) == 40
    assert bars[5] == 40 * 2 // 7
    assert bars[1] == 0


def test_a_little_is_seen_beside_much_and_equal_values_are_one_line() -> None:
    many = np.array([0.0] * 100_000 + [1.0])
    assert "▏ 1" in histogram(many).splitlines()[-1]
    assert histogram(np.full(1234, 200)) == "200: all 1,234"
