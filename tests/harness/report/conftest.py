"""Results folders as runs leave them, written from the format alone, with scores tests choose."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.tasks.ids import RewardRule, Scale, Source
from harness.tasks.spec import DatasetRef, EnvironmentSpec, ReferenceScores, TaskSpec

LOW, HIGH = 5.0, 205.0  # reference scores of every task here: 2 reward a point
ALGORITHMS = {
    "df-dir": ("Direction-Oriented Decision Flow", "decision flow"),
    "df-div": ("Divergence-Oriented Decision Flow", "decision flow"),
    "flow-bc": ("Behaviour cloning with a flow policy", "flow"),
    "bc": ("Behaviour cloning", "imitation"),
    "td3-bc": ("TD3+BC", "value-based"),
    "iql": ("Implicit Q-Learning", "value-based"),
    "fql": ("Flow Q-Learning", "flow"),
}


def make_task(task_id: str) -> TaskSpec:
    family, _, rest = task_id.partition("/")
    return TaskSpec(
        id=task_id,
        title=f"{family} {rest}".title(),
        family=family,
        dataset=DatasetRef(
            id=f"{task_id}-150k-v0",
            source="recipe",
            recipe="pointmaze",
            params={"maze": rest, "transitions": 150_000, "seed": 0},
            rewards=RewardRule.SPARSE_GOAL,
        ),
        environment=EnvironmentSpec(
            id="PointMaze_UMaze-v3",
            kwargs={"maze_map": [[1, 0], [0, 1]], "continuing_task": True},
            wrappers=("point-state",),
            semantics=(),
        ),
        horizon=300,
        reference=ReferenceScores(
            min=LOW, max=HIGH, source=Source.OWN, entry="hand-made_for_tests"
        ),
        scale=Scale.OWN,
        description="Episodes end at the horizon & never terminate.",
    )


@dataclass
class SuiteBuilder:
    """Plans a suite; `write` leaves the folder. Scores are final scores, in points.

    Lists have one number per seed. `entries` adds to what suite.json says of labels, `specs`
    replaces made-up tasks, `selections` holds the scores by further action selections, `metrics`,
    `latencies`, `decisions` and `ways` (positions in a maze) the last step's values. With an
    `action_selection` in `entries`, files have that column.
    """

    root: Path
    tasks: list[str]
    labels: list[str] = field(default_factory=lambda: list(ALGORITHMS))
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2])
    steps: int = 20_000
    every: int = 2_000
    episodes: int = 10
    smoke: bool = False
    reference: str = ""
    name: str = "demo"
    final: dict[tuple[str, str], list[float]] = field(default_factory=dict)  # by task, label
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)  # by label
    specs: dict[str, TaskSpec] = field(default_factory=dict)  # by task
    figures: list[dict[str, Any]] = field(default_factory=list)
    selections: dict[tuple[str, str], dict[str, list[float]]] = field(default_factory=dict)
    metrics: dict[tuple[str, str], dict[str, list[float]]] = field(default_factory=dict)
    measures: dict[tuple[str, str], dict[str, list[float]]] = field(default_factory=dict)
    latencies: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    decisions: dict[tuple[str, str], float] = field(default_factory=dict)  # ms, of every seed
    ways: dict[tuple[str, str], list[tuple[float, float]]] = field(default_factory=dict)
    states: dict[tuple[str, str, int], str] = field(default_factory=dict)
    errors: dict[tuple[str, str, int], str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.root / self.name

    def run_path(self, task: str, label: str, seed: int) -> Path:
        return self.folder / self._relative(task, label, seed)

    def _relative(self, task: str, label: str, seed: int) -> str:
        return f"runs/{task.replace('/', '_')}/{label}-0a1b2c3d/seed-{seed}"

    def write(self) -> Path:
        self.folder.mkdir(parents=True)
        (self.folder / "suite.json").write_text(json.dumps(self.suite(), indent=2))
        for task in self.tasks:
            for label in self.labels:
                if task not in self.entries.get(label, {}).get("tasks", self.tasks):
                    continue
                for index, seed in enumerate(self.seeds):
                    state = self.states.get((task, label, seed), "done")
                    if state != "missing":
                        self._write_run(task, label, seed, index, state)
        return self.folder

    def suite(self) -> dict[str, Any]:
        algorithms = []
        for label in self.labels:
            title, family = ALGORITHMS.get(label, (label.title(), "other"))
            known = {"label": label, "id": label, "title": title, "family": family}
            known |= {"paper": "arXiv:0000.00000", "config": self.config(label)}
            algorithms.append(known | self.entries.get(label, {}))
        return {
            "name": self.name,
            "title": "Decision Flow against its baselines",
            "question": "Does Decision Flow beat cloning & offline RL <on mazes>?",
            "command": f"python -m harness run suites/{self.name}.yaml",
            "tasks": [self.task(task).model_dump(mode="json") for task in self.tasks],
            "rows": algorithms,
            "compare_to": self.reference,
            "figures": self.figures,
            "seeds": self.seeds,
            "steps": self.steps,
            "evaluation": {"every": self.every, "episodes": self.episodes, "protocol": "last"},
            "smoke": self.smoke,
            "runs": [
                {
                    "task": task,
                    "label": label,
                    "seed": seed,
                    "path": self._relative(task, label, seed),
                    "hash": f"hash of {task} {label} {seed}",
                }
                for task in self.tasks
                for label in self.labels
                if task in self.entries.get(label, {}).get("tasks", self.tasks)
                for seed in self.seeds
            ],
        }

    def task(self, task_id: str) -> TaskSpec:
        return self.specs.get(task_id) or make_task(task_id)

    def config(self, label: str) -> dict[str, Any]:
        shared = {"batch_size": 256, "discount": 0.99, "actor": {"hidden_dims": [128, 128]}}
        return shared | ({"flow_steps": 10} if label.startswith("df") else {})

    def _write_run(self, task: str, label: str, seed: int, index: int, state: str) -> None:
        path = self.run_path(task, label, seed)
        path.mkdir(parents=True)
        done = state == "done"
        spec = {
            "task": self.task(task).model_dump(mode="json"),
            "dataset_sha256": "d" * 64,
            "algorithm": label,
            "label": label,
            "config": self.config(label),
            "steps": self._steps(label),
            "evaluation": {"every": self.every, "episodes": self.episodes},
            "seed": seed,
            "precision": "fp32",
            "compiled": True,
            "device": "cpu",
            "engine_version": 1,
            "hash": f"hash of {task} {label} {seed}",
            "cell": f"cell of {task} {label}",
        }
        steps = self._steps(label)
        status = {
            "state": state,
            "step": steps if done else steps // 2,
            "total_steps": steps,
            "evaluated_step": steps if done else steps // 2,
            "invocation": "made by hand",
            "error": self.errors.get((task, label, seed), ""),
            "started": "2026-11-22T14:00:00+00:00",
            "finished": "2026-11-22T14:03:20+00:00" if done else "",
            "train_seconds": 180.0,
            "evaluation_seconds": 15.0,
            "wall_seconds": 200.0,
            "steps_per_second": 111.1,
            "latest_score": 1.0,
        }
        provenance = {
            "git": {"commit": "0123abcd" * 5, "dirty": False},
            "python": "3.11.7",
            "packages": {"torch": "2.13.0", "numpy": "2.4.6"},
            "cpu": "Some CPU @ 2.0 GHz",
            "executor": "local",
            "trial_seeds": self.seeds,
        }
        for name, content in (("spec", spec), ("status", status), ("provenance", provenance)):
            (path / f"{name}.json").write_text(json.dumps(content))
        self._write_csvs(path, task, label, seed, index, status["step"])

    def _write_csvs(
        self, path: Path, task: str, label: str, seed: int, index: int, until: int
    ) -> None:
        steps = self._steps(label)
        rng = np.random.default_rng([index, self.labels.index(label), self.tasks.index(task)])
        level = 95 - 9 * (self.labels.index(label) % 9)
        scores = self.final.get((task, label))
        final = scores[index] if scores else level + rng.normal(0, 2 + self.labels.index(label) % 4)
        own = self.entries.get(label, {}).get("action_selection", "")
        acting, header = (f"{own},", "action_selection,") if own else ("", "")
        rows = [f"seed,step,{header}episode,return,length,terminated,success,normalized_score"]
        times = [f"step,{header}train_seconds,evaluation_seconds,amortized_action_ms"]
        latency = self.latencies.get((task, label), [0.4 + 0.01 * i for i in range(index + 1)])
        metrics = ["seed,step,name,value"]
        for step in range(self.every, until + 1, self.every):
            mean = final * (1 - np.exp(-6 * step / steps)) / (1 - np.exp(-6))
            if step < steps:
                mean += rng.normal(0, 3)
            noise = rng.normal(0, 8, self.episodes)
            rows += self._episodes(task, f"{seed},{step},{acting}", mean + noise - noise.mean())
            times.append(f"{step},{acting}18.0,1.5,{latency[index]!r}")
            for name, values in self.metrics.get((task, label), {}).items():
                value = values[index] * (2 - step / steps)
                metrics.append(f"{seed},{step},{name},{value!r}")
        for selection, values in self.selections.get((task, label), {}).items():
            rows += self._episodes(task, f"{seed},{until},{selection},", np.full(2, values[index]))
            times.append(f"{until},{selection},0.0,1.5,{2 * latency[index]!r}")
        (path / "evaluations.csv").write_text("\n".join(rows) + "\n")
        (path / "timings.csv").write_text("\n".join(times) + "\n")
        (path / "metrics.csv").write_text("\n".join(metrics) + "\n")
        if milliseconds := self.decisions.get((task, label)):
            text = f"step,{header}decision_ms\n{until},{acting}{milliseconds!r}\n"
            (path / "decisions.csv").write_text(text)
        if way := self.ways.get((task, label)):
            found = [f"{seed},{until},{acting}0,{t},{x!r},{y!r}" for t, (x, y) in enumerate(way)]
            text = "\n".join([f"seed,step,{header}episode,time,x,y", *found])
            (path / "paths.csv").write_text(text + "\n")
            found = [
                f"{seed},{until},{x!r},{y!r},{x + y!r}" for x in (-0.5, 0.5) for y in (-0.5, 0.5)
            ]
            (path / "values.csv").write_text("\n".join(["seed,step,x,y,value", *found]) + "\n")
        if measures := self.measures.get((task, label)):
            found = [f"{seed},{until},{acting}0,{k},{v[index]!r}" for k, v in measures.items()]
            text = "\n".join([f"seed,step,{header}episode,name,value", *found])
            (path / "measures.csv").write_text(text + "\n")

    def _steps(self, label: str) -> int:
        return int(self.entries.get(label, {}).get("steps", self.steps))

    def _episodes(self, task: str, prefix: str, scores: Any) -> list[str]:
        rows, reference = [], self.task(task).reference
        for episode, score in enumerate(scores.tolist()):
            raw = reference.min + score / 100 * (reference.max - reference.min)
            rows.append(f"{prefix}{episode},{raw!r},300,false,1.0,{score!r}")
        return rows


@pytest.fixture
def make_suite(tmp_path: Path) -> Callable[..., SuiteBuilder]:
    """`make_suite(tasks=..., final={(task, label): [score, ...]}, ...)`, to be written."""

    def make(**settings: Any) -> SuiteBuilder:
        return SuiteBuilder(tmp_path, **({"tasks": ["pointmaze/umaze"]} | settings))

    return make
