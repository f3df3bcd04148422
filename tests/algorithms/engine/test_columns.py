"""What stages compute over the whole data: in parts, in order, and the same however interrupted."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor

from algorithms.base import Batch, Column, Networks, Normal
from algorithms.engine.columns import Columns, WholeData
from algorithms.engine.engine import Engine
from algorithms.transitions import Floats, Transitions
from tests.algorithms.reference import random_batch
from tests.algorithms.small import make_engine, states_equal

SEEDS, ROWS = (7, 3), 70  # three parts of the data
NOTHING = Networks({}, {}, {}, {})
METHODS = {  # settings of one with vectors, noise and a second stage that keeps them, and of one
    "qgpo": {"critic_batch_size": 4, "behavior_share": 0.5, "support_actions": 2},  # with copies
    "sfbc": {"behavior_share": 0.5, "planning_candidates": 2},
}


@pytest.fixture
def columns() -> Columns:
    """Of data whose rewards are their rows' numbers."""
    rewards = np.arange(ROWS, dtype=np.float32)
    data = Transitions.pack(
        observations=np.zeros((ROWS, 1)),
        actions=np.zeros((ROWS, 1)),
        rewards=rewards,
        next_observations=np.zeros((ROWS, 1)),
        terminals=np.zeros(ROWS),
        timeouts=np.arange(ROWS) == ROWS - 1,
    )

    def batch(rows: Tensor, known: Mapping[str, Tensor]) -> Batch:
        seen = {name: column[:, rows[0]] for name, column in known.items()}
        return random_batch(*rows.shape)._replace(rewards=rows.float(), columns=seen)

    return Columns(WholeData(data, rewards, batch, torch.device("cpu")))


def compute(columns: Columns, asked: Mapping[str, Column]) -> list[float]:
    """All of it; the shares that were told."""
    shares = list(columns.compute(asked, NOTHING, SEEDS, stage=1))
    columns.finish()
    return shares


def test_a_column_sees_those_before_it_and_the_others_of_the_stage_before(
    columns: Columns,
) -> None:
    before = {"columns/later": np.ones(ROWS, np.float32), "columns/stale": np.ones(ROWS)}
    columns.load([before, before])
    kept = columns.values["later"]
    asked = {
        "first": Column(lambda _, batch: batch.columns["later"] + batch.rewards),
        "later": Column(lambda _, batch: 2 * batch.columns["first"]),
    }
    shares = compute(columns, asked)
    assert columns.values.keys() == asked.keys()
    rows = torch.arange(float(ROWS)).expand(2, -1)
    torch.testing.assert_close(columns.values["first"], 1 + rows)
    torch.testing.assert_close(kept, 2 + 2 * rows)  # where a GPU's graph reads it
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert len(shares) == 6


def test_what_a_column_draws_is_of_each_seed_row_and_column(columns: Columns) -> None:
    drawn = Column(lambda _nets, _batch, noise: noise["z"], dim=3, noise={"z": Normal(3)})
    compute(columns, {"a": drawn, "b": drawn})
    numbers = torch.stack([columns.values["a"], columns.values["b"]])
    assert numbers.shape == (2, len(SEEDS), ROWS, 3)
    assert len(numbers.unique()) == numbers.numel()
    again = Columns(columns._data)
    list(again.compute({"a": drawn}, NOTHING, SEEDS[1:], stage=1))
    again.finish()
    torch.testing.assert_close(again.values["a"][0], numbers[0, 1], rtol=0, atol=0)


def test_what_combines_a_column_sees_it_whole(columns: Columns) -> None:
    def summed(values: Floats, transitions: Transitions, rewards: Floats) -> Floats:
        assert len(transitions) == ROWS
        np.testing.assert_array_equal(values, np.tile(2 * rewards, (2, 1)))
        return values.cumsum(1)

    compute(columns, {"sum": Column(lambda _, batch: 2 * batch.rewards, summed)})
    assert columns.values["sum"][:, -1].tolist() == [ROWS * (ROWS - 1)] * 2


def test_a_column_of_another_shape_is_refused(columns: Columns) -> None:
    wide = Column(lambda _, batch: batch.observations)
    with pytest.raises(ValueError, match=r"column 'wide' must be \[2, 32\].*say so by its `dim`"):
        compute(columns, {"wide": wide})


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("parts", [1, 2, 4])
def test_an_interrupted_preparation_goes_on_and_ends_in_the_same_bits(
    method: str, parts: int, transitions: Transitions
) -> None:
    whole = made(method, transitions)
    whole.train(8)
    first = made(method, transitions)
    first.train(4)
    trained = [first.state(slot) for slot in (0, 1)]
    shares = [first.prepare(seconds=0) for _ in range(parts)]
    assert 0 < shares[0] <= shares[-1] < 1
    states = [first.state(slot) for slot in (0, 1)]
    for before, after in zip(trained, states, strict=True):  # no network is copied yet
        assert {k: v for k, v in after.items() if "begun" not in k}.keys() == before.keys()
        assert all(np.array_equal(before[name], after[name]) for name in before)
    second = made(method, transitions)
    second.load_state(states, 4)
    assert second.prepare(seconds=0) > shares[-1]
    second.train(4)
    first.train(4)
    for slot in (0, 1):
        assert states_equal(second.state(slot), whole.state(slot))
        assert states_equal(first.state(slot), whole.state(slot))


def test_seeds_that_were_not_saved_equally_far_begin_anew(transitions: Transitions) -> None:
    whole = made("qgpo", transitions)
    whole.train(8)
    first = made("qgpo", transitions)
    first.train(4)
    states = [first.state(0)]
    share = first.prepare(seconds=0)
    states.append(first.state(1))
    second = made("qgpo", transitions)
    second.load_state(states, 4)
    assert second.prepare(seconds=0) == share
    second.train(4)
    assert states_equal(second.state(1), whole.state(1))


def test_there_is_nothing_to_prepare_within_a_stage_or_at_the_end(
    transitions: Transitions,
) -> None:
    engine = made("qgpo", transitions)
    for step in range(8):
        assert (engine.prepare(seconds=0) == 1) == (step not in {4, 6})
        engine.train(1)
    assert engine.prepare(seconds=0) == 1


def made(method: str, transitions: Transitions) -> Engine:
    return make_engine(
        method, transitions, seeds=SEEDS, offline_steps=8, batch_size=8, **METHODS[method]
    )
