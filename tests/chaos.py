"""`python -m tests.chaos --kills 100`: kills at random, and looks at what is left in the end.

A suite of 24 short runs is carried out undisturbed, and then again and again with processes killed
at random times, always with the same command, until it is complete and nothing is left to kill.
Every other time a trial has a second core, so that other processes evaluate for it.
Its tables must have the same bytes, no process may be left, and no file that was not there before.

Processes are found by a variable that they inherit, never by name: nobody else's are touched.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import yaml

_MARK = "HARNESS_CHAOS"
_REPOSITORY = Path(__file__).resolve().parents[1]
_SUITE = {
    "name": "chaos",
    "title": "Chaos",
    "question": "Does it end as if nothing had happened?",
    "tasks": [{"pointmaze/umaze": {"transitions": 2000}}],
    "defaults": {"hidden_dims": [16, 16], "batch_size": 16},
    "algorithms": {"bc": {}, "iql": {}, "ifql": {}, "df-div": {}},  # the last two share a stage
    "seeds": 6,
    "training": {"steps": 200, "compile": False},
    "evaluation": {"every": 50, "episodes": 1},
}
_GONE_SECONDS = 120  # Ray's own processes take their time
_ROUND_SECONDS = 3600
_TARGETS = {  # what is killed how, by what its command line has in it
    "worker": (("harness.execution.worker", "ray::"), (signal.SIGKILL, signal.SIGTERM)),
    "driver": (("-m\0harness\0run",), (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP)),
    "raylet": (("/raylet/raylet",), (signal.SIGKILL,)),
    "evaluator": (("harness.execution.evaluator",), (signal.SIGKILL, signal.SIGTERM)),
}
_TARGETS_OF = {"local": ("worker", "driver"), "ray": ("worker", "driver", "raylet")}
_TIMES = ("timings.csv", "decisions.csv", "costs.csv")
_OWN_NAMES = ("logs", "report.html", "figures", "tracking")  # times, words and drawings


@dataclass
class Outcome:
    """What was killed, by name and signal, and everything that is wrong."""

    killed: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


class Chaos:
    """Carries out the suite in `folder`, disturbed and undisturbed, with one executor."""

    def __init__(self, folder: Path, executor: str, seed: int, longest: float) -> None:
        self._folder = folder
        self._executor = executor
        self._random = random.Random(seed)
        self._longest = longest  # seconds from one kill to the next, at most
        self.environment = {
            _MARK: uuid.uuid4().hex,
            "HARNESS_DATA": str(folder / "data"),
            "RAY_TMPDIR": str(folder / "ray"),
        }
        self._suite = folder / "chaos.yaml"
        self._targets = _TARGETS_OF[executor]
        self._output = folder / "output.log"
        self.outcome = Outcome()

    def run(self, kills: int) -> Outcome:
        """Disturb the suite until so many were killed and it is complete."""
        undisturbed = self._folder / "undisturbed"
        self._write_suite(cpus=1)
        if not self._carry_out(undisturbed, 0):
            self.outcome.wrong.append(f"undisturbed, it fails:\n{self._said()}")
            return self.outcome
        expected = tables(undisturbed)
        disturbed = self._folder / "disturbed"
        cpus = itertools.cycle([2, 1])  # on two cores: an evaluator, or two workers at once
        while not self.outcome.wrong and (left := kills - self.outcome.killed.total()) > 0:
            shutil.rmtree(disturbed, ignore_errors=True)
            self._write_suite(cpus=next(cpus))
            if not self._carry_out(disturbed, left):
                self.outcome.wrong.append(f"it does not get to its end:\n{self._said()}")
                break
            self.outcome.wrong += differences(expected, tables(disturbed))
        return self.outcome

    def _write_suite(self, cpus: int) -> None:
        """Give each trial so many cores, which changes no number."""
        resources = {"cpus_per_trial": cpus, "seeds_per_trial": 3}
        self._suite.write_text(yaml.safe_dump({**_SUITE, "resources": resources}, sort_keys=False))
        self._targets = (*_TARGETS_OF[self._executor], *(["evaluator"] if cpus > 1 else []))

    def _carry_out(self, results: Path, kills: int) -> bool:
        """Give the command until it succeeds, killing at most so many; whether it has."""
        deadline = time.monotonic() + _ROUND_SECONDS
        code = -1
        while code != 0 and time.monotonic() < deadline:
            disturbed = kills > 0
            driver = self._start(results)
            while kills > 0 and (victim := self._wait_and_choose(driver)):
                kills -= 1
                if self._kill(*victim) == "driver":
                    break
            with suppress(subprocess.TimeoutExpired):
                code = driver.wait(timeout=max(1.0, deadline - time.monotonic()))
            if code and not disturbed:
                return False
        self.bury()
        return code == 0

    def _start(self, results: Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "harness", "run", str(self._suite)]
        command += ["--executor", self._executor, "--results", str(results)]
        environment = {**os.environ, **self.environment}
        with self._output.open("wb") as output:
            return subprocess.Popen(
                command, cwd=_REPOSITORY, env=environment, stdout=output, stderr=output
            )

    def _wait_and_choose(self, driver: subprocess.Popen[bytes]) -> tuple[str, int] | None:
        """Wait for a random time; then a target and its process. None if the driver has ended."""
        target = self._random.choice(self._targets)
        earliest = time.monotonic() + self._random.uniform(0, self._longest)
        words = _TARGETS[target][0]
        while driver.poll() is None:
            time.sleep(0.02)
            if time.monotonic() > earliest:
                there = [p for p, c in self._processes() if any(word in c for word in words)]
                if there:
                    return target, self._random.choice(there)
        return None

    def _kill(self, target: str, process: int) -> str:
        """Kill it in a random way; the target, or nothing if it had just ended."""
        how = self._random.choice(_TARGETS[target][1])
        try:
            os.kill(process, how)
        except ProcessLookupError:
            return ""
        self.outcome.killed[f"{target} {how.name}"] += 1
        return target

    def bury(self) -> None:
        """Note processes that outlive their command for long."""
        deadline = time.monotonic() + _GONE_SECONDS
        while (left := list(self._processes())) and time.monotonic() < deadline:
            time.sleep(0.2)
        for _, command in left:
            self.outcome.wrong.append(f"still there: {command.replace(chr(0), ' ')[:200]}")

    def end(self) -> None:
        """End all processes that are left."""
        for process, _ in self._processes():
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def _processes(self) -> Iterator[tuple[int, str]]:
        """Every living process that this has started, or that one of those has."""
        mark = f"{_MARK}={self.environment[_MARK]}".encode()
        for folder in Path("/proc").iterdir():
            try:
                if folder.name.isdigit() and mark in (folder / "environ").read_bytes():
                    yield int(folder.name), (folder / "cmdline").read_text(errors="replace")
            except OSError:
                continue

    def _said(self) -> str:
        return self._output.read_text(errors="replace")[-3000:]


def tables(results: Path) -> dict[str, bytes]:
    """Every file that a suite leaves, by relative path, with the content that a clock is not in."""
    found = {}
    for path in sorted(results.rglob("*")):
        name = path.relative_to(results)
        if path.is_file() and not set(name.parts).intersection(_OWN_NAMES):
            same = path.name == "spec.json" or (
                path.suffix in {".csv", ".safetensors"} and path.name not in _TIMES
            )
            found[str(name)] = path.read_bytes() if same else b""
    return found


def differences(expected: dict[str, bytes], found: dict[str, bytes]) -> list[str]:
    """What is missing, left over or other than expected, a sentence each."""
    wrong = [f"missing: {name}" for name in sorted({*expected} - {*found})]
    wrong += [f"left over: {name}" for name in sorted({*found} - {*expected})]
    common = sorted({*expected} & {*found})
    return wrong + [f"different: {name}" for name in common if expected[name] != found[name]]


def disturb(executor: str, kills: int, seed: int, longest: float) -> Outcome:
    """Kill so many processes of the suite with one executor; what came of it."""
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        storm = Chaos(Path(folder), executor, seed, longest)
        try:
            return storm.run(kills)
        finally:  # also if this was interrupted
            storm.end()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--kills", type=int, default=100, help="with each executor")
    parser.add_argument("--executor", choices=["local", "ray"], action="append")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--longest", type=float, default=20.0, help="seconds between two kills")
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends all that it has started, too
    failed = False
    for executor in given.executor or ["local", "ray"]:
        outcome = disturb(executor, given.kills, given.seed, given.longest)
        kills = ", ".join(f"{count} {what}" for what, count in sorted(outcome.killed.items()))
        print(f"{executor}: {outcome.killed.total()} kills ({kills})")
        print("\n".join(outcome.wrong) or "every table as undisturbed; nothing is left")
        failed = failed or bool(outcome.wrong)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
