"""QDT against its equations (arXiv:2209.03993) in plain PyTorch, and on two halves to stitch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from algorithms.base import Batch, History
from algorithms.engine.preflight import check
from algorithms.transitions import Facts, Transitions
from baselines.qdt import QDT, QDTConfig, consistent, cut, relabel
from tests.algorithms.reference import closed_form, learned, of_seed, random_batch, record
from tests.algorithms.small import ACTION_DIM, OBS_DIM, make_engine, states_equal
from tests.baselines import stitching
from tests.baselines.test_cql import Actor
from tests.baselines.test_dt import actor_of, predict

SMALL: dict[str, Any] = {"context": 5, "embedding_dim": 16, "heads": 2, "block_dims": (24, 24)}


def recursion(values: NDArray[Any], data: Transitions, rewards: NDArray[Any]) -> NDArray[Any]:
    """R̃ of one seed, step by step backwards. values: [N], of next states."""
    ends, result, to_go = set(data.episode_ends() - 1), np.zeros(len(data)), 0.0
    for t in reversed(range(len(data))):
        to_go = rewards[t] + (0 if t in ends else max(to_go, values[t]))
        result[t] = to_go
    return result


def test_the_value_function_is_cqls(transitions: Transitions) -> None:
    settings = {"learning_rate": 1e-2, "policy_learning_rate": 5e-3, "alpha": 2.0, "samples": 3}
    cql = make_engine("cql", transitions, **settings)
    qdt = make_engine("qdt", transitions, **SMALL, value_share=0.5, **settings)
    cql.train(6)
    qdt.train(6)
    for slot in (0, 1):
        theirs, ours = cql.state(slot), qdt.state(slot)
        assert states_equal({name: ours[name] for name in theirs}, theirs)


def test_relabelled_is_the_recursion_in_every_episode(transitions: Transitions) -> None:
    rng = np.random.default_rng(0)
    rewards = rng.normal(size=len(transitions)).astype(np.float32)
    values = 3 * rng.normal(size=(2, len(transitions))).astype(np.float32)
    found = relabel(values, transitions, rewards)
    for slot in (0, 1):
        np.testing.assert_allclose(
            found[slot], recursion(values[slot], transitions, rewards), rtol=1e-5, atol=1e-5
        )
    assert not np.allclose(found[0], transitions.returns(1.0, rewards))


def test_relabelled_returns_show_the_stitched_optimum() -> None:
    """Where V says 1 of the state that both halves share, a good first step is worth 2."""
    data = stitching.half_good(n=4)
    values = np.where(data.observations[:, 0] == 0, 1.0, 9.0).astype(np.float32)  # 9: past the end
    found = relabel(values[None], data, data.rewards)[0]
    first_good = data.rewards[::2] == 1
    assert set(data.returns(1.0)[::2]) == {1}
    assert found[::2].tolist() == np.where(first_good, 2, 1).tolist()
    assert found[1::2].tolist() == data.rewards[1::2].tolist()


def test_training_equals_plain_pytorch(transitions: Transitions) -> None:
    """The column from the networks of the first stage, and windows relabelled by it."""
    engine = make_engine(
        "qdt",
        transitions,
        **SMALL,
        offline_steps=40,
        value_share=0.75,
        transformer_batch_size=20,
        transformer_learning_rate=1e-2,
        warmup_steps=4,
        weight_decay=0.1,
        max_grad_norm=0.1,
        return_scale=10.0,
    )
    engine.train(30)
    starts = [actor_of(engine, slot, "transformer") for slot in (0, 1)]
    policies = [(Actor(engine, slot), learned(engine, "critic", slot)) for slot in (0, 1)]
    seen = record(engine)
    engine.train(8)
    lengths = set()
    for slot, params in enumerate(starts):
        policy, critic = policies[slot]
        normal = (transitions.next_observations - transitions.observations.mean(0)) / (
            transitions.observations.std(0) + 1e-3
        )
        following, values = torch.tensor(normal), torch.zeros(len(transitions))
        with torch.no_grad():
            for draw in engine.algorithm.draws:
                action, _ = policy(following, draw.expand(len(following), -1))
                pair = torch.cat([following, action], 1)
                values += sum(member(pair)[:, 0] for member in critic) / 20
        relabelled = recursion(values.numpy(), transitions, transitions.rewards)
        np.testing.assert_allclose(
            engine.state(slot)["columns/to_go"], relabelled, rtol=1e-3, atol=1e-4
        )
        leaves = [p.requires_grad_() for p in params.values()]
        adam = torch.optim.AdamW(leaves, lr=1e-2, weight_decay=0.1)
        warm_up = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: min((step + 1) / 4, 1))
        for whole, noise in of_seed(seen, slot):
            batch = whole.map(lambda field: field[:20])
            to_go = torch.zeros(20, 5)
            for window in range(20):
                length = int(batch.valid[window].sum())
                if batch.steps[window, 0] == 0:
                    length = 1 + int(noise["end"][window, 0] * length)
                batch.valid[window, length:] = 0
                lengths.add((int(batch.steps[window, 0]) == 0, length))
                to_go[window, length - 1] = batch.columns["to_go"][window, length - 1]
                for t in reversed(range(length - 1)):
                    to_go[window, t] = batch.rewards[window, t] + to_go[window, t + 1]
            found = predict(params, batch, to_go / 10, noise["dropout"], 0.1)
            loss = F.mse_loss(found[batch.valid > 0], batch.actions[batch.valid > 0])
            adam.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(leaves, 0.1)
            adam.step()
            warm_up.step()
        for name, value in actor_of(engine, slot, "transformer").items():
            torch.testing.assert_close(value, params[name].data, rtol=1e-4, atol=1e-5, msg=name)
    assert {(True, 1), (True, 2), (False, 5), (False, 2)} <= lengths


def algorithm_of(**overrides: Any) -> QDT:
    config = QDTConfig(**{**SMALL, **overrides})
    return QDT(config, OBS_DIM, ACTION_DIM, facts=Facts(longest_episode=12, best_return=80.0))


def window_of(**fields: Tensor) -> Batch:
    """One window of five steps, of which the last is past the episode's end."""
    algorithm = algorithm_of()
    batch = random_batch(1, 4, algorithm).map(lambda field: field[:, 3:])
    return batch._replace(**fields)


