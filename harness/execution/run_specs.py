"""From rows to runs: as today's code makes them, and as a results folder has them already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from algorithms import registry
from algorithms.action_selection import parse_action_selection
from algorithms.engine.version import ENGINE_VERSION
from algorithms.source import code_digest
from harness.runs.archive import ensure_undamaged
from harness.runs.earlier import earlier_run
from harness.runs.folder import RunFolder
from harness.runs.spec import EvaluationSpec, RunSpec
from harness.suite.configs import Configs
from harness.suite.rows import Row
from harness.suite.schema import Suite
from harness.tasks.spec import TaskSpec


def run_specs(
    suite: Suite,
    configs: Configs,
    hashes: Mapping[str, str],
    *,
    rows: Sequence[Row],
    seeds: Sequence[int],
    tasks: Sequence[TaskSpec],
) -> list[RunSpec]:
    """Every run of the rows on those of the tasks with data, as today's code makes it.

    Args:
        suite: of the rows.
        configs: of every cell.
        hashes: sha256 of the data by task id.
        rows: of final runs, or of the settings that tuning tries.
        seeds: of every row.
        tasks: rows that do not run on one of them have no run there.
    """
    known = registry.algorithms()
    codes = {name: code_digest(known[name].module) for name in {row.algorithm for row in rows}}
    return [
        _run_spec(suite, task, row, seed, configs, hashes[task.id], codes[row.algorithm])
        for task in tasks
        if task.id in hashes
        for row in rows
        if row.runs_on(task.id)
        for seed in seeds
    ]


def _run_spec(
    suite: Suite, task: TaskSpec, row: Row, seed: int, configs: Configs, sha256: str, code: str
) -> RunSpec:
    evaluation = suite.evaluation
    return RunSpec(
        task=task,
        dataset_sha256=sha256,
        algorithm=row.algorithm,
        code=code,
        label=row.label,
        config=configs[task.id, row.label],
        steps=suite.steps_of(row.entry),
        online_steps=suite.training.online_steps,
        evaluation=EvaluationSpec(
            every=evaluation.every,
            first=evaluation.first,
            episodes=evaluation.episodes,
            action_selection=asked_selection(row),
            action_selections=tuple(evaluation.action_selections),
        ),
        seed=seed,
        precision=suite.training.precision,
        compiled=suite.training.compile,
        device="cuda" if suite.resources.gpus_per_trial > 0 else "cpu",
        engine_version=ENGINE_VERSION,
    )


def asked_selection(row: Row) -> str:
    """The action selection that its entry asks for; empty where its method acts so by itself."""
    asked, own = row.entry.action_selection, registry.load(row.algorithm).action_selection
    if asked is None or parse_action_selection(asked) == parse_action_selection(own):
        return ""
    return asked


class FoundRuns:
    """Sorts runs by what a results folder has of them; `keep` is as in `RunOptions`.

    Attributes: as `Plan` has them.
    """

    def __init__(self, directory: Path, *, keep: bool) -> None:
        self._directory = directory
        self._keep = keep
        self.selected: list[RunSpec] = []
        self.left: list[RunSpec] = []
        self.kept: list[RunSpec] = []
        self.outdated: list[RunSpec] = []

    def add(self, spec: RunSpec, *, chosen: bool) -> RunSpec:
        """The run that counts: as today's code makes it, or as earlier code has.

        Raises UserError if an archive that may hold it is damaged.
        """
        ensure_undamaged(self._directory / spec.folder)
        done = RunFolder(self._directory / spec.folder).is_done()
        earlier = None if done else earlier_run(self._directory, spec)
        if earlier is not None and chosen and not self._keep:
            self.outdated.append(earlier)
        elif earlier is not None:
            self.kept.append(earlier)
        run = earlier if earlier is not None and (self._keep or not chosen) else spec
        if chosen:
            self.selected.append(run)
        if chosen and run is spec and not done:
            self.left.append(run)
        return run
