"""PLAS against the equations of arXiv:2011.07213 in plain PyTorch, by hand, and where data end."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from algorithms.engine.preflight import check
from algorithms.transitions import Transitions
from baselines.plas import PLAS, PLASConfig
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
from tests.algorithms.small import ACTION_DIM, OBS_DIM, make_engine, states_equal
from tests.baselines.bandit import GOOD, rising, share_near, two_modes

LATENTS = 2 * ACTION_DIM


@pytest.mark.parametrize("bound", [0.0, 0.2])
def test_training_equals_plain_pytorch(transitions: Transitions, bound: float) -> None:
    """Four updates of the VAE, then six of the critics, each followed by one of the policy."""
    engine = make_engine(
        "plas",
        transitions,
        offline_steps=10,
        batch_size=8,
        vae_share=0.4,
        vae_learning_rate=5e-3,
        actor_learning_rate=3e-3,
        critic_learning_rate=1e-2,
        divergence_weight=0.4,
        max_latent=1.5,
        perturbation=bound,
        soft_minimum=0.7,
        discount=0.9,
        tau=0.05,
    )
    names = ["encoder", "decoder", "critic", "actor", *(["perturbation"] if bound else [])]
    starts = [{name: learned(engine, name, slot) for name in names} for slot in (0, 1)]
    seen = record(engine)
    engine.train(10)
    for slot, modules in enumerate(starts):
        old = copy.deepcopy(modules)
        (encoder,), (decoder,), critic, *policy = modules.values()
        vae_adam, critic_adam, actor_adam = (
            torch.optim.Adam([p for module in some for p in module.parameters()], lr=rate)
            for some, rate in (((encoder, decoder), 5e-3), ((critic,), 1e-2), (policy, 3e-3))
        )

        def act(
            networks: dict[str, nn.ModuleList], s: Tensor, decoder: nn.Module = decoder
        ) -> Tensor:
            latent = 1.5 * torch.tanh(networks["actor"][0](s))
            action = torch.tanh(decoder(torch.cat([s, latent], 1)))
            if not bound:
                return action
            change = torch.tanh(networks["perturbation"][0](torch.cat([s, action], 1)))
            return (action + bound * change).clip(-1, 1)

        for i, (batch, noise) in enumerate(of_seed(seen, slot)):
            s, a, following = batch.observations, batch.actions, batch.next_observations
            if i < 4:
                mean, log_std = encoder(torch.cat([s, a], 1)).split(LATENTS, 1)
                std = log_std.clip(-4, 15).exp()
                z = mean + std * noise["encoded"]
                error = F.mse_loss(torch.tanh(decoder(torch.cat([s, z], 1))), a)
                divergence = -0.5 * (1 + torch.log(std**2) - mean**2 - std**2).mean()
                adam_step(vae_adam, error + 0.4 * divergence)
                continue
            with torch.no_grad():
                pair = torch.cat([following, act(old, following)], 1)
                first, second = (member(pair)[:, 0] for member in old["critic"])
                value = 0.7 * torch.minimum(first, second) + 0.3 * torch.maximum(first, second)
                target = batch.rewards + 0.9 * batch.masks * value
            errors = [F.mse_loss(member(torch.cat([s, a], 1))[:, 0], target) for member in critic]
            adam_step(critic_adam, errors[0] + errors[1])
            adam_step(actor_adam, -critic[0](torch.cat([s, act(modules, s)], 1)).mean())
            for name in names[2:]:
                polyak(old[name], modules[name], 0.05)
        for name in names:
            assert_same_weights(learned(engine, name, slot), modules[name])
        for name in names[2:]:
            assert_same_weights(learned(engine, name, slot, "targets"), old[name])


def test_the_policy_leaves_the_vae_as_it_was_trained(transitions: Transitions) -> None:
    engine = make_engine("plas", transitions, offline_steps=10)
    engine.train(5)
    before = engine.state(0)
    engine.train(5)
    after = engine.state(0)
    vae = [key for key in after if "/encoder/" in key or "/decoder/" in key]
    assert vae
    assert states_equal({key: before[key] for key in vae}, {key: after[key] for key in vae})


@pytest.mark.parametrize(("bound", "action"), [(0.0, [0.8, -0.2]), (0.3, [1.0, -0.5])])
def test_acts_by_a_bounded_latent_and_a_bounded_change(bound: float, action: list[float]) -> None:
    """The first latents are ±2, of which the decoder makes 0.8 and -0.2; the change is ±0.3."""
    nets = closed_form(
        {
            "actor": lambda _: torch.tensor([[[100.0, -100.0, 0.0, 0.0]]]),
            "decoder": lambda _s, z: torch.atanh(z[..., :2] / 4 + 0.3),
            "perturbation": lambda _s, _a: torch.tensor([[[100.0, -100.0]]]),
        }
    )
    found = make_algorithm("plas", perturbation=bound).act(nets, torch.zeros(1, 1, OBS_DIM), {})
    torch.testing.assert_close(found, torch.tensor([[action]]))


@pytest.mark.parametrize(("mask", "expected"), [(1.0, 1 + 0.8 * 3.5), (0.0, 1.0)])
def test_a_backup_weighs_the_smaller_against_the_larger_twin(mask: float, expected: float) -> None:
    batch = random_batch(1, 1)._replace(rewards=torch.ones(1, 1), masks=torch.full((1, 1), mask))
    nets = closed_form(
        {
            "actor": lambda _: torch.zeros(1, 1, LATENTS),
            "decoder": lambda _s, z: z[..., :2],
            "critic": lambda *_: torch.zeros(1, 2, 1),
        },
        target={"critic": lambda *_: torch.tensor([[[6.5], [2.5]]])},
    )
    algorithm = make_algorithm("plas", discount=0.8, soft_minimum=0.75)
    loss, _ = algorithm.critic_loss(nets, batch, {})
    assert float(loss) == pytest.approx(2 * expected**2, rel=1e-5)


FAST = {
    "offline_steps": 200,
    "vae_learning_rate": 5e-3,
    "actor_learning_rate": 5e-3,
    "critic_learning_rate": 5e-3,
    "divergence_weight": 0.02,
    "hidden_dims": (32, 32),
    "vae_hidden_dims": (32, 32),
    "batch_size": 64,
}


def test_climbs_as_far_as_the_data_go_and_with_a_free_perturbation_beyond() -> None:
    """The data end at 0.5; what is beyond has only the critic's extrapolation."""
    far = {}
    for bound in (0.0, 1.0):
        engine = make_engine("plas", rising(), perturbation=bound, max_latent=1.0, **FAST)
        engine.train(200)
        far[bound] = engine.policy("test")(np.zeros((2, 1, 1), np.float32))
    assert 0.15 < far[0.0].min() < far[0.0].max() < 0.6
    assert far[1.0].min() > 0.8


def test_finds_the_better_of_two_modes() -> None:
    engine = make_engine("plas", two_modes(), **FAST)
    engine.train(200)
    assert share_near(GOOD, engine, 0.4).min() > 0.9


def test_the_preflight_has_no_remarks() -> None:
    assert check(PLAS, PLASConfig(), OBS_DIM, ACTION_DIM) == []
    assert check(PLAS, PLASConfig(perturbation=0.05), OBS_DIM, ACTION_DIM) == []
