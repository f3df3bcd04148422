"""The local executor with real processes."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.errors import UserError
from harness.execution.local import LocalExecutor
from harness.execution.plan import Plan
from harness.execution.work import work
from harness.runs.status import Status, now
from harness.runs.trial import STOP_FILE, Trial
from harness.suite.schema import Resources
from tests.harness.conftest import checkpoint_step, evaluation_files, trials_of

PlanOf = Callable[..., Plan]
LONG = {"steps": 10**6, "compile": False}


@pytest.fixture
def executor() -> Iterator[LocalExecutor]:
    local = LocalExecutor()
    yield local
    local.kill()


def wait(executor: LocalExecutor, until: Callable[[], bool] = lambda: False) -> None:
    """Let the executor work to its end, or until something holds."""
    deadline = time.monotonic() + 120
    while executor.working() and not until():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def training(trial: Trial) -> bool:
    """Whether the trial has begun to train."""
    status = trial.status(trial.specs[0])
    return status is not None and status.step > 0


def worker_processes(log_folder: Path) -> list[int]:
    """Ids of the workers that write to a log in this folder, as the system tells it.

    What a worker starts writes to it, too, and to end that (a check of GLFW's, as it is imported)
    fails its trial. Workers are what this process has started.
    """
    found = []
    for process in Path("/proc").iterdir():
        try:
            target = (process / "fd" / "1").readlink()
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if target.parent == log_folder and parent == os.getpid():
            found.append(int(process.name))
    return found


class Idle:
    """A process that is sent trials and never works on them."""

    pid = 0

    def __init__(self, *_: object, **__: object) -> None:
        self.stdin = io.StringIO()

    def poll(self) -> int | None:
        return 0 if self.stdin.closed else None

    def wait(self) -> int:
        return 0


@pytest.fixture
def two_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with two cores and 1000 MB of free memory, whose workers are idle."""
    idle = SimpleNamespace(Popen=Idle, PIPE=subprocess.PIPE, STDOUT=subprocess.STDOUT)
    monkeypatch.setattr("harness.execution.local.subprocess", idle)
    monkeypatch.setattr("harness.execution.local.core_count", lambda: 2)
    monkeypatch.setattr("harness.execution.local.available_mb", lambda: 1000.0)
    monkeypatch.setattr("harness.execution.local.resident_mb", lambda _: 0.0)


def finish(trial: Trial, peak_memory_mb: float = 0.0) -> None:
    """Leave the status of a trial that is over, without its files."""
    for spec in trial.specs:
        status = Status("failed", 40, 40, trial.invocation, now(), peak_memory_mb=peak_memory_mb)
        trial.folder(spec).write_status(status)


def at_work(executor: LocalExecutor) -> list[str]:
    executor.working()
    workers = [worker for worker in executor._workers.values() if worker is not None]
    return sorted(worker.trial.specs[0].label for worker in workers if worker.trial is not None)


def labelled(plan_of: PlanOf, *labels: str) -> list[Trial]:
    return trials_of(plan_of(algorithms={label: {"algorithm": "bc"} for label in labels}))


def test_a_trial_that_does_not_fit_into_memory_waits_and_others_go_before_it(
    two_places: None, plan_of: PlanOf
) -> None:
    expected = {"big": 700.0, "bigger": 800.0, "small": 200.0}
    executor = LocalExecutor(lambda trial: expected[trial.specs[0].label])
    big, bigger, small = trials = labelled(plan_of, "big", "bigger", "small")
    executor.start(trials, Resources())
    assert at_work(executor) == ["big", "small"]
    finish(small)
    assert at_work(executor) == ["big"]  # its place stays empty
    finish(big)
    assert at_work(executor) == ["bigger"]
    finish(bigger)
    executor.working()
    assert not executor.working()


def test_a_trial_that_fits_nowhere_runs_alone(two_places: None, plan_of: PlanOf) -> None:
    executor = LocalExecutor(lambda _: 5000.0)
    first, _ = trials = labelled(plan_of, "first", "second")
    executor.start(trials, Resources())
    assert at_work(executor) == ["first"]
    finish(first)
    assert at_work(executor) == ["second"]


def test_what_a_trial_was_measured_to_take_counts_more_than_what_was_expected(
    two_places: None, plan_of: PlanOf
) -> None:
    executor = LocalExecutor(lambda _: 900.0)
    trials = trials_of(plan_of(seeds=3), seeds_per_trial=1)
    executor.start(trials, Resources())
    assert len(at_work(executor)) == 1
    finish(trials[0], peak_memory_mb=400.0)
    assert len(at_work(executor)) == 2


def test_without_a_word_on_memory_all_cores_are_busy(
    two_places: None, plan_of: PlanOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = labelled(plan_of, "one", "two", "three")
    executor = LocalExecutor(lambda _: 5000.0)
    monkeypatch.setattr("harness.execution.local.available_mb", lambda: None)
    executor.start(trials, Resources())
    assert at_work(executor) == ["one", "two"]


def test_a_worker_makes_room_for_another_after_so_many_trials(
    two_places: None, plan_of: PlanOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.execution.local._MOST_TRIALS", 2)
    monkeypatch.setattr("harness.execution.local.core_count", lambda: 1)
    executor = LocalExecutor()
    trials = labelled(plan_of, "a", "b", "c", "d", "e")
    executor.start(trials, Resources())
    processes, deadline = [], time.monotonic() + 10
    for trial in trials:
        while at_work(executor) != [trial.specs[0].label]:
            assert time.monotonic() < deadline  # the one before ends
        [worker] = executor._workers.values()
        assert worker is not None
        processes.append(worker.process)
        finish(trial)
    first, second, third, fourth, fifth = map(id, processes)
    assert first == second != third == fourth != fifth


@pytest.mark.slow
def test_processes_leave_the_same_bytes_as_this_one(
    executor: LocalExecutor, plan_of: PlanOf, tmp_path: Path
) -> None:
    plan = plan_of(algorithms={"bc": {}, "iql": {}})
    for trial in trials_of(plan):
        list(work(trial))
    here = evaluation_files(plan.directory)
    (tmp_path / "results").rename(tmp_path / "before")

    trials = trials_of(plan, seeds_per_trial=1)  # four trials: workers get more than one
    executor.start(trials, Resources())
    wait(executor)
    assert plan.unfinished() == []
    assert evaluation_files(plan.directory) == here


@pytest.mark.slow
@pytest.mark.parametrize(
    "ending", [signal.SIGKILL, signal.SIGTERM]
)  # SIGHUP ends it like the first
def test_a_worker_that_dies_is_replaced_and_its_trial_ends_with_the_same_bytes(
    executor: LocalExecutor, plan_of: PlanOf, tmp_path: Path, ending: signal.Signals
) -> None:
    budget = {"steps": 3000, "compile": False}
    plan = plan_of(training=budget, evaluation={"every": 1000, "episodes": 1})
    [trial] = trials_of(plan)
    list(work(trial))
    here = evaluation_files(plan.directory)
    (tmp_path / "results").rename(tmp_path / "before")

    [trial] = trials_of(plan)
    executor.start([trial], Resources())
    wait(executor, lambda: checkpoint_step(trial.folder(trial.specs[-1])) >= 1000)
    [process] = worker_processes(trial.suite_dir / "logs")
    os.kill(process, ending)
    wait(executor)
    assert plan.unfinished() == []
    assert evaluation_files(plan.directory) == here
    assert len(list((trial.suite_dir / "logs").iterdir())) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ending", "said"), [(signal.SIGKILL, "9 (SIGKILL)"), (signal.SIGTERM, "15 (SIGTERM)")]
)
def test_a_trial_whose_workers_keep_dying_fails_alone(
    executor: LocalExecutor,
    plan_of: PlanOf,
    monkeypatch: pytest.MonkeyPatch,
    ending: signal.Signals,
    said: str,
) -> None:
    monkeypatch.setattr("harness.execution.local.RESTARTS", 1)
    long = trials_of(
        plan_of(name="long", training=LONG, evaluation={"every": 10**6, "episodes": 1})
    )
    short = plan_of(seeds=1)
    trials = [*long, *trials_of(short)]
    executor.start(trials, Resources(cpus_per_trial=10**6))  # one at a time
    killed: set[int] = set()

    def kill() -> bool:
        for process in worker_processes(trials[0].suite_dir / "logs"):
            status = trials[0].status(trials[0].specs[0])
            if process not in killed and status is not None and status.state == "running":
                os.kill(process, ending)
                killed.add(process)
        return False

    wait(executor, kill)
    assert len(list((trials[0].suite_dir / "logs").iterdir())) == len(killed) == 2  # a log for each
    for spec in trials[0].specs:
        status = trials[0].status(spec)
        assert status is not None
        assert status.state == "failed"
        assert status.error.startswith(f"its process ended with signal {said}")
    assert short.unfinished() == []


def test_a_stop_request_interrupts_and_saves(executor: LocalExecutor, plan_of: PlanOf) -> None:
    plan = plan_of(training=LONG, evaluation={"every": 10**6, "episodes": 1})
    [trial] = trials_of(plan)
    executor.start([trial], Resources())
    wait(executor, lambda: training(trial))
    (trial.suite_dir / ".stop").touch()
    start = time.monotonic()
    wait(executor)
    assert time.monotonic() - start < 10
    for spec in trial.specs:
        status = trial.status(spec)
        assert status is not None
        assert status.state == "interrupted"
        assert checkpoint_step(trial.folder(spec)) == status.step > 0


@pytest.mark.parametrize("killed_before", [False, True])
def test_a_stop_request_that_comes_before_a_worker_has_begun_ends_it(
    executor: LocalExecutor, plan_of: PlanOf, killed_before: bool
) -> None:
    [trial] = trials_of(plan_of(training=LONG, evaluation={"every": 10**6, "episodes": 1}))
    if killed_before:  # as the status stays of a worker whose successor this one is
        for spec in trial.specs:
            running = Status("running", 7, 10**6, trial.invocation, now(), activity="training")
            trial.folder(spec).write_status(running)
    executor.start([trial], Resources())
    executor.working()  # a worker is sent the trial, and needs a second to be ready
    (trial.suite_dir / STOP_FILE).touch()
    wait(executor)
    found = [status.state if (status := trial.status(s)) else "" for s in trial.specs]
    assert found == ["interrupted" if killed_before else ""] * 2


def test_a_suite_for_gpus_is_refused_where_there_is_none(
    executor: LocalExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")  # no nvidia-smi
    with pytest.raises(UserError, match="there is none here"):
        executor.start([], Resources(gpus_per_trial=1))
