"""QT against the official code's equations (arXiv:2405.17098) in plain PyTorch, and by hand."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from algorithms.base import Batch, History
from algorithms.engine.preflight import check
from algorithms.transitions import Facts, Transitions
from baselines.qt import QT, QTConfig
from tests.algorithms.reference import (
    assert_same_weights,
    closed_form,
    learned,
    of_seed,
    polyak,
    random_batch,
    record,
)
from tests.algorithms.small import ACTION_DIM, OBS_DIM, make_engine
from tests.baselines.bandit import BEST, hill
from tests.baselines.test_dt import actor_of, read

SMALL: dict[str, Any] = {"context": 5, "embedding_dim": 16, "heads": 2, "block_dims": (24, 24)}
GAMMA, ETA, RATE, STEPS = 0.9, 0.7, 1e-2, 10


def heads(p: dict[str, Tensor], batch: Batch, to_go: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
    """One seed's actions and next states."""
    tokens = read(p, batch, to_go, key, 0.1)
    actions = torch.tanh(F.linear(tokens[:, 1::3], p["weight_head"].T, p["bias_head"][0]))
    return actions, F.linear(tokens[:, 2::3], p["weight_next"].T, p["bias_next"][0])


def step_of(adam: torch.optim.Optimizer, loss: Tensor, leaves: list[Tensor], bound: float) -> bool:
    """Takes a clipped step; whether it was shortened."""
    gradients = torch.autograd.grad(loss, leaves)
    for leaf, gradient in zip(leaves, gradients, strict=True):
        leaf.grad = gradient
    norm = torch.nn.utils.clip_grad_norm_(leaves, bound)
    adam.step()
    return bool(norm > bound)


def test_training_equals_plain_pytorch(transitions: Transitions) -> None:
    """Critics to n-step targets of the average transformer, then the transformer to both terms."""
    engine = make_engine(
        "qt",
        transitions,
        **SMALL,
        offline_steps=STEPS,
        discount=GAMMA,
        eta=ETA,
        learning_rate=RATE,
        weight_decay=0.1,
        max_grad_norm=0.5,
        return_scale=10.0,
        tau=0.05,
        ema=0.1,
    )
    starts = [(actor_of(engine, slot), learned(engine, "critic", slot)) for slot in (0, 1)]
    seen = record(engine)
    engine.train(6)
    clipped, terminals = [], 0
    for slot, (actor, critic) in enumerate(starts):
        average, target = {k: v.clone() for k, v in actor.items()}, copy.deepcopy(critic)
        leaves = [p.requires_grad_() for p in actor.values()]
        weights = list(critic.parameters())
        adams = (torch.optim.AdamW(leaves, RATE, weight_decay=0.1), torch.optim.Adam(weights, RATE))
        for i, (batch, noise) in enumerate(of_seed(seen, slot)):
            for adam in adams:
                adam.param_groups[0]["lr"] = RATE * 0.5 * (1 + math.cos(math.pi * i / STEPS))
            to_go = batch.columns["to_go"] / 10
            with torch.no_grad():
                proposed, _ = heads(average, batch, to_go, noise["target_dropout"])
            pairs, targets = [], []
            for b, there in enumerate(batch.valid.sum(1).long().tolist()):
                last = there - 1
                ended = batch.masks[b, last] == 0
                with torch.no_grad():
                    pair = torch.cat([batch.observations[b, last], proposed[b, last]])
                    worth = min(member(pair) for member in target)[0]
                worth = batch.rewards[b, last] if ended else worth
                terminals += int(ended)
                for t in range(there if ended else last):
                    earned = sum(GAMMA ** (j - t) * batch.rewards[b, j] for j in range(t, last))
                    pairs.append(torch.cat([batch.observations[b, t], batch.actions[b, t]]))
                    targets.append(earned + GAMMA ** (last - t) * worth)
            both = (member(torch.stack(pairs))[:, 0] for member in critic)
            critic_loss = sum(F.mse_loss(q, torch.stack(targets)) for q in both)
            clipped.append(step_of(adams[1], critic_loss, weights, 0.5))

            there = batch.valid > 0
            actions, following = heads(actor, batch, to_go, noise["dropout"])
            error = F.mse_loss(actions[there], batch.actions[there])
            error = error + F.mse_loss(
                following[:, :-1][there[:, 1:]], batch.observations[:, 1:][there[:, 1:]]
            )
            pair = torch.cat([batch.observations[there], actions[there]], 1)
            one, two = (member(pair)[:, 0] for member in critic)
            q_term = one.mean() / two.abs().mean().detach()
            q_term = (q_term + two.mean() / one.abs().mean().detach()) / 2
            clipped.append(step_of(adams[0], error - ETA * q_term, leaves, 0.5))
            polyak(target, critic, 0.05)
            for name, value in actor.items():
                average[name] = average[name].lerp(value.detach(), 0.1)
        assert_same_weights(learned(engine, "critic", slot), critic)
        assert_same_weights(learned(engine, "critic", slot, "targets"), target)
        for name, found in actor_of(engine, slot).items():
            torch.testing.assert_close(found, actor[name].data, rtol=1e-4, atol=1e-5, msg=name)
    assert any(clipped)
    assert terminals


