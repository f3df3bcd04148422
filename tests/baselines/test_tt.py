"""Trajectory Transformer against arXiv:2106.02039 and its official code in plain PyTorch."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pydantic
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from algorithms.base import Batch, History, Networks
from algorithms.blocks.transformer import Cache
from algorithms.dropout import dropout
from algorithms.engine.engine import Engine
from algorithms.engine.preflight import check
from algorithms.networks import Params
from algorithms.registry import resolve_config
from algorithms.transitions import Transitions
from baselines.tt import TT, TokenModel, TTConfig, bin_centers, tokenize
from tests.algorithms.reference import of_seed, random_noise, random_params, record
from tests.algorithms.small import ACTION_DIM, OBS_DIM, make_engine
from tests.baselines.bandit import GOOD, POOR, share_near, two_modes

DIMS = OBS_DIM + ACTION_DIM + 2
SMALL: dict[str, Any] = {
    "context": 3,
    "embedding_dim": 16,
    "heads": 2,
    "hidden_dims": (24, 24),
    "bins": 5,
}


def params_of(engine: Engine, network: str, slot: int) -> dict[str, Tensor]:
    prefix = f"params/{network}/"
    state = {k: v for k, v in engine.state(slot).items() if k.startswith(prefix)}
    return {k.removeprefix(prefix): torch.tensor(v[0]) for k, v in state.items()}


def discretize(edges: Tensor, seen: Batch) -> Tensor:
    """One seed's tokens [B, L, D]: the last edge that is not above a number; over: 5."""
    later = seen.returns - seen.rewards
    columns = [*seen.observations.unbind(-1), *seen.actions.unbind(-1), seen.rewards, later]
    found = [
        np.searchsorted(edges[:, d].numpy(), column.numpy(), side="right") - 1
        for d, column in enumerate(columns)
    ]
    tokens = torch.tensor(np.stack(found, -1)).clamp(0, 4)
    return torch.where(seen.valid[..., None] > 0, tokens, 5)


def predict(p: dict[str, Tensor], tokens: Tensor, key: Tensor, rate: float) -> Tensor:
    """One seed's logits [B, T, 6] of minGPT, with dropout from the same masks."""

    def drop(x: Tensor, site: int) -> Tensor:
        return dropout(x[None], key[None], site, rate)[0]

    def linear(name: str, x: Tensor) -> Tensor:
        return F.linear(x, p[f"weight_{name}"].T, p[f"bias_{name}"][0])

    def norm(name: str, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], p[f"scale_{name}"][0], p[f"shift_{name}"][0])

    length = tokens.shape[1]
    kind = torch.arange(length) % DIMS
    vocabulary = torch.cat([p["tokens"].flatten(0, 1), p["over"]])
    index = torch.where(tokens == 5, 5 * DIMS, tokens + 5 * kind)
    x = drop(F.embedding(index, vocabulary) + p["places"][:length], 6)
    hidden = torch.ones(length, length).triu(1).bool() | (kind == DIMS - 1)
    for i in (0, 1):
        q, k, v = linear(f"qkv_{i}", norm(f"attention_{i}", x)).chunk(3, -1)
        scores = [
            torch.einsum("btd,bsd->bts", a, b) / a.shape[-1] ** 0.5
            for a, b in zip(q.chunk(2, -1), k.chunk(2, -1), strict=True)
        ]
        weights = torch.stack([s.masked_fill(hidden, -1e9).softmax(-1) for s in scores], 1)
        mixed = [w @ u for w, u in zip(drop(weights, 3 * i).unbind(1), v.chunk(2, -1), strict=True)]
        x = x + drop(linear(f"mixed_{i}", torch.cat(mixed, -1)), 3 * i + 1)
        up = F.gelu(linear(f"up_{i}", norm(f"mlp_{i}", x)))
        x = x + drop(linear(f"down_{i}", up), 3 * i + 2)
    return torch.einsum("btw,twn->btn", norm("last", x), p["weight_head"][kind])


def official_loss(logits: Tensor, tokens: Tensor, steps: Tensor, longest: int) -> Tensor:
    """Weighted by the kind of what is predicted, counted by the step that it is predicted from."""
    nll = F.cross_entropy(logits[:, :-1].transpose(1, 2), tokens[:, 1:], reduction="none")
    weights = torch.tensor(([1.0] * OBS_DIM + [5.0] * ACTION_DIM + [1.0] * 2) * 3)[1:]
    mask = (steps < longest).repeat_interleave(DIMS, 1)[:, :-1]
    return (nll * weights * mask).mean()


