"""Acting with a learned policy: normalise, draw noise, sample, and choose the best if asked to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms.action_selection import ActionSelection
from algorithms.base import Algorithm, Networks, Noise
from algorithms.engine.batches import Batches
from algorithms.engine.streams import draw
from algorithms.errors import DivergedError

Policy = Callable[[NDArray[np.float32]], NDArray[np.float32]]
Choose = Callable[[Networks, Tensor, Noise], Tensor]


def make_policy(
    algorithm: Algorithm[Any],
    nets: Networks,
    choose: Choose,
    selection: ActionSelection,
    batches: Batches,
    generators: Sequence[torch.Generator],
    device: torch.device,
) -> Policy:
    """A function `[S, E, obs_dim] -> [S, E, action_dim]` in [-1, 1] that acts by `choose`.

    Args:
        algorithm: whose noise is drawn, and whose critic ranks candidates.
        nets: of the S seeds.
        choose: gives the actions of normalised observations, as `Algorithm.act` does.
        selection: how much noise, and how many candidates.
        batches: normalises observations.
        generators: of the noise, one per seed.
        device: of the networks.

    Acting raises DivergedError if an action, or a value that actions are chosen by, is not finite.
    """
    seeds = len(generators)

    def act(observations: NDArray[np.float32]) -> NDArray[np.float32]:
        if observations.ndim != 3 or observations.shape[::2] != (seeds, algorithm.obs_dim):
            raise ValueError(
                f"observations must be [{seeds}, E, {algorithm.obs_dim}] (seeds, episodes, "
                f"obs_dim), found {list(observations.shape)}"
            )
        x = torch.from_numpy(np.asarray(observations, np.float32)).to(device)
        x = batches.normalize(x).repeat_interleave(selection.candidates, 1)
        noise = draw(algorithm.act_noise, generators, (x.shape[1],), device)
        noise = {name: selection.noise_scale * value for name, value in noise.items()}
        with torch.no_grad():
            actions = choose(nets, x, noise).clamp(-1, 1)
            _refuse_non_finite(actions, "its policy's actions were not finite")
            if selection.candidates > 1:
                values = algorithm.action_value(nets, x, actions)
                actions = _best(actions, values, selection.candidates)
        return np.asarray(actions.cpu().numpy(), np.float32)

    return act


def _refuse_non_finite(numbers: Tensor, sentence: str) -> None:
    """Raises DivergedError with the sentence for the slots with numbers that are not finite."""
    finite = numbers.isfinite().flatten(1).all(1).tolist()
    if not all(finite):
        raise DivergedError({slot: sentence for slot, fine in enumerate(finite) if not fine})


def _best(actions: Tensor, values: Tensor, candidates: int) -> Tensor:
    """The most valuable of each `candidates` in a row. [S, E * N, ·], [S, E * N] -> [S, E, ·]."""
    _refuse_non_finite(values, "its critic's values were not finite, so no action was the best")
    seeds, _, action_dim = actions.shape
    choices = values.view(seeds, -1, candidates).argmax(-1)[..., None, None]
    options = actions.view(seeds, -1, candidates, action_dim)
    return options.gather(2, choices.expand(-1, -1, 1, action_dim)).squeeze(2)
