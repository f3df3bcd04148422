"""SfBC against the official code in plain PyTorch, by hand, and where data must be joined."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from algorithms.blocks.vp_sde import log_alpha, noise_level
from algorithms.engine.engine import Engine
from algorithms.engine.preflight import check
from algorithms.transitions import Transitions
from baselines.sfbc import SfBC, SfBCConfig
from tests.algorithms.blocks.test_score_networks import ScoreModel, learned_params
from tests.algorithms.blocks.test_vp_sde import marginal, solved
from tests.algorithms.reference import (
    adam_step,
    assert_same_weights,
    closed_form,
    learned,
    make_algorithm,
    of_seed,
    random_batch,
    random_noise,
    record,
)
from tests.algorithms.small import ACTION_DIM, OBS_DIM, make_engine, states_equal
from tests.baselines.bandit import GOOD, POOR, share_near, two_modes
from tests.baselines.stitching import half_good

BEHAVIOR, ROUND = 4, 3  # updates


def _promises(
    behavior: ScoreModel, critic: nn.Module, states: Tensor, draws: Tensor, alpha: float
) -> Tensor:
    """What the policy by that Q is worth in every state, of normalised returns. -> [N]."""
    values = []
    for start in draws:

        def predict(x: Tensor, time: float) -> Tensor:
            signal, sigma = marginal(time)
            return (x - sigma * behavior(states, x, torch.full((len(x), 1), time))) / signal

        actions = solved(predict, start.expand(len(states), -1), 3)
        values.append(critic(torch.cat([states, actions], 1))[:, 0])
    q = torch.stack(values)
    weights = torch.exp(alpha * q)
    return (weights * q).sum(0) / weights.sum(0)


def _planned(data: Transitions, values: NDArray[Any], discount: float) -> NDArray[np.float64]:
    """Episode by episode."""
    found = np.zeros(len(data))
    start = 0
    for end in data.episode_ends().tolist():
        later = 0.0
        for row in reversed(range(start, end)):
            later = max(float(data.rewards[row]) + discount * later, float(values[row]))
            found[row] = later
        start = end
    return found


def _column(engine: Engine, slot: int, name: str = "returns") -> NDArray[np.float32]:
    return np.asarray(engine.state(slot)[f"columns/{name}"])


def test_training_equals_plain_pytorch(transitions: Transitions) -> None:
    """Four updates of the behaviour, three of Q, planning, and three of a Q that begins anew."""
    total = BEHAVIOR + 2 * ROUND
    engine = make_engine(
        "sfbc",
        transitions,
        offline_steps=total,
        batch_size=12,
        behavior_dims=(12, 8, 6),
        behavior_share=BEHAVIOR / total,
        behavior_learning_rate=5e-4,
        critic_learning_rate=2e-2,
        planning_alpha=1.5,
        discount=0.9,
    )
    starts = [
        (
            ScoreModel(learned_params(engine, "behavior", slot)),
            learned(engine, "initial_critic", slot)[0],
        )
        for slot in (0, 1)
    ]
    seen = record(engine)
    engine.train(BEHAVIOR + ROUND)
    first = [_column(engine, slot) for slot in (0, 1)]
    engine.train(ROUND)
    assert len(seen) == total
    states = torch.tensor(transitions.observations)
    for slot, (behavior, initial) in enumerate(starts):
        critic = copy.deepcopy(initial)
        behavior_adam = torch.optim.Adam(behavior.parameters(), lr=5e-4)
        critic_adam = torch.optim.Adam(critic.parameters(), lr=2e-2)
        planned = _planned(transitions, np.full(len(transitions), -np.inf), 0.9)
        for i, (batch, noise) in enumerate(of_seed(seen, slot)):
            s, a = batch.observations, batch.actions
            if i < BEHAVIOR:
                time = 1e-3 + (1 - 1e-3) * noise["time"]
                x = log_alpha(time).exp() * a + noise_level(time) * noise["epsilon"]
                error = behavior(s, x, time) - noise["epsilon"]
                adam_step(behavior_adam, (error**2).sum(1).mean())
                continue
            if i == BEHAVIOR:
                np.testing.assert_allclose(first[slot], planned, rtol=1e-5, atol=1e-5)
            if i == BEHAVIOR + ROUND:
                with torch.no_grad():
                    values = _promises(behavior, critic, states, engine.algorithm.draws, 1.5)
                values = values.double() * planned.std() + planned.mean()
                better = values.numpy() > planned
                assert better.mean() > 0.05
                planned = _planned(transitions, values.numpy(), 0.9)
                critic.load_state_dict(initial.state_dict())
            rows = torch.cdist(s, states).argmin(1)
            target = torch.tensor((planned - planned.mean()) / max(planned.std(), 0.1)).float()[
                rows
            ]
            adam_step(critic_adam, ((critic(torch.cat([s, a], 1))[:, 0] - target) ** 2).mean())
        np.testing.assert_allclose(_column(engine, slot), planned, rtol=1e-4, atol=1e-4)
        found = ScoreModel(learned_params(engine, "behavior", slot))
        assert_same_weights(found, behavior)
        assert_same_weights(learned(engine, "critic", slot)[0], critic)


def test_planning_takes_what_an_episode_earns_or_a_promise_whichever_is_more() -> None:
    """γ = 0.5; the first episode ends by a time limit, beyond which nothing counts.

    The promise is the step's own, as in the official code, and not that of the next one.
    """
    data = Transitions.pack(
        observations=np.zeros((5, 1)),
        actions=np.zeros((5, 1)),
        rewards=np.array([1.0, 2.0, 3.0, 4.0, 5.0]),
        next_observations=np.zeros((5, 1)),
        terminals=np.array([0, 0, 0, 0, 1]),
        timeouts=np.array([0, 0, 1, 0, 0]),
    )
    algorithm: Any = make_algorithm("sfbc", discount=0.5)
    nothing = -np.inf
    values = np.array([[nothing] * 5, [0.0, 10.0, 0.0, 6.0, 8.0]], np.float32)
    planned = algorithm.plan(values, data, data.rewards)
    assert planned.tolist() == [[2.75, 3.5, 3.0, 6.5, 5.0], [6.0, 10.0, 3.0, 8.0, 8.0]]


def test_a_state_promises_the_softmax_mean_of_its_candidates_q() -> None:
    """Of two candidates with Q = 0 and 0.1, α = 20 weighs 1 to e²; returns are 5 + 2 Q."""
    algorithm: Any = make_algorithm("sfbc", planning_candidates=2)
    batch = random_batch(1, 3)
    units = {"mean": torch.full((1, 3), 5.0), "scale": torch.full((1, 3), 2.0)}
    q = torch.tensor([0.0, 0.1]).repeat(3).view(1, 1, 6)
    nets = closed_form(
        {
            "behavior": lambda _s, x, _t: torch.zeros_like(x),
            "critic": lambda *_: torch.full((1, 1, 6), torch.nan),
            "previous_critic": lambda *_: q,
        }
    )
    found = algorithm.promise(nets, batch._replace(columns=units))
    expected = 5 + 2 * 0.1 * math.exp(2) / (1 + math.exp(2))
    torch.testing.assert_close(found, torch.full((1, 3), expected))


@pytest.mark.parametrize("scale", [0.0, 3.0])
def test_q_learns_returns_of_mean_0_and_deviation_1_unless_they_hardly_differ(
    scale: float, transitions: Transitions
) -> None:
    """Where they do not, they are divided by 0.1."""
    engine = make_engine("sfbc", transitions, reward_scale=max(scale, 1e-9), offline_steps=8)
    engine.train(7)
    for slot in (0, 1):
        column = _column(engine, slot).astype(np.float64)
        expected = max(column.std(), 0.1)
        assert expected == 0.1 if scale == 0 else expected > 0.5
        np.testing.assert_allclose(_column(engine, slot, "scale"), expected, rtol=1e-4)
        np.testing.assert_allclose(_column(engine, slot, "mean"), column.mean(), rtol=1e-4)
    algorithm = make_algorithm("sfbc")
    batch = random_batch(1, 2)._replace(
        columns={
            "returns": torch.tensor([[7.0, 1.0]]),
            "mean": torch.full((1, 2), 4.0),
            "scale": torch.full((1, 2), 1.5),
        }
    )
    nets = closed_form({"critic": lambda *_: torch.tensor([[[1.0, 0.0]]])})
    loss, _ = algorithm.critic_loss(nets, batch, {})
    assert float(loss) == pytest.approx((1 + 4) / 2)


def test_every_round_begins_with_the_same_weights(transitions: Transitions) -> None:
    engine = make_engine(
        "sfbc",
        transitions,
        offline_steps=8,
        behavior_share=0.25,
        rounds=3,
        critic_learning_rate=1e-9,
    )
    initial = [learned(engine, "initial_critic", slot) for slot in (0, 1)]
    for _ in range(4):
        engine.train(2)
        for slot in (0, 1):
            if engine.step > 2:
                assert_same_weights(learned(engine, "critic", slot), initial[slot])


def test_rounds_leave_the_behaviour_as_it_was_trained(transitions: Transitions) -> None:
    engine = make_engine("sfbc", transitions, offline_steps=8)
    engine.train(4)
    before = engine.state(0)
    engine.train(4)
    after = engine.state(0)
    kept = [key for key in after if "/behavior/" in key]
    assert kept
    assert states_equal({key: before[key] for key in kept}, {key: after[key] for key in kept})


def test_acts_by_the_ode_from_noise_and_by_the_softmax_of_alpha_times_q() -> None:
    algorithm: Any = make_algorithm("sfbc", alpha=50.0, diffusion_steps=3)
    assert algorithm.selection_temperature == 0.02
    nets = closed_form({"behavior": lambda _s, x, _t: 0.5 * x})
    noise = random_noise(algorithm.act_noise, 1, 4)
    actions = algorithm.act(nets, torch.zeros(1, 4, OBS_DIM), noise)

    def predict(x: Tensor, time: float) -> Tensor:
        signal, sigma = marginal(time)
        return (x - sigma * 0.5 * x) / signal

    torch.testing.assert_close(actions[0], solved(predict, noise["start"][0], 3), rtol=1e-4, atol=0)
    nets = closed_form({"critic": lambda *_: torch.tensor([[[3.0, 4.0]]])})
    assert algorithm.action_value(nets, torch.zeros(1, 2, 1), torch.zeros(1, 2, 1)).tolist() == [
        [3.0, 4.0]
    ]


FAST = {
    "batch_size": 64,
    "hidden_dims": (32, 32),
    "behavior_dims": (32, 32, 16),
    "behavior_share": 0.6,
    "behavior_learning_rate": 5e-3,
    "critic_learning_rate": 5e-3,
    "diffusion_steps": 7,
    "planning_candidates": 8,
}


def test_the_critic_finds_the_mode_that_pays_and_samples_alone_do_not() -> None:
    engine = make_engine("sfbc", two_modes(), offline_steps=400, rounds=1, **FAST)
    engine.train(400)
    assert (share_near(GOOD, engine, 1.0) > 0.9).all()
    samples = engine.policy("test", "noise-1")(np.zeros((2, 500, 1), np.float32))
    good, poor = (np.linalg.norm(samples - mode, axis=-1) for mode in (GOOD, POOR))
    share = (good < poor).mean(1)
    assert ((share > 0.35) & (share < 0.65)).all()


def test_planning_tells_the_first_step_what_the_next_ones_can_earn() -> None:
    """One can be had at first and then two, of which an episode has either: three in all.

    By the returns of the data alone the two are worth more, and the first step is to miss the one.
    """
    settings = {**FAST, "behavior_share": 0.4, "critic_learning_rate": 1e-2}
    data, first = half_good(second=2), {}
    for rounds in (1, 2):
        engine = make_engine("sfbc", data, offline_steps=500, rounds=rounds, **settings)
        engine.train(500)
        first[rounds] = share_near(GOOD, engine, 1.0)  # in the first state
    assert first[1].max() < 0.1
    assert first[2].min() > 0.9


def test_with_the_tasks_q_only_the_behaviour_is_trained() -> None:
    known = make_algorithm("sfbc", normalize_observations=False)
    assert [stage.share for stage in known.stages] == pytest.approx([0.92, 0.04, 0.04])
    config = SfBCConfig(known_q=True)
    algorithm = SfBC(config, OBS_DIM, ACTION_DIM, known_q=known.networks["critic"])
    assert [phase.trains for stage in algorithm.stages for phase in stage.phases] == [("behavior",)]


def test_the_preflight_has_no_remarks() -> None:
    assert check(SfBC, SfBCConfig(), OBS_DIM, ACTION_DIM) == []
