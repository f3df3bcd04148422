"""MCQ against the equations of arXiv:2206.04745 in plain PyTorch, by hand, and where data end."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from algorithms.engine.preflight import check
from algorithms.transitions import Transitions
from baselines.mcq import MCQ, MCQConfig
from tests.algorithms.reference import (
    adam_step,
    assert_same_weights,
    closed_form,
    learned,
    make_algorithm,
    of_seed,
    polyak,
    random_batch,
    random_noise,
    record,
)
from tests.algorithms.small import ACTION_DIM, OBS_DIM, make_engine
from tests.baselines.actors import Squashed
from tests.baselines.bandit import rising

N, LATENTS = 3, 2 * ACTION_DIM


def value(member: nn.Module, s: Tensor, a: Tensor) -> Tensor:
    return member(torch.cat([s, a], 1))[:, 0]


def test_training_equals_plain_pytorch(transitions: Transitions) -> None:
    """VAE, then critics on its new proposals, then policy and temperature on the new critics."""
    engine = make_engine(
        "mcq",
        transitions,
        batch_size=8,
        samples=N,
        td_weight=0.6,
        learning_rate=1e-2,
        vae_learning_rate=5e-3,
        divergence_weight=0.4,
        discount=0.9,
        tau=0.05,
    )
    names = ("encoder", "decoder", "critic")
    starts = [(Squashed(engine, i), *(learned(engine, name, i) for name in names)) for i in (0, 1)]
    seen = record(engine)
    engine.train(4)
    for slot, (actor, (encoder,), (decoder,), critic) in enumerate(starts):
        target, log_alpha = copy.deepcopy(critic), torch.zeros((), requires_grad=True)
        vae = [*encoder.parameters(), *decoder.parameters()]
        vae_adam = torch.optim.Adam(vae, lr=5e-3)
        critic_adam = torch.optim.Adam(critic.parameters(), lr=1e-2)
        policy_adam = torch.optim.Adam([*actor.parameters(), log_alpha], lr=1e-2)
        for batch, noise in of_seed(seen, slot):
            s, a, following = batch.observations, batch.actions, batch.next_observations
            mean, log_std = encoder(torch.cat([s, a], 1)).split(LATENTS, 1)
            std = log_std.clip(-4, 15).exp()
            z = mean + std * noise["encoded"]
            error = F.mse_loss(torch.tanh(decoder(torch.cat([s, z], 1))), a)
            divergence = -0.5 * (1 + torch.log(std**2) - mean**2 - std**2).mean()
            adam_step(vae_adam, error + 0.4 * divergence)

            with torch.no_grad():
                action, log_prob = actor(following, noise["next_gaussian"])
                next_q = torch.minimum(*(value(member, following, action) for member in target))
                backup = batch.rewards + 0.9 * batch.masks * (next_q - log_alpha.exp() * log_prob)
            loss = sum(F.mse_loss(value(member, s, a), backup) for member in critic)
            losses = [0.6 * loss]
            draws = noise["policy_gaussian"].split(ACTION_DIM, 1)
            latents = noise["latent"].split(LATENTS, 1)
            for states, own in ((s, slice(0, N)), (following, slice(N, 2 * N))):
                with torch.no_grad():
                    best = []
                    for member in critic:
                        options = [
                            value(member, states, torch.tanh(decoder(torch.cat([states, z], 1))))
                            for z in (latent.clip(-0.5, 0.5) for latent in latents[own])
                        ]
                        best.append(torch.stack(options).max(0).values)
                    pseudo = torch.minimum(*best)
                    actions = [actor(states, draw)[0] for draw in draws[own]]
                errors = [
                    F.mse_loss(value(member, states, action), pseudo)
                    for member in critic
                    for action in actions
                ]
                losses.append(0.4 * sum(errors) / (2 * N))  # the mean over both kinds of state
            adam_step(critic_adam, sum(losses))

            action, log_prob = actor(s, noise["gaussian"])
            q = torch.minimum(*(value(member, s, action) for member in critic))
            loss = (log_alpha.exp().detach() * log_prob - q).mean()
            adam_step(policy_adam, loss - (log_alpha * (log_prob.detach() - ACTION_DIM)).mean())
            polyak(target, critic, 0.05)
        for name, modules in zip(names, ([encoder], [decoder], critic), strict=True):
            assert_same_weights(learned(engine, name, slot), nn.ModuleList(modules))
        assert_same_weights(learned(engine, "critic", slot, "targets"), target)
        assert_same_weights(Squashed(engine, slot), actor)
        found = engine.state(slot)["params/temperature/log"]
        assert found == pytest.approx(log_alpha.item(), abs=2e-6)


def test_values_at_the_policy_s_actions_are_drawn_to_the_best_of_the_data_s() -> None:
    """Q_1 = 4 a and Q_2 = 2 − 2 a, a the first coordinate; both states have the same samples.

    The VAE's actions are 0.5, which is clipped from 3, and −0.2: the twins' best are 2 and 2.4, and
    the target is 2. The policy's are 0 and 0.8: errors (0 − 2, 3.2 − 2) and (2 − 2, 0.4 − 2).
    """

    def critic(_s: Tensor, a: Tensor) -> Tensor:
        return torch.stack([4 * a[..., 0], 2 - 2 * a[..., 0]], 1)

    nets = closed_form(
        {
            "critic": critic,
            "decoder": lambda _s, z: torch.atanh(z[..., :ACTION_DIM]),
            "actor": lambda s: (torch.zeros(*s.shape[:2], 2), torch.zeros(*s.shape[:2], 2)),
        }
    )
    latents, gaussians = torch.zeros(1, 1, 2, 2, LATENTS), torch.zeros(1, 1, 2, 2, ACTION_DIM)
    latents[..., 0] = torch.tensor([3.0, -0.2])
    gaussians[..., 0] = torch.atanh(torch.tensor([0.0, 0.8]))
    noise = {"latent": latents.flatten(2), "policy_gaussian": gaussians.flatten(2)}
    algorithm = make_algorithm("mcq", samples=2)
    found = algorithm.policy_loss(nets, random_batch(1, 1), noise)
    expected = (2**2 + 1.2**2) / 2 + (0**2 + 1.6**2) / 2
    assert float(found) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("weight", "expected"), [(1.0, "td"), (0.0, "policy"), (0.25, "both")])
def test_lambda_weighs_the_td_error_against_the_values_of_the_policy_s_actions(
    weight: float, expected: str
) -> None:
    """Flat twins 1 and 3: the TD error is to the reward 2, and the target of the other is 1."""
    batch = random_batch(1, 4)._replace(rewards=2 * torch.ones(1, 4), masks=torch.zeros(1, 4))
    nets = closed_form(
        {
            "critic": lambda s, _: torch.tensor([[[1.0], [3.0]]]).expand(1, 2, s.shape[1]),
            "decoder": lambda _s, z: z[..., :ACTION_DIM],
            "actor": lambda s: (s[..., :2], torch.zeros(*s.shape[:2], 2)),
            "temperature": lambda: torch.zeros(1),
        }
    )
    algorithm = make_algorithm("mcq", samples=2, td_weight=weight)
    noise = random_noise(algorithm.noise, 1, 4)
    loss, _ = algorithm.critic_loss(nets, batch, noise)
    td_error, policy_error = 1.0 + 1.0, 0.0 + 4.0
    by_name = {"td": td_error, "policy": policy_error, "both": td_error / 4 + 0.75 * policy_error}
    assert float(loss) == pytest.approx(by_name[expected])


FAST = {
    "offline_steps": 200,
    "learning_rate": 5e-3,
    "vae_learning_rate": 5e-3,
    "divergence_weight": 0.02,
    "samples": 4,
    "hidden_dims": (32, 32),
    "vae_hidden_dims": (32, 32),
    "batch_size": 64,
}


def test_climbs_about_as_far_as_the_data_go_and_without_the_other_term_beyond() -> None:
    """The data end at 0.5; what is beyond has only the critic's extrapolation."""
    far = {}
    for weight in (0.5, 1.0):
        engine = make_engine("mcq", rising(), td_weight=weight, **FAST)
        engine.train(200)
        far[weight] = engine.policy("test")(np.zeros((2, 1, 1), np.float32))
    assert 0.1 < far[0.5].min() < far[0.5].max() < 0.55
    assert far[1.0].min() > 0.7


def test_the_preflight_has_no_remarks() -> None:
    assert check(MCQ, MCQConfig(), OBS_DIM, ACTION_DIM) == []
