"""A run as its folder holds it, ready to act: no dataset is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

import torch

from algorithms import registry
from algorithms.engine.preprocessing import Preprocessing
from algorithms.engine.trained import Trained
from algorithms.engine.version import ENGINE_VERSION
from algorithms.source import code_digest
from harness.errors import UserError
from harness.execution.engines import config_of
from harness.runs.checkpoint import Checkpoint
from harness.runs.folder import RunFolder, read_json
from harness.runs.spec import RunSpec
from harness.runs.suite_file import FILE_NAME as SUITE_FILE
from harness.tasks import known_q_of


@dataclass(frozen=True)
class SavedRun:
    """A run's networks at its latest checkpoint.

    Attributes:
        folder: the run's.
        spec: what the run is.
        step: gradient steps that its networks have taken.
        trained: its networks.
        remarks: why the policy may not act as the run's did, a sentence each.
    """

    folder: RunFolder
    spec: RunSpec
    step: int
    trained: Trained
    remarks: tuple[str, ...]


def open_run(path: Path, device: str = "cpu") -> SavedRun:
    """What a run's folder holds.

    Args:
        path: the folder, `results/<suite>/runs/<task>/<row>-<hash>/seed-<n>`.
        device: where its networks are to be.

    Raises UserError for a folder that holds no run, or none that can act, and says what to do.
    """
    folder = RunFolder(path.absolute())
    found = read_json(folder.path / "spec.json")
    if found is None:
        raise UserError(
            f"{path} holds no run: give the folder of one, which ends as "
            "runs/<task>/<row>-<hash>/seed-<n> and has a spec.json."
        )
    if not folder.path.is_dir():
        raise UserError(
            f"{path} is packed, and packed runs keep their numbers but not their networks. "
            f"{_again(folder, found)}"
        )
    spec = _spec_of(folder, found)
    if spec.algorithm not in registry.algorithms():
        raise UserError(
            f"{path} is of the method '{spec.algorithm}', which is not installed here: install the "
            "package that its provenance.json names."
        )
    checkpoint, wrong = folder.read_checkpoint(str(found.get("hash")))
    if checkpoint is None or not checkpoint.preprocessing:
        reason = _cannot_act(wrong, old=checkpoint is not None)
        raise UserError(f"{path} {reason}. {_again(folder, found)}")
    preprocessing = Preprocessing.of_state(checkpoint.preprocessing, torch.device(device))
    try:
        trained = _trained(spec, checkpoint, preprocessing)
    except ValueError as error:
        raise UserError(
            f"{path} cannot act with today's code of {spec.algorithm} ({_first_line(error)}): use "
            "the commit that its provenance.json names, or train it again."
        ) from error
    return SavedRun(
        folder, spec, checkpoint.step, trained, (*wrong, *_remarks(spec, checkpoint.step))
    )


def _trained(spec: RunSpec, checkpoint: Checkpoint, preprocessing: Preprocessing) -> Trained:
    """The networks of a checkpoint. Raises ValueError if today's code has others."""
    config = config_of(spec)
    return Trained(
        spec.algorithm,
        config,
        preprocessing,
        [checkpoint.state],
        checkpoint.step,
        offline_steps=spec.steps,
        online_steps=spec.online_steps,
        known_q=known_q_of(spec.task, config),
    )


def _spec_of(folder: RunFolder, found: dict[str, Any]) -> RunSpec:
    try:
        return RunSpec.of_json(found)
    except ValueError as error:
        raise UserError(
            f"{folder.path / 'spec.json'} is of another version of the harness "
            f"({_first_line(error)}): use the commit that its provenance.json names."
        ) from error


def _cannot_act(wrong: list[str], *, old: bool) -> str:
    """Why a run's folder has no networks to act with."""
    if wrong:
        return f"has no checkpoint that can be trusted: {' and '.join(wrong)}"
    if old:
        return "has a checkpoint from before checkpoints held the normalisation of observations"
    return "has no checkpoint yet"


def _again(folder: RunFolder, spec: dict[str, Any]) -> str:
    """How to train the run of a spec.json again."""
    suite_dir = folder.path.parents[3]
    suite = read_json(suite_dir / SUITE_FILE) or {}
    command = suite.get("command", "python -m harness run SUITE")
    results = suite_dir.parents[str(suite.get("name", "")).count("/")]
    elsewhere = "" if results == Path("results").absolute() else f" --results {quote(str(results))}"
    only = quote(f"{spec['task']['id']}/{spec['label']}")
    return f"Train it again: {command} --only {only}{elsewhere} --fresh"


def _remarks(spec: RunSpec, step: int) -> Iterator[str]:
    if step < spec.total_steps:
        yield f"The run is not finished: its policy has had {step:,} of {spec.total_steps:,} steps."
    if spec.code and spec.code != code_digest(registry.algorithms()[spec.algorithm].module):
        yield (
            f"The code of {spec.algorithm} has changed since the run was made: its policy may act "
            "otherwise."
        )
    if spec.engine_version != ENGINE_VERSION:
        yield (
            f"The run was made by version {spec.engine_version} of the engine, and today's is "
            f"{ENGINE_VERSION}: its policy may act otherwise."
        )


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".")
