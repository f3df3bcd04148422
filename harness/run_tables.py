"""The three CSV tables one run leaves, kept in memory while it goes on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from harness.results import Row, RunFolder
from harness.tasks.spec import TaskSpec

if TYPE_CHECKING:
    from harness.evaluate import Episode

_COLUMNS = {
    "evaluations": (
        "seed",
        "step",
        "episode",
        "return",
        "length",
        "terminated",
        "success",
        "normalized_score",
    ),
    "metrics": ("seed", "step", "name", "value"),
    "timings": ("step", "train_seconds", "evaluation_seconds", "action_latency_ms"),
}


class RunTables:
    """Rows of `evaluations.csv`, `metrics.csv` and `timings.csv` of one run.

    Attributes:
        evaluated_step: the step of the latest evaluation; 0 before the first.
        latest_score: its mean normalised score, in points.
    """

    def __init__(self, folder: RunFolder, task: TaskSpec, seed: int) -> None:
        self._folder = folder
        self._task = task
        self._seed = seed
        self._rows: dict[str, list[Row]] = {name: [] for name in _COLUMNS}
        self.evaluated_step = 0
        self.latest_score: float | None = None

    def load(self, until: int) -> None:
        """Take over the rows on disk up to step `until`; later ones will be made again."""
        for name, columns in _COLUMNS.items():
            self._rows[name] = [*self._folder.read_table(name, columns, until)]
        rows = self._rows["evaluations"]
        self.evaluated_step = max((int(row[1]) for row in rows), default=0)
        scores = [float(row[-1]) for row in rows if int(row[1]) == self.evaluated_step]
        self.latest_score = sum(scores) / len(scores) if scores else None

    def add(
        self,
        step: int,
        episodes: Iterable[Episode],
        metrics: Mapping[str, float],
        timing: tuple[float, float, float],
    ) -> None:
        """Append one evaluation, with the training metrics and times that belong to it.

        Args:
            step: gradient steps so far.
            episodes: of this run's seed, in order.
            metrics: latest training metrics.
            timing: training and evaluation seconds, and milliseconds to choose an action.
        """
        scores = []
        for episode in episodes:
            scores.append(self._task.normalized_score(episode.episode_return))
            self._rows["evaluations"].append(
                (
                    self._seed,
                    step,
                    episode.episode,
                    float(episode.episode_return),
                    int(episode.length),
                    bool(episode.terminated),
                    float(episode.success),
                    float(scores[-1]),
                )
            )
        self._rows["metrics"] += [
            (self._seed, step, name, metrics[name]) for name in sorted(metrics)
        ]
        self._rows["timings"].append((step, *timing))
        self.evaluated_step = step
        self.latest_score = float(sum(scores) / len(scores))

    def write(self) -> None:
        """Write all three files."""
        for name, columns in _COLUMNS.items():
            self._folder.write_table(name, columns, self._rows[name])
