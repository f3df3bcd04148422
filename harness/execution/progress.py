"""Shows how the runs are going: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from harness.runs.status import Status
from harness.runs.trial import Trial

_MOST_ROWS = 30  # of trials at work; the rest are counted
_WIDE = 100  # characters that hold every column


class TrialView:
    """One trial as a user follows it: the runs of its seeds, taken together."""

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        self.statuses: list[Status | None] = [None] * len(trial.specs)

    def refresh(self) -> None:
        """Read the status files of runs that may have moved."""
        for i, (spec, status) in enumerate(zip(self.trial.specs, self.statuses, strict=True)):
            if status is None or status.state in {"running", "interrupted"}:
                self.statuses[i] = self.trial.status(spec)

    @property
    def started(self) -> list[Status]:
        return [status for status in self.statuses if status is not None]

    @property
    def moving(self) -> list[Status]:
        """Of the runs that are running, or of all if none is: a failed one may stand far behind."""
        return [status for status in self.started if status.state == "running"] or self.started

    @property
    def state(self) -> str:
        """`waiting`, or the state of the run that is furthest from done."""
        states = [status.state for status in self.started]
        return next((s for s in ("running", "failed", "interrupted") if s in states), "") or (
            "done" if states else "waiting"
        )

    @property
    def name(self) -> str:
        first = self.trial.specs[0]
        return f"{first.task.id} {first.label} seeds {self.seeds}"

    @property
    def seeds(self) -> str:
        return seed_ranges(spec.seed for spec in self.trial.specs)

    @property
    def total_steps(self) -> int:
        return self.trial.specs[0].total_steps

    @property
    def activity(self) -> str:
        """What its runs are at, if one of them is running."""
        return next((s.activity for s in self.started if s.state == "running"), "")

    @property
    def step(self) -> int:
        return min((status.step for status in self.moving), default=0)

    @property
    def evaluated_step(self) -> int:
        return min((status.evaluated_step for status in self.moving), default=0)

    @property
    def steps_per_second(self) -> float:
        return max((status.steps_per_second for status in self.started), default=0.0)

    @property
    def score(self) -> float | None:
        """Mean over the seeds, but failed ones, of the latest normalised score, in points.

        Those that are done already count while others move: else the end would tell another score.
        """
        whole = [status for status in self.started if status.state != "failed"]
        scores = [status.latest_score for status in whole if status.latest_score is not None]
        return sum(scores) / len(scores) if scores else None

    @property
    def seconds_per_step(self) -> float | None:
        """Of training and evaluation, as they go now; None before that is known."""
        if not self.steps_per_second:
            return None
        latest = max(self.started, key=lambda status: status.step)
        evaluation = latest.evaluation_seconds / latest.step if latest.step else 0.0
        both = max if self.trial.evaluators else sum
        return both([1 / self.steps_per_second, evaluation])

    @property
    def kind(self) -> str:
        """Its activity, without how far that is."""
        return self.activity.partition(" ")[0]

    @property
    def seconds_left(self) -> float | None:
        each = self.seconds_per_step
        return (self.total_steps - self.step) * each if each is not None else None

    @property
    def note(self) -> str:
        """What its user should know beside its numbers."""
        return next((s.note for s in self.started if s.note), "")

    @property
    def error(self) -> str:
        """The first line of the first failure."""
        return next((s.error.splitlines()[0] for s in self.started if s.error), "")


class Display(Protocol):
    """What `execute` shows its user."""

    def update(self, views: Sequence[TrialView]) -> None:
        """Show the state of all trials."""

    def say(self, message: str) -> None:
        """Show a line that stays."""

    def close(self) -> None:
        """Stop updating."""


class LiveDisplay:
    """A table of the trials at work that redraws itself, for terminals."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, refresh_per_second=4)
        self._clock = Clock()
        self._failures: set[str] = set()
        self._noted: set[str] = set()
        self._live.start()

    def update(self, views: Sequence[TrialView]) -> None:
        wide = self._live.console.width >= _WIDE
        table = Table(box=None, pad_edge=False)
        for column in ("task", "algorithm"):
            table.add_column(column, overflow="fold", min_width=9)
        for column in ("seeds", "step", *(["steps/s"] if wide else []), "score", "left"):
            table.add_column(column, justify="right", no_wrap=True)
        working = [view for view in views if view.state == "running"]
        for view in working[:_MOST_ROWS]:
            spec, busy = view.trial.specs[0], view.activity not in {"training", ""}
            step = f"{_count(view.step)}/{_count(view.total_steps)}"
            rate = [f"{view.steps_per_second:.0f}"] if wide else []
            left = view.activity if busy else _duration(view.seconds_left)
            table.add_row(
                spec.task.id, spec.label, view.seeds, step, *rate, _points(view.score), left
            )
        for view in views:
            if view.state == "failed" and view.name not in self._failures:
                self._failures.add(view.name)
                self.say(f"failed: {view.name}: {view.error}")
            if view.note and view.name not in self._noted:
                self._noted.add(view.name)
                self.say(f"{view.name}: {view.note}")
        self._live.update(Group(table, Text(f"{totals(views)}\n{self._clock.sentence(views)}")))

    def say(self, message: str) -> None:
        self._live.console.print(message, markup=False, highlight=False)

    def close(self) -> None:
        self._live.stop()