def ending_early(transitions: Transitions) -> Transitions:
    """The first of the episodes of 32 steps falls into one of 10 and one of 22."""
    changed = replace(transitions, rows=transitions.rows.copy())
    changed.terminals[9] = 1
    return changed


def test_training_equals_plain_pytorch(transitions: Transitions) -> None:
    """Windows that end early, dropout, warm-up, annealing, clipping and decay of some weights."""
    settings = {"learning_rate": 1e-2, "warmup_steps": 3, "max_grad_norm": 1.0}
    engine = make_engine("tt", ending_early(transitions), offline_steps=8, **SMALL, **settings)
    starts = [params_of(engine, "model", slot) for slot in (0, 1)]
    edges = params_of(engine, "edges", 0)["values"]
    seen = record(engine)
    engine.train(8)
    clipped, over = [], []
    for slot, params in enumerate(starts):
        leaves = {name: p.requires_grad_() for name, p in params.items()}
        decayed = [p for name, p in leaves.items() if name.startswith("weight_")]
        others = [p for name, p in leaves.items() if not name.startswith("weight_")]
        groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
        adam = torch.optim.AdamW(groups, lr=1e-2, betas=(0.9, 0.95))
        rate = torch.optim.lr_scheduler.LambdaLR(
            adam,
            lambda k: min((k + 1) / 3, 1) * max(0.1, 0.5 * (1 + math.cos(math.pi * k / 8))),
        )
        for batch, noise in of_seed(seen, slot):
            tokens = discretize(edges, batch).flatten(1)
            logits = predict(params, tokens, noise["dropout"], 0.1)
            counted = batch.steps < 32
            over.append(bool(((batch.valid == 0) & counted).any() and not counted.all()))
            loss = official_loss(logits, tokens, batch.steps, 32)
            adam.zero_grad()
            loss.backward()
            all_of_them = list(leaves.values())
            clipped.append(float(torch.nn.utils.clip_grad_norm_(all_of_them, 1.0)) > 1)
            adam.step()
            rate.step()
        assert engine.metrics()["model/loss"][slot] == pytest.approx(loss.item(), rel=1e-4)
        for name, found in params_of(engine, "model", slot).items():
            expected = params[name].detach().clone()
            if name.startswith("bias_qkv"):  # keys' change no attention: no gradient but rounding
                expected[..., 16:32] = found[..., 16:32]
            torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5, msg=name)
        assert torch.equal(params_of(engine, "edges", slot)["values"], edges)
    assert any(clipped)
    assert any(over)


def algorithm_of(**overrides: Any) -> TT:
    return TT(TTConfig(**{**SMALL, **overrides}), OBS_DIM, ACTION_DIM)


# --- tokens -------------------------------------------------------------------------------------


def test_numbers_come_back_from_their_tokens_to_within_a_bin() -> None:
    generator = torch.Generator().manual_seed(0)
    edges = torch.rand(2, 9, 4, generator=generator).cumsum(1)
    low, high = edges[:, 0, None, None], edges[:, -1, None, None]
    numbers = low + (high - low) * torch.rand(2, 30, 3, 4, generator=generator)
    tokens = tokenize(numbers, edges)
    assert set(tokens.unique().tolist()) == set(range(8))
    centers = bin_centers(edges)
    for seed in (0, 1):
        for dim in range(4):
            index = tokens[seed, ..., dim]
            width = edges[seed, index + 1, dim] - edges[seed, index, dim]
            back = centers[seed, dim][index]
            assert ((back - numbers[seed, ..., dim]).abs() <= width / 2 + 1e-5).all()
    again = tokenize(centers.mT.unsqueeze(1), edges)
    assert (again == torch.arange(8).view(1, 1, 8, 1)).all()


def test_numbers_beyond_the_data_are_in_the_outer_bins() -> None:
    edges = torch.linspace(-1, 1, 6).view(1, 6, 1)
    beyond = torch.tensor([-9.0, -1.0, 1.0, 9.0]).view(1, 1, 4, 1)
    assert tokenize(beyond, edges).flatten().tolist() == [0, 0, 4, 4]


