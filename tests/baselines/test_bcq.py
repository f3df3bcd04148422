"""BCQ against the equations of arXiv:1812.02900 in plain PyTorch, by hand, and where data end."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from algorithms.engine.preflight import check
from algorithms.transitions import Transitions
from baselines.bcq import BCQ, BCQConfig
from tests.algorithms.reference import (
    adam_step,
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
from tests.baselines.bandit import GOOD, rising, share_near, two_modes

N, LATENTS, BOUND = 3, 2 * ACTION_DIM, 0.2
NETWORKS = ("encoder", "decoder", "perturbation", "critic")


def _propose(
    decoder: nn.Module, perturbation: nn.Module, s: Tensor, noise: Tensor
) -> tuple[Tensor, Tensor]:
    """A decoded action, and what the perturbation makes of it."""
    action = torch.tanh(decoder(torch.cat([s, noise.clip(-0.5, 0.5)], 1)))
    change = BOUND * torch.tanh(perturbation(torch.cat([s, action], 1)))
    return action, (action + change).clip(-1, 1)


def test_training_equals_plain_pytorch(transitions: Transitions) -> None:
    """VAE, then critics on its new proposals, then the perturbation on the new critics."""
    engine = make_engine(
        "bcq",
        transitions,
        batch_size=8,
        learning_rate=3e-3,
        discount=0.9,
        tau=0.05,
        perturbation=BOUND,
        soft_minimum=0.7,
        divergence_weight=0.4,
        samples=N,
    )
    starts = [{name: learned(engine, name, slot) for name in NETWORKS} for slot in (0, 1)]
    seen = record(engine)
    engine.train(5)
    for slot, start in enumerate(starts):
        (encoder,), (decoder,), (perturbation,), critic = start.values()
        old_perturbation, old_critic = copy.deepcopy((perturbation, critic))
        vae_adam, critic_adam, adam = (
            torch.optim.Adam([p for module in modules for p in module.parameters()], lr=3e-3)
            for modules in ((encoder, decoder), (critic,), (perturbation,))
        )
        for batch, noise in of_seed(seen, slot):
            s, a, following = batch.observations, batch.actions, batch.next_observations
            mean, log_std = encoder(torch.cat([s, a], 1)).split(LATENTS, 1)
            std = log_std.clip(-4, 15).exp()
            z = mean + std * noise["encoded"]
            error = F.mse_loss(torch.tanh(decoder(torch.cat([s, z], 1))), a)
            divergence = -0.5 * (1 + torch.log(std**2) - mean**2 - std**2).mean()
            adam_step(vae_adam, error + 0.4 * divergence)

            with torch.no_grad():
                candidates = []
                for draw in noise["next_latent"].split(LATENTS, 1):
                    _, action = _propose(decoder, old_perturbation, following, draw)
                    pair = torch.cat([following, action], 1)
                    first, second = (member(pair)[:, 0] for member in old_critic)
                    smaller, larger = torch.minimum(first, second), torch.maximum(first, second)
                    candidates.append(0.7 * smaller + 0.3 * larger)
                assert len(candidates) == N
                best = torch.stack(candidates).max(0).values
                target = batch.rewards + 0.9 * batch.masks * best
            errors = [F.mse_loss(member(torch.cat([s, a], 1))[:, 0], target) for member in critic]
            adam_step(critic_adam, errors[0] + errors[1])

            _, action = _propose(decoder, perturbation, s, noise["latent"])
            adam_step(adam, -critic[0](torch.cat([s, action], 1)).mean())
            polyak(old_perturbation, perturbation, 0.05)
            polyak(old_critic, critic, 0.05)
        for name in NETWORKS:
            assert_same_weights(learned(engine, name, slot), nn.ModuleList(start[name]))
        assert_same_weights(learned(engine, "perturbation", slot, "targets")[0], old_perturbation)
        assert_same_weights(learned(engine, "critic", slot, "targets"), old_critic)


@pytest.mark.parametrize(("mask", "expected"), [(1.0, 1 + 0.8 * 3.5), (0.0, 1.0)])
def test_a_backup_takes_the_best_proposal_by_the_soft_minimum(mask: float, expected: float) -> None:
    """Twins (2, 6), (4.25, 3.25) and (0, 9): 0.75 min + 0.25 max is 3, 3.5 and 2.25."""
    batch = random_batch(1, 1)._replace(rewards=torch.ones(1, 1), masks=torch.full((1, 1), mask))
    twins = torch.tensor([[[2.0, 4.25, 0.0], [6.0, 3.25, 9.0]]])

    def critic(_s: Tensor, a: Tensor) -> Tensor:
        assert a[0, :, 0].tolist() == pytest.approx([0.5, -0.5, 0.1])  # clipped, in order
        return twins

    nets = closed_form(
        {
            "decoder": lambda _s, z: torch.atanh(z[..., :ACTION_DIM]),
            "perturbation": lambda _s, a: torch.ones_like(a),
            "critic": lambda *_: torch.zeros(1, 2, 1),
        },
        target={"critic": critic},
    )
    draws = torch.zeros(1, 1, N, LATENTS)
    draws[0, 0, :, 0] = torch.tensor([2.0, -3.0, 0.1])
    algorithm = make_algorithm("bcq", samples=N, perturbation=0.0, discount=0.8)
    loss, _ = algorithm.critic_loss(nets, batch, {"next_latent": draws.flatten(2)})
    assert float(loss) == pytest.approx(2 * expected**2, rel=1e-5)


def test_proposals_are_ranked_by_the_first_critic() -> None:
    q = torch.tensor([[[1.0, 2.0], [4.0, 0.0]]])
    nets = closed_form({"critic": lambda *_: q})
    algorithm = make_algorithm("bcq")
    assert algorithm.action_selection == "best-of-100"
    found = algorithm.action_value(nets, torch.zeros(1, 2, 3), torch.zeros(1, 2, 2))
    assert found.tolist() == [[1.0, 2.0]]


FAST = {
    "offline_steps": 200,
    "learning_rate": 5e-3,
    "divergence_weight": 0.02,
    "samples": 4,
    "hidden_dims": (32, 32),
    "vae_hidden_dims": (32, 32),
    "batch_size": 64,
}


@pytest.mark.parametrize(("perturbation", "low", "high"), [(0.05, 0.0, 0.55), (1.0, 0.8, 1.0)])
def test_climbs_within_its_bound_of_the_data_and_without_one_leaves_them(
    perturbation: float, low: float, high: float
) -> None:
    """The data end at 0.5; what is beyond has only the critic's extrapolation."""
    engine = make_engine("bcq", rising(), perturbation=perturbation, **FAST)
    engine.train(200)
    actions = engine.policy("test")(np.zeros((2, 1, 1), np.float32))
    assert low < actions.min() <= actions.max() <= high


def test_finds_the_better_of_two_modes() -> None:
    engine = make_engine("bcq", two_modes(), **FAST)
    engine.train(200)
    assert share_near(GOOD, engine, 0.4).min() > 0.9


def test_the_preflight_has_no_remarks() -> None:
    assert check(BCQ, BCQConfig(), OBS_DIM, ACTION_DIM) == []
