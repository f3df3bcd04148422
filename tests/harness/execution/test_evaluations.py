"""Evaluation beside training leaves what evaluation in turn leaves: with real processes."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.execution import work as work_module
from harness.execution.evaluations import Evaluators
from harness.execution.plan import Plan
from harness.execution.work import work
from harness.rollouts import evaluation
from harness.runs.trial import Trial
from tests.harness.conftest import CommandLine, checkpoint_step, trials_of
from tests.harness.execution.test_processes import alive, start_worker, until
from tests.harness.execution.test_work import finish, states
from tests.harness.their_package import TheirPackage

PlanOf = Callable[..., Plan]
BANDIT = {"multimodal/modes-2-dim-2": {"transitions": 200}}  # episodes of one step
SHORT = {"steps": 60, "compile": False}
ONLINE = {"steps": 40, "online_steps": 20, "compile": False}
SELECTIONS = ["noise-0", "noise-1", "best-of-4"]
UNLUCKY = 1
PATIENCE = 200  # seconds, of which a busy machine needs many
THEIRS = """
import os, time
from baselines.bc import BC
from harness.rollouts import evaluation

class Theirs(BC):
    pass

class Rollout(evaluation.Rollout):
    def step(self, action):
        seed, episode = self._key
        {what}
        super().step(action)

evaluation.Rollout = Rollout
evaluation.STEP_SECONDS = 0.5
"""
OFTEN = """
from harness.execution import work
work._CHECKPOINT_SECONDS = work._CHUNK_SECONDS = 0.0
"""
BREAK = "self._environment.step = lambda action: {}['gone']"
HANG = "self._environment.step = lambda action: time.sleep(10**6)"


def left(plan: Plan) -> list[dict[str, bytes]]:
    """Every file of each run that no clock is in."""
    clocks = {"timings.csv", "decisions.csv", "status.json", "provenance.json", "checkpoint.json"}
    clocks |= {"checkpoint.previous.safetensors"}
    return [
        {
            path.name: path.read_bytes()
            for path in sorted(plan.folder(spec).path.iterdir())
            if path.is_file() and path.name not in clocks
        }
        for spec in plan.runs
    ]


def errors(plan: Plan) -> list[tuple[str, int]]:
    """The sentence that each run ended with, and the step that it ended at."""
    found = [plan.folder(spec).status() for spec in plan.runs]
    return [(s.error.partition("\n")[0], s.step) for s in found if s is not None]


def forget_results(plan: Plan) -> None:
    shutil.rmtree(plan.directory.parent)


def children(process: int) -> list[int]:
    """The evaluators that a process has started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            command = (path.parent / "cmdline").read_text()
        except OSError:
            continue
        if parent == process and "harness.execution.evaluator" in command:
            found.append(int(path.parent.name))
    return found


DT = {"context": 4, "embedding_dim": 16}
CASES: dict[str, dict[str, Any]] = {
    "online steps and action selections": {
        "algorithms": {"iql": {}},
        "training": ONLINE,
        "evaluation": {"every": 20, "episodes": 2, "action_selections": SELECTIONS},
    },
    "a row that acts otherwise than its method": {
        "algorithms": {"iql": {"action_selection": "noise-0.5"}},
        "evaluation": {"every": 20, "episodes": 2, "action_selections": SELECTIONS},
    },
    "a pretraining stage": {"algorithms": {"ifql": {}}, "tasks": [BANDIT]},
    "actions by the steps before": {"algorithms": {"dt": {"config": DT}}},
}


@pytest.fixture(autouse=True)
def their_changes_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a package changes in this process lasts for a test."""
    for name in ("Rollout", "STEP_SECONDS"):
        monkeypatch.setattr(evaluation, name, getattr(evaluation, name))
    for name in ("_CHECKPOINT_SECONDS", "_CHUNK_SECONDS", "_FIRST_CHUNK"):
        monkeypatch.setattr(work_module, name, getattr(work_module, name))


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let training look up after every step, as slow training does."""
    monkeypatch.setattr(work_module, "_CHUNK_SECONDS", 0.0)
    monkeypatch.setattr(work_module, "_FIRST_CHUNK", 3)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.usefixtures("small_chunks")
def test_every_file_has_the_bytes_that_it_has_without(plan_of: PlanOf, case: str) -> None:
    plan = plan_of(**{"seeds": 3, "training": SHORT, **CASES[case]})
    finish(plan)
    assert states(plan) == ["done"] * 3
    alone = left(plan)
    forget_results(plan)
    finish(plan, cpus=3)  # two evaluators, of two seeds and of one
    assert left(plan) == alone
    assert not children(os.getpid())


@pytest.mark.parametrize("fault", [BREAK, HANG])
@pytest.mark.usefixtures("small_chunks")
def test_a_seed_whose_environment_fails_beside_training_ends_alone(
    their_package: TheirPackage, plan_of: PlanOf, fault: str
) -> None:
    """At the same step, with the same words, though its training has gone on."""
    condition = f"if seed == {UNLUCKY} and episode == 1: {fault}"
    their_package.write_method(THEIRS.format(what=condition))
    plan = plan_of(tasks=[BANDIT], algorithms={"theirs": {}}, seeds=3, training=SHORT)
    finish(plan)
    alone, ended = left(plan), errors(plan)
    assert states(plan) == ["done", "failed", "done"]
    assert ended[UNLUCKY][1] == 20
    forget_results(plan)
    finish(plan, cpus=2)
    assert (left(plan), errors(plan)) == (alone, ended)


