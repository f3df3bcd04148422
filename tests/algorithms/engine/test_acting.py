"""How actions are chosen: scaled noise, the best of N or a softmax, and what a method cannot."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from algorithms import registry
from algorithms.engine.engine import Engine
from algorithms.transitions import Transitions
from tests.algorithms.flow_reference import QuadraticQ
from tests.algorithms.reference import closed_form, learned, make_algorithm
from tests.algorithms.small import ACTION_DIM, OBS_DIM, every_algorithm, make_engine

GOAL = (0.3, -0.4)


def _observations(seeds: int = 2, episodes: int = 6) -> NDArray[np.float32]:
    shape = (seeds, episodes, OBS_DIM)
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def _gaussian(transitions: Transitions) -> Engine:
    """IQL with a deviation of e^-4, so that nothing is clipped, on observations as they are."""
    engine = make_engine("iql", transitions, normalize_observations=False)
    states = [engine.state(slot) for slot in (0, 1)]
    for state in states:
        state["params/actor/log_std"] = np.full((1, 1, ACTION_DIM), -4, np.float32)
    engine.load_state(states, 0)
    return engine


def test_no_noise_is_a_gaussians_mean(transitions: Transitions) -> None:
    engine, observations = _gaussian(transitions), _observations()
    actions = engine.policy("test", "noise-0")(observations)
    prefix = "params/actor/"
    for slot in (0, 1):
        x = observations[slot]
        state = {k.removeprefix(prefix): v[0] for k, v in engine.state(slot).items() if prefix in k}
        for i in range(3):
            x = x @ state[f"weight_{i}"] + state[f"bias_{i}"]
            x = np.maximum(x, 0) if i < 2 else np.tanh(x)
        np.testing.assert_allclose(actions[slot], x, rtol=1e-4, atol=1e-6)


def test_a_seed_acts_alone_as_it_does_in_the_stack(transitions: Transitions) -> None:
    engine, observations = _gaussian(transitions), _observations()
    stacked = engine.policy("test", "noise-1")(observations)
    alone = engine.policy("test", "noise-1", slot=1)(observations[1:])
    np.testing.assert_allclose(alone[0], stacked[1], rtol=1e-5, atol=1e-6)


def test_values_are_the_smaller_twins_of_the_policys_actions(transitions: Transitions) -> None:
    engine, observations = _gaussian(transitions), _observations()
    values = engine.policy_values("test", observations)
    assert values is not None
    actions = engine.policy("test")(observations)
    prefix = "params/critic/"
    for slot in (0, 1):
        state = {k.removeprefix(prefix): v for k, v in engine.state(slot).items() if prefix in k}
        twins = []
        for twin in (0, 1):
            x = np.concatenate([observations[slot], actions[slot]], -1)
            for i in range(3):
                x = x @ state[f"weight_{i}"][twin] + state[f"bias_{i}"][twin]
                x = np.maximum(x, 0) if i < 2 else x
            twins.append(x[:, 0])
        np.testing.assert_allclose(values[slot], np.minimum(*twins), rtol=1e-4, atol=1e-5)


def test_a_method_without_a_critic_has_no_values(transitions: Transitions) -> None:
    assert make_engine("bc", transitions).policy_values("test", _observations()) is None


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_a_noise_scale_multiplies_a_gaussians_deviation(
    scale: float, transitions: Transitions
) -> None:
    engine, observations = _gaussian(transitions), np.zeros((2, 4000, OBS_DIM), np.float32)
    mean = engine.policy("test", "noise-0")(observations)
    actions = engine.policy("test", f"noise-{scale:g}")(observations)
    deviation = (actions - mean).std((0, 1)) / np.exp(-4)
    np.testing.assert_allclose(deviation, np.full(ACTION_DIM, scale), rtol=0.05)
    plain = engine.policy("test", "noise-1")(observations)
    np.testing.assert_allclose(actions - mean, scale * (plain - mean), rtol=1e-3, atol=1e-5)


def test_no_noise_starts_a_flow_at_zero(transitions: Transitions) -> None:
    engine = make_engine("flow-bc", transitions, normalize_observations=False, flow_steps=3)
    observations = 0.1 * _observations()
    actions = engine.policy("test", "noise-0")(observations)
    for slot in (0, 1):
        flow = learned(engine, "flow", slot, "targets")[0]
        s, x = torch.tensor(observations[slot]), torch.zeros(6, ACTION_DIM)
        for k in range(3):
            x = x + flow(torch.cat([s, x, torch.full((6, 1), k / 3)], 1)) / 3
        np.testing.assert_allclose(actions[slot], x.detach(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("at_once", [512, 7])
@pytest.mark.parametrize("algorithm_id", ["ifql", "df-dir", "iql", "diffusion-ql"])
def test_the_best_of_n_is_the_sample_that_the_critic_values_most(
    algorithm_id: str, at_once: int, transitions: Transitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The samples: what the same stream gives for every observation N times in a row.

    However few of them the networks are given at once.
    """
    monkeypatch.setattr("algorithms.engine.acting._CANDIDATES_AT_ONCE", at_once)
    engine = make_engine(algorithm_id, transitions, known_q=QuadraticQ(GOAL))
    engine.train(3)
    observations = _observations()
    best = engine.policy("test", "best-of-5")(observations)
    samples = engine.policy("test", "noise-1")(observations.repeat(5, 1)).reshape(2, 6, 5, -1)
    values = -np.square(samples - np.array(GOAL)).sum(-1)
    chosen = values.argmax(-1)
    assert len(np.unique(chosen)) > 1
    expected = np.take_along_axis(samples, chosen[..., None, None], 2)[:, :, 0]
    np.testing.assert_allclose(best, expected, rtol=0, atol=1e-6)


