"""CQL against its equations (arXiv:2006.04779) in plain PyTorch, by hand, and on a bandit."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal, TanhTransform, TransformedDistribution
from torch.nn import functional as F  # noqa: N812

from algorithms.base import Networks
from algorithms.engine.engine import Engine
from algorithms.networks import MLP
from algorithms.transitions import Transitions
from tests.algorithms.reference import (
    assert_same_weights,
    closed_form,
    learned,
    make_algorithm,
    members,
    of_seed,
    params_of,
    polyak,
    random_batch,
    record,
)
from tests.algorithms.small import ACTION_DIM, OBS_DIM, make_engine
from tests.baselines.bandit import GOOD, dome, rising, share_near, two_modes

SAMPLES = 3


class Actor(nn.Module):
    def __init__(self, engine: Engine, slot: int) -> None:
        super().__init__()
        params = params_of(engine, "actor", slot)
        (self.mlp,) = members(MLP(OBS_DIM, 2 * ACTION_DIM, (16, 16)), params)
        self.scale = nn.Parameter(torch.tensor(params["scale"]))
        self.shift = nn.Parameter(torch.tensor(params["shift"]))

    def forward(self, observation: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        mean, output = self.mlp(observation).split(ACTION_DIM, -1)
        normal = Normal(mean, (self.scale * output + self.shift).clip(-20, 2).exp())
        squashed = TransformedDistribution(normal, TanhTransform(cache_size=1))
        action = squashed.transforms[0](mean + normal.scale * noise)
        return action, Independent(squashed, 1).log_prob(action)


@pytest.mark.parametrize("gap", [None, 4.0])
def test_training_equals_plain_pytorch(transitions: Transitions, gap: float | None) -> None:
    """All losses on the networks before the update; sampled actions one after another."""
    settings = {"learning_rate": 1e-2, "policy_learning_rate": 5e-3, "tau": 0.05, "discount": 0.9}
    engine = make_engine("cql", transitions, alpha=2.0, samples=SAMPLES, target_gap=gap, **settings)
    starts = [(Actor(engine, slot), learned(engine, "critic", slot)) for slot in (0, 1)]
    seen = record(engine)
    engine.train(5)
    for slot, (actor, critic) in enumerate(starts):
        target = copy.deepcopy(critic)
        log_alpha, log_weight = (torch.tensor(x, requires_grad=True) for x in (0.0, 1.0))
        policy_adam = torch.optim.Adam([*actor.parameters(), log_alpha], lr=5e-3)
        critic_adam = torch.optim.Adam([*critic.parameters()], lr=1e-2)
        weight_adam = torch.optim.Adam([log_weight], lr=1e-2)
        for batch, noise in of_seed(seen, slot):
            s, following = batch.observations, batch.next_observations
            action, log_prob = actor(s, noise["gaussian"])
            q = torch.minimum(*(member(torch.cat([s, action], 1)) for member in critic))[:, 0]
            policy_loss = (log_alpha.exp().detach() * log_prob - q).mean()
            policy_loss = policy_loss - (log_alpha * (log_prob.detach() - ACTION_DIM)).mean()
            policy_gradients = torch.autograd.grad(policy_loss, [*actor.parameters(), log_alpha])

            weight = log_weight.exp() if gap is not None else torch.tensor(1.0)
            critic_loss, weight_loss = torch.tensor(0.0), torch.tensor(0.0)
            with torch.no_grad():
                action, _ = actor(following, noise["next_gaussian"])
                pair = torch.cat([following, action], 1)
                next_q = torch.minimum(*(member(pair) for member in target))[:, 0]
                backup = batch.rewards + 0.9 * batch.masks * next_q
            for member in critic:
                q = member(torch.cat([s, batch.actions], 1))[:, 0]
                exponentials = torch.zeros_like(q)
                for i in range(SAMPLES):
                    own = slice(i * ACTION_DIM, (i + 1) * ACTION_DIM)
                    with torch.no_grad():
                        kinds = [
                            (2 * noise["uniform"][:, own] - 1, torch.tensor(-2 * math.log(2))),
                            actor(s, noise["current"][:, own]),
                            actor(following, noise["following"][:, own]),
                        ]
                    for a, density in kinds:
                        value = member(torch.cat([s, a], 1))[:, 0]
                        exponentials = exponentials + value.exp() / density.exp()
                excess = (exponentials.log() - q).mean() - (gap or 0.0)
                critic_loss = critic_loss + F.mse_loss(q, backup) + 2 * weight.detach() * excess
                weight_loss = weight_loss - 0.5 * 2 * weight * excess.detach()
            for parameter, gradient in zip(
                [*actor.parameters(), log_alpha], policy_gradients, strict=True
            ):
                parameter.grad = gradient
            critic_adam.zero_grad()
            critic_loss.backward()
            if gap is not None:
                weight_adam.zero_grad()
                weight_loss.backward()
                weight_adam.step()
            policy_adam.step()
            critic_adam.step()
            polyak(target, critic, 0.05)
        assert_same_weights(learned(engine, "critic", slot), critic)
        assert_same_weights(learned(engine, "critic", slot, "targets"), target)
        assert_same_weights(Actor(engine, slot), actor)
        state = engine.state(slot)
        assert state["params/temperature/log"] == pytest.approx(log_alpha.item(), abs=2e-6)
        if gap is not None:
            found = state["params/multiplier/log"]
            assert found == pytest.approx(log_weight.item(), abs=2e-6)


def test_networks_start_as_corl_s(transitions: Transitions) -> None:
    """Critics: orthogonal, √2 and 0.01, biases 0. Policy: 0.01 of Glorot's bound, last."""
    engine = make_engine("cql", transitions)
    for member in learned(engine, "critic", 0):
        first, hidden, last = (layer for layer in member if isinstance(layer, nn.Linear))
        assert not any(layer.bias.any() for layer in (first, hidden, last))
        torch.testing.assert_close(hidden.weight @ hidden.weight.T, 2 * torch.eye(16))
        assert float(last.weight.detach().norm()) == pytest.approx(0.01, rel=1e-5)
    last = Actor(engine, 0).mlp[-1]
    bound = 0.01 * math.sqrt(6 / (16 + 2 * ACTION_DIM))
    assert 0.8 * bound < last.weight.abs().max() <= bound


