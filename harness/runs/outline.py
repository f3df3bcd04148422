"""A suite as its report needs it before anything was run: no data, no method's code."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from algorithms import registry
from algorithms.registry import AlgorithmInfo
from harness.runs.suite_file import PlannedEvaluation, PlannedPublished, RowInfo, SuiteFile
from harness.suite.published import own_scores
from harness.suite.rows import Row
from harness.suite.schema import Suite, suite_tasks
from harness.tasks.spec import TaskSpec


def outline(suite: Suite, path: Path, given: str) -> SuiteFile:
    """The suite in the file `path`, with no runs; rows lack what only their code knows.

    `given` is what the user called it: a name holds wherever the harness is installed.
    """
    tasks, known = suite_tasks(suite), registry.algorithms()
    return SuiteFile(
        name=suite.name,
        file=path.name,
        title=suite.title,
        question=suite.question,
        command=shlex.join(["python", "-m", "harness", "run", given]),
        tasks=tasks,
        rows=[row_info(row, known[row.algorithm], tasks) for row in suite.rows],
        seeds=suite.seed_list,
        steps=suite.training.steps,
        online_steps=suite.training.online_steps,
        evaluation=PlannedEvaluation(**suite.evaluation.model_dump()),
        figures=suite.figures,
        published=planned_published(suite, path),
        runs=[],
        smoke=False,
    )


def row_info(
    row: Row,
    algorithm: AlgorithmInfo,
    tasks: Sequence[TaskSpec],
    *,
    action_selection: str = "",
    acts_by_entry: bool = False,
    config: Mapping[str, Any] | None = None,
) -> RowInfo:
    """What the registry and the suite know of a row, with what only its code knows."""
    return RowInfo(
        label=row.label,
        base=row.base,
        variant={**row.variant, **row.setting},
        id=algorithm.id,
        title=algorithm.title,
        paper=algorithm.paper,
        family=algorithm.family,
        action_selection=action_selection,
        acts_by_entry=acts_by_entry,
        trusts_critic=algorithm.trusts_critic,
        tasks=[task.id for task in tasks if row.runs_on(task.id)],
        config=dict(config or {}),
        steps=row.entry.steps,
    )


def planned_published(suite: Suite, path: Path) -> PlannedPublished:
    """Which published scores the suite in the file `path` shows.

    Raises UserError if its own file of them cannot be used.
    """
    section = suite.published
    return PlannedPublished(
        methods=section.methods,
        protocols=section.protocols,
        scores=own_scores(section, path, suite.method_names),
    )
