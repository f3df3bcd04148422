"""Faults that whole commands live through, each with real processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.execution.plan import Plan
from tests.harness.commands.test_cli import HUGE, LOCAL, is_training, states, wait_for
from tests.harness.conftest import (
    CommandLine,
    checkpoint_step,
    evaluation_files,
    processes_of,
    tiny_suite,
)
from tests.harness.execution.test_processes import until
from tests.harness.execution.test_work import finish
from tests.harness.their_package import SLOW_METHOD, TO_BE_KILLED, TheirPackage

PlanOf = Callable[..., Plan]
WriteSuite = Callable[..., Path]
# The time of day a day later and a day earlier in turn, for whoever asks; other clocks go on.
JUMPING = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/time.h>
#include <time.h>
static long jump(void) {
    static int calls;
    return ++calls % 2 ? 86400 : -86400;
}
int clock_gettime(clockid_t id, struct timespec *now) {
    static int (*theirs)(clockid_t, struct timespec *);
    if (!theirs) theirs = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = theirs(id, now);
    if (id == CLOCK_REALTIME) now->tv_sec += jump();
    return failed;
}
time_t time(time_t *into) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (into) *into = now.tv_sec;
    return now.tv_sec;
}
int gettimeofday(struct timeval *restrict into, void *restrict zone) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    into->tv_sec = now.tv_sec;
    into->tv_usec = now.tv_nsec / 1000;
    return 0;
}
"""


def test_a_second_command_on_the_same_results_is_refused_and_disturbs_nobody(
    harness: CommandLine, write_suite: WriteSuite
) -> None:
    suite = write_suite(**HUGE)
    with harness.start("run", suite, *LOCAL) as first:
        wait_for(lambda: is_training(harness.results), first)
        printed = harness("run", suite, *LOCAL, code=2)
        assert printed.splitlines()[-1].startswith("error: Another `run` is at work in ")
        assert first.poll() is None
        assert states(harness.results) == ["running"] * 2
        first.send_signal(signal.SIGTERM)
        first.communicate(timeout=60)
    assert states(harness.results) == ["interrupted"] * 2


@pytest.mark.slow
def test_suites_that_need_the_same_data_at_once_make_them_once(
    plan_of: PlanOf,
    harness: CommandLine,
    write_suite: WriteSuite,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    finish(plan_of())
    whole = evaluation_files(tmp_path / "results" / "tiny")
    shutil.rmtree(tmp_path / "results")
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "data"))
    other = tmp_path / "other.yaml"
    other.write_text(write_suite(**tiny_suite()).read_text().replace("name: tiny", "name: other"))
    with (
        harness.start("run", tmp_path / "tiny.yaml", *LOCAL) as one,
        harness.start("run", other, *LOCAL) as another,
    ):
        printed = [process.communicate(timeout=200)[0] for process in (one, another)]
    assert [one.returncode, another.returncode] == [0, 0], printed
    for what in ("making", "packing"):
        assert sum(f"{what} pointmaze/umaze" in text for text in printed) == 1
    assert [evaluation_files(harness.results / name) for name in ("tiny", "other")] == [whole] * 2
    assert not list((tmp_path / "data").rglob("*.partial"))


def test_a_clock_that_jumps_under_all_processes_changes_no_byte(
    plan_of: PlanOf, harness: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(plan_of())
    whole = evaluation_files(tmp_path / "results")
    shutil.rmtree(tmp_path / "results")
    (tmp_path / "clock.c").write_text(JUMPING)
    clock = tmp_path / "clock.so"
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", clock, tmp_path / "clock.c"], check=True)
    with monkeypatch.context() as patch:
        patch.setenv("LD_PRELOAD", str(clock))
        days = subprocess.run(["date", "+%F"], capture_output=True, check=True).stdout
        harness("run", tmp_path / "tiny.yaml", *LOCAL)
    assert days != subprocess.run(["date", "+%F"], capture_output=True, check=True).stdout
    assert evaluation_files(harness.results) == whole


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["/raylet/raylet", "/gcs/gcs_server", "-m\0harness\0run"])
def test_what_is_killed_under_ray_leaves_nobody_and_the_same_command_goes_on_to_the_same_bytes(
    plan_of: PlanOf,
    their_package: TheirPackage,
    harness: CommandLine,
    data_home: Path,
    tmp_path: Path,
    victim: str,
) -> None:
    pytest.importorskip("ray")
    their_package.write_method(SLOW_METHOD)
    plan = plan_of(seeds=1, **TO_BE_KILLED)
    finish(plan)
    whole = evaluation_files(tmp_path / "results")
    shutil.rmtree(tmp_path / "results")
    folder = plan.folder(plan.runs[0])
    their_package.slow.touch()
    with harness.start("run", tmp_path / "tiny.yaml") as command:
        wait_for(lambda: checkpoint_step(folder) >= 100, command)
        [process] = processes_of(f"HARNESS_DATA={data_home}", victim)
        os.kill(process, signal.SIGKILL)
        printed, _ = command.communicate(timeout=200)
    assert command.returncode != 0
    assert "Traceback" not in printed
    their_package.slow.unlink()
    until(lambda: not processes_of(f"HARNESS_DATA={data_home}", "ray"), seconds=120)
    harness("run", tmp_path / "tiny.yaml", *LOCAL)
    assert evaluation_files(harness.results) == whole
