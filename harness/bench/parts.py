"""What surrounds training: start-up, evaluation, acting, and the overhead and memory of a run."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.errors import UserError
from harness.execution.memory import children_peak_mb

if TYPE_CHECKING:
    from harness.rollouts.evaluation import Policy

_REPEATS = 5
_SUITE = """
name: bench
title: Overhead and memory of one run
question: How much does the harness add to training?
tasks: [pointmaze/umaze]
algorithms: {bc: {}}
seeds: 2
training: {steps: 20000}
evaluation: {every: 5000, episodes: 10}
"""


def start_up_seconds(*arguments: str) -> float:
    """Median wall time of a fresh Python with these arguments."""

    def start() -> None:
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)

    return _median_seconds(start)


def evaluation_seconds() -> float:
    """Median time of one evaluation of DF-div: 10 UMaze episodes for each of 3 seeds."""
    from harness.rollouts.evaluation import Evaluator
    from harness.tasks import get_task

    evaluator = Evaluator(get_task("pointmaze/umaze"), range(3), 10)
    policy = _flow_policy(seeds=3)
    evaluator.evaluate(policy)
    seconds = _median_seconds(lambda: evaluator.evaluate(policy))
    evaluator.close()
    return seconds


def acting_milliseconds() -> float:
    """Median time of DF-div's policy, T = 10, on a batch of 10 observations."""
    policy = _flow_policy(seeds=1)
    observations = np.zeros((1, 10, 4), np.float32)

    def act() -> None:
        for _ in range(100):
            policy(observations, np.zeros((1, 10), np.float32))

    act()
    return _median_seconds(act) / 100 * 1000


def real_run() -> dict[str, float]:
    """A real run of 20,000 steps of cloning on 1M UMaze transitions, in its own process.

    The data are made and packed before it, as they are once for all runs of a task.
    """
    from harness.data import ensure
    from harness.tasks import get_task

    ensure(get_task("pointmaze/umaze"))
    with tempfile.TemporaryDirectory() as folder:
        suite = Path(folder) / "bench.yaml"
        suite.write_text(_SUITE)
        command = [sys.executable, "-m", "harness", "run", str(suite), "--executor", "local"]
        command += ["--results", folder]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise UserError(f"bench: the run failed:\n{done.stdout}{done.stderr}")
        status = json.loads(next(Path(folder).glob("bench/runs/*/*/*/status.json")).read_text())
    busy = status["train_seconds"] + status["evaluation_seconds"]
    return {
        "a run's overhead around training and evaluation, % (target < 4)": 100
        * (1 - busy / status["wall_seconds"]),
        "a run's peak memory on 1M transitions, MB (target < 1000)": children_peak_mb(),
    }


def _flow_policy(seeds: int) -> Policy:
    import torch

    from algorithms.engine.engine import Engine
    from algorithms.registry import resolve_config
    from algorithms.transitions import Transitions

    torch.set_num_threads(1)
    rows = np.zeros((256, 2 * 4 + 2 + 3), np.float32)
    config = resolve_config("df-div", {})
    data = Transitions(rows, obs_dim=4, action_dim=2)
    engine = Engine("df-div", config, data, range(seeds), offline_steps=100, compile=False)
    return engine.policy("bench")


def _median_seconds(function: Callable[[], object]) -> float:
    seconds = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)
