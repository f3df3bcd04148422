"""What flow policies start from: its losses, and that methods with equal settings can share it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from algorithms import registry
from algorithms.blocks.critics import iql_critic_loss, monte_carlo_critic_loss
from algorithms.blocks.flow import flow_matching_loss
from algorithms.engine.schedule import Schedule
from algorithms.transitions import Transitions
from tests.algorithms.flow_reference import leaves, reached_by_gradients
from tests.algorithms.reference import make_algorithm, random_batch, random_noise
from tests.algorithms.small import make_engine, states_equal

SEEDS, BATCH = 2, 4
SHARERS = ("df-dir", "df-div", "ifql", "flow-bptt")
# Decision Flow's, of which the defaults of ifql are others.
COMMON = {
    "normalize_observations": True,
    "expectile": 0.7,
    "pretrain_learning_rate": 1e-3,
    "behavior_ema": 1e-3,
}

pretrainings = pytest.mark.parametrize(
    "settings",
    [
        COMMON,
        {**COMMON, "warm_start_share": 0.2, "tau": 0.02},
        {
            **COMMON,
            "reward_transform": "mean-return",
            "expectile": 0.9,
            "pretrain_learning_rate": 3e-3,
        },
    ],
    ids=["default", "warm start", "rewards and critic"],
)


@pytest.mark.parametrize("warm", [False, True])
def test_pretraining_sums_flow_matching_and_a_critics_losses(warm: bool) -> None:
    """The warm start's critic fits returns; after it, IQL's bootstraps."""
    algorithm: Any = make_algorithm("df-div", discount=0.9, expectile=0.8)
    _, _, nets = leaves(algorithm, SEEDS)
    batch, noise = random_batch(SEEDS, BATCH), random_noise(algorithm.noise, SEEDS, BATCH)
    loss, metrics = (algorithm.warm_start_loss if warm else algorithm.pretrain_loss)(
        nets, batch, noise
    )
    flow_loss = flow_matching_loss(
        nets.behavior, batch.observations, batch.actions, noise["x0"], noise["time"]
    )
    if warm:
        critic_loss, _ = monte_carlo_critic_loss(nets, batch, 0.8)
    else:
        critic_loss, _, _ = iql_critic_loss(nets, batch, discount=0.9, expectile=0.8)
    torch.testing.assert_close(loss, flow_loss + critic_loss)
    torch.testing.assert_close(metrics["behavior/loss"], flow_loss)


@pytest.mark.parametrize("loss_name", ["warm_start_loss", "pretrain_loss"])
def test_pretraining_reaches_behaviour_critic_and_value_alone(loss_name: str) -> None:
    algorithm: Any = make_algorithm("df-dir")
    trained, _, nets = leaves(algorithm, SEEDS)
    batch, noise = random_batch(SEEDS, BATCH), random_noise(algorithm.noise, SEEDS, BATCH)
    loss, _ = getattr(algorithm, loss_name)(nets, batch, noise)
    loss.sum().backward()
    assert reached_by_gradients(trained) == {"behavior", "critic", "value"}


@pytest.mark.parametrize("algorithm_id", SHARERS)
@pytest.mark.parametrize(
    ("warm", "stages", "ends"), [(0.0, 1, [20]), (0.2, 2, [8, 20])], ids=["plain", "warm start"]
)
def test_the_warm_start_takes_its_share_of_the_budget_from_pretrainings(
    algorithm_id: str, warm: float, stages: int, ends: list[int], transitions: Transitions
) -> None:
    engine = make_engine(algorithm_id, transitions, pretrain_share=0.5, warm_start_share=warm)
    assert engine.algorithm.pretraining_stages == stages
    assert Schedule(engine.algorithm.stages, 40, None).ends == [*ends, 40]
    assert engine.pretraining_steps == 20
    first = engine.algorithm.stages[0].phases[0].loss.__name__
    assert first == ("warm_start_loss" if warm else "pretrain_loss")


@pretrainings
def test_methods_with_equal_pretraining_share_it_bit_for_bit(
    settings: dict[str, Any], transitions: Transitions
) -> None:
    """Whatever else they differ in, the length of what follows included."""
    others: dict[str, dict[str, Any]] = {
        "df-dir": {"flow_steps": 2},
        "df-div-kl": {"policy_learning_rate": 0.1},
        "df-div-joint": {},
        "df-div-midpoint": {"rho": 0.1},
        "df-div-previous-action": {},
        "df-div-noised": {},
        "df-div-actor-critic": {},
        "df-div-best-target": {"candidates": 3},
        "ifql": {},
        "flow-bptt": {"rho": 5.0, "rollout_states": 3},
    }
    states = []
    for algorithm_id, other in others.items():
        engine = make_engine(algorithm_id, transitions, pretrain_share=0.5, **{**settings, **other})
        fields = registry.load(algorithm_id).Pretraining
        assert fields is not None
        assert settings.keys() <= fields.model_fields.keys()
        assert not other.keys() & fields.model_fields.keys()
        engine.train(engine.pretraining_steps)
        states.append(engine.pretrained_state(1))
    learned = [key for key in states[0] if not key.startswith("metrics/")]
    assert {key.split("/")[1] for key in learned} == {"behavior", "critic", "value"}
    groups = {"params", "targets", "adam_means", "adam_squares", "updates"}
    assert {key.split("/")[0] for key in learned} == groups
    for state in states[1:]:
        assert states_equal(state, states[0])


@pretrainings
@pytest.mark.parametrize("algorithm_id", SHARERS)
def test_training_on_from_another_methods_pretraining_equals_an_uninterrupted_run(
    algorithm_id: str, settings: dict[str, Any], transitions: Transitions
) -> None:
    """Also when that was saved inside a stage and a block of random numbers."""
    straight, second = (
        make_engine(algorithm_id, transitions, pretrain_share=0.5, **settings) for _ in range(2)
    )
    giver = make_engine(
        "df-div" if algorithm_id == "ifql" else "ifql", transitions, pretrain_share=0.5, **settings
    )
    giver.train(13)
    second.load_pretrained([giver.pretrained_state(0), giver.pretrained_state(1)], 13)
    assert second.step == 13
    for name, value in giver.metrics().items():
        assert np.array_equal(second.metrics()[name], value), name
    straight.train(30)
    second.train(17)
    for slot in (0, 1):
        assert states_equal(straight.state(slot), second.state(slot))


def test_pretraining_of_another_width_is_refused(transitions: Transitions) -> None:
    engine = make_engine("df-dir", transitions)
    narrow = make_engine("ifql", transitions, hidden_dims=(1, 1))
    before = engine.state(0)
    with pytest.raises(ValueError, match="another algorithm or config"):
        engine.load_pretrained([narrow.pretrained_state(0), narrow.pretrained_state(1)], 5)
    with pytest.raises(ValueError, match="2 seeds need as many states, found 1"):
        engine.load_pretrained([engine.pretrained_state(0)], 5)
    assert engine.step == 0
    assert states_equal(engine.state(0), before)


def test_methods_that_do_not_pretrain_have_nothing_to_share(transitions: Transitions) -> None:
    engine = make_engine("iql", transitions)
    assert engine.algorithm.Pretraining is None
    assert engine.pretraining_steps == 0
    assert engine.pretrained_state(0) == {}


@pytest.mark.parametrize("algorithm_id", SHARERS)
def test_while_pretraining_the_averaged_behaviour_flow_acts(
    algorithm_id: str, transitions: Transitions
) -> None:
    """All of them alike, by a sample of the same noise."""
    observations = np.ones((2, 4, transitions.obs_dim), np.float32)
    actions = []
    for name in (algorithm_id, "df-div"):
        settings = {**COMMON, "behavior_ema": 0.1}
        engine = make_engine(name, transitions, pretrain_share=0.5, **settings)
        engine.train(20)
        actions.append(engine.policy("test", "noise-1")(observations))
    assert np.array_equal(*actions)
