"""Decision Transformer against arXiv:2106.01345 and its official code in plain PyTorch."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pydantic
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from algorithms.base import Batch, History
from algorithms.dropout import dropout
from algorithms.engine.engine import Engine
from algorithms.engine.preflight import check
from algorithms.registry import resolve_config
from algorithms.transitions import Facts, Transitions
from baselines.dt import DT, DTConfig
from tests.algorithms.reference import closed_form, of_seed, random_batch, record
from tests.algorithms.small import ACTION_DIM, OBS_DIM, make_engine
from tests.baselines.bandit import GOOD, POOR, share_near, two_modes

SMALL: dict[str, Any] = {"context": 5, "embedding_dim": 16, "heads": 2, "hidden_dims": (24, 24)}


def actor_of(engine: Engine, slot: int, name: str = "actor") -> dict[str, Tensor]:
    prefix = f"params/{name}/"
    state = {k: v for k, v in engine.state(slot).items() if k.startswith(prefix)}
    return {k.removeprefix(prefix): torch.tensor(v[0]) for k, v in state.items()}


def read(p: dict[str, Tensor], seen: Batch, to_go: Tensor, key: Tensor, rate: float) -> Tensor:
    """One seed's tokens [B, 3L, D], with GPT-2's dropout from the same masks."""

    def drop(x: Tensor, site: int) -> Tensor:
        return dropout(x[None], key[None], site, rate)[0]

    def linear(name: str, x: Tensor) -> Tensor:
        return F.linear(x, p[f"weight_{name}"].T, p[f"bias_{name}"][0])

    def norm(name: str, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], p[f"scale_{name}"][0], p[f"shift_{name}"][0])

    times = F.embedding(seen.steps.clamp(max=len(p["times"]) - 1), p["times"])
    returns = linear("return", to_go[..., None]) + times
    states = linear("state", seen.observations) + times
    actions = linear("action", seen.actions) + times
    tokens = [kind[:, t] for t in range(to_go.shape[1]) for kind in (returns, states, actions)]
    there = [seen.valid[:, t] > 0 for t in range(to_go.shape[1]) for _ in range(3)]
    x = drop(norm("tokens", torch.stack(tokens, 1)), 6)
    hidden = torch.ones(len(tokens), len(tokens)).triu(1).bool() | ~torch.stack(there, 1)[:, None]
    for i in (0, 1):
        q, k, v = linear(f"qkv_{i}", norm(f"attention_{i}", x)).chunk(3, -1)
        scores = [
            torch.einsum("btd,bsd->bts", a, b) / a.shape[-1] ** 0.5
            for a, b in zip(q.chunk(2, -1), k.chunk(2, -1), strict=True)
        ]
        weights = torch.stack([s.masked_fill(hidden, -1e4).softmax(-1) for s in scores], 1)
        mixed = [w @ u for w, u in zip(drop(weights, 3 * i).unbind(1), v.chunk(2, -1), strict=True)]
        x = x + drop(linear(f"mixed_{i}", torch.cat(mixed, -1)), 3 * i + 1)
        up = torch.relu(linear(f"up_{i}", norm(f"mlp_{i}", x)))
        x = x + drop(linear(f"down_{i}", up), 3 * i + 2)
    return norm("last", x)


def predict(p: dict[str, Tensor], seen: Batch, to_go: Tensor, key: Tensor, rate: float) -> Tensor:
    """One seed's actions [B, L, ·]."""
    at_states = read(p, seen, to_go, key, rate)[:, 1::3]
    return torch.tanh(F.linear(at_states, p["weight_head"].T, p["bias_head"][0]))


def test_training_equals_plain_pytorch(transitions: Transitions) -> None:
    """Windows that end early, dropout, warm-up, clipping and AdamW's decay."""
    engine = make_engine(
        "dt",
        transitions,
        **SMALL,
        learning_rate=1e-2,
        warmup_steps=4,
        weight_decay=0.1,
        return_scale=10.0,
        max_grad_norm=0.1,
    )
    starts = [actor_of(engine, slot) for slot in (0, 1)]
    seen = record(engine)
    engine.train(8)
    clipped = []
    for slot, params in enumerate(starts):
        leaves = [p.requires_grad_() for p in params.values()]
        adam = torch.optim.AdamW(leaves, lr=1e-2, weight_decay=0.1)
        warm_up = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: min((step + 1) / 4, 1))
        for batch, noise in of_seed(seen, slot):
            assert 0 < batch.valid.mean() < 1
            found = predict(params, batch, batch.returns / 10, noise["dropout"], 0.1)
            loss = F.mse_loss(found[batch.valid > 0], batch.actions[batch.valid > 0])
            adam.zero_grad()
            loss.backward()
            clipped.append(float(torch.nn.utils.clip_grad_norm_(leaves, 0.1)) > 0.1)
            adam.step()
            warm_up.step()
        for name, found in actor_of(engine, slot).items():
            torch.testing.assert_close(found, params[name].data, rtol=1e-4, atol=1e-5, msg=name)
    assert any(clipped)


def algorithm_of(**overrides: Any) -> DT:
    config = DTConfig(**{**SMALL, **overrides})
    return DT(config, OBS_DIM, ACTION_DIM, facts=Facts(longest_episode=12, best_return=80.0))