def test_bins_hold_equal_shares_of_the_data(transitions: Transitions) -> None:
    """Of 256 transitions, 32 in each of eight; of numbers as they are learned from."""
    scaled = {"normalize_observations": True, "reward_scale": 3.0, "termination_penalty": None}
    engine = make_engine("tt", transitions, **{**SMALL, "bins": 8}, **scaled, batch_size=256)
    edges = params_of(engine, "edges", 1)["values"]
    data, rewards = transitions, 3 * transitions.rewards
    normal = (data.observations - data.observations.mean(0)) / (data.observations.std(0) + 1e-3)
    later = data.returns(0.99, rewards) - rewards
    columns = np.column_stack([normal, data.actions, rewards, later])
    for dim, column in enumerate(columns.T):
        limits = edges[:, dim].numpy()
        inside = np.bincount(np.searchsorted(limits[1:-1] - 1e-6, column, side="right"))
        assert inside.tolist() == [32] * 8, dim
        np.testing.assert_allclose(limits[[0, -1]], [column.min(), column.max()], atol=1e-5)


def test_bins_of_equal_widths_span_the_data(transitions: Transitions) -> None:
    engine = make_engine("tt", transitions, **SMALL, binning="uniform")
    edges = params_of(engine, "edges", 0)["values"][:, OBS_DIM]
    actions = transitions.actions[:, 0]
    np.testing.assert_allclose(edges, np.linspace(actions.min(), actions.max(), 6), rtol=1e-5)


def test_terminal_steps_cost_the_penalty(transitions: Transitions) -> None:
    found = TT.select(TTConfig(), transitions)
    over = transitions.terminals > 0
    assert 0 < over.sum() < len(over)
    assert (found.rewards[over] == -100).all()
    assert np.array_equal(found.rewards[~over], transitions.rewards[~over])
    assert (transitions.rewards > -100).all()
    assert TT.select(TTConfig(termination_penalty=None), transitions) is transitions


# --- the model ----------------------------------------------------------------------------------


def model_of(seeds: int, **overrides: Any) -> tuple[TokenModel, Params]:
    model = algorithm_of(**overrides).networks["model"]
    assert isinstance(model, TokenModel)
    return model, random_params({"model": model}, seeds)["model"]


def tokens_of(seeds: int, batch: int, length: int) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(6, (seeds, batch, length), generator=generator)


def test_with_a_cache_it_predicts_what_it_does_without() -> None:
    model, params = model_of(2)
    tokens = tokens_of(2, 4, 2 * DIMS + 3)
    expected = model(params, tokens)
    for first in (1, 3, DIMS, DIMS + 2):
        cache = Cache(3 * DIMS)
        parts = [model(params, tokens[:, :, :first], cache=cache)]
        parts += [
            model(params, tokens[:, :, t : t + 1], cache=cache)
            for t in range(first, tokens.shape[2])
        ]
        torch.testing.assert_close(torch.cat(parts, 2), expected, rtol=1e-4, atol=1e-5)


def test_a_repeated_cache_goes_on_for_each_sequence() -> None:
    model, params = model_of(1)
    tokens = tokens_of(1, 6, DIMS + 1)
    tokens[:, :, :DIMS] = tokens[:, ::3, :DIMS].repeat_interleave(3, 1)
    cache = Cache(3 * DIMS)
    model(params, tokens[:, ::3, :DIMS], cache=cache)
    found = model(params, tokens[:, :, DIMS:], cache=cache.repeat(3))
    torch.testing.assert_close(found, model(params, tokens)[:, :, DIMS:], rtol=1e-4, atol=1e-5)


def test_later_rewards_are_seen_by_the_next_token_alone() -> None:
    model, params = model_of(1)
    tokens = tokens_of(1, 1, 3 * DIMS)
    before = model(params, tokens)[0, 0]
    changed = tokens.clone()
    changed[0, 0, DIMS - 1] = (tokens[0, 0, DIMS - 1] + 1) % 6
    differs = (model(params, changed)[0, 0] - before).abs().amax(-1) > 1e-6
    assert differs.nonzero().flatten().tolist() == [DIMS - 1]
    changed = tokens.clone()
    changed[0, 0, DIMS - 2] = (tokens[0, 0, DIMS - 2] + 1) % 6  # a reward
    differs = (model(params, changed)[0, 0] - before).abs().amax(-1) > 1e-6
    assert differs.nonzero().flatten().tolist() == list(range(DIMS - 2, 3 * DIMS))


