"""BDPO against the equations of arXiv:2502.04778 in plain PyTorch, and by hand."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from algorithms.base import Networks
from algorithms.transitions import Transitions
from tests.algorithms.blocks.test_denoising import (
    learned_step_model,
    mean_back,
    walk,
)
from tests.algorithms.blocks.test_diffusion import betas, marginals
from tests.algorithms.reference import (
    assert_same_weights,
    closed_form,
    learned,
    make_algorithm,
    of_seed,
    polyak,
    q_values,
    random_batch,
    random_noise,
    record,
)
from tests.algorithms.small import make_engine
from tests.baselines.bandit import GOOD, POOR, share_near, two_modes

K, ACT, N, ETA, RHO, BOUND = 3, 2, 2, 0.4, 0.7, 3.0
STEPS, PRETRAINING, WARM_UP = 20, 8, 2


def _divergence(k: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """|difference|² β_k / 2 α_k (1 − ᾱ_k). k [B] -> [B]."""
    beta, variance = betas(K), marginals(K)[1]
    weights = [beta[i - 1] / (2 * (1 - beta[i - 1]) * variance[i]) for i in k.tolist()]
    return torch.tensor(weights, dtype=torch.float32) * (one - other).square().sum(1)


def _bound(values: list[Tensor]) -> Tensor:
    """The members' means over samples, then the lower bound. N of [E, B] -> [B]."""
    means = torch.stack(values).mean(0)
    return means.mean(0) - RHO * means.std(0, correction=0)


class _Learner:
    """A seed's networks and their averages, as modules."""

    def __init__(self, engine: Any, slot: int) -> None:
        self.nets: dict[str, nn.Module] = self.read(engine, slot, "params")
        self.averages = copy.deepcopy(self.nets)
        self.rates = {"behavior": 2e-3, "policy": 4e-3, "critic": 1e-3, "value": 1e-3}
        self.adams = {
            name: torch.optim.Adam(net.parameters(), lr=self.rates[name])
            for name, net in self.nets.items()
        }
        self.norms: list[float] = []

    @staticmethod
    def read(engine: Any, slot: int, group: str) -> dict[str, nn.Module]:
        found: dict[str, nn.Module] = {
            name: learned_step_model(engine, name, slot, group)
            for name in ("behavior", "policy", "value")
        }
        return {**found, "critic": learned(engine, "critic", slot, group)}

    def q(self, s: Tensor, a: Tensor, of: str = "averages") -> Tensor:
        critic: Any = getattr(self, of)["critic"]
        return q_values(critic, s, a)

    def noised(self, batch: Any, noise: Mapping[str, Tensor], name: str) -> tuple[Tensor, Tensor]:
        k = 1 + (K * noise[f"{name}step"][:, 0]).long()
        mean, variance = (torch.tensor(moment)[k, None] for moment in marginals(K))
        return mean * batch.actions + variance.sqrt() * noise[f"{name}epsilon"], k

    def worth(self, s: Tensor, x: Tensor, k: Tensor, predicted: Tensor, draws: Tensor) -> Tensor:
        """What a step leads to and costs, state by state."""
        behavior, value = self.averages["behavior"], self.averages["value"]
        mean, found = mean_back(x, predicted, k, K), []
        for b in range(len(s)):
            at, i = slice(b, b + 1), int(k[b])
            if i == 1:
                worth = _bound([self.q(s[at], mean[at])])
            else:
                spread = math.sqrt(betas(K)[i - 1])
                points = [mean[at] + spread * draw for draw in draws[at].split(ACT, 1)]
                worth = _bound([value(s[at], point, k[at] - 1) for point in points])
            found.append(worth[0])
        return torch.stack(found) - ETA * _divergence(k, predicted, behavior(s, x, k))

    def clone(self, batch: Any, noise: Mapping[str, Tensor]) -> None:
        x, k = self.noised(batch, noise, "")
        error = self.nets["behavior"](batch.observations, x, k) - noise["epsilon"]
        self.step("behavior", error.square().mean(), 0.1)

    def evaluate(self, batch: Any, noise: Mapping[str, Tensor]) -> None:
        s, following, old = batch.observations, batch.next_observations, self.averages
        with torch.no_grad():
            qs, prices = [], []
            for draw in noise["next_sample"].split(K * ACT, 1):
                action, visited = walk(old["policy"], following, draw, K)
                qs.append(self.q(following, action))
                of_steps = [
                    _divergence(k, predicted, old["behavior"](following, x, k))
                    for x, k, predicted in visited
                ]
                prices.append(torch.stack(of_steps).sum(0))
            assert len(qs) == N
            next_value = _bound(qs) - ETA * torch.stack(prices).mean(0)
            backup = batch.rewards + 0.9 * batch.masks * next_value
            x, k = self.noised(batch, noise, "value_")
            target = self.worth(s, x, k, old["policy"](s, x, k), noise["value_point"])
        q_loss = (self.q(s, batch.actions, "nets") - backup).square().mean()
        v_loss = (self.nets["value"](s, x, k) - target).square().mean()
        self.step("critic", q_loss, 0.05)
        self.step("value", v_loss, 0.05)

    def improve(self, batch: Any, noise: Mapping[str, Tensor]) -> None:
        s = batch.observations
        x, k = self.noised(batch, noise, "policy_")
        worth = self.worth(s, x, k, self.nets["policy"](s, x, k), noise["policy_point"])
        self.step("policy", -worth.mean(), 0.2)

    def step(self, name: str, loss: Tensor, rate: float) -> None:
        net = self.nets[name]
        self.adams[name].zero_grad()
        loss.backward()
        self.norms.append(float(nn.utils.clip_grad_norm_(net.parameters(), BOUND)))
        self.adams[name].step()
        polyak(self.averages[name], net, rate)