def _soft(transitions: Transitions, temperature: float) -> Engine:
    engine = make_engine("ifql", transitions, known_q=QuadraticQ(GOAL))
    engine.algorithm.selection_temperature = temperature
    return engine


def test_softmax_of_n_chooses_as_often_as_the_softmax_of_the_values_says(
    transitions: Transitions,
) -> None:
    """By rank: how often the worst to the best of 4 is taken, beside their mean probabilities."""
    engine, count = _soft(transitions, 0.5), 4000
    observations = np.zeros((2, count, OBS_DIM), np.float32)
    actions = engine.policy("test", "softmax-of-4")(observations)
    samples = engine.policy("test", "noise-1")(observations.repeat(4, 1)).reshape(2, count, 4, -1)
    values = -np.square(samples - np.array(GOAL)).sum(-1)
    weights = np.exp(np.sort(values) / 0.5)
    expected = (weights / weights.sum(-1, keepdims=True)).mean(1)
    distances = np.abs(samples - actions[:, :, None]).sum(-1)
    assert distances.min(-1).max() < 1e-5
    chosen = np.take_along_axis(values, distances.argmin(-1)[..., None], 2)
    ranks = (values < chosen).sum(-1)
    found = np.stack([(ranks == rank).mean(1) for rank in range(4)], -1)
    assert expected[:, 3].min() > 2 * expected[:, 0].max()
    np.testing.assert_allclose(found, expected, atol=4 * 0.5 / np.sqrt(count))


def test_softmax_of_n_without_heat_is_the_best_of_n_and_with_much_a_uniform_draw(
    transitions: Transitions,
) -> None:
    observations = np.zeros((2, 2000, OBS_DIM), np.float32)
    cold, hot = _soft(transitions, 1e-9), _soft(transitions, 1e9)
    best = cold.policy("test", "best-of-2")(observations)
    assert np.array_equal(cold.policy("test", "softmax-of-2")(observations), best)
    same = (hot.policy("test", "softmax-of-2")(observations) == best).all(-1)
    np.testing.assert_allclose(same.mean(1), 0.5, atol=4 * 0.5 / np.sqrt(2000))


