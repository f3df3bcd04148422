"""QGPO against the official code's steps in plain PyTorch, by hand, and where exact is known."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from algorithms.blocks.vp_sde import log_alpha, noise_level
from algorithms.engine.preflight import check
from algorithms.engine.streams import generator
from algorithms.transitions import Transitions
from baselines.qgpo import QGPO, QGPOConfig
from tests.algorithms.blocks.test_score_networks import GuidanceModel, ScoreModel, learned_params
from tests.algorithms.blocks.test_vp_sde import marginal, solved
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
from tests.baselines.bandit import GOOD, share_near, two_modes

K, STATES = 3, 4
SMALL = {
    "batch_size": 8,
    "critic_batch_size": STATES,
    "behavior_dims": (12, 8, 6),
    "behavior_share": 0.4,
    "behavior_learning_rate": 1e-3,
    "support_actions": K,
}
SEEN = {"support": "observations", "next_support": "next_observations"}


def _drawn(behavior: ScoreModel, states: Tensor, starts: Tensor) -> Tensor:
    """K actions of every state, one state at a time. -> [N, K, ACTION_DIM]."""

    def actions(state: Tensor, start: Tensor) -> Tensor:
        def predict(x: Tensor, time: float) -> Tensor:
            alpha, sigma = marginal(time)
            return (x - sigma * behavior(state.expand(K, -1), x, torch.full((K, 1), time))) / alpha

        return solved(predict, start, 3)

    return torch.stack([actions(s, start) for s, start in zip(states, starts, strict=True)])


def _smaller(critic: nn.ModuleList, states: Tensor, actions: Tensor) -> Tensor:
    """[STATES, K] of the actions."""
    inputs = torch.cat([states.unsqueeze(1).expand(-1, actions.shape[1], -1), actions], 2)
    first, second = (member(inputs)[..., 0] for member in critic)
    return torch.minimum(first, second)


def test_training_equals_plain_pytorch(transitions: Transitions) -> None:
    """Four updates of the behaviour, four of critics and guidance, two of the guidance."""
    engine = make_engine(
        "qgpo",
        transitions,
        offline_steps=10,
        **SMALL,
        critic_share=2 / 3,
        learning_rate=1e-3,
        beta=2.0,
        backup_beta=0.7,
        discount=0.9,
        tau=0.05,
    )
    network = engine.algorithm.networks["guidance"]
    starts = [
        (
            ScoreModel(learned_params(engine, "behavior", slot)),
            GuidanceModel(network, learned_params(engine, "guidance", slot)),
            learned(engine, "critic", slot),
        )
        for slot in (0, 1)
    ]
    seen = record(engine)
    engine.train(10)
    kinds = ["behavior"] * 4 + ["critic", "guidance"] * 4 + ["guidance"] * 2
    assert len(seen) == len(kinds)
    for slot, (behavior, guidance, critic) in enumerate(starts):
        old = copy.deepcopy(critic)
        adams = {
            "behavior": torch.optim.Adam(behavior.parameters(), lr=1e-3),
            "critic": torch.optim.Adam(critic.parameters(), lr=1e-3),
            "guidance": torch.optim.Adam(guidance.parameters(), lr=1e-3),
        }
        for kind, (batch, noise) in zip(kinds, of_seed(seen, slot), strict=True):
            time = 1e-3 + (1 - 1e-3) * noise["time"]
            alpha, sigma = log_alpha(time).exp(), noise_level(time)
            s, a, following = (
                x[:STATES] for x in (batch.observations, batch.actions, batch.next_observations)
            )
            support, next_support = (
                batch.columns[name][:STATES].view(STATES, K, ACTION_DIM)
                if name in batch.columns
                else torch.empty(0)
                for name in ("support", "next_support")
            )
            if kind == "behavior":
                x = alpha * batch.actions + sigma * noise["epsilon"]
                errors = behavior(batch.observations, x, time) - noise["epsilon"]
                loss = errors.square().sum(1).mean()
            elif kind == "critic":
                with torch.no_grad():
                    q = _smaller(old, following, next_support)
                    weight = torch.exp(0.7 * q)
                    value = (weight * q).sum(1) / weight.sum(1)
                    target = batch.rewards[:STATES] + 0.9 * batch.masks[:STATES] * value
                first, second = (member(torch.cat([s, a], 1))[:, 0] for member in critic)
                loss = ((first - target) ** 2).mean() / 2 + ((second - target) ** 2).mean() / 2
            else:
                with torch.no_grad():
                    weight = torch.exp(2 * _smaller(old, s, support))
                    truth = weight / weight.sum(1, keepdim=True)
                draws = noise["support_epsilon"].reshape(-1, ACTION_DIM)[: STATES * K]
                terms = []
                for i in range(STATES):
                    x = alpha[i] * support[i] + sigma[i] * draws.view(STATES, K, -1)[i]
                    f = guidance(s[i].expand(K, -1), x, time[i].expand(K, 1))
                    terms.append(-(truth[i] * (f - f.logsumexp(0))).sum())
                loss = torch.stack(terms).mean()
            adam_step(adams[kind], loss)
            if kind == "critic":
                polyak(old, critic, 0.05)
        assert_same_weights(ScoreModel(learned_params(engine, "behavior", slot)), behavior)
        assert_same_weights(learned(engine, "critic", slot), critic)
        assert_same_weights(learned(engine, "critic", slot, "targets"), old)
        found = GuidanceModel(network, learned_params(engine, "guidance", slot))
        guidance.body[-1].bias.data.zero_()  # no loss depends on it, so rounding moves it
        found.body[-1].bias.data.zero_()
        assert_same_weights(found, guidance)


def test_support_is_drawn_once_for_all_data_and_kept(transitions: Transitions) -> None:
    """As the trained behaviour draws it: other noise for every state, next state and seed."""
    engine = make_engine(
        "qgpo",
        transitions,
        offline_steps=10,
        **SMALL,
        critic_share=0.5,
    )
    engine.train(5)
    behaviors = [ScoreModel(learned_params(engine, "behavior", slot)) for slot in (0, 1)]
    states = [engine.state(slot) for slot in (0, 1)]
    found = {name: [state[f"columns/{name}"] for state in states] for name in SEEN}
    rows = torch.tensor([0, 40, len(transitions) - 1])  # of three parts of the data
    for place, (name, seen) in enumerate(SEEN.items()):
        observations = torch.from_numpy(np.array(getattr(transitions, seen)))
        for slot, seed in enumerate(engine.seeds):
            starts = torch.cat(
                [
                    torch.randn(
                        min(32, len(transitions) - first),
                        K * ACTION_DIM,
                        generator=generator("column", seed, 1, name, first),
                    )
                    for first in range(0, len(transitions), 32)
                ]
            )
            expected = _drawn(
                behaviors[slot], observations[rows], starts[rows].view(3, K, ACTION_DIM)
            )
            torch.testing.assert_close(
                torch.from_numpy(found[name][slot])[rows].view(3, K, ACTION_DIM),
                expected,
                rtol=1e-3,
                atol=1e-3,
            )
            assert place == 0 or not np.allclose(found[name][slot], found["support"][slot])
    engine.train(5)
    for slot in (0, 1):
        state = engine.state(slot)
        np.testing.assert_array_equal(state["columns/support"], found["support"][slot])
        assert "columns/next_support" not in state


def test_a_backup_takes_the_values_of_the_support_by_their_softmax() -> None:
    """Q' of actions 0 and ln 3 / 2 at β_Q = 2 weigh 1/4 and 3/4; and there is none at the end."""
    values = torch.tensor([0.0, math.log(3) / 2])
    q = values.repeat(2).view(1, 1, 4)
    nets = closed_form(
        {
            "behavior": lambda _s, x, _t: torch.zeros_like(x),
            "critic": lambda *_: torch.zeros(1, 2, 2),
        },
        target={"critic": lambda *_: torch.cat([q, q + 1], 1)},
    )
    algorithm = make_algorithm(
        "qgpo", batch_size=2, support_actions=2, backup_beta=2.0, discount=0.5
    )
    batch = random_batch(1, 2, algorithm)
    batch = batch._replace(rewards=torch.ones(1, 2), masks=torch.tensor([[1.0, 0.0]]))
    loss, _ = algorithm.critic_loss(nets, batch, random_noise(algorithm.noise, 1, 2))
    backup = 1 + 0.5 * 0.75 * math.log(3) / 2
    assert float(loss) == pytest.approx((backup**2 + 1) / 2, rel=1e-5)


