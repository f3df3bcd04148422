from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.console import Console

from harness.execution.plan import Plan
from harness.execution.progress import (
    Clock,
    LiveDisplay,
    PlainDisplay,
    TrialView,
    make_display,
    totals,
)
from harness.runs.status import Status
from harness.runs.trial import Trial
from tests.harness.conftest import trials_of


@pytest.fixture
def trial(plan_of: Callable[..., Plan]) -> Trial:
    return trials_of(plan_of())[0]


def write(trial: Trial, *statuses: Status | None) -> None:
    for spec, status in zip(trial.specs, statuses, strict=True):
        if status is not None:
            trial.folder(spec).write_status(status)


def running(trial: Trial, **changes: object) -> Status:
    status = Status("running", 10, 40, trial.invocation, "2026-01-01T00:00:00+00:00")
    return replace(status, **{"steps_per_second": 5.0, **changes})  # type: ignore[arg-type]


def seen(trial: Trial) -> TrialView:
    view = TrialView(trial)
    view.refresh()
    return view


def test_a_trial_waits_until_a_run_of_this_invocation_writes(trial: Trial) -> None:
    old = replace(running(trial), invocation="an earlier one", state="interrupted")
    write(trial, old, old)
    assert seen(trial).state == "waiting"
    assert totals([seen(trial)]) == "runs: 0 done, 2 waiting"


def test_a_trial_is_where_the_seeds_are_that_still_run(trial: Trial) -> None:
    """A seed that has diverged stays behind; it hides neither their progress nor that they go."""
    going = running(trial, step=30, evaluated_step=20, latest_score=30.0)
    write(trial, replace(running(trial), state="failed", error="critic/loss became nan"), going)
    view = seen(trial)
    assert (view.state, view.step, view.evaluated_step, view.score) == ("running", 30, 20, 30.0)
    assert view.seconds_left == pytest.approx((40 - 30) / 5)
    write(trial, None, replace(going, state="done", step=40))
    view = seen(trial)
    assert (view.state, view.error) == ("failed", "critic/loss became nan")


def test_a_trial_is_where_its_slowest_seed_is(trial: Trial) -> None:
    first = running(trial, latest_score=10.0)
    write(trial, first, replace(first, step=20, latest_score=30.0))
    view = seen(trial)
    assert (view.state, view.step, view.score) == ("running", 10, 20.0)
    assert view.seconds_left == pytest.approx((40 - 10) / 5)


def test_the_score_is_that_of_all_seeds_while_some_are_done_and_at_the_end(trial: Trial) -> None:
    last = running(trial, step=40, evaluated_step=40, latest_score=29.4)
    write(trial, last, last)
    first = replace(last, state="done", latest_score=13.4)
    write(trial, first, last)
    assert seen(trial).state == "running"
    assert seen(trial).score == pytest.approx(21.4)
    write(trial, first, replace(last, state="done"))
    assert seen(trial).score == pytest.approx(21.4)
    write(trial, replace(first, state="failed", step=10), last)
    assert seen(trial).score == 29.4


def test_a_trial_with_a_failed_seed_is_failed_once_the_others_have_ended(trial: Trial) -> None:
    failed = running(trial, state="failed", error="Error: why\n\nTraceback ...")
    write(trial, failed, running(trial))
    assert seen(trial).state == "running"
    write(trial, failed, running(trial, state="done"))
    assert seen(trial).state == "failed"
    assert seen(trial).error == "Error: why"
    assert totals([seen(trial)]) == "runs: 1 done, 1 failed"


def test_a_log_gets_a_line_for_start_evaluation_and_end(trial: Trial) -> None:
    file = io.StringIO()
    display = make_display(Console(file=file))
    assert isinstance(display, PlainDisplay)
    view = TrialView(trial)
    moments = [
        running(trial),
        running(trial, step=15),
        running(trial, step=20, evaluated_step=20, latest_score=12.34),
        running(trial, step=30, evaluated_step=20, latest_score=12.34),
        running(trial, state="done", step=40, evaluated_step=40, latest_score=56.78),
    ]
    for status in moments:
        write(trial, status, status)
        view.refresh()
        display.update([view])
    lines = [line.partition(" ")[2] for line in file.getvalue().splitlines()]
    name = "pointmaze/umaze bc seeds 0-1"
    assert lines == [
        f"{name}: started at step 10 of 40",
        f"{name}: running at step 20/40, score 12.3, 5 steps/s, 0:04 left",
        f"{name}: done at step 40/40, score 56.8",
        "runs: 2 done; 0:00 elapsed, about 0:00 left",
    ]
    assert "\x1b" not in file.getvalue()


def test_a_terminal_gets_a_table_of_the_trials_at_work(trial: Trial) -> None:
    file = io.StringIO()
    display = make_display(Console(file=file, force_terminal=True, width=100))
    assert isinstance(display, LiveDisplay)
    status = running(trial, latest_score=12.34)
    write(trial, status, status)
    display.update([seen(trial)])
    display.close()
    for part in ("pointmaze/umaze", "bc", "0-1", "10/40", "12.3", "0:06", "2 running"):
        assert part in file.getvalue()


def test_what_looks_like_a_hang_is_said_once(trial: Trial) -> None:
    file = io.StringIO()
    display = make_display(Console(file=file))
    view = TrialView(trial)
    parts = ("preparing 20%", "preparing 60%")
    for activity in ("starting", "waiting", "compiling", "training", *parts, "evaluating"):
        status = running(trial, step=0, steps_per_second=0.0, activity=activity)
        write(trial, status, status)
        view.refresh()
        display.update([view])
    lines = [line.partition(": ")[2] for line in file.getvalue().splitlines()]
    assert lines == [
        "started at step 0 of 40",
        "waiting for pretraining that another trial does",
        "compiling its update, which takes a minute or so, once",
        "computing over the whole data what its next stage learns from",
    ]


def test_eighty_columns_hold_long_labels_and_all_numbers(trial: Trial) -> None:
    label = "df-div.rho-0.3.flow_steps-10.pretrain_share-0.25"
    specs = tuple(
        spec.model_copy(update={"label": label, "steps": 500_000}) for spec in trial.specs
    )
    trial = trial.model_copy(update={"specs": specs})
    file = io.StringIO()
    display = make_display(Console(file=file, force_terminal=True, width=80))
    status = running(trial, step=123_456, latest_score=102.34, steps_per_second=10.0)
    write(trial, status, status)
    display.update([seen(trial)])
    display.close()
    rows = [re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", row) for row in file.getvalue().splitlines()]
    assert max(map(len, rows)) <= 80
    for part in ("0-1", "123k/500k", "102.3", "10:27:34"):
        assert any(part in row for row in rows), part
    assert "…" not in file.getvalue()


def test_the_time_left_is_that_of_the_whole_suite(trial: Trial) -> None:
    """Two trials at work with 30 steps at 5 a second left, and two that wait for them: 14 s."""
    others = [trial.model_copy(update={"invocation": name}) for name in "abc"]
    status = running(trial)
    write(trial, status, status)
    views = [TrialView(t) for t in (trial, *others)]
    views[0].refresh()
    views[1].statuses = views[0].statuses
    clock = Clock()
    assert clock.sentence(views) == "0:00 elapsed, about 0:14 left"  # (6 + 6 + 8 + 8) / 2
