"""Nobody waits for ever, and nobody is left behind: with real processes, pipes and sockets."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.data.parallel import in_order
from harness.errors import UserError
from harness.execution import ray_cluster
from harness.execution.execute import execute, sole_use
from harness.execution.executor import worker_environment
from harness.execution.local import LocalExecutor
from harness.execution.plan import Plan
from harness.execution.work import work
from harness.runs.trial import LOCKS
from harness.suite.schema import Resources
from tests.harness.conftest import REPOSITORY, checkpoint_step, trials_of

PlanOf = Callable[..., Plan]
LONG = {
    "training": {"steps": 10**6, "compile": False},
    "evaluation": {"every": 10**6, "episodes": 1},
}


def until(holds: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def alive(process: int) -> bool:
    """Whether a process is there and not just waiting to be buried."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def start_worker(parent: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "harness.execution.worker", str(parent)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, text=True, cwd=REPOSITORY)


def test_a_worker_whose_parent_died_before_it_was_ready_does_nothing(plan_of: PlanOf) -> None:
    plan = plan_of(**LONG)
    [trial] = trials_of(plan)
    with start_worker(parent=2**22 - 1) as worker:
        worker.communicate(trial.model_dump_json() + "\n", timeout=60)
    assert worker.returncode == 0
    assert trial.status(trial.specs[0]) is None


def test_a_worker_that_is_asked_to_end_saves_its_runs(plan_of: PlanOf) -> None:
    plan = plan_of(**LONG)
    [trial] = trials_of(plan)
    with start_worker(os.getpid()) as worker:
        assert worker.stdin is not None
        worker.stdin.write(trial.model_dump_json() + "\n")
        worker.stdin.flush()
        folder = trial.folder(trial.specs[0])
        until(lambda: (s := folder.status()) is not None and s.step > 0)
        worker.send_signal(signal.SIGTERM)
        until(lambda: (s := folder.status()) is not None and s.state == "interrupted")
        assert checkpoint_step(folder) > 0
        assert worker.wait(timeout=60) == -signal.SIGTERM


def test_two_processes_never_write_one_run_at_once(plan_of: PlanOf) -> None:
    """The second waits until the first, an orphan say, has noticed that it is to stop."""
    plan = plan_of(**LONG)
    [first], [second] = trials_of(plan), trials_of(plan)
    stop_first = False
    steps = work(first, lambda: stop_first)
    with first.sole_work(lambda: False) as ours:
        assert ours
        given_up = iter([False, False, True])
        assert list(work(second, lambda: next(given_up))) == []
        assert second.status(second.specs[0]) is None
    steps.close()


ORPHAN = """
import sys, time
from pathlib import Path
from filelock import FileLock
from harness.runs.trial import holder_file
with FileLock(sys.argv[1]):
    holder_file(Path(sys.argv[1])).write_text("4321")
    print("held", flush=True)
    time.sleep(1.5)
    Path(sys.argv[2]).touch()
"""