def test_a_windows_returns_are_its_rewards_and_the_last_steps_label() -> None:
    window = window_of(
        rewards=torch.tensor([[[1.0, 2.0, 4.0, 8.0, 0.0]]]),
        columns={"to_go": torch.tensor([[[99.0, 99.0, 99.0, 50.0, 0.0]]])},
    )
    assert consistent(window).tolist() == [[[57, 56, 54, 50, 0]]]


@pytest.mark.parametrize(("start", "uniform", "length"), [(0, 0.0, 1), (0, 0.99, 4), (1, 0.0, 4)])
def test_only_windows_that_begin_with_their_episode_are_cut(
    start: int, uniform: float, length: int
) -> None:
    window = window_of(steps=start + torch.arange(5).view(1, 1, 5))
    found = cut(window, torch.tensor([[[uniform]]])).valid
    assert found.tolist() == [[[1] * length + [0] * (5 - length)]]


def test_the_value_is_the_mean_of_both_critics_over_draws_of_the_policy() -> None:
    """E tanh(m + σ z) over the draws z, which are near a standard normal's, times 2 and times 4."""
    algorithm = algorithm_of()

    def actor(observations: Tensor) -> tuple[Tensor, Tensor]:
        return observations[..., :ACTION_DIM], torch.full_like(observations[..., :ACTION_DIM], -1.0)

    def critic(_observations: Tensor, actions: Tensor) -> Tensor:
        return torch.stack([2 * actions.sum(-1), 4 * actions.sum(-1)], 1)

    batch = random_batch(2, 3)
    nets = closed_form({"actor": actor, "critic": critic})
    mean = batch.next_observations[..., :ACTION_DIM]
    total = sum(torch.tanh(mean + np.exp(-1) * draw).sum(-1) for draw in algorithm.draws)
    torch.testing.assert_close(algorithm.value_after(nets, batch), 3 * total / 10)
    assert algorithm.draws.shape == (10, ACTION_DIM)
    assert algorithm.draws.std() == pytest.approx(1, abs=0.3)


@pytest.mark.parametrize(("target", "aim"), [(None, 80.0), (50.0, 50.0)])
def test_acts_for_what_is_left_of_the_target(target: float | None, aim: float) -> None:
    algorithm = algorithm_of(target_return=target, return_scale=100.0)
    history = History(
        observations=torch.zeros(1, 1, 2, OBS_DIM),
        actions=torch.zeros(1, 1, 2, ACTION_DIM),
        rewards=torch.tensor([[[20.0, 0.0]]]),
        earned=torch.tensor([[[10.0, 30.0]]]),
        steps=torch.tensor([[[3, 4]]]),
    )

    def transformer(to_go: Tensor, *_: Tensor) -> Tensor:
        return to_go.unsqueeze(-1).expand(1, 1, 2, ACTION_DIM)

    actions = algorithm.act(closed_form({"transformer": transformer}), history, {})
    torch.testing.assert_close(actions, torch.full((1, 1, ACTION_DIM), (aim - 30) / 100))


def test_acts_by_cqls_policy_until_the_transformer_is_trained(transitions: Transitions) -> None:
    engine = make_engine("qdt", transitions, **SMALL, offline_steps=40, value_share=0.75)
    engine.train(30)
    observations = np.stack([transitions.observations[:4]] * 2)
    normal = engine._batches.normalize(torch.tensor(observations))
    for slot, actions in enumerate(engine.policy("test")(observations)):
        mean, _ = Actor(engine, slot)(normal[slot], torch.zeros(4, ACTION_DIM))
        np.testing.assert_allclose(actions, mean.detach(), rtol=1e-4, atol=1e-5)


def test_the_preflight_has_no_remarks() -> None:
    assert check(QDT, QDTConfig(), OBS_DIM, ACTION_DIM) == []


def test_stitches_two_halves_and_decision_transformer_does_not() -> None:
    """Asked for a return of 2, of which every episode of the data has 1."""
    settings = {
        "context": 1,
        "embedding_dim": 16,
        "return_scale": 1.0,
        "target_return": 2.0,
    }
    dt = make_engine("dt", stitching.half_good(), **settings, learning_rate=3e-3, offline_steps=100)
    dt.train(100)
    qdt = make_engine(
        "qdt",
        stitching.half_good(),
        **settings,
        offline_steps=300,
        value_share=0.65,
        alpha=0.3,
        samples=3,
        learning_rate=5e-3,
        policy_learning_rate=5e-3,
        transformer_learning_rate=3e-3,
    )
    qdt.train(300)
    assert stitching.returns(dt).max() < 1.1
    assert stitching.returns(qdt).min() > 1.9