def test_the_guidance_tells_equally_noisy_actions_of_one_state_apart() -> None:
    """p = softmax(β Q) = 1/4, 3/4 and f = 0, ln 2 make −ln(1/3) / 4 − 3 ln(2/3) / 4."""
    times = []

    def f(_s: Tensor, _x: Tensor, time: Tensor) -> Tensor:
        times.append(time)
        return torch.tensor([[0.0, math.log(2)] * 2])

    nets = closed_form(
        {"behavior": lambda _s, x, _t: torch.zeros_like(x), "guidance": f},
        target={"critic": lambda *_: torch.tensor([[[0.0, math.log(3) / 2] * 2] * 2])},
    )
    algorithm = make_algorithm("qgpo", batch_size=2, support_actions=2, beta=2.0)
    batch = random_batch(1, 2, algorithm)
    loss, _ = algorithm.guidance_loss(nets, batch, random_noise(algorithm.noise, 1, 2))
    assert float(loss) == pytest.approx(-math.log(1 / 3) / 4 - math.log(2 / 3) * 3 / 4, rel=1e-5)
    first, second = times[0].view(2, 2).tolist()
    assert first[0] == first[1] != second[0] == second[1]


@pytest.mark.parametrize("scale", [0.0, 1.0, 2.5])
def test_exact_guidance_samples_the_tilted_gaussian(scale: float) -> None:
    """μ = N(0.1, 0.3²) and s β Q = s · 1.5 a make N(0.1 + 1.5 s 0.3², 0.3²)."""

    def gain(time: Tensor) -> Tensor:
        """Of the action that x_t lets expect."""
        alpha, sigma = log_alpha(time).exp(), noise_level(time)
        return alpha * 0.09 / (alpha.square() * 0.09 + sigma.square())

    def epsilon(_s: Tensor, x: Tensor, time: Tensor) -> Tensor:
        alpha, sigma = log_alpha(time).exp(), noise_level(time)
        return (x - alpha * (0.1 + gain(time) * (x - alpha * 0.1))) / sigma

    nets = closed_form(
        {"behavior": epsilon, "guidance": lambda _s, x, t: (1.5 * gain(t) * x).sum(-1)}
    )
    algorithm = make_algorithm("qgpo", guidance_scale=scale, diffusion_steps=241)
    start = torch.linspace(-2, 2, 5).view(1, 5, 1).expand(1, 5, ACTION_DIM)
    actions = algorithm.act(nets, torch.zeros(1, 5, OBS_DIM), {"start": start})
    expected = 0.1 + 1.5 * scale * 0.09 + 0.3 * start
    torch.testing.assert_close(actions, expected, rtol=0, atol=0.01)


def test_acts_as_the_data_until_guidance_takes_it_from_the_mode_that_pays_less() -> None:
    """As often in one mode as in the other, then e^8 times as often in the better one."""
    engine = make_engine(
        "qgpo",
        two_modes(),
        offline_steps=320,
        batch_size=64,
        critic_batch_size=16,
        behavior_learning_rate=1e-2,
        learning_rate=1e-2,
        behavior_share=0.5,
        support_actions=4,
        diffusion_steps=5,
        beta=8.0,
        tau=0.1,
    )
    engine.train(160)
    np.testing.assert_allclose(share_near(GOOD, engine, 1.0), 0.5, atol=0.2)
    engine.train(160)
    assert share_near(GOOD, engine, 1.0).min() > 0.8


def test_the_preflight_has_no_remarks() -> None:
    assert check(QGPO, QGPOConfig(), OBS_DIM, ACTION_DIM) == []
