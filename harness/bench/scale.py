"""What the harness itself takes where a suite has thousands of runs, which are made up here."""

from __future__ import annotations

import hashlib
import os
import resource
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from algorithms import registry
from harness.data.datasets import silent
from harness.errors import UserError
from harness.execution.memory import children_peak_mb
from harness.execution.plan import Plan
from harness.execution.prepare import prepare
from harness.files import write_json
from harness.runs.folder import RunFolder
from harness.runs.spec import RunSpec
from harness.runs.status import Status, now

_SUITE = """
name: scale
title: Thousands of runs
question: What does the harness itself take?
tasks: [{mazes}]
algorithms: {{bc: {sweep}, iql: {sweep}, td3-bc: {sweep}, fql: {sweep}, df-div: {sweep}}}
seeds: {seeds}
training: {{steps: 1000}}
evaluation: {{every: 500, episodes: 10}}
"""
_MAZES = ("umaze", "open", "medium", "large")
_CELLS = 100
_RUNS = 10_000
_EPISODE = "{seed},{step},{selection},{episode},{value},20,false,1.0,{score}\n"
_HEADER = "seed,step,action_selection,episode,return,length,terminated,success,normalized_score\n"


def scale_parts() -> dict[str, float]:
    """CPU-seconds of planning, and of finding everything done; MB of the process that does it."""
    with tempfile.TemporaryDirectory() as folder:
        suite, results = Path(folder) / "scale.yaml", Path(folder) / "results"
        mazes = ", ".join(f"{{pointmaze/{maze}: {{transitions: 2000}}}}" for maze in _MAZES)
        sweep = "{sweep: {batch_size: [32, 64, 128, 256, 512]}}"
        suite.write_text(_SUITE.format(mazes=mazes, sweep=sweep, seeds=_RUNS // _CELLS))
        os.environ["HARNESS_DATA"] = f"{folder}/data"
        plan = prepare(suite, results, silent)
        planning = _cpu_seconds("plan", suite, results)
        leave_finished(plan)
        finding = _cpu_seconds("run", suite, results, "--dry-run")
        _cpu_seconds("run", suite, results)  # which makes the report
        resuming = _cpu_seconds("run", suite, results)
    return {
        f"plan of {_RUNS:,} runs, CPU-seconds (target < 5)": planning,
        f"finding {_RUNS:,} finished runs done, CPU-seconds (target < 5)": finding,
        f"running {_RUNS:,} finished and reported runs, CPU-seconds (target < 5)": resuming,
        "the driver's peak memory, MB (target < 1000)": children_peak_mb(),
    }


def leave_finished(plan: Plan) -> None:
    """Every run of a plan as one that has finished leaves it, in few evaluations."""
    for spec in plan.runs:
        _leave(plan.folder(spec), spec)


def _leave(folder: RunFolder, spec: RunSpec) -> None:
    folder.write_spec(spec)
    folder.write_provenance({"algorithm": {"id": spec.algorithm}, "command": "harness bench"})
    score = spec.task.normalized_score(1.0)
    own = registry.load(spec.algorithm).action_selection
    known = {"seed": spec.seed, "selection": own, "value": 1.0, "score": score}
    episodes = [
        _EPISODE.format(**known, step=step, episode=episode)
        for step in spec.evaluation_steps()
        for episode in range(spec.evaluation.episodes)
    ]
    folder.write_table("evaluations", "".join([_HEADER, *episodes]).encode())
    folder.write_table("metrics", b"step,name,value\n1000,actor/loss,1.0\n")
    seals = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.path.iterdir()
    }
    status = Status(
        state="done",
        step=spec.total_steps,
        total_steps=spec.total_steps,
        invocation="bench",
        started=now(),
        finished=now(),
        evaluated_step=spec.total_steps,
        seals=seals,
    )
    # Not by `write_status`, which waits for the disk: these are of no value to anyone.
    write_json(folder.path / "status.json", asdict(status))


def _cpu_seconds(command: str, suite: Path, results: Path, *options: str) -> float:
    """What a command line takes. Raises UserError if it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    words = [sys.executable, "-m", "harness", command, str(suite), "--results", str(results)]
    done = subprocess.run([*words, *options], capture_output=True, text=True)
    if done.returncode != 0:
        raise UserError(f"bench: `harness {command}` failed:\n{done.stdout}{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
