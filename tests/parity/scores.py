"""The file of scores: a line for each run of either side, appended as soon as it is there."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from harness.errors import UserError
from harness.report.records import read_records

SCORES = Path("results/local/parity/scores.csv")
HARNESS = "harness"  # as an implementation; others are called as their repositories


class Key(NamedTuple):
    """What there is one score of."""

    dataset: str
    method: str
    implementation: str
    seed: int


@dataclass(frozen=True)
class Score:
    """A run's mean normalised score after its last step, and the commit of the code that ran."""

    dataset: str
    method: str
    implementation: str
    seed: int
    steps: int
    episodes: int
    score: float
    commit: str

    @property
    def key(self) -> Key:
        return Key(self.dataset, self.method, self.implementation, self.seed)


def read_scores(path: Path = SCORES) -> list[Score]:
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [
            Score(
                line["dataset"],
                line["method"],
                line["implementation"],
                int(line["seed"]),
                int(line["steps"]),
                int(line["episodes"]),
                float(line["score"]),
                line["commit"],
            )
            for line in csv.DictReader(file)
        ]


def add_scores(new: Iterable[Score], path: Path = SCORES) -> int:
    """Append those whose key has no line yet; returns how many."""
    known = {score.key for score in read_scores(path)}
    added = [score for score in new if score.key not in known]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if not known:
            writer.writerow(field.name for field in fields(Score))
        writer.writerows(astuple(score) for score in added)
    return len(added)


def scores_of_suite(folder: Path) -> list[Score]:
    """The finished runs of a suite's results folder, as the report reads them."""
    records = read_records(folder)
    steps = records.evaluations["label"].map(records.suite.steps_of)
    last = records.evaluations[records.evaluations["step"] == steps]
    means = last.groupby(["task", "label", "seed"])["normalized_score"].mean()
    done = records.runs[records.runs["state"] == "done"]
    return [
        Score(
            run.task,
            run.label,
            HARNESS,
            run.seed,
            records.suite.steps_of(run.label),
            records.suite.evaluation.episodes,
            float(means[run.task, run.label, run.seed]),
            commit_of(run.path, records.provenance[run.path]),
        )
        for run in done.itertuples()
    ]


def commit_of(run: str, provenance: Mapping[str, Any]) -> str:
    """What a run's code was. Raises UserError if no commit says it."""
    git = provenance.get("git", {})
    if git.get("dirty", True):
        raise UserError(f"{run} was not made from a clean commit: commit, then `run --fresh`.")
    return str(git["commit"][:7])
