"""Shows how the runs are going: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from harness.runs.folder import Status
from harness.runs.trial import Trial

_MOST_ROWS = 30  # of trials at work; the rest are counted


class TrialView:
    """One trial as a user follows it: the runs of its seeds, taken together."""

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        self.statuses: list[Status | None] = [None] * len(trial.specs)

    def refresh(self) -> None:
        """Read the status files of runs that may have moved."""
        for i, (spec, status) in enumerate(zip(self.trial.specs, self.statuses, strict=True)):
            if status is None or status.state == "running":
                self.statuses[i] = self.trial.status(spec)

    @property
    def started(self) -> list[Status]:
        return [status for status in self.statuses if status is not None]

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
        seeds = ",".join(str(spec.seed) for spec in self.trial.specs)
        return f"{first.task.id} {first.label} seeds {seeds}"

    @property
    def step(self) -> int:
        return min((status.step for status in self.started), default=0)

    @property
    def evaluated_step(self) -> int:
        return min((status.evaluated_step for status in self.started), default=0)

    @property
    def steps_per_second(self) -> float:
        return max((status.steps_per_second for status in self.started), default=0.0)

    @property
    def score(self) -> float | None:
        """Mean over the seeds of the latest normalised score, in points."""
        scores = [s.latest_score for s in self.started if s.latest_score is not None]
        return sum(scores) / len(scores) if scores else None

    @property
    def seconds_left(self) -> float | None:
        rate = self.steps_per_second
        return (self.trial.specs[0].total_steps - self.step) / rate if rate else None

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
        self._reported: set[str] = set()
        self._live.start()

    def update(self, views: Sequence[TrialView]) -> None:
        table = Table(box=None, pad_edge=False)
        for column in ("task", "algorithm", "seeds"):
            table.add_column(column, no_wrap=True)
        for column in ("step", "steps/s", "score", "left"):
            table.add_column(column, justify="right", no_wrap=True)
        working = [view for view in views if view.state == "running"]
        for view in working[:_MOST_ROWS]:
            spec = view.trial.specs[0]
            table.add_row(
                spec.task.id,
                spec.label,
                ",".join(str(s.seed) for s in view.trial.specs),
                f"{view.step}/{spec.total_steps}",
                f"{view.steps_per_second:.0f}",
                _points(view.score),
                _duration(view.seconds_left),
            )
        for view in views:
            if view.state == "failed" and view.name not in self._reported:
                self._reported.add(view.name)
                self.say(f"failed: {view.name}: {view.error}")
        self._live.update(Group(table, Text(totals(views))))

    def say(self, message: str) -> None:
        self._live.console.print(message, markup=False, highlight=False)

    def close(self) -> None:
        self._live.stop()


class PlainDisplay:
    """A line with the time for every start, evaluation and end, for logs."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown: dict[str, tuple[str, int]] = {}

    def update(self, views: Sequence[TrialView]) -> None:
        for view in views:
            before = self._shown.get(view.name, ("waiting", 0))
            current = (view.state, view.evaluated_step)
            if current == before:
                continue
            self._shown[view.name] = current
            self.say(f"{view.name}: {_sentence(view)}")
            if view.state in {"done", "failed", "interrupted"}:
                self.say(totals(views))

    def say(self, message: str) -> None:
        self._console.print(
            f"{datetime.now():%H:%M:%S} {message}", markup=False, highlight=False, soft_wrap=True
        )

    def close(self) -> None:
        pass


def make_display(console: Console) -> Display:
    """A live table if the console is a terminal, else plain lines."""
    return LiveDisplay(console) if console.is_terminal else PlainDisplay(console)


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
    if view.state == "running" and view.evaluated_step == 0:
        return f"started at step {view.step} of {spec.total_steps}"
    sentence = f"{view.state} at step {view.step}/{spec.total_steps}, score {_points(view.score)}"
    if view.state == "running":
        sentence += f", {view.steps_per_second:.0f} steps/s, {_duration(view.seconds_left)} left"
    return sentence


def _points(score: float | None) -> str:
    return "-" if score is None else f"{score:.1f}"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
