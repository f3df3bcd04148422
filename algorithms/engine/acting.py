"""Acting with a learned policy: normalise, draw noise, sample, and choose a sample if asked to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms.action_selection import ActionSelection, parse_action_selection
from algorithms.base import Algorithm, History, Networks, Noise, NoiseSpec, Uniform
from algorithms.engine.preprocessing import Preprocessing
from algorithms.engine.streams import draw
from algorithms.errors import DivergedError

_CANDIDATES_AT_ONCE = 512  # of a seed, on a CPU, whose caches hold what networks make of them
Choose = Callable[[Networks, Any, Noise], Tensor]


class Policy(Protocol):
    """How the seeds act, in episodes that all begin with its first call."""

    def __call__(
        self, observations: NDArray[np.float32], rewards: NDArray[np.float32] | None = None, /
    ) -> NDArray[np.float32]:
        """Actions `[S, E, action_dim]` in [-1, 1] for observations `[S, E, obs_dim]`.

        rewards: `[S, E]`, of the step before; None where there was none.
        """


def make_policy(
    algorithm: Algorithm[Any],
    nets: Networks,
    choose: Choose,
    selection: str | None,
    preprocessing: Preprocessing,
    generators: Sequence[torch.Generator],
) -> Policy:
    """A policy that acts by `choose`.

    Args:
        algorithm: whose noise is drawn, and whose critic ranks candidates.
        nets: of the S seeds.
        choose: gives the actions of normalised observations, as `Algorithm.act` does.
        selection: how it acts, in the words of `algorithms/action_selection.py`; None: as the
            algorithm does.
        preprocessing: of observations and rewards.
        generators: of the noise, one per seed, on the networks' device.

    Raises ValueError for a selection that the algorithm does not support. Acting raises
    DivergedError if an action, or a value that actions are chosen by, is not finite.
    """
    name = selection or algorithm.action_selection
    if not algorithm.supports(name):
        raise ValueError(f"{type(algorithm).__name__} cannot act by '{name}'")
    chosen = parse_action_selection(name)
    seeds, device = len(generators), generators[0].device
    memory = Memory(algorithm.context, algorithm.action_dim) if algorithm.context else None

    def act(
        observations: NDArray[np.float32], rewards: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        if observations.ndim != 3 or observations.shape[::2] != (seeds, algorithm.obs_dim):
            raise ValueError(
                f"observations must be [{seeds}, E, {algorithm.obs_dim}] (seeds, episodes, "
                f"obs_dim), found {list(observations.shape)}"
            )
        x = torch.from_numpy(np.asarray(observations, np.float32)).to(device)
        seen = None if rewards is None else preprocessing.rewards(rewards)

        def remember(nets: Networks, x: Tensor, noise: Noise) -> Tensor:
            assert memory is not None
            return memory.act(lambda history: choose(nets, history, noise), x, seen)

        with torch.no_grad():
            actions = select_actions(
                algorithm,
                nets,
                choose if memory is None else remember,
                chosen,
                preprocessing.normalize(x),
                lambda specs, count: draw(specs, generators, (count,)),
                _CANDIDATES_AT_ONCE if device.type == "cpu" else None,
            )
        return np.asarray(actions.cpu().numpy(), np.float32)

    return act


def select_actions(
    algorithm: Algorithm[Any],
    nets: Networks,
    choose: Choose,
    selection: ActionSelection,
    x: Tensor,
    draws: Callable[[NoiseSpec, int], Noise],
    at_once: int | None = None,
) -> Tensor:
    """Actions for normalised observations. [S, E, obs_dim] -> [S, E, action_dim].

    draws: noise by name, `[S, n, dim]`, for specs and a number n.
    at_once: candidates of a seed that the networks are given together; None: all.

    Raises DivergedError if an action, or a value that actions are chosen by, is not finite.
    """
    x = x.repeat_interleave(selection.candidates, 1)
    noise = draws(algorithm.act_noise, x.shape[1])
    noise = {name: selection.noise_scale * value for name, value in noise.items()}
    if selection.candidates == 1:
        actions = choose(nets, x, noise).clamp(-1, 1)
        _refuse_non_finite(actions, "its policy's actions were not finite")
        return actions
    value = algorithm.softmax_value if selection.softmax else algorithm.action_value
    parts = []
    for start in range(0, x.shape[1], at_once) if at_once else [0]:
        rows = slice(start, start + at_once if at_once else None)
        seen = x[:, rows]
        found = choose(nets, seen, {k: v[:, rows] for k, v in noise.items()}).clamp(-1, 1)
        parts.append((found, value(nets, seen, found)))
    actions, values = (torch.cat(part, 1) for part in zip(*parts, strict=True))
    _refuse_non_finite(actions, "its policy's actions were not finite")
    _refuse_non_finite(values, "its critic's values were not finite, so no action was the best")
    if selection.softmax:
        uniform = draws({"uniform": Uniform(1)}, x.shape[1])["uniform"].squeeze(-1)
        values = values + algorithm.selection_temperature * _gumbel(uniform)
    return best_of(actions, values, selection.candidates)


def best_of(actions: Tensor, values: Tensor, candidates: int) -> Tensor:
    """The most valuable of each `candidates` in a row. [S, E * N, ·], [S, E * N] -> [S, E, ·]."""
    seeds, _, action_dim = actions.shape
    choices = values.view(seeds, -1, candidates).argmax(-1)[..., None, None]
    options = actions.view(seeds, -1, candidates, action_dim)
    return options.gather(2, choices.expand(-1, -1, 1, action_dim)).squeeze(2)


def _refuse_non_finite(numbers: Tensor, sentence: str) -> None:
    """Raises DivergedError with the sentence for the slots with numbers that are not finite."""
    finite = numbers.isfinite().flatten(1).all(1).tolist()
    if not all(finite):
        raise DivergedError({slot: sentence for slot, fine in enumerate(finite) if not fine})


class Memory:
    """The latest steps of episodes that began together, for a method with a `context`.

    Args:
        length: L, how many steps.
        action_dim: length of one action.
    """

    def __init__(self, length: int, action_dim: int) -> None:
        self._length, self._action_dim = length, action_dim
        self._steps: list[_Step] = []  # the oldest first
        self._count = 0

    def act(
        self,
        choose: Callable[[History], Tensor],
        observations: Tensor,
        rewards: NDArray[np.float32] | None,
    ) -> Tensor:
        """Take in the present step and the rewards of the one before, and act on all.

        Raises ValueError for missing rewards in any step but the first.
        """
        if self._steps and rewards is None:
            raise ValueError("a method with a context needs the rewards of the step before")
        nothing = torch.zeros_like(observations[..., 0])
        so_far = nothing
        if self._steps and rewards is not None:
            before = self._steps[-1]
            latest = torch.as_tensor(rewards, dtype=torch.float32, device=observations.device)
            self._steps[-1] = before._replace(rewards=latest)
            so_far = before.earned + latest
        idle = observations.new_zeros(*observations.shape[:2], self._action_dim)
        self._steps = [*self._steps, _Step(observations, idle, nothing, so_far)][-self._length :]
        self._count += 1
        first = self._count - len(self._steps)
        time = torch.arange(first, self._count, device=observations.device)
        observed, acted, got, earned = (torch.stack(x, 2) for x in zip(*self._steps, strict=True))
        history = History(observed, acted, got, earned, time.expand(*nothing.shape, -1))
        actions = choose(history).clamp(-1, 1)
        self._steps[-1] = self._steps[-1]._replace(actions=actions)
        return actions


class _Step(NamedTuple):
    """One step of all episodes, `[S, E, ...]` each."""

    observations: Tensor
    actions: Tensor
    rewards: Tensor
    earned: Tensor


def _gumbel(uniform: Tensor) -> Tensor:
    """Standard Gumbel noise: the largest of v / T + noise is a draw from softmax(v / T)."""
    return -torch.log(-torch.log(uniform))