def flat(q: tuple[float, float], **more: Any) -> Networks:
    """Twins that say `q` of any action, and a policy N(0, 1) before its tanh."""

    def critic(observations: Tensor, _actions: Tensor) -> Tensor:
        return torch.tensor(q).view(1, 2, 1).expand(1, 2, observations.shape[1])

    def actor(observations: Tensor) -> tuple[Tensor, Tensor]:
        zeros = torch.zeros(*observations.shape[:2], ACTION_DIM)
        return zeros, zeros

    return closed_form({"critic": critic, "actor": actor, **more})


# Every sampled action is weighed by 1 / density: 2^A if uniform, (2π)^(A/2) at the policy's mode.
GAP = math.log(SAMPLES * 2**ACTION_DIM + 2 * SAMPLES * (2 * math.pi) ** (ACTION_DIM / 2))


def at_the_mode() -> dict[str, Tensor]:
    kinds = ("uniform", "current", "following")
    many = {kind: torch.zeros(1, 4, SAMPLES * ACTION_DIM) for kind in kinds}
    return {**many, "next_gaussian": torch.zeros(1, 4, ACTION_DIM)}


def test_the_gap_of_flat_critics_is_that_of_the_densities_alone() -> None:
    algorithm, batch = make_algorithm("cql", samples=SAMPLES), random_batch(1, 4)
    found = algorithm.soft_maximum(flat((3.0, -2.0)), batch, at_the_mode())
    expected = torch.tensor([3.0, -2.0]).view(1, 2, 1).expand(1, 2, 4) + GAP
    torch.testing.assert_close(found, expected)