def test_returns_to_go_are_undiscounted(transitions: Transitions) -> None:
    engine = make_engine("qt", transitions, **SMALL, discount=0.5)
    engine.train(1)
    expected, to_go = np.zeros(len(transitions)), 0.0
    for t in reversed(range(len(transitions))):
        to_go = transitions.rewards[t] + (0 if t % 32 == 31 else to_go)
        expected[t] = to_go
    for slot in (0, 1):
        found = engine.state(slot)["columns/to_go"]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def algorithm_of(**overrides: Any) -> QT:
    config = QTConfig(**{**SMALL, **overrides})
    return QT(config, OBS_DIM, ACTION_DIM, facts=Facts(longest_episode=12, best_return=80.0))


@pytest.mark.parametrize(("mask", "targets"), [(1.0, [1 + 1 + 2.5, 2 + 5]), (0.0, [4, 6, 8])])
def test_a_window_ends_in_the_smaller_q_or_the_last_reward_of_the_episode(
    mask: float, targets: list[float]
) -> None:
    """Rewards 1, 2, 8 at γ = 0.5, and twins of 10 and 12 at the last step; Q is 0 elsewhere."""
    algorithm = algorithm_of(discount=0.5)
    batch = random_batch(1, 3, algorithm).map(lambda field: field[:, 2:])  # three steps of five
    batch = batch._replace(
        rewards=torch.tensor([[[1.0, 2.0, 8.0, 0.0, 0.0]]]),
        masks=torch.tensor([[[1.0, 1.0, mask, 0.0, 0.0]]]),
    )
    proposed = torch.rand(1, 1, 5, ACTION_DIM)

    def target_critic(observations: Tensor, actions: Tensor) -> Tensor:
        assert torch.equal(observations, batch.observations[:, :, 2])
        assert torch.equal(actions, proposed[:, :, 2])
        return torch.tensor([10.0, 12.0]).view(1, 2, 1)

    nets: Any = closed_form({"critic": lambda *_: torch.zeros(1, 2, 5)})
    nets = Nets(nets, actor=lambda *_, key: (proposed, None), critic=target_critic)
    loss, _ = algorithm.critic_loss(nets, batch, {"target_dropout": torch.zeros(1)})
    assert float(loss) == pytest.approx(2 * np.square(targets).mean())


class Nets:
    """Trained networks with other averages, which may take a key."""

    def __init__(self, trained: Any, **averages: Any) -> None:
        self.critic = trained.critic
        self.target = type("Averages", (), {k: staticmethod(v) for k, v in averages.items()})


def history_of(earned: float) -> History:
    return History(
        observations=torch.zeros(1, 1, 2, OBS_DIM),
        actions=torch.zeros(1, 1, 2, ACTION_DIM),
        rewards=torch.tensor([[[earned, 0.0]]]),
        earned=torch.tensor([[[0.0, earned]]]),
        steps=torch.tensor([[[3, 4]]]),
    )


