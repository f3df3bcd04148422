"""CRR against the equations of arXiv:2006.15134 in plain PyTorch, by hand, and on a bandit."""

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
from algorithms.engine.preflight import check
from algorithms.transitions import Transitions
from baselines.crr import CRR, CRRConfig
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
from tests.baselines.bandit import GOOD, share_near, two_modes

SAMPLES = 3


class Actor(nn.Module):
    def __init__(self, engine: Engine, slot: int) -> None:
        super().__init__()
        params = params_of(engine, "actor", slot)
        (self.mlp,) = members(engine.algorithm.networks["actor"].mlp, params)

    def forward(self, observation: Tensor) -> Independent:
        mean, log_std = self.mlp(observation).split(ACTION_DIM, -1)
        normal = Normal(mean, log_std.clip(-20, 2).exp())
        return Independent(TransformedDistribution(normal, TanhTransform()), 1)

    @torch.no_grad()
    def sample(self, observation: Tensor, noise: Tensor) -> Tensor:
        normal = self(observation).base_dist.base_dist
        return torch.tanh(normal.mean + normal.stddev * noise)


def smaller(twins: nn.ModuleList, observations: Tensor, actions: Tensor) -> Tensor:
    pair = torch.cat([observations, actions], 1)
    return torch.minimum(*(q(pair)[:, 0] for q in twins))


@pytest.mark.parametrize(("advantage", "weight"), [("mean", "exp"), ("max", "binary")])
def test_training_equals_plain_pytorch(
    transitions: Transitions, advantage: str, weight: str
) -> None:
    """Both losses on the networks before the update; the targets' own next action."""
    settings: dict[str, Any] = {"learning_rate": 1e-2, "tau": 0.05, "discount": 0.9}
    settings |= {"advantage": advantage, "weight": weight, "samples": SAMPLES, "temperature": 0.2}
    engine = make_engine("crr", transitions, **settings)
    starts = [(Actor(engine, slot), learned(engine, "critic", slot)) for slot in (0, 1)]
    seen = record(engine)
    engine.train(5)
    weights = []
    for slot, (actor, critics) in enumerate(starts):
        old_actor, old_critics = copy.deepcopy(actor), copy.deepcopy(critics)
        actor_adam = torch.optim.Adam(actor.parameters(), lr=1e-2)
        critic_adam = torch.optim.Adam(critics.parameters(), lr=1e-2)
        for batch, noise in of_seed(seen, slot):
            s, a, following = batch.observations, batch.actions, batch.next_observations
            with torch.no_grad():
                action = old_actor.sample(following, noise["next_gaussian"])
                backup = batch.rewards + 0.9 * batch.masks * smaller(old_critics, following, action)
                own = [
                    smaller(critics, s, actor.sample(s, part))
                    for part in noise["gaussian"].split(ACTION_DIM, -1)
                ]
                assert len(own) == SAMPLES
                value = sum(own) / SAMPLES if advantage == "mean" else torch.stack(own).max(0)[0]
                gain = smaller(critics, s, a) - value
                f = (gain > 0).float() if weight == "binary" else (gain / 0.2).exp().clip(max=20)
                weights.append(f)
            pair = torch.cat([s, a], 1)
            critic_loss = sum(F.mse_loss(q(pair)[:, 0], backup) for q in critics)
            inside = a.clip(-1 + 1e-6, 1 - 1e-6)
            actor_loss = -(f * actor(s).log_prob(inside)).mean()
            for adam, loss in ((critic_adam, critic_loss), (actor_adam, actor_loss)):
                adam.zero_grad()
                loss.backward()
                adam.step()
            polyak(old_critics, critics, 0.05)
            polyak(old_actor, actor, 0.05)
        assert_same_weights(learned(engine, "critic", slot), critics)
        assert_same_weights(learned(engine, "critic", slot, "targets"), old_critics)
        assert_same_weights(Actor(engine, slot), actor)
    assert torch.cat(weights).std() > 0.1