@pytest.mark.usefixtures("small_chunks")
def test_an_evaluator_that_is_killed_is_replaced(
    plan_of: PlanOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(algorithms={"iql": {}}, training=SHORT)
    finish(plan)
    alone = left(plan)
    forget_results(plan)
    submit = Evaluators.submit
    killed: list[int] = []

    def submit_and_kill(evaluators: Evaluators, snapshot: Any) -> None:
        submit(evaluators, snapshot)
        if len(killed) < 2:
            [evaluator] = children(os.getpid())
            os.kill(evaluator, signal.SIGKILL)
            killed.append(evaluator)

    monkeypatch.setattr(Evaluators, "submit", submit_and_kill)
    finish(plan, cpus=2)
    assert len(set(killed)) == 2
    assert left(plan) == alone


def test_runs_whose_evaluator_dies_again_and_again_fail_with_a_sentence(
    their_package: TheirPackage, plan_of: PlanOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.execution.evaluations.RESTARTS", 1)
    their_package.write_method(THEIRS.format(what="os._exit(7)"))
    plan = plan_of(tasks=[BANDIT], algorithms={"theirs": {}}, training=SHORT)
    finish(plan, cpus=2)
    assert states(plan) == ["failed", "failed"]
    sentence, _ = errors(plan)[0]
    assert sentence.startswith("the process that evaluates ended 2 times, the last time with exit")
    assert "cpus_per_trial" in sentence


@pytest.fixture
def waiting(their_package: TheirPackage, tmp_path: Path, plan_of: PlanOf) -> tuple[Plan, Path]:
    """A plan whose evaluations wait for a file, and the file, which is there at first.

    Whenever a checkpoint can be written, it is.
    """
    gate = tmp_path / "gate"
    gate.touch()
    wait = f"while not os.path.exists({str(gate)!r}): time.sleep(0.05)"
    method = THEIRS.format(what=wait).replace("= 0.5", "= 1000.0")
    their_package.write_method(f"{OFTEN}{method}")
    plan = plan_of(
        tasks=[BANDIT],
        algorithms={"theirs": {}},
        training=SHORT,
        evaluation={"every": 20, "episodes": 1},
    )
    return plan, gate


def trains_on(trial: Trial) -> bool:
    """Whether it trains beyond a step whose evaluation is not there yet."""
    status = trial.status(trial.specs[0])
    return status is not None and status.evaluated_step == 0 and status.step > 20


@pytest.mark.usefixtures("small_chunks")
def test_a_stop_request_waits_for_the_evaluation_that_is_under_way(
    waiting: tuple[Plan, Path],
) -> None:
    plan, gate = waiting
    finish(plan)
    alone = left(plan)
    forget_results(plan)
    gate.unlink()
    [trial] = trials_of(plan, cpus=2)

    def stop() -> bool:
        if trains_on(trial):
            gate.touch()
        return gate.exists()

    assert list(work(trial, stop)) == [20]
    assert states(plan) == ["interrupted"] * 2
    status = trial.status(trial.specs[0])
    assert status is not None
    assert (status.evaluated_step, checkpoint_step(trial.folder(trial.specs[0]))) == (20, 21)
    finish(plan, cpus=2)
    assert left(plan) == alone


def test_a_run_that_is_killed_beside_its_evaluation_evaluates_again(
    waiting: tuple[Plan, Path],
) -> None:
    plan, gate = waiting
    finish(plan)
    alone = left(plan)
    forget_results(plan)
    gate.unlink()
    [trial] = trials_of(plan, cpus=2)
    with start_worker(os.getpid()) as worker:
        assert worker.stdin is not None
        worker.stdin.write(trial.model_dump_json() + "\n")
        worker.stdin.flush()
        until(lambda: trains_on(trial), PATIENCE)
        [evaluator] = children(worker.pid)
        worker.kill()
    until(lambda: not alive(evaluator), PATIENCE)
    gate.touch()
    finish(plan, cpus=2)
    assert left(plan) == alone


def test_a_suite_with_a_cpu_to_spare_evaluates_beside_training(
    their_package: TheirPackage, write_suite: Callable[..., Path], harness: CommandLine
) -> None:
    seen = harness.results.parent / "seen"
    note = f"open({str(seen)!r}, 'a').write(sys.orig_argv[2] + chr(10))"
    their_package.write_method(THEIRS.format(what=f"import sys; {note}"))
    suite = write_suite(
        tasks=[BANDIT],
        algorithms={"theirs": {}},
        evaluation={"every": 40, "episodes": 1},
        resources={"cpus_per_trial": 2},
    )
    harness("run", suite, "--executor", "local")
    scored, measured = ["harness.execution.evaluator"] * 2, "harness.execution.worker"
    assert seen.read_text().split() == [*scored, measured]