def test_a_command_touches_nothing_before_orphans_of_another_have_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.execution.execute._ORPHAN_SECONDS", 0.2)
    (tmp_path / LOCKS).mkdir()
    command = [sys.executable, "-c", ORPHAN, tmp_path / LOCKS / "0.lock", tmp_path / "saved"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as orphan:
        assert orphan.stdout is not None
        orphan.stdout.readline()
        said: list[str] = []
        with sole_use(tmp_path, said.append):
            assert (tmp_path / "saved").exists()
            assert not list((tmp_path / LOCKS).iterdir())
        assert "waiting until it has saved it. If it hangs, end it" in " ".join(said)
        assert " ".join(said).endswith("kill -9 4321")


class _Closed:
    """A display whose pipe has broken."""

    def update(self, views: object) -> None:
        raise BrokenPipeError

    def say(self, message: str) -> None:
        raise BrokenPipeError

    def close(self) -> None:
        raise BrokenPipeError


def test_a_lost_terminal_stops_nobody(plan_of: PlanOf) -> None:
    plan = plan_of()
    execute(trials_of(plan), Resources(), LocalExecutor(), _Closed())
    assert plan.unfinished() == []


@pytest.fixture
def silent_server() -> Iterator[int]:
    """A port that accepts connections and never says a word."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_an_address_that_never_answers_is_given_up_with_a_sentence(
    silent_server: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_cluster, "_ANSWER_SECONDS", 0.5)
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    with pytest.raises(UserError, match=r"did not answer within 0\.5 seconds") as error:
        ray_cluster.prepare_to_join(f"127.0.0.1:{silent_server}")
    assert "--executor local" in str(error.value)
    assert "RAY_AUTH_MODE" not in os.environ


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-x\r\n", b"-ERR\r\n"]
)
def test_an_address_where_something_else_answers_is_refused_at_once(
    answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may answer in part, and keep the connection."""
    monkeypatch.setattr(ray_cluster, "_ANSWER_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(answer)
                connection.recv(1000)
                time.sleep(1)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(UserError, match="what answers there is not Ray"):
            ray_cluster.prepare_to_join(f"127.0.0.1:{server.getsockname()[1]}")
        thread.join()


@pytest.mark.parametrize("address", ["", "local", "cluster", ":6379", "ray://", "http://host"])
def test_what_is_no_address_is_said_at_once(address: str) -> None:
    with pytest.raises(UserError, match="HOST:PORT, or auto on a node of the cluster"):
        ray_cluster.prepare_to_join(address)


def test_an_address_where_nobody_is_is_refused_at_once(silent_server: int) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    begun = time.monotonic()
    with pytest.raises(UserError, match="Connection refused"):
        ray_cluster.prepare_to_join(f"127.0.0.1:{port}")
    assert time.monotonic() - begun < 2


def test_workers_have_the_folders_of_the_command_wherever_they_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARNESS_DATA", "shared")
    monkeypatch.setenv("HARNESS_CACHE", "own")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "code")
    folders = {"HARNESS_DATA": str(tmp_path / "shared"), "HARNESS_CACHE": str(tmp_path / "own")}
    code = {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "code")}
    assert (folders | code).items() <= worker_environment().items()
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    assert not code.keys() & worker_environment().keys()  # every node has its own


def test_workers_know_the_folders_of_data_that_were_brought(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HARNESS_D4RL_DATA", "~/.d4rl/datasets")
    monkeypatch.setenv("HARNESS_POLICIES", "mine")
    monkeypatch.delenv("HARNESS_LOCAL_DATA", raising=False)
    given = worker_environment()
    assert given["HARNESS_D4RL_DATA"] == str(tmp_path / "home/.d4rl/datasets")
    assert given["HARNESS_POLICIES"] == str(tmp_path / "mine")
    assert "HARNESS_LOCAL_DATA" not in given


def test_auto_is_settled_once_and_means_rays_own_variable_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a machine with several clusters Ray takes any of them for `auto`, each time anew."""
    clusters = iter(["127.0.0.1:1", "127.0.0.1:2"])
    monkeypatch.setattr(ray_cluster, "_ask", lambda address, mode: next(clusters))
    monkeypatch.setattr(ray_cluster, "_knock", lambda address: None)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    ray_cluster.prepare_to_join.cache_clear()
    try:
        assert [ray_cluster.prepare_to_join("auto") for _ in range(2)] == ["127.0.0.1:1"] * 2
        ray_cluster.prepare_to_join.cache_clear()
        monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:3")
        monkeypatch.setattr(ray_cluster, "_ask", lambda address, mode: address)
        assert ray_cluster.prepare_to_join("auto") == "127.0.0.1:3"
    finally:
        ray_cluster.prepare_to_join.cache_clear()


def test_processes_that_make_data_end_with_their_parent() -> None:
    code = (
        "import operator, os, itertools\n"
        "from tests.harness.execution.test_processes import endless\n"
        "endless()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        children = [int(word) for word in parent.stdout.readline().split()]
        assert len(children) >= 2
        parent.kill()
    until(lambda: not any(alive(child) for child in children), seconds=20)


def endless() -> None:
    """Work without end in two processes; prints the children's numbers once they work."""
    jobs = ((0.05,) for _ in iter(int, 1))
    for count, _ in enumerate(in_order(time.sleep, jobs, workers=2)):
        if count == 4:
            tasks = Path(f"/proc/{os.getpid()}/task")
            children = [p for t in tasks.iterdir() for p in (t / "children").read_text().split()]
            print(*children, flush=True)
