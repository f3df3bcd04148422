"""The runs of a suite, as the other side needs them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from harness.suite.schema import load_suite, suite_tasks
from harness.tasks.spec import TaskSpec


@dataclass(frozen=True)
class Run:
    """One method on one dataset with one seed.

    Attributes:
        settings: what the suite sets of the method's config; all else is each side's own default.
        episodes: of the evaluation after the last step.
    """

    task: TaskSpec
    method: str
    settings: Mapping[str, Any]
    seed: int
    steps: int
    episodes: int


def runs_of(suite_path: Path) -> Iterator[Run]:
    """Seed after seed."""
    suite, _ = load_suite(suite_path)
    for seed in suite.seed_list:
        for row in suite.rows:
            for task in suite_tasks(suite):
                if not row.runs_on(task.id):
                    continue
                settings = dict(row.entry.config)
                for pattern, here in row.entry.per_task.items():
                    settings |= here if fnmatchcase(task.id, pattern) else {}
                steps, episodes = suite.steps_of(row.entry), suite.evaluation.episodes
                yield Run(task, row.label, settings, seed, steps, episodes)
