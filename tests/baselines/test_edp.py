"""EDP against the official code's steps in plain PyTorch, by hand, and on a bandit."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from algorithms.engine.preflight import check
from algorithms.transitions import Transitions
from baselines.edp import EDP, EDPConfig
from tests.algorithms.blocks.test_diffusion import NoiseModel, embedding, learned_noise_model
from tests.algorithms.blocks.test_vp_sde import marginal, solved
from tests.algorithms.reference import (
    adam_step,
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
from tests.algorithms.small import ACTION_DIM, OBS_DIM, make_engine
from tests.baselines.bandit import GOOD, two_modes

LEARNERS = ("td3", "crr", "iql")


def _epsilon(actor: NoiseModel, s: Tensor, x: Tensor, time: Tensor) -> Tensor:
    """Of times `[B, 1]`, which the network sees as steps from 0 to 999."""
    step = actor.step(torch.stack([embedding(float(1000 * t) - 1) for t in time[:, 0]]))
    return actor.body(torch.cat([s, x, step], 1))


def _guess(actor: NoiseModel, s: Tensor, x: Tensor, time: Tensor) -> Tensor:
    alphas, sigmas = torch.tensor([marginal(float(t)) for t in time[:, 0]]).T.unsqueeze(-1)
    return ((x - sigmas * _epsilon(actor, s, x, time)) / alphas).clip(-1, 1)


def _draw(actor: NoiseModel, s: Tensor, start: Tensor) -> Tensor:
    def predict(x: Tensor, time: float) -> Tensor:
        return _guess(actor, s, x, torch.full((len(x), 1), time))

    return solved(predict, start, 3)


@pytest.mark.parametrize("learner", LEARNERS)
def test_training_equals_plain_pytorch(learner: str, transitions: Transitions) -> None:
    engine = make_engine(
        "edp",
        transitions,
        learner=learner,
        batch_size=6,
        discount=0.9,
        learning_rate=3e-3,
        alpha=1.5,
        crr_samples=2,
        crr_temperature=0.5,
        crr_max_weight=2.0,
        expectile=0.8,
        iql_temperature=2.0,
        iql_max_weight=1.5,
        tau=0.05,
        ema=0.1,
        max_grad_norm=0.5,
    )
    names = ["critic", "value"] if learner == "iql" else ["critic"]
    starts = [
        {"actor": learned_noise_model(engine, slot)}
        | {name: learned(engine, name, slot) for name in names}
        for slot in (0, 1)
    ]
    seen = record(engine)
    engine.train(4)
    for slot, networks in enumerate(starts):
        old = copy.deepcopy(networks)
        actor, critic = networks["actor"], networks["critic"]
        adams = {n: torch.optim.Adam(net.parameters(), lr=3e-3) for n, net in networks.items()}
        for batch, noise in of_seed(seen, slot):
            s, a, following = batch.observations, batch.actions, batch.next_observations
            time = 1e-3 + (1 - 1e-3) * noise["time"]
            alphas, sigmas = torch.tensor([marginal(float(t)) for t in time[:, 0]]).T.unsqueeze(-1)
            x = alphas * a + sigmas * noise["epsilon"]
            bc_loss = (_epsilon(actor, s, x, time) - noise["epsilon"]).square().mean()
            guess = _guess(actor, s, x, time)
            log_prob = torch.distributions.Normal(guess, 1.0).log_prob(a).sum(1)
            if learner == "iql":
                value = networks["value"][0]
                q = q_values(old["critic"], s, a).min(0).values.detach()
                u = q - value(s)[:, 0]
                loss = torch.where(u > 0, 0.8 * u**2, 0.2 * u**2).mean()
                adam_step(adams["value"], loss, 0.5)
                with torch.no_grad():
                    weight = torch.exp(2 * (q - value(s)[:, 0])).clip(max=1.5)
                    next_value = value(following)[:, 0]
                adam_step(adams["actor"], bc_loss - (weight * log_prob).mean(), 0.5)
            else:
                with torch.no_grad():
                    next_actions = _draw(old["actor"], following, noise["next_start"])
                    next_value = q_values(old["critic"], following, next_actions).min(0).values
                qs = q_values(critic, s, guess)
                if learner == "td3":
                    first, second = qs
                    climbs = (q.mean() / q.abs().mean().detach() for q in (first, second))
                    term = -1.5 * sum(climbs) / 2
                else:
                    with torch.no_grad():
                        around = [guess + z for z in noise["around"].split(ACTION_DIM, 1)]
                        mean = sum(q_values(critic, s, other).min(0).values for other in around) / 2
                        weight = torch.exp((q_values(critic, s, a).min(0).values - mean) / 0.5)
                    term = -(weight.clip(max=2.0) * log_prob).mean()
                gradients = torch.autograd.grad(bc_loss + term, list(actor.parameters()))
            target = batch.rewards + 0.9 * batch.masks * next_value
            first, second = q_values(critic, s, a)
            loss = ((first - target) ** 2).mean() + ((second - target) ** 2).mean()
            adam_step(adams["critic"], loss, 0.5)
            polyak(old["critic"], critic, 0.05)
            if learner != "iql":  # with the critic from before its step
                for parameter, gradient in zip(actor.parameters(), gradients, strict=True):
                    parameter.grad = gradient
                nn.utils.clip_grad_norm_(list(actor.parameters()), 0.5)
                adams["actor"].step()
                polyak(old["actor"], actor, 0.1)
        assert_same_weights(learned_noise_model(engine, slot), actor)
        for name in names:
            assert_same_weights(learned(engine, name, slot), networks[name])
        assert_same_weights(learned(engine, "critic", slot, "targets"), old["critic"])
        if learner != "iql":
            assert_same_weights(learned_noise_model(engine, slot, "targets"), old["actor"])


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_each_critic_is_climbed_in_units_of_itself(scale: float) -> None:
    """Q_1 = 3, -1 (mean 1, size 2) and Q_2 = 8, 0 (4 and 4): −α (1/2 + 4/4) / 2."""
    nets = closed_form({"critic": lambda *_: scale * torch.tensor([[[3.0, -1.0], [8.0, 0.0]]])})
    batch = random_batch(1, 2)
    term = make_algorithm("edp", alpha=4.0).climb(nets, batch.observations, batch.actions)
    assert term.tolist() == pytest.approx([-3.0])


def test_the_policy_is_judged_by_the_action_that_one_guess_leads_to() -> None:
    """The true noise leads back to the data's action; no noise at all, to beyond the box."""
    batch, algorithm = random_batch(1, 4), make_algorithm("edp")
    noise = random_noise(algorithm.noise, 1, 4)
    judged = []

    def critic(_s: Tensor, a: Tensor) -> Tensor:
        judged.append(a)
        return a.sum(-1).unsqueeze(1).expand(-1, 2, -1)

    for predicted in (noise["epsilon"], -1e6 * torch.ones(1, 4, ACTION_DIM)):
        nets = closed_form({"actor": lambda *_, e=predicted: e, "critic": critic})
        algorithm.actor_loss(nets, batch, noise)
    torch.testing.assert_close(judged[0], batch.actions, rtol=1e-3, atol=1e-3)
    assert torch.equal(judged[1], torch.ones(1, 4, ACTION_DIM))