def test_the_loss_is_the_mean_over_what_is_there() -> None:
    algorithm = algorithm_of()
    batch = random_batch(1, 3, algorithm)  # windows of one, two and three steps
    wrong = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5])[:, None]
    nets: Any = SimpleNamespace(actor=lambda *_, key: batch.actions + wrong)
    loss, _ = algorithm.loss(nets, batch, {"dropout": torch.zeros(1)})
    assert float(loss) == pytest.approx((3 * 0.01 + 2 * 0.04 + 0.09) / 6, rel=1e-5)


def test_an_action_is_predicted_from_what_came_before_it() -> None:
    algorithm = algorithm_of()
    params = {k: v[None] for k, v in algorithm.networks["actor"].init(torch.manual_seed(0)).items()}
    generator = torch.Generator().manual_seed(1)
    names = ("to_go", "observations", "actions")
    shapes = ((1, 1, 5), (1, 1, 5, OBS_DIM), (1, 1, 5, ACTION_DIM))
    inputs = [torch.randn(shape, generator=generator) for shape in shapes]
    steps = torch.arange(5).view(1, 1, 5)
    before = algorithm.networks["actor"](params, *inputs, steps)[0, 0]
    for changed, name in enumerate(names):
        other = [x.clone() for x in inputs]
        other[changed][0, 0, 2] += 1
        after = algorithm.networks["actor"](params, *other, steps)[0, 0]
        first = 3 if name == "actions" else 2  # a_2 is no input of its own prediction
        assert torch.equal(before[:first], after[:first]), name
        assert ((before[first:] - after[first:]).abs().amax(1) > 1e-6).all(), name


def test_layers_begin_as_in_the_official_code() -> None:
    wide = algorithm_of(embedding_dim=64, hidden_dims=(256,))
    params = wide.networks["actor"].init(torch.Generator().manual_seed(0))
    assert params["times"].shape == (1, 12, 64)
    assert float(params["times"].std()) == pytest.approx(1, rel=0.1)
    for name in ("qkv_0", "mixed_0", "up_0", "down_0"):
        assert float(params[f"weight_{name}"].std()) == pytest.approx(0.02, rel=0.05), name
        assert not params[f"bias_{name}"].any()
    for name, fan_in in (("return", 1), ("state", OBS_DIM), ("action", ACTION_DIM), ("head", 64)):
        bound = 1 / math.sqrt(fan_in)
        for kind in ("weight", "bias"):
            drawn = params[f"{kind}_{name}"]
            assert float(drawn.abs().max()) <= bound
            assert drawn.unique().numel() == drawn.numel()
    assert float(params["weight_head"].std()) == pytest.approx(1 / math.sqrt(3 * 64), rel=0.2)


@pytest.mark.parametrize(("target", "aim"), [(None, 80.0), (50.0, 50.0)])
def test_acts_for_what_is_left_of_the_target(target: float | None, aim: float) -> None:
    """The data's best return, or the suite's; less what was earned, in units of the scale."""
    algorithm = algorithm_of(target_return=target, return_scale=100.0)
    history = History(
        observations=torch.zeros(1, 1, 2, OBS_DIM),
        actions=torch.zeros(1, 1, 2, ACTION_DIM),
        rewards=torch.tensor([[[20.0, 0.0]]]),
        earned=torch.tensor([[[10.0, 30.0]]]),
        steps=torch.tensor([[[3, 4]]]),
    )
    seen: list[tuple[Tensor, ...]] = []

    def actor(*inputs: Tensor) -> Tensor:
        seen.append(inputs)
        return torch.tensor([[[[0.1, 0.2], [0.3, 0.4]]]])

    actions = algorithm.act(closed_form({"actor": actor}), history, {})
    torch.testing.assert_close(actions, torch.tensor([[[0.3, 0.4]]]))
    ((to_go, _, _, steps),) = seen
    assert to_go[0, 0].tolist() == pytest.approx([(aim - 10) / 100, (aim - 30) / 100])
    assert steps.tolist() == [[[3, 4]]]


def test_steps_past_the_longest_episode_share_its_last_embedding() -> None:
    network = algorithm_of().networks["actor"]
    params = {k: v[None] for k, v in network.init(torch.manual_seed(0)).items()}
    seen = (torch.ones(1, 1, 1), torch.ones(1, 1, 1, OBS_DIM), torch.ones(1, 1, 1, ACTION_DIM))

    def at(step: int) -> Tensor:
        return network(params, *seen, torch.full((1, 1, 1), step))

    assert torch.equal(at(40), at(11))
    assert not torch.equal(at(11), at(10))


@pytest.mark.parametrize(("target", "mode"), [(None, GOOD), (0.0, POOR)])
def test_acts_as_the_episodes_that_earned_the_target(target: float | None, mode: Any) -> None:
    """In a bandit with two modes that pay 1 and 0."""
    engine = make_engine(
        "dt",
        two_modes(),
        **{**SMALL, "context": 1},
        offline_steps=100,
        learning_rate=3e-3,
        return_scale=1.0,
        target_return=target,
    )
    engine.train(100)
    assert share_near(mode, engine, 0.3).min() > 0.95


def test_heads_divide_the_width() -> None:
    with pytest.raises(pydantic.ValidationError, match="3 does not divide 16"):
        resolve_config("dt", {"embedding_dim": 16, "heads": 3})


def test_the_preflight_has_no_remarks() -> None:
    assert check(DT, DTConfig(), OBS_DIM, ACTION_DIM) == []
