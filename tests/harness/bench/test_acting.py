"""Timing of acting: what is counted and shown. How fast it is is its output, never a test."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from torch import Tensor

from algorithms.base import History, Networks, Noise
from baselines.bc import BC
from baselines.dt import DT
from baselines.onestep import OneStep
from harness.bench import acting, report, rotation, worker
from harness.bench.acting import Turns, acting_times, full_policy, take_turns
from harness.bench.report import acting_table, run_acting_bench
from harness.commands.cli import bench
from harness.docs.acting import ActingTime, ActingTimes
from harness.docs.place import Place
from harness.docs.render import render
from harness.errors import UserError
from harness.rollouts.evaluation import Policy
from harness.rollouts.rollout import Floats


class Clock:
    """CPU time that passes only where it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def policy(self, seconds: Callable[[int], float], called: list[str], name: str = "") -> Policy:
        """Takes so long in its call of that number, from 0."""

        def act(observations: Floats, rewards: Floats) -> Floats:
            assert observations.shape == (*rewards.shape, acting.OBS_DIM)
            self.now += seconds(len(called))
            called.append(name)
            return np.zeros((*rewards.shape, acting.ACTION_DIM), np.float32)

        return act


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("time.process_time", lambda: clock.now)
    return clock


@pytest.fixture
def once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every policy is called once: what is acted on matters, not how long it takes."""
    monkeypatch.setattr(acting, "_MOST_SECONDS", 0.0)


@pytest.mark.parametrize(
    ("seconds", "calls", "counted"),
    [
        (0.003, 2 + 9 * 3, 9),  # the first two say how many; as many turns as there are rounds
        (0.15, 2 + 2, 2),  # turns until there is no time left
        (0.39, 2 + 1, 1),
        (7.0, 1, 1),  # the first call is all there is
    ],
)
def test_a_slower_policy_is_called_less_often(
    clock: Clock, seconds: float, calls: int, counted: int
) -> None:
    called: list[str] = []
    turns = Turns(clock.policy(lambda _: seconds, called), 2, 5)
    take_turns([turns])
    assert len(called) == calls
    assert len(turns.seconds) == counted
    assert turns.milliseconds == pytest.approx(1000 * seconds / (2 * 5))


def test_a_decisions_time_is_the_median_of_turns_without_the_first_calls(clock: Clock) -> None:
    """Calls of 0.1 s, the first two aside, of which one in the middle takes ten times as long."""
    called: list[str] = []
    durations = [0.3, 0.1, 0.1, 1.0, 0.12]
    turns = Turns(clock.policy(lambda call: durations[call], called), 1, 1)
    turns.rounds = 3
    take_turns([turns])
    assert turns.milliseconds == pytest.approx(120)


def test_ways_of_acting_take_turns(clock: Clock) -> None:
    called: list[str] = []
    two = [Turns(clock.policy(lambda _: 0.15, called, name), 1, 1) for name in ("a", "b")]
    called.clear()
    take_turns(two)
    assert called == ["a", "b", "a", "b"]


def ways(times: Sequence[ActingTime]) -> list[tuple[str, int | None]]:
    return [(time.selection, time.steps) for time in times]


@pytest.mark.usefixtures("once")
def test_a_flow_acts_in_every_way_with_half_and_twice_its_steps() -> None:
    times = acting_times("df-div")
    selections = ("noise-1", "noise-0", "best-of-32")
    assert ways(times) == [(name, steps) for name in selections for steps in (5, 10, 20)]
    assert [time.default for time in times] == [True] * 3 + [False] * 6
    assert {time.steps_field for time in times} == {"flow_steps"}
    assert {(time.single_rounds, time.batched_rounds) for time in times} == {(1, 1)}


@pytest.mark.usefixtures("once")
@pytest.mark.parametrize(
    ("method", "selections"),
    [
        ("bc", ["noise-1"]),  # deterministic
        ("fql", ["noise-1", "noise-0", "best-of-32"]),  # its flow only teaches
        ("crr", ["softmax-of-4", "noise-0", "noise-1", "best-of-32"]),
        ("onestep", ["noise-0", "noise-1", "best-of-32"]),
    ],
)
def test_other_methods_act_as_they_can_without_sampling_steps(
    method: str, selections: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_at_the_end(*_: Any) -> Tensor:
        raise AssertionError("this is how it acts before its last stage")

    monkeypatch.setattr(OneStep, "act_as_behavior", not_at_the_end)
    assert ways(acting_times(method)) == [(name, None) for name in selections]


def test_of_a_method_that_takes_seconds_a_decision_only_that_is_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = iter(range(1000))
    monkeypatch.setattr("time.process_time", lambda: 1.5 * next(looks))
    (time,) = acting_times("diffusion-bc")
    assert (time.selection, time.steps_field, time.steps) == ("noise-1", "diffusion_steps", 5)
    assert (time.single_ms, time.single_rounds) == (1500, 1)
    assert (time.batched_ms, time.batched_rounds) == (None, 0)


def test_a_sequence_model_is_timed_on_a_full_history(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, ...]] = []
    act = DT.act

    def watched(self: DT, nets: Networks, history: History, noise: Noise) -> Tensor:
        seen.append(tuple(history.steps.shape))
        return act(self, nets, history, noise)

    monkeypatch.setattr(DT, "act", watched)
    engine = acting._engine("dt", 2, {"hidden_dims": (16,), "heads": 1})
    policy = full_policy(engine, "noise-1", 3)
    assert seen == []
    actions = policy(np.zeros((2, 3, acting.OBS_DIM), np.float32), np.zeros((2, 3), np.float32))
    assert seen == [(2, 3, engine.algorithm.context)]
    assert actions.any()  # it no longer idles


def test_a_method_that_cannot_be_made_is_the_workers_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def create(self: BC) -> None:
        raise ValueError("no width for this")

    monkeypatch.setattr(BC, "create", create)
    monkeypatch.setattr(worker, "pin_to", lambda core: None)
    monkeypatch.setattr(sys, "argv", ["worker", "0", "acting", "bc"])
    with pytest.raises(SystemExit):
        worker.main()
    assert '@{"failure": "ValueError: no width for this"}' in capsys.readouterr().out


FAST = ActingTime(
    method="iql",
    selection="noise-0",
    default=True,
    steps_field=None,
    steps=None,
    single_ms=0.2514,
    single_rounds=9,
    batched_ms=0.00564,
    batched_rounds=8,
)
SLOW = ActingTime(
    method="dd",
    selection="noise-1",
    default=False,
    steps_field="diffusion_steps",
    steps=200,
    single_ms=81234.5,
    single_rounds=1,
    batched_ms=None,
    batched_rounds=0,
)
CELLS = [
    ["iql", "noise-0, its default", "", "0.251", "0.00564", "9, 8"],
    ["dd", "noise-1", "diffusion_steps: 200", "8.12e+04", "", "1, 0"],
]


def answering(arguments: Sequence[str], core: int) -> subprocess.Popen[str]:
    """A worker that answers at once, but for `bc`."""
    answers = {time.method: {"acting": [time.model_dump()]} for time in (FAST, SLOW)}
    (_, method) = arguments
    answer = json.dumps(answers.get(method, {"failure": "ValueError: no width for this"}))
    command = [sys.executable, "-c", f"print('@' + {answer!r}, flush=True)"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_the_file_the_table_and_the_page_say_the_same_and_name_what_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rotation, "_start", answering)
    monkeypatch.setattr(report, "matching", lambda pattern: ["iql", "bc", "dd"])
    path = tmp_path / "here" / "acting.json"
    path.parent.mkdir()
    run_acting_bench("*", path)
    reason = "bench: 'bc' failed: ValueError: no width for this"
    assert f"bc: {reason}" in capsys.readouterr().out
    times = ActingTimes.model_validate_json(path.read_bytes())
    assert times.acting == [FAST, SLOW]
    assert times.failed == {"bc": reason}

    console = Console(file=io.StringIO(), width=300)
    console.print(acting_table(times))
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in shown.splitlines()]
    assert [line for line in lines if line] == CELLS
    assert "batch 1: ms a decision" in shown
    assert "batched, 5 seeds × 20 episodes: ms a decision" in shown

    page = render("acting here/acting.json", Place(tmp_path / "page.md", tmp_path))
    rows = [line.split("|")[1:-1] for line in page.splitlines() if line.startswith("|")]
    assert [[cell.strip() for cell in row] for row in rows[2:]] == CELLS
    assert times.cpu in page
    assert f"- bc: not measured: {reason}" in page


def test_a_page_without_its_file_says_what_writes_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be read: .*`harness bench --acting '\*' --json"):
        render("acting acting.json", Place(tmp_path / "page.md", tmp_path))


def test_an_unknown_pattern_of_methods_to_act_says_where_the_ids_are() -> None:
    with pytest.raises(UserError, match="no method matches 'x-\\*'; `harness list algorithms`"):
        run_acting_bench("x-*", None)


@pytest.mark.parametrize("other", [{"methods": "*"}, {"corl": Path("corl")}])
def test_one_kind_of_measurement_at_a_time(other: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="give one"):
        bench(acting="*", **other)
