"""The Trajectory Transformer's beam search: the plan of the highest return, token by token.

Part of `tt.py`, whose *Deviations* list covers it; in a file of its own because it knows nothing of
training. Shapes: `S` seeds, `E` episodes, `D` tokens a transition, in the order observation (`O`),
action (`A`), reward, later rewards; `N` bins, and token N, which says that the episode is over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from algorithms.base import Uniform
from algorithms.blocks.transformer import Cache

_REMOVED = -1000.0  # the logit of what is cut off, as in the official code


class Predict(Protocol):
    """A sequence model."""

    def __call__(self, tokens: Tensor, /, *, cache: Cache) -> Tensor:
        """Logits of what follows each token. [S, B, T] -> [S, B, T, N + 1]."""


@dataclass(frozen=True)
class BeamSearch:
    """Extends `beam_width` plans by a transition at a time, and keeps the most promising.

    Attributes:
        action_dim: A.
        discount: γ.
        horizon: transitions of a plan.
        beam_width: plans that are kept.
        expansions: ways in which each of them is continued.
        window: transitions that the model sees at once, the one that it predicts included.
        cut: probability of the least likely tokens that no action has; None: 0.
        top_k: likeliest tokens that an action may have; None: any.
    """

    action_dim: int
    discount: float
    horizon: int
    beam_width: int
    expansions: int
    window: int
    cut: float | None
    top_k: int | None

    @property
    def noise(self) -> Uniform:
        """What a search draws for each episode: a number for every sampled token."""
        return Uniform(self.horizon * self.beam_width * self.expansions * self.action_dim)

    def __call__(
        self, predict: Predict, past: Tensor, present: Tensor, centers: Tensor, noise: Tensor
    ) -> Tensor:
        """The first action of the best plan found, in tokens. -> int64 [S, E, A].

        past: tokens of the transitions before, [S, E, l < window, D]; what follows is in flat form,
        [S, E * plans, ...]. present: of the present observation, [S, E, O]. centers: numbers that
        the bins stand for, [S, D, N]. noise: as `noise` says, [S, E, ·].
        """
        episodes = past.shape[1]
        uniform = noise.view(*noise.shape[:2], self.horizon, -1, self.action_dim)
        earned, window, observed = torch.zeros_like(noise[..., 0]), past, present
        first = present[..., :0]
        for step in range(self.horizon):
            cache = Cache(self.window * past.shape[-1])
            if step == 0:
                prefix = torch.cat([past.flatten(2), present], -1)
                logits = predict(prefix, cache=cache)[:, :, -1]
                times = self.beam_width * self.expansions
            else:
                observed, logits = self._observe(predict, window, present.shape[-1], cache)
                times = self.expansions
            cache, logits = cache.repeat(times), logits.repeat_interleave(times, 1)
            earned, window, observed, first = (
                x.repeat_interleave(times, 1) for x in (earned, window, observed, first)
            )
            drawn = uniform[:, :, step].flatten(1, 2)
            actions, logits = self._act(predict, logits, drawn, cache)
            reward, reward_token = _expected(logits, centers[:, -2])
            logits = predict(reward_token.unsqueeze(-1), cache=cache)[:, :, -1]
            later, later_token = _expected(logits, centers[:, -1])
            earned = earned + self.discount**step * reward
            value = _by_episode(earned + self.discount**step * later, episodes)
            best = value.sort(dim=-1, descending=True, stable=True).indices[..., : self.beam_width]
            outcome = torch.stack([reward_token, later_token], -1)
            transition = torch.cat([observed, actions, outcome], -1).unsqueeze(2)
            window = torch.cat([window, transition], 2)[:, :, 1 - self.window :]
            first = actions if step == 0 else first
            earned, window, first = (_chosen(x, best) for x in (earned, window, first))
        return _by_episode(first, episodes)[:, :, 0]

    def _observe(
        self, predict: Predict, window: Tensor, obs_dim: int, cache: Cache
    ) -> tuple[Tensor, Tensor]:
        """The likeliest token of each dimension of the next observation, and what follows.

        The window has moved on by a transition, and with it the place of each: all is read anew.
        """
        logits = predict(window.flatten(2), cache=cache)[:, :, -1]
        tokens = []
        for _ in range(obs_dim):
            tokens.append(logits.argmax(-1))
            logits = predict(tokens[-1].unsqueeze(-1), cache=cache)[:, :, -1]
        return torch.stack(tokens, -1), logits

    def _act(
        self, predict: Predict, logits: Tensor, uniform: Tensor, cache: Cache
    ) -> tuple[Tensor, Tensor]:
        """A sample of the next action, and what follows. uniform: [S, B, A]."""
        tokens = []
        for dim in range(self.action_dim):
            tokens.append(sample(logits, uniform[..., dim], self.cut, self.top_k))
            logits = predict(tokens[-1].unsqueeze(-1), cache=cache)[:, :, -1]
        return torch.stack(tokens, -1), logits


def sample(logits: Tensor, uniform: Tensor, cut: float | None, top_k: int | None) -> Tensor:
    """Tokens drawn from what is left of a distribution. [..., n], [...] -> int64 [...].

    cut: the least likely tokens, of less than this probability together, are left out. top_k: so
    are all but the likeliest.
    """
    if cut is not None:
        probabilities = logits.softmax(-1)
        ascending = probabilities.sort(-1).values
        below = (ascending.cumsum(-1) < cut).sum(-1, keepdim=True)
        limit = ascending.gather(-1, (below - 1).clamp(min=0))
        logits = logits.masked_fill(probabilities <= limit, _REMOVED)
    if top_k is not None:
        least = logits.topk(min(top_k, logits.shape[-1])).values[..., -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    cumulative = logits.softmax(-1).cumsum(-1)
    below = (cumulative <= uniform.unsqueeze(-1) * cumulative[..., -1:]).sum(-1)
    return below.clamp(max=logits.shape[-1] - 1)


def _expected(logits: Tensor, centers: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and likeliest token; the end counts as 0. [S, B, N + 1], [S, N] -> [S, B] each."""
    probabilities = logits.softmax(-1)[..., :-1]
    return (probabilities * centers.unsqueeze(1)).sum(-1), logits.argmax(-1)


def _by_episode(x: Tensor, episodes: int) -> Tensor:
    """[S, E * plans, ...] -> [S, E, plans, ...]."""
    return x.view(len(x), episodes, -1, *x.shape[2:])


def _chosen(x: Tensor, best: Tensor) -> Tensor:
    """The chosen plans of each episode. [S, E * plans, ...], [S, E, W] -> [S, E * W, ...]."""
    index = best.view(*best.shape, *[1] * (x.ndim - 2)).expand(*best.shape, *x.shape[2:])
    return _by_episode(x, best.shape[1]).gather(2, index).flatten(1, 2)