def test_training_equals_plain_pytorch(transitions: Transitions) -> None:
    engine = make_engine(
        "bdpo",
        transitions,
        offline_steps=STEPS,
        hidden_dims=(8, 8),
        policy_hidden_dims=(8,),
        batch_size=6,
        discount=0.9,
        policy_learning_rate=4e-3,
        behavior_learning_rate=2e-3,
        critic_learning_rate=1e-3,
        eta=ETA,
        rho=RHO,
        critics=3,
        diffusion_steps=K,
        samples=N,
        policy_every=2,
        pretrain_share=PRETRAINING / STEPS,
        warmup_share=WARM_UP / STEPS,
        tau=0.05,
        policy_ema=0.2,
        behavior_ema=0.1,
        max_grad_norm=BOUND,
    )
    learners = [_Learner(engine, slot) for slot in (0, 1)]
    seen = record(engine)
    engine.train(16)
    assert len(seen) == 16
    for slot, learner in enumerate(learners):
        for update, (batch, noise) in enumerate(of_seed(seen, slot)):
            after = update - PRETRAINING
            if after < 0:
                learner.clone(batch, noise)
                continue
            if after == 0:
                learner.nets["policy"].load_state_dict(learner.averages["behavior"].state_dict())
                learner.averages["policy"] = copy.deepcopy(learner.averages["behavior"])
            decay = 0.5 * (1 + math.cos(math.pi * after / (STEPS - PRETRAINING)))
            for name in ("critic", "value"):
                learner.adams[name].param_groups[0]["lr"] = decay * learner.rates[name]
            learner.evaluate(batch, noise)
            if after >= WARM_UP and (after - WARM_UP) % 2:
                learner.improve(batch, noise)
                learner.clone(batch, noise)
        for group, nets in (("params", learner.nets), ("targets", learner.averages)):
            for name, net in _Learner.read(engine, slot, group).items():
                assert_same_weights(net, nets[name])
        assert min(learner.norms) < BOUND < max(learner.norms)  # the bound was met and was not


def _nets(**target: Any) -> Networks:
    """V_i = i x_1 + k and Q_i = 10 + i a_1 for i = 1, 3; the policy says 0.1, the behaviour 0.3."""
    functions = {
        "policy": lambda _s, x, _k: torch.full_like(x, 0.1),
        "behavior": lambda _s, x, _k: torch.full_like(x, 0.3),
        "value": lambda _s, x, k: torch.stack([i * x[..., 0] + k[..., 0] for i in (1, 3)], 1),
        "critic": lambda _s, a: torch.stack([10 + i * a[..., 0] for i in (1, 3)], 1),
    }
    return closed_form({name: lambda *_: None for name in functions}, target=functions | target)


def _prices() -> list[float]:
    """KL of each step, k = 1 … K, where the policy says 0.1 and the behaviour 0.3."""
    k = torch.arange(1, K + 1)
    said = [torch.full((K, ACT), each) for each in (0.1, 0.3)]
    found: list[float] = _divergence(k, *said).tolist()
    return found


