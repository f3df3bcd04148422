"""`harness bench --report`: how fast statistics are, and a report over 10,000 runs."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from harness.files import write_json
from harness.runs.provenance import circumstances, core_count, cpu_model
from harness.statistics.aggregates import interquartile_mean
from harness.statistics.bootstrap import DRAWS, ranks, resamples
from harness.tasks import get_task

METHODS, TASKS, SEEDS = 40, 24, 10
RUN_METHODS, RUN_TASKS, RUN_SEEDS = 50, 20, 10  # 10,000 runs
EVALUATIONS, EPISODES, EVERY = 5, 10, 1_000
_REPORT = """
import sys, time
from pathlib import Path
from harness.execution.memory import peak_mb
from harness.report import build_report
start = time.perf_counter()
build_report(Path(sys.argv[1]))
print(time.perf_counter() - start, peak_mb())
"""


def run_report_bench(json_path: Path | None) -> None:
    """Measure, print, and write `json_path` if given."""
    console = Console()
    console.print(f"{DRAWS:,} resamples of {METHODS} methods on {TASKS} tasks of {SEEDS} seeds …")
    found: dict[str, Any] = {"bootstrap of IQM and ranks, seconds (target < 10)": _bootstrap()}
    runs = RUN_METHODS * RUN_TASKS * RUN_SEEDS
    with tempfile.TemporaryDirectory() as folder:
        console.print(f"Making {runs:,} runs …")
        make_results(Path(folder))
        console.print("Reporting them …")
        command = [sys.executable, "-c", _REPORT, folder]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, peak = map(float, done.stdout.split())
    found[f"report over {runs:,} runs, seconds (target < 30)"] = seconds
    found["its peak memory, MB (target < 1000)"] = peak
    table = Table("measure", "value", title=f"{cpu_model()}, {core_count()} cores")
    for name, value in found.items():
        table.add_row(name, f"{value:.3g}")
    console.print(table)
    if json_path is not None:
        write_json(json_path, {"report": found, **circumstances()})


def _bootstrap() -> float:
    rng = np.random.default_rng(0)
    methods = [
        [rng.normal(50 + method, 20, SEEDS) for _ in range(TASKS)] for method in range(METHODS)
    ]
    start = time.perf_counter()
    drawn = resamples((SEEDS,) * TASKS)
    for strata in methods:
        interquartile_mean(strata)
        drawn.interval(drawn.interquartile_means(strata))
    for rank in ranks(drawn.averages(methods)):
        drawn.interval(rank)
    return time.perf_counter() - start


def make_results(
    folder: Path, methods: int = RUN_METHODS, tasks: int = RUN_TASKS, seeds: int = RUN_SEEDS
) -> None:
    """Leave a suite's results as its runs would, with scores drawn at random."""
    rng = np.random.default_rng(0)
    base = get_task("pointmaze/umaze", None)
    specs = [base.model_copy(update={"id": f"pointmaze/task-{i}"}) for i in range(tasks)]
    rows = [
        {"label": f"method-{i}", "id": f"method-{i}", "title": f"Method {i}", "paper": ""}
        | {"family": "made up", "config": {"batch_size": 256}}
        for i in range(methods)
    ]
    runs = []
    for task in specs:
        for number, row in enumerate(rows):
            for seed in range(seeds):
                path = f"runs/{task.id.replace('/', '_')}/{row['label']}/seed-{seed}"
                run = {"task": task.id, "label": row["label"], "seed": seed, "path": path}
                runs.append(run | {"hash": path})
                _make_run(folder / path, path, seed, 100 - number + rng.normal(0, 5), task, rng)
    suite = {
        "name": folder.name,
        "title": "Runs made up to be read",
        "question": "How long does a report take?",
        "command": "python -m harness bench --report",
        "tasks": [task.model_dump(mode="json") for task in specs],
        "rows": rows,
        "compare_to": "method-0",
        "seeds": list(range(seeds)),
        "steps": EVALUATIONS * EVERY,
        "evaluation": {"every": EVERY, "episodes": EPISODES, "protocol": "last"},
        "runs": runs,
        "smoke": False,
    }
    (folder / "suite.json").write_text(json.dumps(suite))


def _make_run(
    path: Path, run_hash: str, seed: int, level: float, task: Any, rng: np.random.Generator
) -> None:
    path.mkdir(parents=True)
    steps = EVALUATIONS * EVERY
    spec = {"task": task.model_dump(mode="json"), "hash": run_hash, "config": {"batch_size": 256}}
    (path / "spec.json").write_text(json.dumps(spec | {"dataset_sha256": "0" * 64}))
    status = {"state": "done", "step": steps, "total_steps": steps, "evaluated_step": steps}
    status |= {"invocation": "made up", "error": "", "started": "", "finished": ""}
    status |= dict.fromkeys(("train_seconds", "evaluation_seconds", "wall_seconds"), 100.0)
    status |= {"steps_per_second": 50.0, "latest_score": level}
    (path / "status.json").write_text(json.dumps(status))
    low, high = task.reference.min, task.reference.max
    lines = ["seed,step,episode,return,length,terminated,success,normalized_score"]
    times = ["step,train_seconds,evaluation_seconds,amortized_action_ms"]
    metrics = ["seed,step,name,value"]
    for step in range(EVERY, steps + 1, EVERY):
        for episode, points in enumerate(rng.normal(level, 8, EPISODES)):
            earned = low + points / 100 * (high - low)
            lines.append(
                f"{seed},{step},{episode},{float(earned)!r},300,false,1.0,{float(points)!r}"
            )
        times.append(f"{step},20.0,5.0,0.3")
        metrics += [f"{seed},{step},{name},1.0" for name in ("actor/loss", "critic/loss")]
    for name, content in (("evaluations", lines), ("timings", times), ("metrics", metrics)):
        (path / f"{name}.csv").write_text("\n".join(content) + "\n")
