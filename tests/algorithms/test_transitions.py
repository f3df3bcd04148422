from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from algorithms.transitions import Transitions, row_width


def _columns(
    n: int, *, terminals: list[int], timeouts: list[int]
) -> dict[str, NDArray[np.float64]]:
    rng = np.random.default_rng(0)
    return {
        "observations": rng.normal(size=(n, 3)),
        "actions": rng.uniform(-1, 1, (n, 2)),
        "rewards": rng.normal(size=n),
        "next_observations": rng.normal(size=(n, 3)),
        "terminals": np.isin(np.arange(n), terminals).astype(float),
        "timeouts": np.isin(np.arange(n), timeouts).astype(float),
    }


def test_packed_columns_come_back_as_they_went_in() -> None:
    columns = _columns(7, terminals=[2], timeouts=[6])
    packed = Transitions.pack(**columns)
    assert len(packed) == 7
    assert (packed.obs_dim, packed.action_dim) == (3, 2)
    assert packed.rows.dtype == np.float32
    assert packed.rows.flags.c_contiguous
    for name, column in columns.items():
        assert np.array_equal(getattr(packed, name), column.astype(np.float32)), name


def test_rows_lie_in_the_documented_order() -> None:
    columns = _columns(4, terminals=[1], timeouts=[3])
    row = Transitions.pack(**columns).rows[1]
    flat = [columns[name][1] for name in columns]
    expected = np.concatenate([np.atleast_1d(value) for value in flat]).astype(np.float32)
    assert np.array_equal(row, expected)
    assert row_width(3, 2) == len(expected) == 11


@pytest.mark.parametrize(
    ("terminals", "timeouts", "ends"),
    [
        ([2], [5, 7], [3, 6, 8]),
        ([2], [2, 7], [3, 8]),  # both flags on one step end one episode
        ([], [3], [4, 8]),  # the last episode was cut by the end of the data
        ([], [], [8]),
    ],
)
def test_episodes_end_at_terminals_timeouts_and_the_end_of_the_data(
    terminals: list[int], timeouts: list[int], ends: list[int]
) -> None:
    packed = Transitions.pack(**_columns(8, terminals=terminals, timeouts=timeouts))
    assert packed.episode_ends().tolist() == ends


@pytest.mark.parametrize("discount", [0.0, 0.9, 0.99, 1.0])
@pytest.mark.parametrize(
    ("terminals", "timeouts"),
    [([2], [5, 7]), ([2, 4], [2, 3]), ([7], [3]), ([], [])],
    ids=["ends in a time limit", "both flags", "ends in a terminal", "one cut episode"],
)
def test_returns_equal_a_sum_over_each_episodes_rest(
    terminals: list[int], timeouts: list[int], discount: float
) -> None:
    """Where an episode was cut, the data's mean reward goes on for ever (not if γ = 1)."""
    packed = Transitions.pack(**_columns(8, terminals=terminals, timeouts=timeouts))
    mean_reward = packed.rewards.astype(np.float64).mean()
    returns = packed.returns(discount)
    assert returns.shape == (8,)
    assert returns.dtype == np.float32
    for start in range(8):
        expected, row = 0.0, start
        while True:
            expected += discount ** (row - start) * float(packed.rewards[row])
            row += 1
            if row - 1 in terminals:
                break
            if row - 1 in timeouts or row == 8:
                ever = 3000 if discount < 1 else 0
                powers = float(discount) ** np.arange(row - start, row - start + ever)
                expected += mean_reward * float(powers.sum())
                break
        assert returns[start] == pytest.approx(expected, rel=1e-4, abs=1e-5), start


def test_what_a_time_limit_cuts_off_goes_on_at_the_given_mean_reward() -> None:
    packed = Transitions.pack(**_columns(3, terminals=[0], timeouts=[2]))
    returns = packed.returns(0.5, np.ones(3, np.float32), mean_reward=4.0)
    assert returns.tolist() == [1.0, 1 + 0.5 * (1 + 0.5 * 8), 1 + 0.5 * 8]


@pytest.mark.parametrize(
    "rows",
    [np.zeros((5, 10), np.float32), np.zeros((5, 11), np.float64), np.zeros(11, np.float32)],
    ids=["too narrow", "doubles", "one row flat"],
)
def test_refuses_rows_that_do_not_fit_the_dimensions(rows: NDArray[np.float64]) -> None:
    with pytest.raises(ValueError, match=r"rows must be float32 \[N, 11\].*found float\d\d \["):
        Transitions(rows, obs_dim=3, action_dim=2)  # type: ignore[arg-type]
