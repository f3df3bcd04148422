"""Learning that goes on online: what batches hold, what is trained, and that seeds stay apart."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from algorithms import registry
from algorithms.base import Batch, Networks, Noise
from algorithms.blocks.critics import iql_critic_loss
from algorithms.engine.engine import Engine
from algorithms.transitions import Transitions
from tests.algorithms.flow_reference import QuadraticQ
from tests.algorithms.reference import (
    make_algorithm,
    random_batch,
    random_noise,
    random_params,
    record,
)
from tests.algorithms.small import ACTION_DIM, OBS_DIM, every_algorithm, make_engine, states_equal

OFFLINE, ONLINE = 12, 12
ABLE = [name for name in every_algorithm() if registry.load(name).learns_online()]
able = pytest.mark.parametrize("algorithm_id", ABLE)


def make(
    algorithm_id: str,
    transitions: Transitions,
    seeds: tuple[int, ...] = (0, 1),
    *,
    online_steps: int = ONLINE,
    **overrides: Any,
) -> Engine:
    return make_engine(
        algorithm_id,
        transitions,
        seeds,
        offline_steps=OFFLINE,
        online_steps=online_steps,
        **overrides,
    )


def seen_at(step: int, seeds: tuple[int, ...]) -> Transitions:
    """What each seed sees in a step; its reward tells seed and step. Step 3 is terminal, 7 cut."""
    rngs = [np.random.default_rng([seed, step]) for seed in seeds]
    count = len(seeds)
    return Transitions.pack(
        observations=np.stack([rng.normal(size=OBS_DIM) for rng in rngs]),
        actions=np.stack([rng.uniform(-1, 1, ACTION_DIM) for rng in rngs]),
        rewards=np.array([1000.0 * (seed + 1) + step for seed in seeds]),
        next_observations=np.stack([rng.normal(size=OBS_DIM) for rng in rngs]),
        terminals=np.full(count, step == 3),
        timeouts=np.full(count, step == 7),
    )


def go_online(engine: Engine, steps: int = ONLINE) -> None:
    engine.train(OFFLINE - engine.step)
    for step in range(steps):
        engine.add(seen_at(step, engine.seeds))
        engine.train(1)


def record_online(engine: Engine, steps: int = ONLINE) -> list[tuple[Batch, Noise]]:
    """Go online; returns what every online update saw, where its first phase is an offline one."""
    engine.train(OFFLINE - engine.step)
    seen = record(engine)
    go_online(engine, steps)
    return seen


@pytest.mark.parametrize("size", [32, 9])
def test_batches_take_turns_between_data_and_what_the_seed_has_seen(
    size: int, transitions: Transitions
) -> None:
    engine = make("iql", transitions, (0, 4), batch_size=size, normalize_observations=False)
    batches = record_online(engine)
    data = {row.tobytes() for row in transitions.observations}
    for number, (batch, _) in enumerate(batches):
        for slot, seed in enumerate(engine.seeds):
            rewards = batch.rewards[slot, 1::2].numpy()
            steps = (rewards - 1000 * (seed + 1)).astype(int)
            assert steps.min() >= 0
            assert steps.max() <= number
            rows = [seen_at(step, (seed,)) for step in steps]
            expected = np.concatenate([row.next_observations for row in rows])
            assert np.array_equal(batch.next_observations[slot, 1::2], expected)
            assert np.array_equal(batch.masks[slot, 1::2], np.where(steps == 3, 0, 1))
            before = [
                np.zeros(ACTION_DIM, np.float32)
                if step in (0, 4, 8)
                else seen_at(step - 1, (seed,)).actions[0]
                for step in steps
            ]
            assert np.array_equal(batch.previous_actions[slot, 1::2], np.stack(before))
            offline = batch.observations[slot, ::2].numpy()
            assert {row.tobytes() for row in offline} <= data
        assert batch.returns[:, 1::2].isnan().all()
        assert batch.returns[:, ::2].isfinite().all()


def test_every_transition_seen_is_drawn(transitions: Transitions) -> None:
    engine = make("iql", transitions)
    batches = record_online(engine)
    last, _ = batches[-1]
    drawn = {int(reward) % 1000 for reward in last.rewards[0, 1::2]}
    assert len(drawn) > ONLINE / 2
    assert not torch.equal(batches[-2][0].actions[:, ::2], last.actions[:, ::2])


def test_uniform_sampling_draws_each_transition_alike(transitions: Transitions) -> None:
    """Of 256 of the data and 12 seen, 12 / 268 are the learner's own, wherever in the batch."""
    engine = make("sac", transitions, (0, 4), batch_size=4096)
    batches = record_online(engine)
    for number, (batch, _) in enumerate(batches, start=1):
        for slot, seed in enumerate(engine.seeds):
            own = batch.returns[slot].isnan().numpy()
            share = number / (256 + number)
            # Within four standard deviations of a binomial's count.
            tolerance = 4 * np.sqrt(4096 * share * (1 - share))
            assert own.sum() == pytest.approx(4096 * share, abs=tolerance)
            steps = batch.rewards[slot].numpy()[own].astype(int) - 1000 * (seed + 1)
            assert set(steps.tolist()) == set(range(number))
            assert {row.tobytes() for row in batch.observations[slot].numpy()[~own]} == {
                row.tobytes() for row in transitions.observations
            }
            assert 0 < own[::2].sum() < own.sum()


