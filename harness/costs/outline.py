"""What can be said of a method without training it: its stages, and how large its networks are."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass
from itertools import pairwise
from typing import Any

import torch

from algorithms import registry
from algorithms.base import Algorithm
from algorithms.engine.schedule import Schedule
from harness.bench.contenders import ACTION_DIM, OBS_DIM
from harness.bench.trial import bytes_of_row
from harness.data import packed_rows
from harness.execution.engines import config_of
from harness.files import digest_of
from harness.runs.spec import RunSpec
from harness.tasks import known_q_of
from harness.tasks.spec import TaskSpec

_ROWS = 1_000_000  # of data that are not there yet
# What a process takes before it has any network, compiled or not: measured with torch 2.14.
PROCESS_MB = {True: 750.0, False: 450.0}
_COPIES = 6  # of parameters: themselves, gradients, two moments, averages, and one being made
_ACTIVATIONS = 4  # numbers a parameter's output leaves for each row of a batch, at most


@dataclass(frozen=True)
class Outline:
    """A method with a config, on a task.

    Attributes:
        ends: the step after the last of each stage.
        pretraining_stages: how many of them other methods may share.
        parameters: of all networks, of a seed.
        batch_size: transitions an update, of a seed.
        rows: transitions of the data, or what is assumed of data that are not there.
        row_bytes: of one of them, with what is kept beside it.
    """

    ends: list[int]
    pretraining_stages: int
    parameters: int
    batch_size: int
    rows: int
    row_bytes: int

    def work(self, steps: int, seeds: int) -> float:
        """A guess of how long a trial trains, in a unit of its own: never of seconds."""
        return float(steps) * seeds * self.batch_size * self.parameters

    def memory_mb(self, seeds: int, *, compiled: bool) -> float:
        """A guess of a trial's peak memory, rather too large."""
        numbers = seeds * self.parameters * _COPIES
        numbers += seeds * self.batch_size * _ACTIVATIONS * math.isqrt(self.parameters)
        return PROCESS_MB[compiled] + (4 * numbers + self.rows * self.row_bytes) / 1e6

    @property
    def state_mb(self) -> float:
        """A guess of a seed's checkpoint."""
        return self.parameters * 4 * 4 / 1e6  # themselves, two moments and averages


@dataclass(frozen=True)
class _Rows:
    """How many transitions a task has, and of which sizes; guesses where they are not there yet."""

    count: int
    obs_dim: int
    action_dim: int


class Outlines:
    """The outlines of the runs of a suite, each made once."""

    def __init__(self) -> None:
        self._rows: dict[str, _Rows] = {}  # by task
        self._known: dict[str, Outline] = {}

    def of(self, spec: RunSpec) -> Outline:
        """The outline of a run."""
        rows = self._rows_of(spec.task)
        own = spec.task.id if spec.config.get("known_q") else ""
        key = digest_of([spec.algorithm, spec.config, spec.steps, astuple(rows), own])
        if key not in self._known:
            try:
                self._known[key] = _outline(spec, rows)
            except Exception:  # of anyone's code; its runs will say what is wrong
                self._known[key] = Outline([spec.steps], 0, 0, 0, 0, 0)
        return self._known[key]

    def _rows_of(self, task: TaskSpec) -> _Rows:
        if task.id not in self._rows:
            found = packed_rows(task)
            self._rows[task.id] = (
                _Rows(_ROWS, OBS_DIM, ACTION_DIM)
                if found is None
                else _Rows(found["dataset"]["steps"], found["obs_dim"], found["action_dim"])
            )
        return self._rows[task.id]


def evaluation_count(spec: RunSpec) -> int:
    """How often a run will be evaluated, which pretraining that others may share is not."""
    algorithm = _algorithm(spec, OBS_DIM, ACTION_DIM)
    ends = Schedule(algorithm.stages, spec.steps, None).ends
    pretrained = [0, *ends][algorithm.pretraining_stages]
    return sum(step >= pretrained for step in spec.evaluation_steps())


def _outline(spec: RunSpec, rows: _Rows) -> Outline:
    algorithm = _algorithm(spec, rows.obs_dim, rows.action_dim)
    generator = torch.Generator().manual_seed(0)
    return Outline(
        ends=Schedule(algorithm.stages, spec.steps, None).ends,
        pretraining_stages=algorithm.pretraining_stages,
        parameters=sum(
            parameter.numel()
            for network in algorithm.networks.values()
            for parameter in network.init(generator).values()
        ),
        batch_size=algorithm.config.batch_size,
        rows=rows.count,
        row_bytes=bytes_of_row(rows.obs_dim, rows.action_dim),
    )


def _algorithm(spec: RunSpec, obs_dim: int, action_dim: int) -> Algorithm[Any]:
    config = config_of(spec)
    cls = registry.load(spec.algorithm)
    return cls(config, obs_dim, action_dim, known_q_of(spec.task, config))


def steps_by_stage(outline: Outline, start: int) -> list[int]:
    """How many steps of each stage are left after the first `start` of a run."""
    bounds = [0, *outline.ends]
    return [max(0, end - max(begin, start)) for begin, end in pairwise(bounds)]