def test_a_better_action_than_those_around_the_guess_weighs_more_up_to_a_bound() -> None:
    """Q = a_1 + a_2 is 2 less for the guess, on average, than for the data, or 2 more: e^±2/β."""
    batch = random_batch(1, 2)
    guess = batch.actions + torch.tensor([[-1.0], [1.0]])
    nets = closed_form(
        {"critic": lambda _s, a: torch.stack([a.sum(-1), a.sum(-1) + 7], 1)},
    )
    around = torch.tensor([[1.0, 0.0, -1.0, 0.0]]).expand(1, 2, 4)  # two samples, of mean 0
    for bound in (20.0, 3.0):
        algorithm = make_algorithm(
            "edp", learner="crr", crr_samples=2, crr_temperature=0.8, crr_max_weight=bound
        )
        weight = algorithm.weight(nets, batch, guess, {"around": around})
        expected = [min(math.exp(2 / 0.8), bound), math.exp(-2 / 0.8)]
        assert weight[0].tolist() == pytest.approx(expected, rel=1e-4)


def test_iqls_weight_is_of_the_smaller_target_beyond_v_up_to_a_bound() -> None:
    """Targets 2 and 3 over V = 1, and 9 and 8: e^(3 · 1), and e^(3 · 7), which is too much."""
    nets = closed_form(
        {"critic": lambda *_: torch.zeros(1, 2, 2), "value": lambda _: torch.ones(1, 2)},
        target={"critic": lambda *_: torch.tensor([[[2.0, 9.0], [3.0, 8.0]]])},
    )
    batch = random_batch(1, 2)
    weight = make_algorithm("edp", learner="iql").weight(nets, batch, batch.actions, {})
    assert weight[0].tolist() == pytest.approx([math.exp(3), 100.0], rel=1e-5)


