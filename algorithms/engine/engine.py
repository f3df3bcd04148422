"""Trains one algorithm for several seeds at once.

Every tensor of learning state has a leading seed axis `S`. All randomness is drawn by `draws.py`,
outside the updates (`updates.py`), so that a seed's bits depend neither on its slot in the stack,
nor on its neighbours, nor on where a run was interrupted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms import registry
from algorithms.base import Algorithm, Config, Networks, Stage
from algorithms.engine.acting import Policy, make_policy
from algorithms.engine.batches import Batches
from algorithms.engine.columns import BEGUN, COLUMNS
from algorithms.engine.divergence import LossWatch
from algorithms.engine.draws import BLOCK, Draws
from algorithms.engine.learning_state import LearningState, SeedState, of_slots, stacked
from algorithms.engine.online_buffer import Mixture, OnlineBuffer
from algorithms.engine.optimizer import adam_coefficients
from algorithms.engine.precision import use_products
from algorithms.engine.schedule import Schedule
from algorithms.engine.streams import generator, to_device
from algorithms.engine.updates import Updates, compiler_exists
from algorithms.fields import Precision
from algorithms.networks import Network
from algorithms.transitions import Transitions

_METRICS = "metrics/"  # how the names of the latest training metrics begin in a state


class Engine:
    """The learning state of one algorithm for all `seeds` of a trial, and its updates.

    Args:
        algorithm_id: id in the registry.
        config: the algorithm's resolved config.
        transitions: the offline data, `[N, ...]` packed rows.
        seeds: one independent learner each.
        offline_steps: the budget on the data, of which stages and schedules are shares.
            0 with online steps: the data are only what the replay buffer starts with.
        online_steps: gradient steps after it, at constant learning rates, each after one `add`.
        precision: of matrix products; see `algorithms/engine/precision.py`.
        device: "cpu" or a CUDA device.
        compile: use `torch.compile`; falls back to eager with one warning without a compiler.
        known_q: the task's closed-form Q, for a config with `known_q`.
        alone: of a single seed, leave out what keeps its bits as they are in a stack; compiled it
            takes half the time.

    Attributes:
        seeds: of the learners that were not dropped; their numbers here are called slots.
        step: gradient steps taken so far.
        compiled: whether updates really are compiled.
        preprocessing: what the data decide of acting.
        pretraining_steps: the steps that methods of equal pretraining have in common.
    """

    def __init__(
        self,
        algorithm_id: str,
        config: Config,
        transitions: Transitions,
        seeds: Sequence[int],
        *,
        offline_steps: int,
        online_steps: int = 0,
        precision: Precision = "fp32",
        device: str = "cpu",
        compile: bool = True,  # noqa: A002
        known_q: Network | None = None,
        alone: bool = False,
    ) -> None:
        if len(set(seeds)) != len(seeds) or not seeds:
            raise ValueError(f"seeds must be distinct and at least one, found {list(seeds)}")
        if len(transitions) == 0:
            raise ValueError("the dataset has no transitions")
        self._device = torch.device(device)
        use_products(precision, self._device)
        self.seeds = tuple(seeds)
        self.total_steps = offline_steps + online_steps
        self.step = 0
        self.compiled = compile and compiler_exists(self._device)
        # Compiled code for a single seed rounds differently from code for several: pad to two.
        padded = self.compiled and len(seeds) == 1 and not alone
        self._slots = (*seeds, *seeds) if padded else self.seeds
        self._kept = list(range(len(seeds)))  # where in the stack each of `self.seeds` is
        cls = _class(algorithm_id, config)
        selected = cls.select(config, transitions)
        if len(selected) == 0:
            raise ValueError(f"{algorithm_id} selects no episode of the dataset")
        dims = (transitions.obs_dim, transitions.action_dim)
        self._batches = Batches(selected, config, self._device)
        self.preprocessing = self._batches.preprocessing
        self.algorithm: Algorithm[Any] = cls(config, *dims, known_q, self.preprocessing.facts)
        self._batches.context = self.algorithm.context
        self._state = LearningState.create(self.algorithm, self._slots, self._device)
        online = self.algorithm.online_stage() if online_steps else None
        self._schedule = Schedule(self.algorithm.stages, offline_steps, online)
        self.pretraining_steps = [0, *self._schedule.ends][self.algorithm.pretraining_stages]
        self._network_updates = {
            name: self._schedule.updates(name) for name in self.algorithm.optimizers
        }
        returns = self._batches.returns_of if self.algorithm.online_returns else None
        self._online = OnlineBuffer(*dims, len(self._slots), online_steps, self._device, returns)
        self._constant_adams = {
            name: replace(adam, cosine_decay=False)
            for name, adam in self.algorithm.optimizers.items()
        }
        self._draws = Draws(self.algorithm, len(self._batches), self._slots, self._device)
        self._watch = LossWatch(len(self._slots), self._device)
        self._updates = Updates(
            self.algorithm,
            self._schedule,
            self._state,
            self._batches,
            self._online,
            self._watch,
            compiled=self.compiled,
            precision=precision,
        )
        self._preparation: Iterator[float] | None = None
        self._metrics: dict[str, Tensor] = {}
        self._logged: dict[tuple[int, tuple[bool, ...]], tuple[str, ...]] = {}  # by update

    # --- training ---------------------------------------------------------------------------

    def add(self, transitions: Transitions) -> None:
        """What every seed saw in its environment, one transition each, before an online update.

        Raises ValueError for another number of transitions, or for one beyond the online steps.
        """
        if len(transitions) != len(self.seeds):
            raise ValueError(
                f"{len(self.seeds)} learners ({self.seeds}) cannot add "
                f"{len(transitions)} transitions"
            )
        self._online.add(replace(transitions, rows=transitions.rows[self._sources()]))

    def train(self, steps: int) -> None:
        """Take `steps` gradient steps, stopping at the end of the budget.

        Raises ValueError for an online step without an `add` before it.
        """
        for _ in range(min(steps, self.total_steps - self.step)):
            index, stage, local, online = self._schedule.position(self.step)
            if local == 1:
                self.prepare(seconds=math.inf)
                self._begin(stage)
            indices, noise = self._draws.of_update(self.step)
            drawn = self._mixed(local, indices) if online else indices
            due = _due(stage, local)
            for phase, is_due in zip(stage.phases, due, strict=True):
                for name in phase.trains if is_due else ():
                    self._state.counts[name] += 1
            adams = self._constant_adams if online else self.algorithm.optimizers
            coefficients = adam_coefficients(adams, self._state.counts, self._network_updates)
            update = self._updates.of_stage(index, due)
            metrics = update(drawn, noise, to_device(torch.tensor(coefficients), self._device))
            self._logged[index, due] = tuple(metrics)
            self._metrics |= metrics
            self.step += 1

    def _mixed(self, size: int, indices: Tensor) -> Mixture:
        """Of the data at `indices` [S, B] and of each seed's own `size` transitions."""
        if len(self._online) != size:
            raise ValueError(
                f"online update {size} needs {size} transitions per seed, found {len(self._online)}"
            )
        return self._draws.mixed(self.step, indices, self._online.sizes())

    def prepare(self, seconds: float) -> float:
        """Compute a part of what the next update's stage asks of the whole data, or several.

        Goes on for about so many seconds, and returns which share of all is there then. `train`
        computes what is missing.
        """
        if self.step == self.total_steps:
            return 1.0
        index, stage, local, _ = self._schedule.position(self.step)
        if local > 1 or not stage.columns:
            return 1.0
        if self._preparation is None:
            params, targets = self._state.with_copies(stage.copies)
            nets = Networks(self.algorithm.networks, params, params, targets)
            self._preparation = self._batches.columns.compute(
                stage.columns, nets, self._slots, index
            )
        end = time.perf_counter() + seconds
        while (share := next(self._preparation, 1.0)) < 1 and time.perf_counter() < end:
            pass
        return share

    def _begin(self, stage: Stage) -> None:
        """What a stage does before its first update, its columns computed."""
        self._state.copy_networks(stage.copies)
        self._batches.columns.finish()
        self._preparation = None

    @property
    def stage_end(self) -> int:
        """The step after the last of the stage that trains next."""
        end = self._schedule.stage_end(self.step)
        return self.total_steps if end is None else end

    def compiles_within(self, steps: int) -> bool:
        """Whether `train(steps)`, in one stage, has to compile first, which takes a minute or so.

        Looks at the first 32 steps, which hold every combination of phases of known methods.
        """
        if not self.compiled:
            return False
        for done in range(self.step, self.step + min(steps, BLOCK)):
            index, stage, local, _ = self._schedule.position(done)
            if not self._updates.is_made(index, _due(stage, local)):
                return True
        return False

    def metrics(self) -> dict[str, NDArray[np.float32]]:
        """The latest value of every training metric, each `[S]`.

        `critic/value_level` is V's mean over the data's mean return, and `critic/value_ceiling`
        what it would be if every state were worth the data's 99th percentile of returns. They are
        not known online, where V's mean is not over the data alone, nor for shifted rewards, of
        which no level is zero, nor where returns are below zero, so that a share orders nothing.
        """
        found = {k: v.float().cpu().numpy()[self._kept] for k, v in self._metrics.items()}
        offline = self.step <= self._schedule.ends[-1]
        comparable = self._batches.mean_return > 0 and not self._batches.rewards.shift
        if offline and "value/mean" in found and comparable:
            mean, high = self._batches.mean_return, self._batches.high_return
            found["critic/value_level"] = found["value/mean"] / mean
            found["critic/value_ceiling"] = np.full_like(found["value/mean"], high / mean)
        return found

    def diverged(self) -> dict[int, str]:
        """What is not finite, by slot, of the learners of whom anything is not.

        That is the first loss, with its step, or a network that the latest step has spoilt.
        """
        found = self._watch.found()
        finite = self._state.is_finite()
        reasons = {}
        for slot, place in enumerate(self._kept):
            if found[place][0]:
                reasons[slot] = self._broken_loss(*found[place])
            elif spoilt := [name for name, fine in finite.items() if not fine[place]]:
                names = " and ".join(spoilt)
                reasons[slot] = f"parameters of {names} were not finite after step {self.step}"
        return reasons

    def broken_from_the_start(self) -> set[int]:
        """The slots of the learners whose loss was not finite in the first step of all."""
        found = self._watch.found()
        return {slot for slot, place in enumerate(self._kept) if found[place][0] == 1}

    def _broken_loss(self, step: int, place: int, value: float) -> str:
        index, stage, local, _ = self._schedule.position(step - 1)
        due = _due(stage, local)
        name = self._updates.losses(index, due, self._logged[index, due])[place]
        return f"{name} became {value} at step {step}"

    def drop(self, slot: int) -> None:
        """Leave out a learner from now on. The slots after it move up; no other's bits change.

        It stays in the stack, unseen: a smaller one would have to be compiled anew.
        """
        del self._kept[slot]
        self.seeds = tuple(self._slots[place] for place in self._kept)

    def _sources(self) -> list[int]:
        """The slot whose inputs each place in the stack is given: its seed's, or any if dropped."""
        return [self.seeds.index(s) if s in self.seeds else 0 for s in self._slots]

    def policy(
        self, stream: str, selection: str | None = None, *, slot: int | None = None
    ) -> Policy:
        """The current policy as a function `[S, E, obs_dim] -> [S, E, action_dim]` in [-1, 1].

        Args:
            stream: its noise comes from the stream of that name, one per seed, started afresh.
            selection: how it acts, in the words of `algorithms/action_selection.py`; by default as
                the algorithm does.
            slot: of that seed alone, S = 1; by default of all.

        Raises ValueError for a selection the algorithm does not support. Acting raises
        DivergedError if an action, or a value that actions are chosen by, is not finite.
        """
        algorithm = self.algorithm
        slots = range(len(self.seeds)) if slot is None else [slot]
        return make_policy(
            algorithm,
            self._networks(slots),
            self._schedule.last_trained(self.step).act or algorithm.act,
            selection,
            self.preprocessing,
            [generator("act", self.seeds[k], stream, device=self._device) for k in slots],
        )

    def policy_values(
        self, stream: str, observations: NDArray[np.float32]
    ) -> NDArray[np.float32] | None:
        """What best-of-N chooses by, of the current policy's actions. [S, E, obs_dim] -> [S, E].

        None for a method without a critic, or that acts on more than a state.
        stream: as in `policy`. Raises DivergedError as acting does.
        """
        if "critic" not in self.algorithm.networks or self.algorithm.context:
            return None
        actions = torch.from_numpy(self.policy(stream)(observations)).to(self._device)
        seen = self.preprocessing.normalize(torch.from_numpy(observations).to(self._device))
        with torch.no_grad():
            values = self.algorithm.action_value(
                self._networks(range(len(self.seeds))), seen, actions
            )
        return np.asarray(values.float().cpu().numpy())

    def _networks(self, slots: Sequence[int]) -> Networks:
        """The networks of the seeds in these slots, to act with."""
        kept = [self._kept[slot] for slot in slots]
        params, targets = (of_slots(n, kept) for n in (self._state.params, self._state.targets))
        return Networks(self.algorithm.networks, params, params, targets)

    # --- saving -----------------------------------------------------------------------------

    def state(self, slot: int) -> SeedState:
        """A copy of all that the seed in `slot` needs to go on, without the seed axis.

        That is its learning state, what the stage computed over the data, and the latest metrics,
        which a later step may not log again.
        """
        kept = self._kept[slot]
        columns = self._batches.columns.of_slot(kept)
        return self._state.of_slot(kept) | columns | self._metrics_of_slot(slot)

    def seen(self, slot: int, since: int = 0) -> Transitions:
        """What the seed in `slot` has been told by `add`, in order, after the first `since`."""
        return self._online.seen(self._kept[slot], since)

    def load_state(self, states: Sequence[SeedState], step: int) -> None:
        """Continue from `state()` of every seed, in the order of `seeds`, taken after `step`.

        Raises ValueError, before anything is changed, for states of another algorithm or config.
        """
        self._load(states, step, None)

    def pretrained_state(self, slot: int) -> SeedState:
        """The part of `state()` that pretraining has changed, and its latest metrics."""
        learned = self._state.of_slot(self._kept[slot], self._pretrained_networks())
        return learned | self._metrics_of_slot(slot)

    def load_pretrained(self, states: Sequence[SeedState], step: int) -> None:
        """Start from `pretrained_state()` of every seed, taken after `step` <= pretraining_steps.

        Raises ValueError as `load_state` does.
        """
        self._load(states, step, self._pretrained_networks())

    def _load(self, states: Sequence[SeedState], step: int, networks: Sequence[str] | None) -> None:
        if len(states) != len(self.seeds):
            raise ValueError(f"{len(self.seeds)} seeds need as many states, found {len(states)}")
        slots = [states[slot] for slot in self._sources()]
        self._state.load([learned(state) for state in slots], networks)
        self._metrics = stacked(slots, _METRICS, self._device)
        self._batches.columns.load(slots)
        self._preparation = None
        self.step = step
        self._watch.start(step)

    def _metrics_of_slot(self, slot: int) -> SeedState:
        return {
            f"{_METRICS}{name}": values[self._kept[slot]].float().cpu().numpy()
            for name, values in self._metrics.items()
        }

    def _pretrained_networks(self) -> list[str]:
        stages = self.algorithm.stages[: self.algorithm.pretraining_stages]
        trained = {name for stage in stages for phase in stage.phases for name in phase.trains}
        return [name for name in self.algorithm.networks if name in trained]


def learned(state: SeedState) -> SeedState:
    """What of an engine's state is its learning state."""
    return {k: v for k, v in state.items() if not k.startswith((_METRICS, COLUMNS, BEGUN))}


def _due(stage: Stage, local: int) -> tuple[bool, ...]:
    """Which of the stage's phases are taken in its step `local`, counted from 1."""
    return tuple(local % phase.every == 0 for phase in stage.phases)


def _class(algorithm_id: str, config: Config) -> type[Algorithm[Any]]:
    cls = registry.load(algorithm_id)
    if not isinstance(config, cls.Config):
        raise TypeError(f"{algorithm_id} needs a {cls.Config.__name__}, found {type(config)}")
    return cls
