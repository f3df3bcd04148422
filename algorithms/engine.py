"""Trains one algorithm for several seeds at once: gather, gradients, Adam, targets, compilation.

Every tensor of learning state has a leading seed axis `S`. One update is one function of state,
data, indices and noise; it is compiled where a compiler exists. All randomness is drawn outside it,
from one stream a seed and block of updates, so a seed's bits depend neither on its slot in the
stack, nor on its neighbours, nor on where a run was interrupted.
"""

from __future__ import annotations

import functools
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms import registry
from algorithms.base import Algorithm, Batch, Config, Networks, Stage
from algorithms.learning_state import LearningState, SeedState, first_slots
from algorithms.networks import Params
from algorithms.optimizer import adam_coefficients, adam_step
from algorithms.precision import Precision, use_products
from algorithms.streams import draw, generator
from algorithms.transitions import Transitions

_BLOCK = 32  # updates whose indices and noise are drawn together

Policy = Callable[[NDArray[np.float32]], NDArray[np.float32]]


class Engine:
    """The learning state of one algorithm for all `seeds` of a trial, and its updates.

    Args:
        algorithm_id: id in the registry.
        config: the algorithm's resolved config.
        transitions: the offline data, `[N, ...]` packed rows.
        seeds: one independent learner each.
        total_steps: the budget in gradient steps; stages and schedules are shares of it.
        precision: of matrix products; see `algorithms/precision.py`.
        device: "cpu" or a CUDA device.
        compile: use `torch.compile`; falls back to eager with one warning without a compiler.

    Attributes:
        step: gradient steps taken so far.
        compiled: whether updates really are compiled.
    """

    def __init__(
        self,
        algorithm_id: str,
        config: Config,
        transitions: Transitions,
        seeds: Sequence[int],
        *,
        total_steps: int,
        precision: Precision = "fp32",
        device: str = "cpu",
        compile: bool = True,  # noqa: A002
    ) -> None:
        if len(set(seeds)) != len(seeds) or not seeds:
            raise ValueError(f"seeds must be distinct and at least one, found {list(seeds)}")
        if len(transitions) == 0:
            raise ValueError("the dataset has no transitions")
        use_products(precision)
        self.seeds = tuple(seeds)
        self.total_steps = total_steps
        self.step = 0
        self._device = torch.device(device)
        self.compiled = compile and _compiler_exists(self._device)
        # Compiled code for a single seed rounds differently from code for several: pad to two.
        self._slots = (*seeds, *seeds) if self.compiled and len(seeds) == 1 else self.seeds
        self.algorithm = _create(algorithm_id, config, transitions)
        self._load_data(transitions)
        self._state = LearningState.create(self.algorithm, self._slots, self._device)
        self._order = {name: i for i, name in enumerate(self.algorithm.optimizers)}
        self._stage_ends = _stage_ends(self.algorithm.stages, total_steps)
        self._network_updates = self._count_updates()
        self._updates: dict[tuple[int, tuple[bool, ...]], Callable[..., dict[str, Tensor]]] = {}
        self._block = -1
        self._metrics: dict[str, Tensor] = {}

    # --- training ---------------------------------------------------------------------------

    def train(self, steps: int) -> None:
        """Take `steps` gradient steps, stopping at the end of the budget."""
        for _ in range(min(steps, self.total_steps - self.step)):
            self._draw_block()
            index = self._stage_of(self.step)
            stage = self.algorithm.stages[index]
            first = self._stage_ends[index - 1] if index else 0
            if self.step == first:
                self._state.copy_networks(stage.copies)
            local = self.step - first + 1
            due = tuple(local % phase.every == 0 for phase in stage.phases)
            for phase, is_due in zip(stage.phases, due, strict=True):
                for name in phase.trains if is_due else ():
                    self._state.counts[name] += 1
            k = self.step % _BLOCK
            noise = {name: values[k] for name, values in self._noise.items()}
            coefficients = adam_coefficients(
                self.algorithm.optimizers, self._state.counts, self._network_updates
            )
            update = self._update_function(index, due)
            self._metrics |= update(
                self._indices[k], noise, torch.tensor(coefficients, device=self._device)
            )
            self.step += 1

    def metrics(self) -> dict[str, NDArray[np.float32]]:
        """The latest value of every training metric, each `[S]`."""
        return {k: v[: len(self.seeds)].float().cpu().numpy() for k, v in self._metrics.items()}

    def policy(self, stream: str) -> Policy:
        """The current policy as a function `[S, E, obs_dim] -> [S, E, action_dim]` in [-1, 1].

        Its noise comes from the stream of that name, one for each seed, started afresh.
        """
        expected = (len(self.seeds), self.algorithm.obs_dim)
        generators = [generator("act", seed, stream) for seed in self.seeds]
        params = first_slots(self._state.params, len(self.seeds))
        targets = first_slots(self._state.targets, len(self.seeds))
        nets = Networks(self.algorithm.networks, params, params, targets)
        last_trained = self.algorithm.stages[self._stage_of(max(0, self.step - 1))]
        choose = last_trained.act or self.algorithm.act

        def act(observations: NDArray[np.float32]) -> NDArray[np.float32]:
            if observations.ndim != 3 or observations.shape[::2] != expected:
                raise ValueError(
                    f"observations must be [{expected[0]}, E, {expected[1]}] (seeds, episodes, "
                    f"obs_dim), found {list(observations.shape)}"
                )
            x = torch.from_numpy(np.asarray(observations, np.float32)).to(self._device)
            x = (x - self._obs_mean) * self._obs_scale
            noise = draw(self.algorithm.act_noise, generators, (x.shape[1],), self._device)
            with torch.no_grad():
                actions = choose(nets, x, noise).clamp(-1, 1)
            return np.asarray(actions.cpu().numpy(), np.float32)

        return act

    # --- saving -----------------------------------------------------------------------------

    def state(self, slot: int) -> SeedState:
        """A copy of the learning state of the seed in `slot`, without the seed axis."""
        return self._state.of_slot(slot)

    def load_state(self, states: Sequence[SeedState], step: int) -> None:
        """Continue from `state()` of every seed, in the order of `seeds`, taken after `step`.

        Raises ValueError, before anything is changed, for states of another algorithm or config.
        """
        if len(states) != len(self.seeds):
            raise ValueError(f"{len(self.seeds)} seeds need as many states, found {len(states)}")
        padding = len(self._slots) - len(states)
        self._state.load([*states, *states[:padding]])
        self.step = step
        self._block = -1

    # --- one update -------------------------------------------------------------------------

    def _update_function(
        self, index: int, due: tuple[bool, ...]
    ) -> Callable[..., dict[str, Tensor]]:
        key = (index, due)
        if key not in self._updates:
            update = functools.partial(self._update, index, due)
            compiled = torch.compile(update, fullgraph=True, dynamic=False)
            self._updates[key] = compiled if self.compiled else update
        return self._updates[key]

    def _update(
        self,
        index: int,
        due: tuple[bool, ...],
        indices: Tensor,
        noise: Mapping[str, Tensor],
        coefficients: Tensor,
    ) -> dict[str, Tensor]:
        """Gather a batch, then take every phase that is due. indices: [S, B]."""
        state = self._state
        batch = self._gather(indices)
        metrics: dict[str, Tensor] = {}
        for phase, is_due in zip(self.algorithm.stages[index].phases, due, strict=True):
            if not is_due:
                continue

            def loss(
                trained: dict[str, Params], phase: Any = phase
            ) -> tuple[Tensor, dict[str, Tensor]]:
                params = {**state.params, **trained}
                nets = Networks(self.algorithm.networks, params, state.params, state.targets)
                losses, info = phase.loss(nets, batch, noise)
                # The seeds share no parameter, so the gradient of the sum is each one's own.
                return losses.sum(), {k: v.detach() for k, v in info.items()}

            trained = {name: state.params[name] for name in phase.trains}
            gradients, info = torch.func.grad(loss, has_aux=True)(trained)
            metrics |= info
            for name in phase.trains:
                adam_step(
                    self.algorithm.optimizers[name],
                    state.params[name],
                    gradients[name],
                    state.means[name],
                    state.squares[name],
                    coefficients[self._order[name]],
                )
            for name in phase.updates_targets:
                tau = self.algorithm.targets[name]
                for key, value in state.params[name].items():
                    state.targets[name][key].lerp_(value, tau)
        return metrics

    def _gather(self, indices: Tensor) -> Batch:
        obs, act = self.algorithm.obs_dim, self.algorithm.action_dim
        rows = self._rows.index_select(0, indices.reshape(-1)).view(*indices.shape, -1)
        start = obs + act + 1
        return Batch(
            observations=(rows[..., :obs] - self._obs_mean) * self._obs_scale,
            actions=rows[..., obs : obs + act],
            rewards=rows[..., obs + act],
            next_observations=(rows[..., start : start + obs] - self._obs_mean) * self._obs_scale,
            masks=1 - rows[..., -2],
        )

    def _draw_block(self) -> None:
        """Draw indices `[K, S, B]` and noise `[K, S, B, dim]` for the block `step` lies in."""
        block = self.step // _BLOCK
        if block == self._block:
            return
        self._block = block
        generators = [generator("train", seed, block) for seed in self._slots]
        shape = (_BLOCK, self.algorithm.config.batch_size)
        drawn = [torch.randint(len(self._rows), shape, generator=g) for g in generators]
        self._indices = torch.stack(drawn, 1).to(self._device)
        self._noise = draw(self.algorithm.noise, generators, shape, self._device)

    # --- set-up -----------------------------------------------------------------------------

    def _load_data(self, transitions: Transitions) -> None:
        config = self.algorithm.config
        self._rows = torch.from_numpy(transitions.rows).to(self._device)
        observations = transitions.observations
        mean, std = np.zeros(transitions.obs_dim), np.ones(transitions.obs_dim)
        if config.normalize_observations:
            mean = observations.mean(0, dtype=np.float64)
            std = observations.std(0, dtype=np.float64) + 1e-3  # TD3+BC's ε
        self._obs_mean = torch.tensor(mean, dtype=torch.float32, device=self._device)
        self._obs_scale = torch.tensor(1 / std, dtype=torch.float32, device=self._device)

    def _stage_of(self, step: int) -> int:
        """Which stage takes the update that follows `step` finished ones."""
        return next(i for i, end in enumerate(self._stage_ends) if step < end)

    def _count_updates(self) -> dict[str, int]:
        """How many updates each network will get within the budget."""
        counts = dict.fromkeys(self.algorithm.optimizers, 0)
        start = 0
        for stage, end in zip(self.algorithm.stages, self._stage_ends, strict=True):
            for phase in stage.phases:
                for name in phase.trains:
                    counts[name] += (end - start) // phase.every
            start = end
        return {name: max(1, count) for name, count in counts.items()}


