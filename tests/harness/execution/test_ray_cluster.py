"""Joining real Ray clusters of one's own, with and without a token."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.execution.plan import Plan
from harness.execution.ray_cluster import prepare_to_join
from tests.harness.commands.test_cli import wait_for
from tests.harness.conftest import CommandLine, checkpoint_step, evaluation_files, processes_of
from tests.harness.execution.test_work import finish
from tests.harness.their_package import SLOW_METHOD, TO_BE_KILLED, TheirPackage

pytest.importorskip("ray")
pytestmark = pytest.mark.slow
THEIRS, OURS = "a" * 64, "b" * 64


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port: int = server.getsockname()[1]
        return port


@contextmanager
def ray_start(*arguments: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """`ray start` with these arguments and variables, once its node has joined."""
    program = "from ray.scripts.scripts import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, "start", "--block", "--disable-usage-stats", *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        assert any(b"Ray runtime started" in line for line in process.stdout), process.poll()
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def cluster(cpus: int = 1, **environment: str) -> Iterator[str]:
    """The address of a Ray cluster of one node, with these variables in its environment."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="ray") as folder:  # short: it holds sockets
        head = ("--head", f"--port={port}", f"--num-cpus={cpus}", f"--temp-dir={folder}")
        with ray_start(*head, "--include-dashboard=false", **environment):
            yield f"127.0.0.1:{port}"


def test_a_cluster_without_a_token_is_joined_though_this_machine_has_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", OURS)
    with cluster(RAY_AUTH_MODE="disabled") as address:
        monkeypatch.setenv("RAY_AUTH_MODE", "token")
        with pytest.raises(UserError, match="it uses no token, so unset RAY_AUTH_MODE"):
            prepare_to_join(address)
        monkeypatch.delenv("RAY_AUTH_MODE")
        prepare_to_join(address)
        assert os.environ["RAY_AUTH_MODE"] == "disabled"


def test_a_cluster_with_a_token_is_joined_with_it_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "")  # so that it is undone after the test
    monkeypatch.delenv("RAY_AUTH_MODE")
    with cluster(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=THEIRS) as address:
        monkeypatch.setenv("RAY_AUTH_TOKEN", OURS)
        with pytest.raises(UserError, match=r"`ray get-auth-token` .* set RAY_AUTH_MODE=token"):
            prepare_to_join(address)
        assert "RAY_AUTH_MODE" not in os.environ
        monkeypatch.setenv("RAY_AUTH_TOKEN", THEIRS)
        prepare_to_join(address)
        assert os.environ["RAY_AUTH_MODE"] == "token"


def test_a_head_without_cpus_is_refused_within_20_seconds_and_works_once_a_node_joins(
    harness: CommandLine, write_suite: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    suite = write_suite(resources={"cpus_per_trial": 2})
    with cluster(cpus=0) as address:
        begun = time.monotonic()
        printed = harness("run", suite, "--address", address, code=2)
        seconds = time.monotonic() - begun
        assert "asks for 2 CPUs (resources.cpus_per_trial), and no node here has more" in printed
        assert "wait until `ray status` lists them" in printed
        assert seconds < 20
        assert not list(harness.results.rglob("spec.json"))

        monkeypatch.setenv("RAY_ADDRESS", address)
        with harness.start("run", suite, "--address", "auto") as command:
            time.sleep(4)
            with ray_start(f"--address={address}", "--num-cpus=2"):
                printed, _ = command.communicate(timeout=150)
        assert command.returncode == 0, printed
        assert len(list(harness.results.rglob("evaluations.csv"))) == 2


def test_a_node_that_joins_late_goes_on_with_what_a_killed_one_was_at(
    harness: CommandLine,
    their_package: TheirPackage,
    plan_of: Callable[..., Plan],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    their_package.write_method(SLOW_METHOD)
    plan = plan_of(seeds=1, **TO_BE_KILLED)
    finish(plan)
    whole = evaluation_files(tmp_path / "results")
    shutil.rmtree(tmp_path / "results")
    folder = plan.folder(plan.runs[0])
    their_package.slow.touch()
    with cluster(cpus=0) as address:
        node = (f"--address={address}", "--num-cpus=1")
        with (
            ray_start(*node, NODE=f"first {address}"),
            harness.start("run", tmp_path / "tiny.yaml", "--address", address) as command,
        ):
            wait_for(lambda: checkpoint_step(folder) >= 100, command)
            with ray_start(*node, NODE=f"second {address}"):
                for process in processes_of(f"NODE=first {address}"):
                    with suppress(ProcessLookupError):
                        os.kill(process, signal.SIGKILL)
                assert plan.unfinished()
                their_package.slow.unlink()
                printed, _ = command.communicate(timeout=200)
    assert command.returncode == 0, printed
    assert evaluation_files(harness.results) == whole
