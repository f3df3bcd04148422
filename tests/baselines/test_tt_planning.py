"""The beam search against an exhaustive one, and its sampling by hand."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from algorithms.blocks.transformer import Cache, Transformer
from algorithms.networks import Params
from baselines.tt import TokenModel
from baselines.tt_planning import BeamSearch, sample
from tests.algorithms.reference import random_params

DIMS, BINS = 4, 2  # one number each of s, a, r and V
DISCOUNT = 0.8
SEARCH = BeamSearch(
    action_dim=1,
    discount=DISCOUNT,
    horizon=3,
    beam_width=200,
    expansions=1,
    window=2,
    cut=None,
    top_k=None,
)


def tiny(seeds: int) -> tuple[TokenModel, Params]:
    """A model whose predictions differ from token to token."""
    model = TokenModel(DIMS, BINS, 3, Transformer(8, (8,), 2, unseen=DIMS))
    params = random_params({"model": model}, seeds)["model"]
    return model, {name: 4 * value for name, value in params.items()}


def inputs(search: BeamSearch, seeds: int, episodes: int) -> tuple[Tensor, ...]:
    """Past, present, centers and noise."""
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randint(BINS, (seeds, episodes, 1, DIMS), generator=generator),
        torch.randint(BINS, (seeds, episodes, 1), generator=generator),
        torch.randn(seeds, DIMS, BINS, generator=generator),
        torch.rand(seeds, episodes, search.noise.dim, generator=generator),
    )


def follow(
    read: Any, past: list[int], present: int, centers: Tensor, actions: tuple[int, ...]
) -> float:
    """The value of one seed's plan of these actions, token by token, and without a cache."""
    tokens, total, value = [*past, present], 0.0, 0.0

    def logits() -> Tensor:
        whole = len(tokens) // DIMS
        kept = tokens[max(0, whole - 1) * DIMS :]  # the transition before, and this one
        found: Tensor = read(torch.tensor(kept).view(1, 1, -1))[0, 0, -1]
        return found

    for step, action in enumerate(actions):
        if step:
            tokens.append(int(logits().argmax()))
        tokens.append(action)
        expected = []
        for dim in (2, 3):
            found = logits()
            expected.append(float(found.softmax(-1)[:BINS] @ centers[dim]))
            tokens.append(int(found.argmax()))
        total += DISCOUNT**step * expected[0]
        value = total + DISCOUNT**step * expected[1]
    return value


def test_with_room_for_all_plans_it_finds_the_best_of_all() -> None:
    """In two seeds and four episodes, against all sequences of three actions of three tokens."""
    model, params = tiny(2)
    past, present, centers, noise = inputs(SEARCH, 2, 4)
    found = SEARCH(functools.partial(model, params), past, present, centers, noise)
    assert found.shape == (2, 4, 1)
    best_actions = set()
    for seed, episode in itertools.product(range(2), range(4)):
        own = {name: value[seed : seed + 1] for name, value in params.items()}
        read = functools.partial(model, own)
        before, observed = past[seed, episode].flatten().tolist(), int(present[seed, episode, 0])
        values = {
            actions: follow(read, before, observed, centers[seed], actions)
            for actions in itertools.product(range(BINS + 1), repeat=3)
        }
        best = max(values, key=lambda actions: values[actions])
        assert found[seed, episode].tolist() == [best[0]], (seed, episode)
        best_actions.add(best[0])
    assert len(best_actions) > 1


def two_states(tokens: Tensor, *, cache: Cache) -> Tensor:
    """Action 0 leads to state 0, where it pays 1; action 1 to state 1, which promises bin 1.

    Both actions are as likely, and all else is certain.
    """
    before = [cache.blocks[0][0]] if cache.blocks else []
    seen = torch.cat([*before, tokens], -1)
    cache.blocks[:] = [seen.unsqueeze(0)]  # is repeated along the batch, as keys are
    third, second, last = seen[..., -3:].unbind(-1)
    place = seen.shape[-1] % DIMS
    if place == 1:  # after a state
        likely = torch.ones(*last.shape, BINS)
    else:  # the next state is the action, the reward is of both, the promise is the state
        found = {0: third, 2: (second + last == 0).long(), 3: third}[place]
        likely = torch.nn.functional.one_hot(found, BINS).float()
    logits = torch.cat([50 * likely, torch.full_like(likely[..., :1], -50)], -1)
    return logits.unsqueeze(2)


@pytest.mark.parametrize(("discount", "action"), [(0.2, 0), (0.3, 1)])
def test_rewards_and_what_is_promised_after_them_are_discounted(
    discount: float, action: int
) -> None:
    """1 + γ for staying, 5 γ for going and the promise of 5: equal at γ = 1/4."""
    search = BeamSearch(**{**vars(SEARCH), "horizon": 2, "discount": discount})
    past, present, _, noise = inputs(search, 1, 3)
    centers = torch.tensor([[0.0, 1.0], [0.0, 1.0], [0.0, 1.0], [0.0, 5.0]]).unsqueeze(0)
    found = search(two_states, past, torch.zeros_like(present), centers, noise)
    assert found.flatten().tolist() == [action] * 3


def test_an_episode_is_planned_the_same_beside_any_others() -> None:
    model, params = tiny(2)
    search = BeamSearch(**{**vars(SEARCH), "beam_width": 3, "expansions": 2, "cut": 0.3})
    past, present, centers, noise = inputs(search, 2, 4)
    found = search(functools.partial(model, params), past, present, centers, noise)
    own = {name: value[1:] for name, value in params.items()}
    alone = search(functools.partial(model, own), past[1:], present[1:], centers[1:], noise[1:])
    assert torch.equal(alone, found[1:])


@pytest.mark.parametrize(
    ("cut", "top_k", "expected"),
    [
        (None, None, {0.05: 0, 0.15: 1, 0.35: 2, 0.95: 3}),
        (0.35, None, {0.0: 2, 0.4: 2, 0.45: 3, 0.99: 3}),  # 0.1 and 0.2 are together less
        (0.65, None, {0.0: 3, 0.99: 3}),
        (None, 2, {0.0: 2, 0.4: 2, 0.45: 3}),
        (None, 9, {0.05: 0, 0.15: 1}),
        (0.35, 1, {0.0: 3}),
    ],
)
def test_samples_are_of_the_likely_tokens(
    cut: float | None, top_k: int | None, expected: dict[float, int]
) -> None:
    logits = torch.tensor([0.1, 0.2, 0.3, 0.4]).log().expand(len(expected), 4)
    uniform = torch.tensor(list(expected))
    assert sample(logits, uniform, cut, top_k).tolist() == list(expected.values())


def test_samples_are_as_frequent_as_they_are_likely() -> None:
    probabilities = torch.tensor([0.2, 0.5, 0.3])
    uniform = (torch.arange(1000) + 0.5) / 1000
    found = sample(probabilities.log().expand(1000, 3), uniform, None, None)
    assert found.bincount().tolist() == [200, 500, 300]
