"""Good files of every kind, made by the harness itself, once."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import gymnasium as gym
import numpy as np
import yaml

from harness.data import ensure, minari_format
from harness.execution.prepare import prepare
from harness.execution.work import work
from harness.report.comparison import Comparison, compare
from harness.report.records import read_records
from harness.runs.pack import pack_suite
from harness.tasks import get_task
from tests.harness.conftest import tiny_suite, trials_of

TASK = ("pointmaze/umaze-dense", {"transitions": 300})
SUITE = tiny_suite(
    tasks=[dict([TASK])],
    algorithms={"bc": {}, "iql": {"sweep": {"learning_rate": [0.001, 0.1]}}},
    training={"steps": 4, "compile": False},
    evaluation={"every": 2, "episodes": 2},
    figures=[{"kind": "trend", "title": "Over rates", "x": "learning_rate"}],
)
LOCAL = "local/hopper/medium"

Scores = dict[tuple[str, str, int], float]  # of finished runs, by task, row and seed


@dataclass(frozen=True)
class Originals:
    """Folders to copy: `suite`, `results`, `packed`, `data`, `local` of `root`."""

    root: Path
    scores: Scores
    rows_sha256: str


def make(root: Path) -> Originals:
    """Leave them in `root`; data are made in seconds, and runs train for four steps."""
    os.environ["HARNESS_DATA"] = str(root / "data")
    (root / "suite").mkdir(parents=True)
    suite = root / "suite" / "tiny.yaml"
    suite.write_text(yaml.safe_dump(SUITE, sort_keys=False))
    plan = prepare(suite, root / "results", lambda *_: None)
    for trial in trials_of(plan):
        for _ in work(trial):
            pass
    plan.suite_file("python -m harness run tiny").write(plan.directory)
    for checkpoint in plan.directory.rglob("checkpoint*"):
        checkpoint.unlink()
    shutil.rmtree(plan.directory / ".locks", ignore_errors=True)
    shutil.copytree(root / "results", root / "packed")
    pack_suite(root / "packed" / "tiny")
    _record(root / "local" / "local" / "hopper" / "medium-v0" / "data")
    scores = scores_of(compare(read_records(plan.directory)))
    assert len({*scores.values()}) == 6, scores  # none can stand for another unnoticed
    return Originals(root, scores, ensure(get_task(*TASK), make=False).sha256)


def scores_of(comparison: Comparison) -> Scores:
    """The score of every run that a table counts."""
    found = comparison.scores.dropna(subset="score")
    return {(r.task, r.label, r.seed): float(r.score) for r in found.itertuples()}


def _record(folder: Path) -> None:
    """A Minari dataset of two short episodes, as somebody else would have recorded it."""
    rng = np.random.default_rng(0)
    episodes = []
    for steps in (4, 6):
        last = np.arange(steps) == steps - 1
        episodes.append(
            {
                "observations": rng.uniform(-1, 1, (steps + 1, 11)),
                "actions": rng.uniform(-1, 1, (steps, 3)).astype(np.float32),
                "rewards": rng.uniform(-1, 1, steps),
                "terminations": np.zeros(steps, np.bool_),
                "truncations": last,
            }
        )
    minari_format.write(folder, episodes)
    spec = gym.spec("Hopper-v5").to_json()
    metadata = {"env_spec": spec, "algorithm_name": "noise", "description": "Numbers."}
    (folder / "metadata.json").write_text(json.dumps(metadata))
