"""Ours, from the same weights, batch and noise as a record's, and how far apart they end up."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray

from algorithms.base import Batch, History, Networks, Noise
from algorithms.engine.engine import Engine
from algorithms.transitions import Transitions
from tests.algorithms.reference import random_batch, random_noise
from tests.algorithms.small import make_engine
from tests.oracles.recording import ACTION_DIM, FOLDER, OBS_DIM

RECORDS = sorted(path.stem for path in FOLDER.glob("*.npz"))
_GROUPS = {"params": "weights", "targets": "weights", "adam_means": "gradients"}

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Record:
    """An update of a library's method, as `recording.record` wrote it."""

    recorder: str
    method: str
    about: Mapping[str, Any]
    arrays: Arrays

    def row(self) -> dict[str, Any]:
        """What the table of docs/methods.md says of it, but for the differences."""
        shown = {key: self.about[key] for key in ("oracle", "version", "compared")}
        return {"method": self.method, "file": self.recorder, **shown}

    def group(self, name: str) -> Arrays:
        prefix = f"{name}/"
        return {k.removeprefix(prefix): v for k, v in self.arrays.items() if k.startswith(prefix)}


def load(name: str) -> Record:
    """The record of that name: `<library>_<method>` or `<library>_<method>+<variant>`."""
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as file:
        arrays = dict(file)
    about = json.loads(str(arrays.pop("about")))
    library, _, method = name.partition("+")[0].partition("_")
    return Record(f"tests/oracles/record_{library}.py", method, about, arrays)


def differences(record: Record) -> dict[str, float]:
    """The largest absolute difference after its updates, of losses, gradients and weights.

    And of actions, if the trained policy's were recorded, and of what the library made of the data.
    Of gradients: of the means that Adam keeps of them. What was recorded as NaN is not compared, as
    a loss that was not taken in an update.
    """
    with contextlib.ExitStack() as patched:
        for name, value in record.about.get("constants", {}).items():
            patched.enter_context(mock.patch(name, value))
        return _differences(record)


def _differences(record: Record) -> dict[str, float]:
    losses, after = record.group("losses"), record.group("after")
    updates = len(next(iter(record.group("batch").values())))
    engine = make_engine(
        record.method, _data(record), (0,), offline_steps=updates, **record.about["config"]
    )
    engine.load_state([{**engine.state(0), **record.group("before")}], 0)
    _feed(engine, record)
    worst: dict[str, float] = {}
    for k in range(updates):
        engine.train(1)
        found = engine.metrics()
        for name, expected in losses.items():
            _add(worst, "losses", found.get(name, np.zeros(1)), expected[k : k + 1])
    state = engine.state(0)
    for name, expected in after.items():
        _add(worst, _GROUPS[name.partition("/")[0]], state[name], expected)
    for name, expected in record.group("made").items():
        kind, _, key = name.partition("/")
        _add(worst, kind, state[key], expected)
    if acting := record.group("acting"):
        _add(worst, "actions", _actions(engine, acting), acting["actions"])
    return worst


def _actions(engine: Engine, acting: Arrays) -> NDArray[Any]:
    """Of the trained policy, after what was recorded and by its noise. -> [E, action_dim]."""

    def given(prefix: str) -> dict[str, torch.Tensor]:
        return {
            name.removeprefix(prefix): torch.from_numpy(x).unsqueeze(0)
            for name, x in acting.items()
            if name.startswith(prefix)
        }

    with torch.no_grad():
        history = given("history/")
        seen = History(**history) if history else torch.from_numpy(acting["observations"])[None]
        actions = engine.algorithm.act(engine._networks((0,)), seen, given("noise/"))
        return np.asarray(actions.squeeze(0))


def _data(record: Record) -> Transitions:
    """Its own; else nothing is learned from them: two episodes of 32 steps, of its dimensions.

    Their lowest and highest rewards are the record's.
    """
    if own := record.group("data"):
        return Transitions.pack(**own)
    ends = np.arange(64) % 32 == 31
    return Transitions.pack(
        observations=np.zeros((64, OBS_DIM)),
        actions=np.zeros((64, ACTION_DIM)),
        rewards=np.resize(record.about.get("rewards", (0.0, 0.0)), 64),
        next_observations=np.zeros((64, OBS_DIM)),
        terminals=ends,
        timeouts=np.zeros(64, bool),
    )


def _add(worst: dict[str, float], kind: str, found: NDArray[Any], expected: NDArray[Any]) -> None:
    compared = ~np.isnan(expected)
    difference = np.abs(found - expected)[compared].max(initial=0.0)
    worst[kind] = float(np.maximum(worst.get(kind, 0.0), difference))  # NaN if ours is


def _feed(engine: Engine, record: Record) -> None:
    """All losses and rules of the engine see the record's batch and noise in place of its own."""
    batches, columns, noises = (record.group(name) for name in ("batch", "columns", "noise"))
    algorithm = engine.algorithm
    size = len(batches["rewards"][0])

    def given(arrays: Arrays) -> dict[str, torch.Tensor]:
        return {k: torch.from_numpy(v[engine.step]).unsqueeze(0) for k, v in arrays.items()}

    def fed(own: Any) -> Any:
        def call(nets: Networks, _: Batch, __: Noise) -> Any:
            batch = random_batch(1, size, algorithm)
            computed = {**batch.columns, **given(columns)}
            batch = batch._replace(columns=computed, **given(batches))
            return own(nets, batch, random_noise(algorithm.noise, 1, size) | given(noises))

        return call

    for stage in algorithm.stages:
        for phase in stage.phases:  # frozen for algorithms, not for a test
            object.__setattr__(phase, "loss", fed(phase.loss))
            if phase.assigns is not None:
                object.__setattr__(phase, "assigns", fed(phase.assigns))