def test_without_offline_steps_the_data_are_what_the_buffer_starts_with(
    transitions: Transitions,
) -> None:
    few = replace(transitions, rows=transitions.rows[:3])
    engine = make_engine("sac", few, offline_steps=0, online_steps=ONLINE, batch_size=512)
    batches = record(engine)
    for step in range(ONLINE):
        engine.add(seen_at(step, engine.seeds))
        engine.train(1)
    assert engine.step == len(batches) == ONLINE
    assert batches[0][0].returns[0].isnan().numpy().mean() == pytest.approx(1 / 4, abs=0.08)
    assert np.array_equal(engine.seen(1, since=2).rows, told(2, ONLINE, 1))
    with pytest.raises(ValueError, match="0 steps are too few"):
        make_engine("sac", few, offline_steps=0)


@pytest.mark.parametrize("sampling", ["symmetric", "uniform"])
def test_a_method_that_asks_for_returns_learns_from_its_finished_episodes_alone(
    sampling: str, transitions: Transitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps 0 to 3 end in a terminal, 4 to 7 are cut and go on at the data's mean reward."""
    monkeypatch.setattr("baselines.cal_ql.CalQL.online_sampling", sampling)
    settings = {"discount": 0.5, "batch_size": 512, "reward_scale": 2.0, "samples": 2}
    engine = make("cal-ql", transitions, (0, 4), **settings)
    batches = record_online(engine)
    beyond = 2 * transitions.rewards.mean(dtype=np.float64) / (1 - 0.5)
    for slot, seed in enumerate(engine.seeds):
        expected: dict[float, float] = {}
        for last, to_go in ((3, 0.0), (7, beyond)):
            for step in range(last, last - 4, -1):
                reward = 2 * (1000 * (seed + 1) + step)
                expected[reward] = to_go = reward + 0.5 * to_go
        for number, (batch, _) in enumerate(batches):
            rewards, returns = batch.rewards[slot].numpy(), batch.returns[slot].numpy()
            own = rewards > 500
            known = set(sorted(expected)[: 8 if number >= 7 else 4 if number >= 3 else 0])
            assert set(rewards[own].tolist()) <= known
            assert own.any() == bool(known)
            assert np.isfinite(returns).all()
            assert returns[own] == pytest.approx([expected[r] for r in rewards[own].tolist()])
            if known and sampling == "symmetric":
                assert set(rewards[own].tolist()) == known
                assert np.array_equal(own, np.arange(512) % 2 == 1)


def test_a_learner_whose_first_episode_goes_on_sees_the_data_while_another_sees_its_own(
    transitions: Transitions,
) -> None:
    engine = make("cal-ql", transitions, (0, 4), samples=2)
    engine.train(OFFLINE)
    batches = record(engine)
    seen = seen_at(0, engine.seeds)
    seen.rows[0, -1] = 1  # the first learner's episode is cut after a step
    engine.add(seen)
    engine.train(1)
    [(batch, _)] = batches
    assert (batch.rewards > 500).sum(1).tolist() == [16, 0]
    assert batch.returns.isfinite().all()


def told(start: int, end: int, seed: int) -> np.ndarray:
    return np.concatenate([seen_at(step, (seed,)).rows for step in range(start, end)])


def test_the_data_give_the_scales_of_what_is_seen(transitions: Transitions) -> None:
    settings = {"reward_transform": "mean-return", "normalize_observations": True}
    engine = make("iql", transitions, **settings)
    batches = record_online(engine, 1)
    [(batch, _)] = batches
    scale = 1 / np.abs(transitions.returns(0.99)).mean()
    raw = transitions.observations.astype(np.float64)
    expected = (seen_at(0, (1,)).observations - raw.mean(0)) / (raw.std(0) + 1e-3)
    np.testing.assert_allclose(batch.rewards[1, 1], 2000 * scale, rtol=1e-5)
    np.testing.assert_allclose(batch.observations[1, 1], expected[0], rtol=1e-4, atol=1e-5)


@able
def test_offline_training_is_the_same_whatever_follows(
    algorithm_id: str, transitions: Transitions
) -> None:
    alone = make(algorithm_id, transitions, online_steps=0)
    followed = make(algorithm_id, transitions)
    for engine in (alone, followed):
        engine.train(OFFLINE)
    assert states_equal(alone.state(1), followed.state(1))


@able
def test_a_seed_learns_and_acts_the_same_beside_any_neighbours(
    algorithm_id: str, transitions: Transitions
) -> None:
    alone = make(algorithm_id, transitions, (5,))
    stacked = make(algorithm_id, transitions, (8, 5))
    for engine in (alone, stacked):
        go_online(engine)
    assert alone.step == OFFLINE + ONLINE
    assert states_equal(alone.state(0), stacked.state(1))
    assert not states_equal(stacked.state(0), stacked.state(1))


@able
def test_it_can_be_lived_through_again_from_the_end_of_offline_training(
    algorithm_id: str, transitions: Transitions
) -> None:
    first, again = make(algorithm_id, transitions), make(algorithm_id, transitions)
    first.train(OFFLINE)
    again.load_state([first.state(0), first.state(1)], OFFLINE)
    for engine in (first, again):
        go_online(engine)
    assert states_equal(first.state(1), again.state(1))


def earning(transitions: Transitions, sign: int) -> Transitions:
    """The same with rewards of one sign."""
    changed = replace(transitions, rows=transitions.rows.copy())
    changed.rewards[:] = sign * np.abs(changed.rewards)
    return changed


def test_a_share_of_returns_below_zero_is_no_level(transitions: Transitions) -> None:
    engine = make("iql", earning(transitions, -1))
    engine.train(OFFLINE)
    assert "value/mean" in engine.metrics()
    assert "critic/value_level" not in engine.metrics()


@able
def test_metrics_are_finite_and_say_nothing_of_the_level_on_the_data(
    algorithm_id: str, transitions: Transitions
) -> None:
    engine = make(algorithm_id, earning(transitions, +1))
    engine.train(OFFLINE)
    assert ("critic/value_level" in engine.metrics()) == ("value" in engine.algorithm.networks)
    go_online(engine)
    metrics = engine.metrics()
    assert "critic/value_level" not in metrics
    assert all(np.isfinite(value).all() for value in metrics.values())


@pytest.mark.parametrize("algorithm_id", ["df-dir", "df-div", "flow-bptt"])
def test_everything_but_the_behaviour_flow_goes_on_learning(
    algorithm_id: str, transitions: Transitions
) -> None:
    engine = make(algorithm_id, transitions)
    engine.train(OFFLINE)
    before = engine.state(0)
    go_online(engine)
    after = engine.state(0)
    for name in engine.algorithm.networks:
        for group in ("params", "targets"):
            key = f"{group}/{name}/weight_0"
            if key in before:
                assert np.array_equal(before[key], after[key]) == (name == "behavior"), key


@pytest.mark.parametrize("algorithm_id", ["df-dir", "df-div", "flow-bptt"])
def test_the_online_loss_is_improvement_at_another_price_and_the_critics_own(
    algorithm_id: str,
) -> None:
    relaxed = make_algorithm(algorithm_id, rho=0.3, online_rho=2.0)
    dear, unpriced = (make_algorithm(algorithm_id, rho=rho) for rho in (2.0, 0.3))
    params = random_params(relaxed.networks, 2)
    nets = Networks(relaxed.networks, params, params, random_params(relaxed.networks, 2, 1))
    seen = (random_batch(2, 16), random_noise(relaxed.noise, 2, 16))
    critics, _, _ = iql_critic_loss(nets, seen[0], discount=0.99, expectile=0.7)
    [phase] = relaxed.online_phases()
    found, _ = phase.loss(nets, *seen)
    torch.testing.assert_close(found, dear.improvement_loss(nets, *seen)[0] + critics)
    assert not torch.allclose(found, unpriced.improvement_loss(nets, *seen)[0] + critics)


def test_learning_rates_that_had_decayed_are_constant_again(transitions: Transitions) -> None:
    """Adam's step is about its learning rate, which is 0 at the end of a cosine."""
    engine = make("iql", transitions, learning_rate=1e-3)

    def actor_step(take: Any) -> float:
        before = engine.state(0)["params/actor/weight_1"]
        take()
        return float(np.abs(engine.state(0)["params/actor/weight_1"] - before).max())

    engine.train(OFFLINE - 1)
    assert actor_step(lambda: engine.train(1)) < 1e-4
    for number in range(ONLINE):
        engine.add(seen_at(number, engine.seeds))
        assert 3e-4 < actor_step(lambda: engine.train(1)) < 1e-2


def test_a_known_q_stays_as_it_is(transitions: Transitions) -> None:
    engine = make("df-div", transitions, known_q=QuadraticQ((0.6, -0.5)))
    go_online(engine)
    goal = engine.state(0)["params/critic/goal"]
    assert np.array_equal(goal, np.float32((0.6, -0.5)).reshape(1, 1, 2))


def test_each_update_needs_the_transition_before_it(transitions: Transitions) -> None:
    engine = make("iql", transitions)
    engine.train(OFFLINE)
    before = engine.state(0)
    with pytest.raises(ValueError, match="online update 1 needs 1 transitions per seed, found 0"):
        engine.train(1)
    assert states_equal(engine.state(0), before)
    with pytest.raises(ValueError, match=r"2 learners .* cannot add 1"):
        engine.add(seen_at(0, (0,)))
    go_online(engine)
    with pytest.raises(ValueError, match="room for 0 transitions"):
        engine.add(seen_at(0, engine.seeds))


def test_refuses_a_method_that_learns_from_data_alone(transitions: Transitions) -> None:
    with pytest.raises(ValueError, match="BC learns from data alone"):
        make("bc", transitions)
