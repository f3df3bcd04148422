"""Decision Flow in the engine: what its stages change, and that each can be interrupted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from algorithms.transitions import Transitions
from tests.algorithms.small import OBS_DIM, make_engine, states_equal

variants = pytest.mark.parametrize("variant", ["df-dir", "df-div"])


@variants
def test_a_single_flow_step_trains(variant: str, transitions: Transitions) -> None:
    """With T = 1 no decision precedes the last, so there is nothing to ask the flow critic."""
    engine = make_engine(variant, transitions, pretrain_share=0.5, flow_steps=1)
    engine.train(40)
    assert all(np.isfinite(value).all() for value in engine.metrics().values())


@variants
def test_improvement_starts_at_the_averaged_behaviour_and_freezes_the_rest(
    variant: str, transitions: Transitions
) -> None:
    engine = make_engine(
        variant, transitions, pretrain_share=0.5, policy_learning_rate=1e-30
    )  # too small to move a weight
    engine.train(20)
    pretrained = engine.state(0)
    engine.train(20)
    end = engine.state(0)
    for key, value in end.items():
        group, name, *rest = key.split("/")
        if name == "policy" and group in ("params", "targets"):
            assert (value == pretrained["/".join(["targets", "behavior", *rest])]).all()
        elif name in ("behavior", "critic", "value") and group != "metrics":
            assert (value == pretrained[key]).all(), key
        elif name == "flow_critic" and group == "params" and rest[0].startswith("weight"):
            assert (value != pretrained[key]).any(), key
    assert (end["updates/behavior"], end["updates/policy"]) == (20, 20)


def test_a_joint_critic_learns_on_while_the_behaviour_stays(transitions: Transitions) -> None:
    engine = make_engine("df-div-joint", transitions, pretrain_share=0.5)
    engine.train(20)
    pretrained = engine.state(0)
    engine.train(20)
    end = engine.state(0)
    for key in ("params/critic", "targets/critic", "params/value"):
        assert (end[f"{key}/weight_0"] != pretrained[f"{key}/weight_0"]).any(), key
    assert (end["params/behavior/weight_0"] == pretrained["params/behavior/weight_0"]).all()
    assert (end["updates/behavior"], end["updates/critic"], end["updates/value"]) == (20, 40, 40)


@variants
def test_until_the_policy_has_trained_the_behaviour_flow_acts(
    variant: str, transitions: Transitions
) -> None:
    """At the last step of the first stage still, and no longer one step on."""
    engine = make_engine(variant, transitions, offline_steps=40, pretrain_share=0.5, rho=0.0)
    observations = np.ones((2, 4, OBS_DIM), np.float32)
    engine.train(20)
    behavior = engine.policy("test")(observations)
    engine.train(1)
    improved = engine.policy("test")(observations)
    assert not np.array_equal(behavior, improved)
    # One update moves the policy's average by a hair: it started where the behaviour flow was.
    np.testing.assert_allclose(behavior, improved, atol=1e-4)


@pytest.mark.parametrize("algorithm_id", ["df-dir", "df-div-distilled"])
def test_every_stage_learns_resumes_and_stacks_with_the_same_bits(
    algorithm_id: str, transitions: Transitions
) -> None:
    """Warm start, pretraining, improvement and distillation: saved inside each of them."""
    settings: dict[str, Any] = {
        "offline_steps": 80,
        "flow_steps": 3,
        "warm_start_share": 0.2,
        "pretrain_share": 0.4,
        "reward_transform": "mean-return",
    }
    if algorithm_id == "df-div-distilled":
        settings["distill_share"] = 0.2
    straight = make_engine(algorithm_id, transitions, (7, 3), **settings)
    straight.train(80)
    assert all(np.isfinite(value).all() for value in straight.metrics().values())
    alone = make_engine(algorithm_id, transitions, (3,), **settings)
    for steps in (9, 14, 30, 17, 10):
        alone.train(steps)
        fresh = make_engine(algorithm_id, transitions, (3,), **settings)
        fresh.load_state([alone.state(0)], alone.step)
        alone = fresh
    assert alone.step == 80
    assert states_equal(straight.state(1), alone.state(0))
    assert not states_equal(straight.state(0), alone.state(0))