def flat(worth: Tensor, own: Tensor, actions: Tensor) -> Networks:
    """The data's actions are worth `worth`, of any others the j-th `own[j]`; policy N(0, 1)."""

    def critic(_: Tensor, a: Tensor) -> Tensor:
        q = own.repeat(a.shape[1] // len(own)).unsqueeze(0) if a.shape != actions.shape else worth
        return torch.stack([q, q + 1], 1)  # the larger twin must go unnoticed

    def actor(observations: Tensor) -> tuple[Tensor, Tensor]:
        zeros = torch.zeros(*observations.shape[:2], ACTION_DIM)
        return zeros, zeros

    return closed_form({"critic": critic, "actor": actor})


@pytest.mark.parametrize(
    ("advantage", "weight", "expected"),
    [
        ("mean", "exp", [math.exp((3 - 2) / 0.5), 20.0, math.exp((1 - 2) / 0.5)]),
        ("max", "exp", [math.exp((3 - 4) / 0.5), math.exp((5.4 - 4) / 0.5), math.exp(-3 / 0.5)]),
        ("mean", "binary", [1.0, 1.0, 0.0]),
        ("max", "binary", [0.0, 1.0, 0.0]),
    ],
)
def test_the_actor_loss_by_hand(advantage: str, weight: str, expected: list[float]) -> None:
    """The policy's own actions are worth 0, 2 and 4; the data's 3, 5.4 and 1. β = 0.5."""
    actions = torch.tensor([[[0.5, 0.1], [0.9, -0.3], [-0.2, 0.0]]])
    batch = random_batch(1, 3)._replace(actions=actions)
    nets = flat(torch.tensor([[3.0, 5.4, 1.0]]), torch.tensor([0.0, 2.0, 4.0]), actions)
    settings = {"advantage": advantage, "weight": weight, "samples": SAMPLES, "temperature": 0.5}
    noise = {"gaussian": torch.zeros(1, 3, SAMPLES * ACTION_DIM)}
    loss, metrics = make_algorithm("crr", **settings).actor_loss(nets, batch, noise)
    u = np.arctanh(actions[0].numpy())
    log_prob = (-0.5 * u**2 - 0.5 * math.log(2 * math.pi) - np.log(1 - np.tanh(u) ** 2)).sum(-1)
    assert float(metrics["actor/weight"]) == pytest.approx(np.mean(expected), rel=1e-5)
    assert float(loss) == pytest.approx(-(np.array(expected) * log_prob).mean(), rel=1e-5)


def test_an_action_that_is_no_better_has_no_binary_weight() -> None:
    algorithm = make_algorithm("crr", weight="binary")
    assert algorithm.weight(torch.tensor([[-0.1, 0.0, 1e-6]])).tolist() == [[0, 0, 1]]


def test_the_backup_is_of_the_targets_own_action_and_stops_at_terminals() -> None:
    """a' = tanh(0.3 + 0.5 * 2); the smaller target twin says 3 a'."""
    batch = random_batch(1, 2)._replace(rewards=torch.ones(1, 2), masks=torch.tensor([[1.0, 0.0]]))

    def actor(mean: float) -> Any:
        shape = (1, 2, ACTION_DIM)
        return lambda _: (torch.full(shape, mean), torch.full(shape, math.log(0.5)))

    nets = closed_form(
        {"actor": actor(-5.0), "critic": lambda *_: torch.zeros(1, 2, 2)},
        target={
            "actor": actor(0.3),
            "critic": lambda _s, a: torch.stack([3 * a[..., 0], 9 * a[..., 0]], 1),
        },
    )
    noise = {"next_gaussian": torch.full((1, 2, ACTION_DIM), 2.0)}
    loss, _ = make_algorithm("crr", discount=0.5).critic_loss(nets, batch, noise)
    assert float(loss) == pytest.approx(2 * ((1 + 0.5 * 3 * math.tanh(1.3)) ** 2 + 1) / 2)


def test_acts_with_a_squashed_gaussian_and_chooses_at_its_own_temperature() -> None:
    mean, noise = torch.rand(1, 4, ACTION_DIM), torch.randn(1, 4, ACTION_DIM)
    nets = closed_form({"actor": lambda _: (mean, torch.full_like(mean, math.log(0.5)))})
    algorithm, observations = make_algorithm("crr", temperature=0.3), torch.zeros(1, 4, OBS_DIM)
    actions = algorithm.act(nets, observations, {"gaussian": noise})
    torch.testing.assert_close(actions, torch.tanh(mean + 0.5 * noise))
    assert algorithm.selection_temperature == 0.3
    assert algorithm.supports("softmax-of-32")


FAST = {"offline_steps": 300, "learning_rate": 3e-3, "hidden_dims": (32, 32), "batch_size": 64}


@pytest.mark.parametrize(("weight", "advantage"), [("exp", "mean"), ("binary", "max")])
def test_leaves_the_mode_that_pays_less(weight: str, advantage: str) -> None:
    engine = make_engine(
        "crr", two_modes(), temperature=0.1, weight=weight, advantage=advantage, **FAST
    )
    engine.train(300)
    assert share_near(GOOD, engine, 0.4).min() > 0.9


def test_the_critic_weighted_policy_mends_what_a_soft_weight_has_left() -> None:
    """At a high temperature the policy clones both modes, and so do weighted draws from it."""
    shares = {}
    for temperature in (0.02, 100.0):
        engine = make_engine("crr", two_modes(), temperature=100.0, **FAST)
        engine.train(300)
        engine.algorithm.selection_temperature = temperature
        actions = engine.policy("test")(np.zeros((2, 500, 1), np.float32))
        shares[temperature] = (actions @ (GOOD / np.linalg.norm(GOOD)) > 0).mean(1)
    np.testing.assert_allclose(shares[100.0], 0.5, atol=0.15)
    assert shares[0.02].min() > 0.85  # 15 in 16, were every sample as likely on either side


def test_the_preflight_has_no_remarks() -> None:
    assert check(CRR, CRRConfig(), OBS_DIM, ACTION_DIM) == []
