"""The VAE of actions, against torch's own distributions and by hand."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from algorithms.blocks.critics import soft_minimum
from algorithms.blocks.vae import decode, likely, perturbed, vae_loss
from tests.algorithms.reference import closed_form, random_batch

SEEDS, BATCH, ACT = 2, 5, 2
LATENTS = 2 * ACT


def test_the_loss_is_the_error_and_the_divergence_of_the_encoder_s_normal() -> None:
    """q has log σ = 0.3 and mean 0.5; the decoder answers with the first latents, as they are."""
    batch = random_batch(SEEDS, BATCH)
    ones = torch.ones(SEEDS, BATCH, LATENTS)
    gaussian = torch.randn(SEEDS, BATCH, LATENTS, generator=torch.Generator().manual_seed(0))
    nets = closed_form(
        {
            "encoder": lambda *_: torch.cat([0.5 * ones, 0.3 * ones], -1),
            "decoder": lambda _s, z: torch.atanh(0.1 * z[..., :ACT]),
        }
    )
    loss, metrics = vae_loss(nets, batch, gaussian, divergence_weight=0.7)
    std = torch.tensor(0.3).exp()
    error = (0.1 * (0.5 + std * gaussian[..., :ACT]) - batch.actions).square().mean((1, 2))
    divergence = kl_divergence(Normal(0.5, std), Normal(0.0, 1.0)).expand(SEEDS)
    torch.testing.assert_close(loss, error + 0.7 * divergence)
    torch.testing.assert_close(metrics["vae/error"], error)
    torch.testing.assert_close(metrics["vae/divergence"], divergence)


@pytest.mark.parametrize(("log_std", "clipped"), [(-9.0, -4.0), (20.0, 15.0)])
def test_a_latent_s_log_std_is_clipped(log_std: float, clipped: float) -> None:
    batch, zeros = random_batch(1, 1), torch.zeros(1, 1, LATENTS)
    nets = closed_form(
        {
            "encoder": lambda *_: torch.cat([zeros, zeros + log_std], -1),
            "decoder": lambda *_: torch.zeros(1, 1, ACT),
        }
    )
    _, metrics = vae_loss(nets, batch, zeros, divergence_weight=1.0)
    expected = kl_divergence(Normal(0.0, torch.tensor(clipped).exp()), Normal(0.0, 1.0))
    assert float(metrics["vae/divergence"]) == pytest.approx(float(expected), rel=1e-5)


def test_actions_are_decoded_within_bounds_from_latents_near_zero() -> None:
    latents = likely(torch.tensor([[[3.0, -0.2]]]))
    assert latents.tolist() == pytest.approx(torch.tensor([[[0.5, -0.2]]]).numpy())
    actions = decode(lambda s, z: 10 * s + z, torch.ones(1, 1, 2), latents)
    torch.testing.assert_close(actions, torch.tanh(torch.tensor([[[10.5, 9.8]]])))


def test_a_perturbation_moves_an_action_by_its_bound_at_most_and_keeps_it_valid() -> None:
    actions = torch.tensor([[[0.3, -0.98, 0.5]]])
    strong = torch.tensor([[[100.0, -100.0, 0.0]]])
    found = perturbed(lambda _s, _a: strong, torch.zeros(1, 1, 1), actions, bound=0.05)
    torch.testing.assert_close(found, torch.tensor([[[0.35, -1.0, 0.5]]]))


def test_the_soft_minimum_weighs_the_smallest_against_the_largest() -> None:
    q = torch.tensor([[[3.0], [-1.0]]])
    assert soft_minimum(q, 0.75).item() == pytest.approx(0.75 * -1 + 0.25 * 3)
