"""The CSV tables one run leaves, kept in memory while it goes on."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from harness.runs.folder import RunFolder
from harness.tasks.spec import TaskSpec

if TYPE_CHECKING:
    from harness.rollouts.rollout import Episode

_COLUMNS = {
    "evaluations": (
        "seed",
        "step",
        "action_selection",
        "episode",
        "return",
        "length",
        "terminated",
        "success",
        "normalized_score",
    ),
    "metrics": ("seed", "step", "name", "value"),
    "timings": (
        "step",
        "action_selection",
        "train_seconds",
        "evaluation_seconds",
        "amortized_action_ms",
    ),
    "measures": ("seed", "step", "action_selection", "episode", "name", "value"),
    "decisions": ("step", "action_selection", "decision_ms"),
    "paths": ("seed", "step", "action_selection", "episode", "time", "x", "y"),
    "values": ("seed", "step", "x", "y", "value"),
    "online": (
        "seed",
        "step",
        "episode",
        "return",
        "length",
        "terminated",
        "success",
        "normalized_score",
    ),
}
# What columns were called in files of earlier versions.
RENAMED_COLUMNS = {"actions": "action_selection", "action_latency_ms": "amortized_action_ms"}
_ONLY_WITH_ROWS = {"measures", "decisions", "paths", "values", "online"}
_TIMES = {"timings", "decisions"}  # differ from run to run, and so are no part of a checkpoint

Value = str | int | float | bool
Values = Sequence[Value]


class RunTables:
    """Rows of `evaluations.csv`, `metrics.csv`, `timings.csv` and others of one run.

    `amortized_action_ms` is the median time of a policy's call, which acts for all seeds and
    episodes of an evaluation at once, over the actions in it; a call for one action takes longer.
    `measures.csv` is there if the environment has measures, `online.csv` if episodes of training in
    the environment have ended; their `step` is the run's when they did, so that an episode began
    `length` steps before. After the last step, `decisions.csv` has the time of a single decision
    by every action selection. In mazes, `paths.csv` has the positions of the latest evaluation's
    first episodes, and `values.csv` what the critic of the trained policy says of a point at rest.

    Attributes:
        evaluated_step: the step of the latest evaluation; 0 before the first.
        latest_score: its mean normalised score, in points, acting as the algorithm does by default.
    """

    def __init__(self, folder: RunFolder, task: TaskSpec, seed: int) -> None:
        self._folder = folder
        self._task = task
        self._seed = seed
        self._rows: dict[str, list[Values]] = {name: [] for name in _COLUMNS}
        self.evaluated_step = 0
        self.latest_score: float | None = None

    def content(self) -> dict[str, bytes]:
        """The tables as files, by name, without the times it took: equal runs, equal bytes."""
        return {name: self._csv(name) for name in self._present() if name not in _TIMES}

    def load(self, saved: Mapping[str, bytes], until: int, default: str) -> None:
        """Take over the `content` of a checkpoint, and replace what files there are by it.

        Args:
            saved: by name.
            until: step of the checkpoint; times after it are dropped.
            default: the algorithm's own action selection.
        """
        for name in saved:
            self._rows[name] = _rows_of(saved[name])
        # Times are for information: where they are lost, the numbers are not.
        for name in _TIMES:
            times = _rows_of(self._folder.read_table(name) or b"")
            fitting = [row for row in times if len(row) == len(_COLUMNS[name])]
            self._rows[name] = [r for r in fitting if str(r[0]).isdigit() and int(r[0]) <= until]
        rows = [row for row in self._rows["evaluations"] if row[2] == default]
        self.evaluated_step = max((int(row[1]) for row in rows), default=0)
        scores = [float(row[-1]) for row in rows if int(row[1]) == self.evaluated_step]
        self.latest_score = sum(scores) / len(scores) if scores else None
        if self.evaluated_step:
            self.write()

    def write(self) -> None:
        """Replace the files by what is known; a file of which nothing is known goes."""
        present = self._present()
        for name in _COLUMNS:
            if name in present:
                self._folder.write_table(name, self._csv(name))
            else:  # a crash may have left it empty, and a run's files are sealed as they are
                self._folder.delete_table(name)

    def _present(self) -> list[str]:
        return [name for name in _COLUMNS if name not in _ONLY_WITH_ROWS or self._rows[name]]

    def _csv(self, name: str) -> bytes:
        """Floats in full precision, so that equal numbers are equal bytes."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_COLUMNS[name])
        writer.writerows([[_text(value) for value in row] for row in self._rows[name]])
        return text.getvalue().encode()

    def add(
        self,
        step: int,
        action_selection: str,
        episodes: Iterable[Episode],
        timing: tuple[float, float, float],
    ) -> float:
        """Append the evaluation by one action selection; returns its score, in points.

        Args:
            step: gradient steps so far.
            action_selection: how the policy acted.
            episodes: of this run's seed, in order.
            timing: training and evaluation seconds, and milliseconds an action, amortised.
        """
        scores = []
        self._rows["paths"] = [row for row in self._rows["paths"] if int(row[1]) == step]
        for episode in episodes:
            outcome = self._outcome(episode)
            scores.append(outcome[-1])
            self._rows["evaluations"].append((self._seed, step, action_selection, *outcome))
            self._rows["measures"] += [
                (self._seed, step, action_selection, episode.episode, name, value)
                for name, value in episode.measures.items()
            ]
            self._rows["paths"] += [
                (self._seed, step, action_selection, episode.episode, time, *_place(place))
                for time, place in enumerate(episode.path)
            ]
        self._rows["timings"].append((step, action_selection, *timing))
        return float(sum(scores) / len(scores))

    def add_online(self, step: int, episode: Episode) -> None:
        """Append an episode of training that ended with step `step`."""
        self._rows["online"].append((self._seed, step, *self._outcome(episode)))

    def add_decision(self, step: int, action_selection: str, milliseconds: float) -> None:
        """Append how long a single decision takes."""
        self._rows["decisions"].append((step, action_selection, milliseconds))

    def set_values(
        self, step: int, places: Iterable[Sequence[float]], values: Iterable[float]
    ) -> None:
        """Replace what the critic says of places in a maze."""
        found = zip(places, values, strict=True)
        self._rows["values"] = [
            (self._seed, step, *_place(place), float(value)) for place, value in found
        ]

    def close_step(self, step: int, score: float, metrics: Mapping[str, float]) -> None:
        """Append the training metrics of an evaluated step, and write all tables.

        Args:
            step: gradient steps so far.
            score: by the algorithm's own action selection.
            metrics: latest training metrics.
        """
        self._rows["metrics"] += [
            (self._seed, step, name, metrics[name]) for name in sorted(metrics)
        ]
        self.evaluated_step = step
        self.latest_score = score
        self.write()

    def _outcome(self, episode: Episode) -> tuple[int, float, int, bool, float, float]:
        """The columns that say how an episode went, the score last."""
        return (
            episode.episode,
            float(episode.episode_return),
            int(episode.length),
            bool(episode.terminated),
            float(episode.success),
            float(self._task.normalized_score(episode.episode_return)),
        )


def outcomes(prefix: str, task: TaskSpec, episodes: Sequence[Episode]) -> dict[str, float]:
    """Means over episodes by name, below a prefix: score in points, return, length, success."""
    columns: dict[str, list[float]] = {
        "score": [task.normalized_score(episode.episode_return) for episode in episodes],
        "return": [episode.episode_return for episode in episodes],
        "length": [episode.length for episode in episodes],
        "success": [episode.success for episode in episodes],
    }
    return {f"{prefix}/{name}": sum(found) / len(found) for name, found in columns.items()}


def _rows_of(content: bytes) -> list[Values]:
    """The rows of a table as text, without its header."""
    return [*csv.reader(io.StringIO(content.decode(errors="replace")))][1:]


def _place(place: Sequence[float]) -> tuple[float, ...]:
    """A position in a maze, as exactly as a picture shows it."""
    return tuple(round(float(part), 3) for part in place)


def _text(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, float) else str(value)
