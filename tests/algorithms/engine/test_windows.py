"""Windows of consecutive transitions, the memory of acting, and columns over the whole data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from algorithms.base import (
    Adam,
    Algorithm,
    Batch,
    Column,
    Config,
    History,
    Key,
    Loss,
    Networks,
    Noise,
    Phase,
    Stage,
)
from algorithms.dropout import dropout
from algorithms.engine.acting import Memory
from algorithms.engine.batches import Batches
from algorithms.engine.preflight import check
from algorithms.networks import MLP
from algorithms.transitions import Floats, Transitions
from tests.algorithms import line
from tests.algorithms.small import ACTION_DIM, OBS_DIM, make_engine, states_equal

LENGTHS = (1, 5, 3, 7)
L = 4


class SequenceConfig(Config):
    """A method that sees windows, drops features and learns from a column."""


class Sequence(Algorithm[SequenceConfig]):
    """`value` regresses rewards; then `actor` the actions, weighted by ranks of the value."""

    Config = SequenceConfig
    context = L

    def create(self) -> None:
        widths = self.config.hidden_dims
        self.networks = {
            "value": MLP(self.obs_dim, 1, widths),
            "actor": MLP(self.obs_dim, self.action_dim, widths),
        }
        self.optimizers = dict.fromkeys(self.networks, Adam(1e-2))
        self.noise = {"dropout": Key()}
        value = Stage((Phase(self.value_loss, ("value",)),), 0.5)
        column = Column(self.estimate, summed)
        actor = Stage((Phase(self.loss, ("actor",)),), 0.5, columns={"to_go": column})
        self.stages = (value, actor)

    def estimate(self, nets: Networks, batch: Batch) -> Tensor:
        value: Tensor = nets.value(batch.observations)
        return value

    def value_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        value = nets.value(batch.observations.flatten(1, 2)).view_as(batch.rewards)
        loss = ((value - batch.rewards).square() * batch.valid).mean((1, 2))
        return loss, {"value/loss": loss}

    def loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        x = dropout(batch.observations, noise["dropout"], 0, 0.2)
        actions = nets.actor(x.flatten(1, 2)).view_as(batch.actions)
        weight = torch.sigmoid(batch.columns["to_go"]) * batch.valid
        loss = ((actions - batch.actions).square().mean(-1) * weight).mean((1, 2))
        return loss, {"actor/loss": loss}

    def act(self, nets: Networks, history: History, noise: Noise) -> Tensor:
        mean: Tensor = nets.actor(history.observations.mean(2))
        return mean + 0.1 * history.earned[..., -1:]


def summed(values: Floats, transitions: Transitions, rewards: Floats) -> Floats:
    """The value of each transition's episode from there on, and its rewards."""
    result, ends = np.zeros_like(values), transitions.episode_ends()
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        part = values[:, start:end] + rewards[start:end]
        result[:, start:end] = part[:, ::-1].cumsum(1)[:, ::-1]
    return result


@pytest.fixture(autouse=True)
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line.install(tmp_path, monkeypatch, "sequence", f"{__name__}:Sequence")


@pytest.fixture
def episodes() -> Transitions:
    """Of 1, 5, 3 and 7 steps; the second and the last end by a time limit."""
    rng, count = np.random.default_rng(0), sum(LENGTHS)
    ends = np.zeros(count)
    ends[np.cumsum(LENGTHS) - 1] = 1
    timeouts = ends * np.isin(np.arange(count), [5, 15])
    return Transitions.pack(
        observations=rng.normal(size=(count, OBS_DIM)),
        actions=rng.uniform(-1, 1, (count, ACTION_DIM)),
        rewards=rng.normal(size=count),
        next_observations=rng.normal(size=(count, OBS_DIM)),
        terminals=ends - timeouts,
        timeouts=timeouts,
    )


def _batches(episodes: Transitions, context: int = 0, **fields: object) -> Batches:
    config = Config.model_validate({"normalize_observations": False, **fields})
    batches = Batches(episodes, config, torch.device("cpu"))
    batches.context = context
    return batches


def test_a_window_goes_on_to_the_end_of_its_episode_and_is_zero_beyond(
    episodes: Transitions,
) -> None:
    batch = _batches(episodes, L).gather(torch.arange(len(episodes))[None])
    firsts = np.repeat(np.cumsum([0, *LENGTHS[:-1]]), LENGTHS)
    ends = np.repeat(np.cumsum(LENGTHS), LENGTHS)
    for row in range(len(episodes)):
        for ahead in range(L):
            at = row + ahead
            assert int(batch.steps[0, row, ahead]) == at - firsts[row]
            if at < ends[row]:
                assert batch.valid[0, row, ahead] == 1
                assert np.array_equal(batch.observations[0, row, ahead], episodes.observations[at])
                assert np.array_equal(batch.actions[0, row, ahead], episodes.actions[at])
                assert batch.rewards[0, row, ahead] == episodes.rewards[at]
                assert batch.masks[0, row, ahead] == 1 - episodes.terminals[at]
            else:
                fields = [batch.valid, batch.observations, batch.actions, batch.rewards]
                fields += [batch.masks, batch.returns, batch.previous_actions, batch.next_actions]
                assert not any(field[0, row, ahead].any() for field in fields)