def test_softmax_of_n_goes_by_a_value_of_its_own_where_a_method_has_one(
    transitions: Transitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worse of two, where it draws by the opposite of what the best of two has most of."""
    engine, observations = _soft(transitions, 1e-9), np.zeros((2, 50, OBS_DIM), np.float32)
    algorithm = engine.algorithm
    monkeypatch.setattr(
        algorithm, "softmax_value", lambda *inputs: -algorithm.action_value(*inputs)
    )
    samples = engine.policy("test", "noise-1")(observations.repeat(2, 1)).reshape(2, 50, 2, -1)
    worst = engine.policy("test", "softmax-of-2")(observations)
    best = engine.policy("test", "best-of-2")(observations)
    np.testing.assert_allclose(best + worst, samples.sum(2), atol=1e-6)
    assert not np.array_equal(best, worst)


def test_softmax_of_n_draws_anew_for_every_action_and_the_same_from_the_same_stream(
    transitions: Transitions,
) -> None:
    engine, observations = _soft(transitions, 1e9), _observations(episodes=40)
    first, again = (engine.policy("test", "softmax-of-8") for _ in range(2))
    taken = [first(observations) for _ in range(2)]
    assert all(np.array_equal(actions, again(observations)) for actions in taken)
    assert not np.array_equal(*taken)


def test_softmax_of_n_needs_a_temperature(transitions: Transitions) -> None:
    engine = make_engine("ifql", transitions)
    assert not engine.algorithm.supports("softmax-of-4")
    with pytest.raises(ValueError, match="cannot act by 'softmax-of-4'"):
        engine.policy("test", "softmax-of-4")
    assert _soft(transitions, 1.0).algorithm.supports("softmax-of-4")


def test_twins_rank_by_the_smaller() -> None:
    algorithm: Any = make_algorithm("ifql")
    twins = torch.tensor([[[1.0, 5.0, 0.0], [3.0, 2.0, 4.0]]])
    nets = closed_form({"critic": lambda *_: twins})
    values = algorithm.action_value(nets, torch.zeros(1, 3, 1), torch.zeros(1, 3, 1))
    assert values.tolist() == [[1.0, 2.0, 0.0]]


def test_the_best_of_one_is_a_sample(transitions: Transitions) -> None:
    engine, observations = make_engine("df-div", transitions), _observations()
    one, sample = (engine.policy("test", name)(observations) for name in ("best-of-1", "noise-1"))
    assert np.array_equal(one, sample)


@pytest.mark.parametrize("selection", ["best-of-4", "softmax-of-4", "noise-0.5"])
def test_a_seed_acts_the_same_beside_any_neighbours(
    selection: str, transitions: Transitions
) -> None:
    x = _observations(1)
    single, stacked = (make_engine("ifql", transitions, seeds) for seeds in ((5,), (8, 5, 2)))
    single.algorithm.selection_temperature = stacked.algorithm.selection_temperature = 1.0
    alone = single.policy("test", selection)(x)
    actions = stacked.policy("test", selection)(np.repeat(x, 3, 0))
    assert np.array_equal(actions[1], alone[0])
    assert not np.array_equal(actions[0], alone[0])


@pytest.mark.parametrize("algorithm_id", every_algorithm())
def test_every_method_acts_its_own_way_unless_told(
    algorithm_id: str, transitions: Transitions
) -> None:
    engine, observations = make_engine(algorithm_id, transitions), _observations()
    own = engine.algorithm.action_selection
    assert engine.algorithm.supports(own)
    actions = engine.policy("test")(observations)
    assert np.array_equal(actions, engine.policy("test", own)(observations))


def test_iql_acts_by_its_mean_and_ifql_by_the_best_of_many() -> None:
    assert registry.load("iql").action_selection == "noise-0"
    assert registry.load("ifql").action_selection == "best-of-32"


@pytest.mark.parametrize(
    ("algorithm_id", "supported"),
    [
        ("bc", []),
        ("td3-bc", []),
        ("flow-bc", ["noise-0", "noise-0.5"]),
        ("diffusion-bc", ["noise-0", "noise-0.5"]),
        ("iql", ["noise-0", "noise-0.5", "best-of-4"]),
        ("sac", ["noise-0", "noise-0.5", "best-of-4"]),
        ("ifql", ["noise-0", "noise-0.5", "best-of-4"]),
        ("fql", ["noise-0", "noise-0.5", "best-of-4"]),
        ("df-dir", ["noise-0", "noise-0.5", "best-of-4"]),
    ],
)
def test_noise_needs_a_stochastic_policy_and_a_ranking_a_critic(
    algorithm_id: str, supported: list[str], transitions: Transitions
) -> None:
    engine = make_engine(algorithm_id, transitions)
    for selection in ("noise-0", "noise-0.5", "best-of-4"):
        assert engine.algorithm.supports(selection) == (selection in supported)
        if selection not in supported:
            with pytest.raises(ValueError, match=f"cannot act by '{selection}'"):
                engine.policy("test", selection)


def test_a_misspelt_way_of_acting_is_refused_with_what_to_write(transitions: Transitions) -> None:
    with pytest.raises(ValueError, match="'mean' is no action selection; write noise-"):
        make_engine("iql", transitions).policy("test", "mean")
