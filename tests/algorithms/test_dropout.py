"""Dropout by key: the share that is dropped, its mean, and what masks depend on."""

from __future__ import annotations

import pytest
import torch

from algorithms.dropout import dropout
from algorithms.networks import MLP

KEYS = torch.tensor([5, 2**32 - 1, 123_456_789])


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_rate_is_dropped_and_the_mean_is_kept(rate: float) -> None:
    x = torch.ones(3, 200, 300)
    dropped = dropout(x, KEYS, 0, rate)
    for slot in range(3):
        assert float((dropped[slot] == 0).float().mean()) == pytest.approx(rate, abs=0.006)
        assert float(dropped[slot].mean()) == pytest.approx(1.0, abs=0.03)
    assert dropped.max() == pytest.approx(1 / (1 - rate))


def test_masks_of_keys_sites_rows_and_columns_are_unrelated() -> None:
    x = torch.ones(3, 128, 128)
    kept = dropout(x, KEYS, 0, 0.5) > 0
    other = dropout(x, KEYS, 1, 0.5) > 0
    following = dropout(x, KEYS + torch.tensor([1, -1, 1]), 0, 0.5) > 0
    pairs = [(kept, other), (kept, following), (kept[:1], kept[1:2]), (kept[:, 1:], kept[:, :-1])]
    pairs += [(kept[..., 1:], kept[..., :-1])]
    for one, two in pairs:
        assert float((one == two).float().mean()) == pytest.approx(0.5, abs=0.02)


def test_a_seeds_mask_is_its_keys_alone_wherever_it_stands() -> None:
    x = torch.rand(3, 7, 5) + 0.1
    whole = dropout(x, KEYS, 2, 0.3)
    order = torch.tensor([2, 0])
    assert torch.equal(dropout(x[order], KEYS[order], 2, 0.3), whole[order])


def test_without_a_key_or_a_rate_nothing_changes() -> None:
    x = torch.rand(3, 4)
    assert dropout(x, None, 0, 0.5) is x
    assert dropout(x, KEYS, 0, 0.0) is x


def test_a_network_drops_hidden_units_of_each_member_only_while_it_is_given_a_key() -> None:
    network = MLP(4, 6, (64,), ensemble=2, dropout=0.5)
    params = {
        k: v.expand(3, *v.shape) for k, v in network.init(torch.Generator().manual_seed(0)).items()
    }
    x = torch.rand(3, 9, 4)
    plain, dropped = network(params, x), network(params, x, key=KEYS)
    assert torch.equal(plain, network(params, x))
    assert not torch.allclose(plain, dropped)
    # With one-hot output weights the outputs are hidden units: zero where dropped, twice elsewhere.
    one_hot = torch.zeros(3, 2, 64, 6)
    one_hot[..., :6, :] = torch.eye(6)
    params |= {"weight_1": one_hot, "bias_1": torch.zeros(3, 2, 1, 6)}
    plain, dropped = network(params, x), network(params, x, key=KEYS)
    alive = plain > 0
    ratio = dropped[alive] / plain[alive]
    assert set(ratio.round(decimals=3).tolist()) == {0.0, 2.0}