def test_the_next_action_is_the_same_episodes(episodes: Transitions) -> None:
    batch = _batches(episodes).gather(torch.arange(len(episodes))[None])
    last = np.isin(np.arange(len(episodes)), np.cumsum(LENGTHS) - 1)
    assert np.array_equal(batch.has_next[0], 1 - last)
    assert not batch.next_actions[0, last].any()
    following = np.roll(episodes.actions, -1, axis=0)
    assert np.array_equal(batch.next_actions[0, ~last], following[~last])


def test_memory_holds_the_latest_steps_and_what_was_earned_before_each() -> None:
    memory, seen = Memory(3, 1), []

    def choose(history: History) -> Tensor:
        seen.append(history)
        return torch.full((1, 2, 1), 0.1 * len(seen))

    for step in range(5):
        rewards = None if step == 0 else np.array([[step, 10.0 * step]], np.float32)
        memory.act(choose, torch.full((1, 2, 1), float(step)), rewards)
    last = seen[-1]
    assert last.observations[0, 0, :, 0].tolist() == [2, 3, 4]
    assert last.steps[0, 1].tolist() == [2, 3, 4]
    assert last.actions[0, 0, :, 0].tolist() == pytest.approx([0.3, 0.4, 0.0])
    assert last.rewards[0].tolist() == [[3, 4, 0], [30, 40, 0]]
    assert last.earned[0].tolist() == [[3, 6, 10], [30, 60, 100]]
    assert seen[0].observations.shape == (1, 2, 1, 1)
    with pytest.raises(ValueError, match="needs the rewards"):
        memory.act(choose, torch.zeros(1, 2, 1), None)


def test_a_column_is_computed_over_all_data_by_each_seeds_own_networks(
    episodes: Transitions,
) -> None:
    engine = make_engine("sequence", episodes, offline_steps=4)
    engine.train(3)
    column = [engine.state(slot)["columns/to_go"] for slot in (0, 1)]
    assert column[0].shape == (len(episodes),)
    before = make_engine("sequence", episodes, offline_steps=4)
    before.train(2)
    batches = _batches(episodes, normalize_observations=True)
    for slot in (0, 1):
        params = before.state(slot)
        x = batches.gather(torch.arange(len(episodes))[None]).observations[0].numpy()
        for i in range(3):
            x = x @ params[f"params/value/weight_{i}"][0] + params[f"params/value/bias_{i}"][0]
            x = np.maximum(x, 0) if i < 2 else x
        expected = summed(x[None, :, 0], episodes, episodes.rewards)[0]
        np.testing.assert_allclose(column[slot], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("stop", [1, 2, 3, 5])
def test_a_seed_is_the_same_in_any_slot_and_after_any_interruption(
    stop: int, episodes: Transitions
) -> None:
    """With dropout, windows and a column, before and after the column is made."""
    whole = make_engine("sequence", episodes, seeds=(7, 3), offline_steps=6)
    whole.train(6)
    first = make_engine("sequence", episodes, seeds=(3, 5, 7), offline_steps=6)
    first.train(stop)
    states = [first.state(slot) for slot in (2, 0)]
    second = make_engine("sequence", episodes, seeds=(7, 3), offline_steps=6)
    second.load_state(states, stop)
    second.train(6 - stop)
    for slot in (0, 1):
        assert states_equal(second.state(slot), whole.state(slot))


def test_acting_follows_rewards_as_they_are_transformed(episodes: Transitions) -> None:
    settings = {"reward_transform": "standard", "reward_scale": 2.0, "reward_shift": -1.0}
    engine = make_engine("sequence", episodes, **settings)
    observations = np.zeros((2, 3, OBS_DIM), np.float32)
    latest = []
    for reward in (1.0, 0.0):
        policy = engine.policy("test")
        policy(observations)
        latest.append(policy(observations, np.full((2, 3), reward, np.float32)))
    difference = latest[0] - latest[1]
    expected = 0.1 * 2 / episodes.rewards.std()
    np.testing.assert_allclose(difference, np.full_like(difference, expected), rtol=1e-3)


def test_the_preflight_tries_a_method_with_windows() -> None:
    assert check(Sequence, SequenceConfig(), OBS_DIM, ACTION_DIM) == []


def test_compiled_windows_with_dropout_are_those_of_eager_code(episodes: Transitions) -> None:
    metrics: list[Mapping[str, object]] = []
    for compiled in (False, True):
        engine = make_engine("sequence", episodes, offline_steps=4, compile=compiled)
        engine.train(4)
        metrics.append(engine.metrics())
    for name, values in metrics[0].items():
        np.testing.assert_allclose(metrics[1][name], values, rtol=1e-4)