def test_the_backup_is_without_entropy_and_stops_at_terminals() -> None:
    """r + γ min(3, −2) where there is something to bootstrap from, and α Σ_i gap_i beside it."""
    batch = random_batch(1, 4)._replace(
        rewards=torch.ones(1, 4), masks=torch.tensor([[1.0, 1.0, 0.0, 0.0]])
    )
    algorithm = make_algorithm("cql", samples=SAMPLES, alpha=0.5, discount=0.5)
    loss, metrics = algorithm.critic_loss(flat((3.0, -2.0)), batch, at_the_mode())
    going_on, ended = (3 - 0) ** 2 + (-2 - 0) ** 2, (3 - 1) ** 2 + (-2 - 1) ** 2
    assert float(metrics["critic/loss"]) == pytest.approx((going_on + ended) / 2)
    assert float(metrics["critic/gap"]) == pytest.approx(GAP, rel=1e-5)
    assert float(loss) == pytest.approx((going_on + ended) / 2 + 0.5 * 2 * GAP, rel=1e-5)


@pytest.mark.parametrize(("target", "sign"), [(GAP - 1, -1.0), (GAP + 1, 1.0)])
def test_the_multiplier_rises_where_the_gap_is_above_its_target(target: float, sign: float) -> None:
    """α' = e^0.5: the gap loss weighs α α', and d loss / d log α' = −α α' (gap − τ)."""
    log_multiplier = torch.tensor([0.5], requires_grad=True)
    nets = flat((3.0, -2.0), multiplier=lambda: log_multiplier)
    algorithm = make_algorithm("cql", samples=SAMPLES, alpha=2.0, target_gap=target)
    loss, metrics = algorithm.critic_loss(nets, random_batch(1, 4), at_the_mode())
    loss.sum().backward()
    weight = 2 * math.exp(0.5)
    assert float(log_multiplier.grad) == pytest.approx(sign * weight, rel=1e-4)
    # Σ over the twins of the gap loss, less the multiplier's own, which has their mean
    expected = float(metrics["critic/loss"]) - sign * weight * (2 - 1)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    assert metrics["critic/multiplier"].item() == pytest.approx(math.exp(0.5))


FAST = {
    "offline_steps": 300,
    "learning_rate": 3e-3,
    "policy_learning_rate": 3e-3,
    "hidden_dims": (32, 32),
    "batch_size": 64,
}


def test_climbs_as_far_as_the_data_go_and_without_the_conservative_term_beyond() -> None:
    far = {}
    for alpha in (0.0, 1.0):
        engine = make_engine("cql", rising(), alpha=alpha, **FAST)
        engine.train(300)
        far[alpha] = engine.policy("test")(np.zeros((2, 1, 1), np.float32))
    assert far[0.0].min() > 0.7
    assert 0.1 < far[1.0].min() < far[1.0].max() < 0.55


def test_q_is_a_lower_bound_where_there_are_no_data_and_without_the_conservative_term_is_not() -> (
    None
):
    """The reward is concave: what extrapolates it from within ±0.5 straight on is above it."""
    grid = torch.linspace(-1, 1, 41)
    actions = torch.cartesian_prod(grid, grid)
    outside = actions[actions.abs().amax(1) > 0.5]
    value = 1 - outside.square().sum(1)
    pairs = torch.cat([torch.zeros(len(outside), 1), outside], 1)
    for alpha, below in ((0.0, False), (2.0, True)):
        engine = make_engine("cql", dome(), alpha=alpha, samples=SAMPLES, **FAST)
        engine.train(200)
        for critic in (*learned(engine, "critic", 0), *learned(engine, "critic", 1)):
            is_below = critic(pairs)[:, 0] < value
            assert (is_below == below).float().mean() > 0.98


def test_finds_the_better_of_two_modes() -> None:
    engine = make_engine("cql", two_modes(), alpha=1.0, **FAST)
    engine.train(300)
    assert share_near(GOOD, engine, 0.4).min() > 0.9
