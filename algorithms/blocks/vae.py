"""A conditional variational autoencoder of the data's actions, and small changes to what it says.

Shapes: `S` seeds, `B` batch, `A` action dimensions, `L` latent ones. Networks and bounds are those
of BCQ (arXiv:1812.02900, sfujim/BCQ at 4876f7e `continuous_BCQ/BCQ.py`), which its kin take over.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from algorithms.base import Batch, Loss, Networks
from algorithms.networks import MLP, Network

_LOG_STD_RANGE = (-4.0, 15.0)
_LIKELY = 0.5  # bound of the latents from which actions are sampled


def latent_dim(action_dim: int) -> int:
    """L, twice as many as an action has dimensions."""
    return 2 * action_dim


def vae_networks(obs_dim: int, action_dim: int, hidden_dims: tuple[int, ...]) -> dict[str, Network]:
    """`encoder`, of (s, a) to a latent's mean and log σ, and `decoder`, of (s, z) to an action."""
    latents = latent_dim(action_dim)
    return {
        "encoder": MLP(obs_dim + action_dim, 2 * latents, hidden_dims),
        "decoder": MLP(obs_dim + latents, action_dim, hidden_dims),
    }


def decode(decoder: Callable[..., Tensor], observations: Tensor, latents: Tensor) -> Tensor:
    """The actions of latents. [S, B, obs_dim], [S, B, L] -> [S, B, A] in [-1, 1]."""
    return torch.tanh(decoder(observations, latents))


def likely(gaussian: Tensor) -> Tensor:
    """Latents of actions that are common in the data: normal noise, clipped to [-0.5, 0.5]."""
    return gaussian.clamp(-_LIKELY, _LIKELY)


def vae_loss(nets: Networks, batch: Batch, gaussian: Tensor, divergence_weight: float) -> Loss:
    """Squared error of actions and KL(q(z | s, a) | N(0, I)), each the mean over its dimensions.

    gaussian: the noise of the encoder's sample, [S, B, L] -> loss [S] and metrics.
    """
    mean, log_std = nets.encoder(batch.observations, batch.actions).chunk(2, -1)
    log_std = log_std.clamp(*_LOG_STD_RANGE)
    latents = mean + log_std.exp() * gaussian
    actions = decode(nets.decoder, batch.observations, latents)
    error = (actions - batch.actions).square().mean((1, 2))
    divergence = (0.5 * (mean.square() + (2 * log_std).exp() - 1) - log_std).mean((1, 2))
    loss = error + divergence_weight * divergence
    return loss, {"vae/loss": loss, "vae/error": error, "vae/divergence": divergence}


def perturbed(
    perturbation: Callable[..., Tensor], observations: Tensor, actions: Tensor, bound: float
) -> Tensor:
    """a + Φ tanh ξ(s, a), kept in [-1, 1]: no further than Φ, `bound`, from what was proposed."""
    change = bound * torch.tanh(perturbation(observations, actions))
    return (actions + change).clamp(-1, 1)
