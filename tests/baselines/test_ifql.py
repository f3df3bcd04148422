"""IFQL: pretraining that goes on, and a critic that only ranks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from algorithms.transitions import Transitions
from tests.algorithms.reference import (
    closed_form,
    make_algorithm,
    random_batch,
    random_noise,
)
from tests.algorithms.small import OBS_DIM, make_engine, states_equal
from tests.baselines.bandit import GOOD, POOR, STD, share_near, two_modes

DECISION_FLOWS = {
    "normalize_observations": True,
    "expectile": 0.7,
    "pretrain_learning_rate": 1e-3,
    "behavior_ema": 0.1,
}


@pytest.mark.parametrize("warm_start_share", [0.0, 0.2])
def test_training_is_decision_flows_pretraining_to_the_end(
    warm_start_share: float, transitions: Transitions
) -> None:
    """40 steps of it, where DF has its first 40 of 80."""
    settings = {**DECISION_FLOWS, "tau": 0.05, "warm_start_share": warm_start_share}
    ifql = make_engine("ifql", transitions, offline_steps=40, pretrain_share=0.5, **settings)
    settings["warm_start_share"] = warm_start_share / 2
    df = make_engine("df-dir", transitions, offline_steps=80, pretrain_share=0.5, **settings)
    assert ifql.pretraining_steps == 20
    for engine in (ifql, df):
        engine.train(40)
    assert all((int(v) == 40) for k, v in ifql.state(0).items() if k.startswith("updates/"))
    expected = df.pretrained_state(1)
    learned = {k: v for k, v in ifql.state(1).items() if not k.startswith("metrics/")}
    assert states_equal(learned, {k: expected[k] for k in learned})


def test_a_sample_is_what_decision_flow_acts_by_before_it_improves(
    transitions: Transitions,
) -> None:
    observations = np.ones((2, 5, OBS_DIM), np.float32)
    actions = []
    for algorithm_id in ("ifql", "df-div"):
        engine = make_engine(algorithm_id, transitions, pretrain_share=0.5, **DECISION_FLOWS)
        engine.train(20)
        actions.append(engine.policy("test", "noise-1")(observations))
    assert np.array_equal(*actions)


def test_acts_by_integrating_the_averaged_behaviour_flow() -> None:
    """u(s, x, t) = x + t in two Euler steps: x_1 = 1.5 x_0, x_2 = 1.5 x_1 + 0.25."""
    nets = closed_form(
        {"behavior": lambda _s, x, _t: torch.full_like(x, 1e6)},
        target={"behavior": lambda _s, x, t: x + t},
    )
    algorithm: Any = make_algorithm("ifql", flow_steps=2)
    noise = random_noise(algorithm.act_noise, 1, 3)
    actions = algorithm.act(nets, random_batch(1, 3).observations, noise)
    torch.testing.assert_close(actions, 1.5**2 * noise["x0"] + 0.25)


def test_the_critic_finds_the_mode_that_pays_and_samples_alone_do_not() -> None:
    engine = make_engine(
        "ifql",
        two_modes(),
        offline_steps=300,
        hidden_dims=(32, 32),
        batch_size=64,
        pretrain_learning_rate=5e-3,
        behavior_ema=0.02,
    )
    engine.train(300)
    assert (share_near(GOOD, engine, 4 * STD) > 0.9).all()
    samples = engine.policy("test", "noise-1")(np.zeros((2, 500, 1), np.float32))
    good, poor = (np.linalg.norm(samples - mode, axis=-1) for mode in (GOOD, POOR))
    share = (good < poor).mean(1)
    assert ((share > 0.35) & (share < 0.65)).all()
