"""Trains one algorithm for several seeds at once: gather, gradients, Adam, targets, compilation.

Every tensor of learning state has a leading seed axis `S`. One update is one function of state,
data, indices and noise; it is compiled where a compiler exists. All randomness is drawn outside it,
from one stream a seed and block of updates, so a seed's bits depend neither on its slot in the
stack, nor on its neighbours, nor on where a run was interrupted.
"""

from __future__ import annotations

import functools
import math
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
from algorithms.base import Algorithm, Batch, Config, Networks, NoiseSpec, Normal, Stage
from algorithms.networks import Params
from algorithms.precision import Precision, use_products
from algorithms.seeding import derive_seed
from algorithms.transitions import Transitions

_BLOCK = 32  # updates whose indices and noise are drawn together
_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8

Policy = Callable[[NDArray[np.float32]], NDArray[np.float32]]
SeedState = dict[str, NDArray[Any]]


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
        self._create_state()
        self._counts: dict[str, int] = dict.fromkeys(self.algorithm.optimizers, 0)
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
                self._copy_networks(stage.copies)
            local = self.step - first + 1
            due = tuple(local % phase.every == 0 for phase in stage.phases)
            for phase, is_due in zip(stage.phases, due, strict=True):
                for name in phase.trains if is_due else ():
                    self._counts[name] += 1
            k = self.step % _BLOCK
            noise = {name: values[k] for name, values in self._noise.items()}
            update = self._update_function(index, due)
            self._metrics |= update(self._indices[k], noise, self._adam_coefficients())
            self.step += 1

    def metrics(self) -> dict[str, NDArray[np.float32]]:
        """The latest value of every training metric, each `[S]`."""
        return {k: v[: len(self.seeds)].float().cpu().numpy() for k, v in self._metrics.items()}

    def policy(self, stream: str) -> Policy:
        """The current policy as a function `[S, E, obs_dim] -> [S, E, action_dim]` in [-1, 1].

        Its noise comes from the stream of that name, one for each seed, started afresh.
        """
        expected = (len(self.seeds), self.algorithm.obs_dim)
        generators = [_generator("act", seed, stream) for seed in self.seeds]
        real = slice(0, len(self.seeds))
        params = _sliced(self._params, real)
        nets = Networks(self.algorithm.networks, params, params, _sliced(self._targets, real))
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
            noise = self._draw(self.algorithm.act_noise, generators, (x.shape[1],))
            with torch.no_grad():
                actions = choose(nets, x, noise).clamp(-1, 1)
            return np.asarray(actions.cpu().numpy(), np.float32)

        return act

    # --- saving -----------------------------------------------------------------------------

    def state(self, slot: int) -> SeedState:
        """A copy of the learning state of the seed in `slot`, without the seed axis."""
        tensors = {k: value[slot].cpu().numpy().copy() for k, value in self._named_state().items()}
        counts = {f"updates/{k}": np.array(v, np.int64) for k, v in self._counts.items()}
        return {**tensors, **counts}

    def load_state(self, states: Sequence[SeedState], step: int) -> None:
        """Continue from `state()` of every seed, in the order of `seeds`, taken after `step`.

        Raises ValueError, before anything is changed, for states of another algorithm or config.
        """
        if len(states) != len(self.seeds):
            raise ValueError(f"{len(self.seeds)} seeds need as many states, found {len(states)}")
        named = self._named_state()
        expected = {(key, tuple(value.shape[1:])) for key, value in named.items()}
        expected |= {(f"updates/{name}", ()) for name in self._counts}
        for state in states:
            wrong = expected ^ {(key, np.shape(value)) for key, value in state.items()}
            if wrong:
                raise ValueError(
                    f"the checkpoint is of another algorithm or config: {sorted(wrong)[:4]}"
                )
        for key, value in named.items():
            for slot in range(len(self._slots)):
                saved = states[min(slot, len(states) - 1)][key]
                value[slot].copy_(torch.from_numpy(np.array(saved)))
        self._counts = {name: int(states[0][f"updates/{name}"]) for name in self._counts}
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
        batch = self._gather(indices)
        metrics: dict[str, Tensor] = {}
        for phase, is_due in zip(self.algorithm.stages[index].phases, due, strict=True):
            if not is_due:
                continue

            def loss(
                trained: dict[str, Params], phase: Any = phase
            ) -> tuple[Tensor, dict[str, Tensor]]:
                params = {**self._params, **trained}
                nets = Networks(self.algorithm.networks, params, self._params, self._targets)
                losses, info = phase.loss(nets, batch, noise)
                # The seeds share no parameter, so the gradient of the sum is each one's own.
                return losses.sum(), {k: v.detach() for k, v in info.items()}

            trained = {name: self._params[name] for name in phase.trains}
            gradients, info = torch.func.grad(loss, has_aux=True)(trained)
            metrics |= info
            for name in phase.trains:
                self._adam(name, gradients[name], coefficients[self._order[name]])
            for name in phase.updates_targets:
                tau = self.algorithm.targets[name]
                for key, value in self._params[name].items():
                    self._targets[name][key].lerp_(value, tau)
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

    def _adam(self, name: str, gradients: Params, coefficients: Tensor) -> None:
        """One Adam step. coefficients: learning rate / (1 - β1^t), 1 / (1 - β2^t), decay."""
        optimizer = self.algorithm.optimizers[name]
        if optimizer.max_grad_norm is not None:
            squares = [g.square().flatten(1).sum(1) for g in gradients.values()]
            norm = torch.stack(squares).sum(0).sqrt()  # [S]
            shrink = (optimizer.max_grad_norm / (norm + 1e-6)).clamp(max=1.0)
            gradients = {k: g * shrink.view(-1, *[1] * (g.ndim - 1)) for k, g in gradients.items()}
        for key, gradient in gradients.items():
            value, mean, square = (
                group[name][key] for group in (self._params, self._means, self._squares)
            )
            mean.lerp_(gradient, 1 - _BETA1)
            square.mul_(_BETA2).addcmul_(gradient, gradient, value=1 - _BETA2)
            if optimizer.weight_decay:
                value.mul_(1 - coefficients[2])
            value.sub_(coefficients[0] * mean / ((square * coefficients[1]).sqrt() + _EPSILON))

    def _adam_coefficients(self) -> Tensor:
        rows = []
        for name, optimizer in self.algorithm.optimizers.items():
            t = max(1, self._counts[name])
            rate = optimizer.learning_rate
            if optimizer.cosine_decay:
                progress = (t - 1) / self._network_updates[name]
                rate *= 0.5 * (1 + math.cos(math.pi * progress))
            corrected = (rate / (1 - _BETA1**t), 1 / (1 - _BETA2**t))
            rows.append((*corrected, rate * optimizer.weight_decay))
        return torch.tensor(rows, device=self._device)

    # --- randomness -------------------------------------------------------------------------

    def _draw_block(self) -> None:
        """Draw indices `[K, S, B]` and noise `[K, S, B, dim]` for the block `step` lies in."""
        block = self.step // _BLOCK
        if block == self._block:
            return
        self._block = block
        generators = [_generator("train", seed, block) for seed in self._slots]
        shape = (_BLOCK, self.algorithm.config.batch_size)
        drawn = [torch.randint(len(self._rows), shape, generator=g) for g in generators]
        self._indices = torch.stack(drawn, 1).to(self._device)
        self._noise = self._draw(self.algorithm.noise, generators, shape)

    def _draw(
        self, specs: NoiseSpec, generators: Sequence[torch.Generator], shape: tuple[int, ...]
    ) -> dict[str, Tensor]:
        """Noise with the seed axis before the last two: `[*shape[:-1], S, shape[-1], dim]`."""
        noise = {}
        for name, spec in specs.items():
            draw = torch.randn if isinstance(spec, Normal) else torch.rand
            drawn = [draw(*shape, spec.dim, generator=g) for g in generators]
            noise[name] = torch.stack(drawn, len(shape) - 1).to(self._device)
        return noise

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

    def _create_state(self) -> None:
        algorithm = self.algorithm
        self._params = {
            name: _stack(
                [network.init(_generator("init", seed, name)) for seed in self._slots],
                self._device,
            )
            for name, network in algorithm.networks.items()
        }
        self._targets = {name: _copies(self._params[name]) for name in algorithm.targets}
        self._means = {name: _zeros(self._params[name]) for name in algorithm.optimizers}
        self._squares = {name: _zeros(self._params[name]) for name in algorithm.optimizers}
        self._order = {name: i for i, name in enumerate(algorithm.optimizers)}

    def _named_state(self) -> dict[str, Tensor]:
        groups = {
            "params": self._params,
            "targets": self._targets,
            "adam_means": self._means,
            "adam_squares": self._squares,
        }
        return {
            f"{group}/{name}/{key}": value
            for group, networks in groups.items()
            for name, params in networks.items()
            for key, value in params.items()
        }

    def _copy_networks(self, copies: Mapping[str, str]) -> None:
        for name, source in copies.items():
            for key, value in self._targets[source].items():
                self._params[name][key].copy_(value)
                if name in self._targets:
                    self._targets[name][key].copy_(value)

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


def _generator(*key: int | str) -> torch.Generator:
    return torch.Generator().manual_seed(derive_seed(*key))


def _stack(seeds: Sequence[Params], device: torch.device) -> Params:
    return {key: torch.stack([params[key] for params in seeds]).to(device) for key in seeds[0]}


def _copies(params: Params) -> Params:
    return {key: value.clone() for key, value in params.items()}


def _zeros(params: Params) -> Params:
    return {key: torch.zeros_like(value) for key, value in params.items()}


def _sliced(networks: Mapping[str, Params], slots: slice) -> dict[str, Params]:
    return {name: {k: v[slots] for k, v in params.items()} for name, params in networks.items()}