def test_layers_begin_as_in_the_official_code() -> None:
    wide = algorithm_of(embedding_dim=64, heads=4, bins=50).networks["model"]
    params = wide.init(torch.Generator().manual_seed(0))
    assert params["tokens"].shape == (1, DIMS, 50, 64)
    for name in ("tokens", "weight_qkv_0", "weight_up_1"):
        assert float(params[name].std()) == pytest.approx(0.02, rel=0.05), name
    assert not params["places"].any()
    head = params["weight_head"]
    assert head.shape == (1, DIMS, 64, 51)
    assert float(head.abs().max()) <= 1 / 8
    assert float(head.std()) == pytest.approx(1 / 8 / math.sqrt(3), rel=0.02)


# --- acting -------------------------------------------------------------------------------------


def history_of(length: int) -> History:
    generator = torch.Generator().manual_seed(4)
    past = torch.arange(length) < length - 1
    rewards = torch.rand(2, 3, length, generator=generator) * past
    return History(
        observations=torch.randn(2, 3, length, OBS_DIM, generator=generator),
        actions=torch.rand(2, 3, length, ACTION_DIM, generator=generator) * past[:, None],
        rewards=rewards,
        earned=rewards.cumsum(-1) - rewards,
        steps=torch.arange(length).expand(2, 3, -1),
    )


def act(algorithm: TT, params: dict[str, Params], history: History) -> Tensor:
    nets = Networks(algorithm.networks, params, params, {})
    return algorithm.act(nets, history, random_noise(algorithm.act_noise, 2, 3))


def test_acts_on_the_latest_transitions_alone() -> None:
    algorithm = algorithm_of(context=5, planning_context=3, horizon=3, beam_width=4)
    params = random_params({"model": algorithm.networks["model"]}, 2)
    edges = algorithm.networks["edges"].init(torch.Generator())
    params["edges"] = {k: v.expand(2, *v.shape) for k, v in edges.items()}
    long = history_of(5)
    recent = History(*(field[:, :, -3:] for field in long))
    found = act(algorithm, params, long)
    assert found.shape == (2, 3, ACTION_DIM)
    assert torch.equal(found, act(algorithm, params, recent))
    other = recent._replace(rewards=-recent.rewards)
    assert not torch.equal(found, act(algorithm, params, other))
    centers = bin_centers(params["edges"]["values"][:, 0])[:, OBS_DIM:-2]
    assert (found.unsqueeze(-1) == centers.unsqueeze(1)).any(-1).all()


@pytest.mark.parametrize(("beam_width", "expansions"), [(8, 2), (1, 1)])
def test_a_search_finds_the_mode_that_pays(beam_width: int, expansions: int) -> None:
    """In a bandit with two modes; one sample, which is no search, is as often in either."""
    engine = make_engine(
        "tt",
        two_modes(),
        **{**SMALL, "context": 2, "bins": 10, "hidden_dims": (24,)},
        offline_steps=150,
        learning_rate=1e-2,
        warmup_steps=10,
        dropout=0.0,
        termination_penalty=None,
        horizon=1,
        beam_width=beam_width,
        expansions=expansions,
    )
    engine.train(150)
    good, poor = (share_near(mode, engine, 0.4) for mode in (GOOD, POOR))
    if beam_width > 1:
        assert good.min() > 0.9
    else:
        assert good.max() < 0.7
        assert poor.min() > 0.15


def test_its_noise_is_the_searchs() -> None:
    algorithm = algorithm_of()
    assert algorithm.supports("noise-1")
    assert not algorithm.supports("noise-0")
    assert not algorithm.supports("best-of-4")


def test_heads_divide_the_width() -> None:
    with pytest.raises(pydantic.ValidationError, match="3 does not divide 16"):
        resolve_config("tt", {"embedding_dim": 16, "heads": 3})


def test_the_preflight_has_no_remarks() -> None:
    assert check(TT, TTConfig(), OBS_DIM, ACTION_DIM) == []
