"""The Ray executor with a real local cluster."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.execution.plan import Plan
from harness.execution.work import work
from harness.runs.trial import LOCKS, Trial
from harness.suite.schema import Resources
from tests.harness.conftest import (
    REPOSITORY,
    checkpoint_step,
    evaluation_files,
    processes_of,
    trials_of,
)
from tests.harness.their_package import SLOW_METHOD, TO_BE_KILLED, TheirPackage

pytest.importorskip("ray")
from harness.execution.executor import RESTARTS
from harness.execution.ray_tune import RayExecutor, last_words

PlanOf = Callable[..., Plan]
ONCE = {"every": 2, "episodes": 1}


@pytest.fixture
def executor() -> Iterator[RayExecutor]:
    cluster = RayExecutor(None)
    yield cluster
    cluster.kill()


def wait(executor: RayExecutor, until: Callable[[], bool] = lambda: False) -> None:
    """Let the executor work to its end, or until something holds."""
    deadline = time.monotonic() + 200
    while executor.working() and not until():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_ray_leaves_the_same_bytes_as_this_process_and_nothing_of_its_own(
    executor: RayExecutor, plan_of: PlanOf, tmp_path: Path
) -> None:
    plan = plan_of(algorithms={"bc": {}, "iql": {}})
    for trial in trials_of(plan):
        list(work(trial))
    here = evaluation_files(plan.directory)
    (tmp_path / "results").rename(tmp_path / "before")

    executor.start(trials_of(plan, seeds_per_trial=1), Resources())
    wait(executor)
    assert plan.unfinished() == []
    assert evaluation_files(plan.directory) == here
    assert {path.name for path in plan.directory.iterdir()} == {"runs", LOCKS}


def saved(trial: Trial) -> bool:
    return all(checkpoint_step(trial.folder(spec)) >= 100 for spec in trial.specs)


def at_a_step(executor: RayExecutor, trial: Trial, data_home: Path) -> list[int]:
    """Wait for a checkpoint; the process that trains. Between two steps it has another name."""
    found: list[int] = []

    def is_training() -> bool:
        found[:] = processes_of(f"HARNESS_DATA={data_home}", "ray::ResourceTrainable.train")
        return saved(trial) and found != []

    wait(executor, is_training)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_actor_is_restarted_and_continues_to_the_same_bytes(
    executor: RayExecutor,
    their_package: TheirPackage,
    plan_of: PlanOf,
    data_home: Path,
    tmp_path: Path,
    ending: signal.Signals,
) -> None:
    their_package.write_method(SLOW_METHOD)
    plan = plan_of(**TO_BE_KILLED)
    [trial] = trials_of(plan)
    list(work(trial))
    here = evaluation_files(plan.directory)
    (tmp_path / "results").rename(tmp_path / "before")

    [trial] = trials_of(plan)
    their_package.slow.touch()
    executor.start([trial], Resources())
    [actor] = at_a_step(executor, trial, data_home)
    os.kill(actor, ending)
    assert plan.unfinished()
    their_package.slow.unlink()
    wait(executor)
    assert plan.unfinished() == []
    assert evaluation_files(plan.directory) == here


def test_tune_starts_no_ray_of_its_own_where_it_was_shut_down(
    executor: RayExecutor, plan_of: PlanOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[object] = []
    executor._trials = trials_of(plan_of())
    monkeypatch.setattr("ray.init", lambda *_, **named: started.append(named))
    executor._fit({"cpu": 1})
    assert isinstance(executor._error, Exception)
    assert started == []


@pytest.mark.slow
def test_a_trial_may_have_more_seeds_than_fit_into_a_file_name(
    executor: RayExecutor, plan_of: PlanOf
) -> None:
    plan = plan_of(seeds=120, training={"steps": 2, "compile": False}, evaluation=ONCE)
    executor.start(trials_of(plan, seeds_per_trial=120), Resources())
    wait(executor)
    assert plan.unfinished() == []


def test_a_ray_that_does_not_start_in_time_is_a_sentence_and_takes_no_signal(
    plan_of: PlanOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray has a handler for SIGTERM of its own, which would end a command without saving."""

    def start_late(**_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        raise Exception("The current node timed out during startup.")

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        monkeypatch.setattr("ray.init", start_late)
        with pytest.raises(UserError, match=r"^Cannot start Ray: The current node timed out"):
            RayExecutor(None).start(trials_of(plan_of()), Resources())
        assert signal.getsignal(signal.SIGTERM) == signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.slow
def test_a_trial_that_is_given_up_is_told_at_once_while_another_goes_on(
    executor: RayExecutor, their_package: TheirPackage, plan_of: PlanOf
) -> None:
    dying = "        if self.config.batch_size == 7:\n            os._exit(5)\n"
    slow = "        if Path(__file__)"
    assert slow in SLOW_METHOD
    method = SLOW_METHOD.replace("import time", "import os\nimport time")
    their_package.write_method(method.replace(slow, dying + slow))
    their_package.slow.touch()
    dies = {"algorithm": "theirs", "config": {"batch_size": 7}}
    plan = plan_of(**TO_BE_KILLED | {"algorithms": {"dies": dies, "theirs": {}}})
    trials = {trial.specs[0].label: trial for trial in trials_of(plan)}
    executor.start([*trials.values()], Resources())
    wait(executor, trials["dies"].is_over)
    assert not trials["theirs"].is_over()
    status = trials["dies"].status(trials["dies"].specs[0])
    assert status is not None
    assert status.error.startswith(f"its Ray worker died {RESTARTS + 1} times; Ray says: ")
    assert "worker process has died" in status.error
    their_package.slow.unlink()
    wait(executor)
    assert {spec.label for spec in plan.unfinished()} == {"dies"}


@pytest.mark.parametrize(
    ("raised", "words"),
    [
        ("raise ImportError('no harness here')", "ImportError: no harness here"),
        ("raise ValueError('1 error\\n  in a field\\n    see https://x.y')", "ValueError: 1 error"),
        ("", ""),
    ],
)
def test_the_last_words_of_a_traceback_say_what_was_raised(raised: str, words: str) -> None:
    ended = subprocess.run([sys.executable, "-c", raised], capture_output=True, text=True)
    assert last_words(ended.stderr) == words


ALONE = """
import sys
from harness.execution.executors import make_executor
executor = make_executor("ray", None)
executor._connect()
print("started", flush=True)
sys.stdin.read()
executor.kill()
"""


def heard_at(process: int) -> set[str]:
    """The addresses that a process listens on, as Linux writes them."""
    inodes = set()
    for file in Path(f"/proc/{process}/fd").iterdir():
        with suppress(OSError):
            inodes.add(str(file.readlink()).removeprefix("socket:[").removesuffix("]"))
    tables = [Path(f"/proc/{process}/net/{name}").read_text() for name in ("tcp", "tcp6")]
    sockets = [line.split() for table in tables for line in table.splitlines()[1:]]
    listening = [words for words in sockets if words[3] == "0A" and words[9] in inodes]
    return {words[1].partition(":")[0] for words in listening}


def test_a_ray_of_ones_own_is_heard_on_this_machine_alone_and_waits_for_no_worker(
    data_home: Path,
) -> None:
    """Ray waits for ever for workers that it starts beforehand, if one of them dies."""
    command = [sys.executable, "-c", ALONE]
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as started:
        assert started.stdin is not None
        assert started.stdout is not None
        try:
            assert b"started" in started.stdout.readline()
            servers = [
                *processes_of(f"HARNESS_DATA={data_home}", "gcs_server"),
                *processes_of(f"HARNESS_DATA={data_home}", "raylet"),
            ]
            found = {address for process in servers for address in heard_at(process)}
            workers = processes_of(f"HARNESS_DATA={data_home}", "ray::IDLE")
        finally:
            started.stdin.close()
    assert len(servers) >= 2
    loopback = {"0100007F", "0000000000000000FFFF00000100007F"}  # 127.0.0.1, and as IPv6
    assert found
    assert found <= loopback
    assert workers == []


def test_a_suite_for_gpus_is_refused_where_the_cluster_has_none(
    executor: RayExecutor, plan_of: PlanOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    trials = trials_of(plan_of(algorithms={"bc": {}}))
    with pytest.raises(UserError, match="there is none here"):
        executor.start(trials, Resources(gpus_per_trial=1))
    assert not pytest.importorskip("ray").is_initialized()