def test_a_step_is_worth_what_it_leads_to_less_its_price() -> None:
    """Of V at k − 1 steps to go; after the last one, which adds no noise, of Q."""
    algorithm = make_algorithm("bdpo", diffusion_steps=K, samples=2, eta=2.0, rho=0.5)
    batch = random_batch(1, K)
    k = torch.arange(1, K + 1)
    x, draws = torch.tensor([[0.1, 0.0], [0.5, 0.2], [1.5, -0.3]]), torch.randn(1, K, 2 * ACT)
    predicted = torch.full((1, K, ACT), 0.1)
    found = algorithm.step_value(
        _nets(), predicted, batch.observations, x[None], k.view(1, K, 1).float(), draws
    )[0]
    mean = mean_back(x, predicted[0], k, K)[:, 0]
    for i, price in enumerate(_prices()):
        drawn = math.sqrt(betas(K)[i]) * draws[0, i].view(2, ACT)[:, 0].mean() if i else 0.0
        first = float(mean[i] + drawn)
        base = i if i else 10  # V's own k, or Q's
        # Of base + first and base + 3 first the mean is at 2 first and the deviation |first|.
        worth = base + 2 * first - 0.5 * abs(first)
        assert float(found[i]) == pytest.approx(worth - 2 * price, rel=1e-4, abs=1e-5)


def test_the_backup_pays_for_every_step_of_the_next_action_and_stops_at_terminals() -> None:
    """r = 1, γ = 0.5; one transition goes on, to where Q_1 = 2 and Q_2 = 4, one is terminal."""
    batch = random_batch(1, 2)._replace(rewards=torch.ones(1, 2), masks=torch.tensor([[1.0, 0.0]]))
    algorithm = make_algorithm(
        "bdpo", diffusion_steps=K, samples=3, eta=2.0, rho=0.25, discount=0.5
    )
    nets = _nets(critic=lambda _s, a: torch.tensor([2.0, 4.0]).view(1, 2, 1).expand(1, 2, 6))
    backup = algorithm.q_backup(nets, batch, random_noise(algorithm.noise, 1, 2))
    expected = 1 + 0.5 * (3 - 0.25 - 2 * sum(_prices()))
    np.testing.assert_allclose(backup[0], [expected, 1.0], rtol=1e-5)


def test_the_policy_starts_at_the_average_behaviour_and_acts_like_it_before(
    transitions: Transitions,
) -> None:
    engine = make_engine("bdpo", transitions, offline_steps=40)
    observations = np.stack([transitions.observations[:5]] * 2)
    engine.train(20)
    before = engine.policy("test", "noise-1")(observations)
    engine.train(1)  # of the critics alone
    state = engine.state(1)
    copied = [key for key in state if key.startswith("targets/behavior/")]
    for key in copied:
        for group in ("params", "targets"):
            name = key.replace("targets/behavior", f"{group}/policy")
            assert np.array_equal(state[key], state[name])
    assert copied
    after = engine.policy("test", "noise-1")(observations)
    np.testing.assert_array_equal(before, after)


def test_ranks_by_the_target_critics_mean() -> None:
    nets = closed_form(
        {"critic": lambda *_: torch.zeros(1, 2, 2)},
        target={"critic": lambda *_: torch.tensor([[[3.0, -1.0], [8.0, -2.0]]])},
    )
    batch = random_batch(1, 2)
    values = make_algorithm("bdpo").action_value(nets, batch.observations, batch.actions)
    assert values.tolist() == [[5.5, -1.5]]


@pytest.mark.parametrize("eta", [0.05, 20.0], ids=["cheap", "dear"])
def test_leaves_the_mode_that_pays_less_only_where_divergence_is_cheap(eta: float) -> None:
    engine = make_engine(
        "bdpo",
        two_modes(),
        offline_steps=250,
        policy_hidden_dims=(32, 32),
        policy_learning_rate=3e-3,
        behavior_learning_rate=1e-2,
        critic_learning_rate=5e-3,
        critics=2,
        samples=2,
        policy_every=1,
        pretrain_share=0.4,
        policy_ema=0.05,
        behavior_ema=0.05,
        tau=0.05,
        eta=eta,
    )
    engine.train(250)
    poor, good = (share_near(mode, engine, 0.7, "noise-1") for mode in (POOR, GOOD))
    if eta < 1:
        assert (poor < 0.05).all()
        assert (good > 0.8).all()
    else:
        assert (poor > 0.25).all()
        assert (good > 0.25).all()