def _create(algorithm_id: str, config: Config, transitions: Transitions) -> Algorithm[Any]:
    cls = registry.load(algorithm_id)
    if not isinstance(config, cls.Config):
        raise TypeError(f"{algorithm_id} needs a {cls.Config.__name__}, found {type(config)}")
    return cls(config, transitions.obs_dim, transitions.action_dim)


def _stage_ends(stages: Sequence[Stage], total_steps: int) -> list[int]:
    """The step after the last of each stage.

    Raises ValueError unless the shares sum to one and every stage gets a step.
    """
    shares = [stage.share for stage in stages]
    if abs(sum(shares) - 1) > 1e-9:
        raise ValueError(f"the stages' shares of the budget must sum to 1, found {shares}")
    ends = [round(total_steps * sum(shares[: i + 1])) for i in range(len(shares))]
    ends = [*ends[:-1], total_steps]
    if any(end <= start for start, end in pairwise([0, *ends])):
        raise ValueError(f"{total_steps} steps are too few for stages with the shares {shares}")
    return ends


@functools.cache
def _compiler_exists(device: torch.device) -> bool:
    if device.type == "cpu" and not any(shutil.which(c) for c in ("g++", "clang++", "c++")):
        warnings.warn(
            "no C++ compiler found: training runs uncompiled, about half as fast "
            "(install g++ and start again)",
            stacklevel=3,
        )
        return False
    return True