class PlainDisplay:
    """A line with the time for every start, evaluation and end, for logs."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._clock = Clock()
        self._noted: set[str] = set()
        self._shown: dict[str, tuple[str, int, str]] = {}

    def update(self, views: Sequence[TrialView]) -> None:
        for view in views:
            if view.note and view.name not in self._noted:
                self._noted.add(view.name)
                self.say(f"{view.name}: {view.note}")
            before = self._shown.get(view.name, ("waiting", 0, ""))
            told = view.kind if view.kind in _EXPLAINED else before[-1]
            current = (view.state, view.evaluated_step, told)
            if current == before:
                continue
            self._shown[view.name] = current
            self.say(f"{view.name}: {_sentence(view)}")
            if view.state in {"done", "failed", "interrupted"}:
                self.say(f"{totals(views)}; {self._clock.sentence(views)}")

    def say(self, message: str) -> None:
        self._console.print(
            f"{datetime.now():%H:%M:%S} {message}", markup=False, highlight=False, soft_wrap=True
        )

    def close(self) -> None:
        pass


def make_display(console: Console) -> Display:
    """A live table if the console is a terminal, else plain lines."""
    return LiveDisplay(console) if console.is_terminal else PlainDisplay(console)


class Clock:
    """How long a suite has been at work in this invocation, and about how long it still will be."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._most_at_once = 1

    def sentence(self, views: Sequence[TrialView]) -> str:
        """`0:12:30 elapsed, about 1:40:00 left`; the latter only once a rate is known."""
        running = sum(view.state == "running" for view in views)
        self._most_at_once = max(self._most_at_once, running)
        elapsed = f"{_duration(time.monotonic() - self._begun)} elapsed"
        left = self._seconds_left(views)
        return elapsed if left is None else f"{elapsed}, about {_duration(left)} left"

    def _seconds_left(self, views: Sequence[TrialView]) -> float | None:
        """Trials whose rate is not known yet are taken to go like the others."""
        rates = [view.seconds_per_step for view in views]
        known = [rate for rate in rates if rate is not None]
        if not known:
            return None
        usual = sum(known) / len(known)
        each = [
            (view.total_steps - view.step) * (usual if rate is None else rate)
            for view, rate in zip(views, rates, strict=True)
            if view.state in {"running", "waiting"}
        ]
        return max(sum(each) / self._most_at_once, *each) if each else 0.0


def seed_ranges(seeds: Iterable[int]) -> str:
    """`0-3,7`."""
    parts: list[list[int]] = []
    for seed in sorted(seeds):
        if parts and seed == parts[-1][-1] + 1:
            parts[-1].append(seed)
        else:
            parts.append([seed])
    return ",".join(f"{part[0]}-{part[-1]}" if len(part) > 1 else str(part[0]) for part in parts)


def totals(views: Sequence[TrialView]) -> str:
    """`runs: 3 done, 6 running, 1 failed, 11 waiting`."""
    states = [
        status.state if status is not None else "waiting"
        for view in views
        for status in view.statuses
    ]
    names = ("done", "running", "failed", "interrupted", "waiting")
    counts = [f"{states.count(name)} {name}" for name in names if name in states or name == "done"]
    return f"runs: {', '.join(counts)}"


def _sentence(view: TrialView) -> str:
    spec = view.trial.specs[0]
    if view.state == "failed":
        return f"failed at step {view.step}: {view.error}"
    if view.state == "running" and view.kind in _EXPLAINED:
        return _EXPLAINED[view.kind]
    if view.state == "running" and view.evaluated_step == 0:
        return f"started at step {view.step} of {spec.total_steps}"
    sentence = f"{view.state} at step {view.step}/{spec.total_steps}, score {_points(view.score)}"
    if view.state == "running":
        sentence += f", {view.steps_per_second:.0f} steps/s, {_duration(view.seconds_left)} left"
    return sentence


_EXPLAINED = {  # activities that look like a hang, and so get a line in a log
    "compiling": "compiling its update, which takes a minute or so, once",
    "preparing": "computing over the whole data what its next stage learns from",
    "waiting": "waiting for pretraining that another trial does",
}


def _count(steps: int) -> str:
    """`999`, `12.5k`, `1M`."""
    if steps < 1000:
        return str(steps)
    size, unit = (steps / 1e6, "M") if steps >= 1_000_000 else (steps / 1e3, "k")
    return f"{size:.3g}{unit}"


def _points(score: float | None) -> str:
    return "-" if score is None else f"{score:.1f}"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
