"""AWAC against the equations of arXiv:2006.09359 in plain PyTorch, and by hand."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from algorithms.engine.preflight import check
from algorithms.transitions import Transitions
from baselines.awac import AWAC, AWACConfig
from tests.algorithms.reference import (
    assert_same_weights,
    closed_form,
    learned,
    make_algorithm,
    of_seed,
    polyak,
    random_batch,
    record,
)
from tests.algorithms.small import ACTION_DIM, OBS_DIM, make_engine
from tests.baselines.actors import Gaussian
from tests.baselines.bandit import GOOD, share_near, two_modes


class Actor(Gaussian):
    @torch.no_grad()
    def sample(self, observations: Tensor, noise: Tensor) -> Tensor:
        normal = self(observations)
        return torch.clip(normal.mean + normal.stddev * noise, -1, 1)


def test_training_equals_plain_pytorch(transitions: Transitions) -> None:
    """Critics and their targets, then the policy with the critics' new weights."""
    settings = {"learning_rate": 1e-2, "tau": 0.05, "discount": 0.9, "temperature": 0.5}
    engine = make_engine("awac", transitions, **settings)
    starts = [(Actor(engine, slot, -20.0), learned(engine, "critic", slot)) for slot in (0, 1)]
    seen = record(engine)
    engine.train(6)
    for slot, (actor, critics) in enumerate(starts):
        targets = copy.deepcopy(critics)
        actor_adam = torch.optim.Adam(actor.parameters(), lr=1e-2)
        critic_adam = torch.optim.Adam(critics.parameters(), lr=1e-2)

        def smaller(twins: nn.ModuleList, observations: Tensor, actions: Tensor) -> Tensor:
            pair = torch.cat([observations, actions], 1)
            return torch.minimum(*(q(pair)[:, 0] for q in twins))

        for batch, noise in of_seed(seen, slot):
            s, a, following = batch.observations, batch.actions, batch.next_observations
            with torch.no_grad():
                own = actor.sample(following, noise["next_gaussian"])
                backup = batch.rewards + 0.9 * batch.masks * smaller(targets, following, own)
            critic_adam.zero_grad()
            pair = torch.cat([s, a], 1)
            sum(F.mse_loss(q(pair)[:, 0], backup) for q in critics).backward()
            critic_adam.step()
            with torch.no_grad():
                own = actor.sample(s, noise["gaussian"])
                advantage = smaller(critics, s, a) - smaller(critics, s, own)
            actor_adam.zero_grad()
            log_prob = actor(s).log_prob(a)
            (-torch.clip(torch.exp(advantage / 0.5), max=100) * log_prob).mean().backward()
            actor_adam.step()
            polyak(targets, critics, 0.05)
        assert_same_weights(learned(engine, "critic", slot), critics)
        assert_same_weights(learned(engine, "critic", slot, "targets"), targets)
        assert_same_weights(Actor(engine, slot, -20.0), actor)


def test_the_backup_asks_the_smaller_target_of_a_clipped_sample_and_stops_at_terminals() -> None:
    """a' = 0.2 + 0.5 * 10, clipped to 1; the smaller target says 3 a'."""
    batch = random_batch(1, 2)._replace(rewards=torch.ones(1, 2), masks=torch.tensor([[1.0, 0.0]]))
    nets = closed_form(
        {
            "actor": lambda s: (
                torch.full((*s.shape[:2], 2), 0.2),
                torch.full((*s.shape[:2], 2), math.log(0.5)),
            ),
            "critic": lambda *_: torch.zeros(1, 2, 2),
        },
        target={"critic": lambda _s, a: torch.stack([3 * a[..., 0], 9 * a[..., 0]], 1)},
    )
    noise = {"next_gaussian": torch.full((1, 2, 2), 10.0)}
    loss, _ = make_algorithm("awac", discount=0.5).critic_loss(nets, batch, noise)
    assert float(loss) == pytest.approx(2 * ((1 + 0.5 * 3) ** 2 + 1) / 2)


def test_the_actor_loss_by_hand_with_its_weights_bounded() -> None:
    """The policy's own action is worth 0. A = 0.5 weighs exp(0.5 / 0.25), A = 10 no more than 8."""
    actions = torch.tensor([[[0.5, 0.1], [0.9, -0.3]]])
    batch = random_batch(1, 2)._replace(actions=actions)
    mean, log_std = actions - 0.3, torch.full((1, 2, 2), math.log(0.5))
    worth = torch.tensor([[0.5, 10.0]])

    def critic(_: Tensor, a: Tensor) -> Tensor:
        """At least 0.3 from the data's actions, Q is 0; the larger twin must go unnoticed."""
        q = torch.where((a - actions).abs().amax(-1) < 0.01, worth, 0.0)
        return torch.stack([q, q + torch.tensor([[1.0, 2.0]])], 1)

    nets = closed_form({"actor": lambda _: (mean, log_std), "critic": critic})
    algorithm = make_algorithm("awac", temperature=0.25, max_weight=8.0)
    loss, metrics = algorithm.actor_loss(nets, batch, {"gaussian": torch.zeros(1, 2, 2)})
    log_prob = 2 * (-0.5 * (0.3 / 0.5) ** 2 - math.log(0.5) - 0.5 * math.log(2 * math.pi))
    assert float(metrics["actor/weight"]) == pytest.approx((math.exp(2) + 8) / 2)
    assert float(loss) == pytest.approx(-(math.exp(2) + 8) / 2 * log_prob, rel=1e-5)


def test_acts_with_the_gaussian_whose_mean_is_left_without_noise() -> None:
    mean, noise = torch.rand(1, 4, ACTION_DIM), torch.randn(1, 4, ACTION_DIM)
    nets = closed_form({"actor": lambda _: (mean, torch.full_like(mean, math.log(0.5)))})
    algorithm, observations = make_algorithm("awac"), torch.zeros(1, 4, OBS_DIM)
    assert torch.equal(algorithm.act(nets, observations, {"gaussian": 0 * noise}), mean)
    actions = algorithm.act(nets, observations, {"gaussian": noise})
    torch.testing.assert_close(actions, mean + 0.5 * noise)


@pytest.mark.parametrize(("temperature", "share"), [(0.1, 1.0), (100.0, 0.0)])
def test_leaves_the_mode_that_pays_less_at_a_low_temperature(
    temperature: float, share: float
) -> None:
    """At a high one it clones both, and its mean lies between them."""
    engine = make_engine(
        "awac", two_modes(), offline_steps=300, learning_rate=1e-2, temperature=temperature
    )
    engine.train(300)
    assert (share_near(GOOD, engine, 0.3) == share).all()


def test_the_preflight_has_no_remarks() -> None:
    assert check(AWAC, AWACConfig(), OBS_DIM, ACTION_DIM) == []