def test_backups_use_the_average_policy_and_stop_at_terminals() -> None:
    """r = 1, γ = 0.5, Q = 0; the average policy's actions end clipped at −1 and Q' is −4 a_1."""
    batch = random_batch(1, 2)._replace(rewards=torch.ones(1, 2), masks=torch.tensor([[1.0, 0.0]]))
    nets = closed_form(
        {
            "critic": lambda *_: torch.zeros(1, 2, 2),
            "actor": lambda _s, x, _k: torch.full_like(x, -1e6),
        },
        target={
            "actor": lambda _s, x, _k: torch.full_like(x, 1e6),
            "critic": lambda _s, a: torch.stack([-4 * a[..., 0], -6 * a[..., 0]], 1),
        },
    )
    algorithm = make_algorithm("edp", discount=0.5)
    loss, _ = algorithm.critic_loss(nets, batch, random_noise(algorithm.noise, 1, 2))
    assert float(loss) == pytest.approx(2 * ((1 + 0.5 * 4) ** 2 + 1) / 2, rel=0.03)


def test_acts_by_one_sample_of_the_trained_policy() -> None:
    nets = closed_form(
        {"actor": lambda _s, x, _k: torch.full_like(x, -1e6)},
        target={"actor": lambda _s, x, _k: torch.full_like(x, 1e6)},
    )
    algorithm = make_algorithm("edp")
    noise = random_noise(algorithm.act_noise, 1, 3)
    actions = algorithm.act(nets, random_batch(1, 3).observations, noise)
    torch.testing.assert_close(actions, torch.ones(1, 3, ACTION_DIM), rtol=0, atol=0.05)


@pytest.mark.parametrize("learner", LEARNERS)
def test_single_samples_leave_the_mode_that_pays_less(learner: str) -> None:
    """Half of the data are in either, and the cloning term alone would keep it so."""
    engine = make_engine(
        "edp",
        two_modes(),
        offline_steps=200,
        batch_size=64,
        learner=learner,
        learning_rate=5e-3,
        crr_temperature=0.2,
        diffusion_steps=5,
        tau=0.1,
    )
    engine.train(200)
    actions = engine.policy("test", "noise-1")(np.zeros((2, 500, 1), np.float32))
    assert (np.linalg.norm(actions - GOOD, axis=-1) < 1.0).mean(1).min() > 0.65


@pytest.mark.parametrize("learner", LEARNERS)
def test_the_preflight_has_no_remarks(learner: str) -> None:
    config = EDPConfig.model_validate({"learner": learner})
    assert check(EDP, config, OBS_DIM, ACTION_DIM) == []