def acted(algorithm: QT, noise: dict[str, Tensor], slope: float = 1.0) -> tuple[Tensor, Tensor]:
    """Returns to go of the candidates [N, 2], and the action, where a = R and Q = slope · a."""
    seen: list[Tensor] = []

    def actor(to_go: Tensor, *_: Tensor) -> Any:
        seen.append(to_go[0])
        return to_go.unsqueeze(-1).expand(*to_go.shape, ACTION_DIM), None

    def critic(_observations: Tensor, actions: Tensor) -> Tensor:
        values = slope * actions[..., 0]
        return torch.stack([50 - 2 * values, values], 1)  # the larger one ranks the other way

    nets = closed_form({"actor": actor}, target={"critic": critic})
    action = algorithm.act(nets, history_of(30.0), noise)
    return seen[0], action


def quiet(count: int) -> dict[str, Tensor]:
    return {"returns": torch.zeros(1, 1, count), "choice": torch.zeros(1, 1, count)}


@pytest.mark.parametrize(("slope", "best"), [(1.0, 0.7), (-1.0, 0.2)])
def test_without_noise_the_return_is_chosen_whose_action_has_the_largest_q(
    slope: float, best: float
) -> None:
    algorithm = algorithm_of(target_returns=[100, 50], return_scale=100.0, candidates=4)
    _, action = acted(algorithm, quiet(4), slope)
    torch.testing.assert_close(action, torch.full((1, 1, ACTION_DIM), best))


def test_candidates_ask_for_each_target_and_most_of_them_for_a_little_else() -> None:
    """Two targets, 30 of them earned: the first two candidates ask for the first, exactly."""
    algorithm = algorithm_of(target_returns=[100, 50], return_scale=100.0, candidates=6)
    noise = {**quiet(6), "returns": torch.tensor([[[9.0, 9.0, 1.0, 2.0, 3.0, -1.0]]])}
    to_go, _ = acted(algorithm, noise)
    assert to_go[:, 0].tolist() == pytest.approx([1, 1, 1, 0.5, 0.5, 0.5])
    assert to_go[:, 1].tolist() == pytest.approx([0.7, 0.7, 0.8, 0.4, 0.5, 0.1])


def test_the_default_target_is_the_best_of_the_data() -> None:
    to_go, _ = acted(algorithm_of(return_scale=100.0, candidates=3), quiet(3))
    assert to_go[:, 1].tolist() == pytest.approx([0.5] * 3)


def test_an_action_is_drawn_by_the_softmax_of_q() -> None:
    """Q of 0.7 and 0.2, four times: the first has e^2 times the odds."""
    algorithm = algorithm_of(target_returns=[100, 50], return_scale=100.0, candidates=2)
    generator = torch.Generator().manual_seed(0)
    count = 0
    for _ in range(500):
        uniform = torch.rand(1, 1, 2, generator=generator)
        _, action = acted(algorithm, {**quiet(2), "choice": uniform}, slope=4.0)
        count += int(action[0, 0, 0] > 0.5)
    assert count / 500 == pytest.approx(1 / (1 + math.exp(-2)), abs=0.04)


def test_the_preflight_has_no_remarks() -> None:
    assert check(QT, QTConfig(**SMALL, hidden_dims=(16,), candidates=4), OBS_DIM, ACTION_DIM) == []


def test_climbs_q_where_a_decision_transformer_does_what_it_is_asked_for() -> None:
    """Asked for 0, where the best action pays 1."""
    settings = {"context": 2, "embedding_dim": 16, "return_scale": 1.0, "learning_rate": 5e-3}
    steps = {"offline_steps": 350}
    dt = make_engine("dt", hill(), **settings, **steps, target_return=0.0)
    own = {"target_returns": [0.0], "candidates": 4, "eta": 2.0, "dropout": 0.0}
    qt = make_engine("qt", hill(), **settings, **steps, **own, tau=0.05, ema=0.05)
    far = {}
    for name, engine, selection in (("dt", dt, None), ("qt", qt, "noise-0")):
        engine.train(350)
        actions = engine.policy("test", selection)(np.zeros((2, 1, 1), np.float32))
        far[name] = np.linalg.norm(actions - BEST, axis=-1)
    assert far["qt"].max() < 0.25
    assert far["dt"].min() > 0.4
