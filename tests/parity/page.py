"""docs/parity.md, from the scores alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.statistics.intervals import Interval, t_bounds, welch
from tests.parity.repositories import REPOSITORIES, Repository
from tests.parity.scores import HARNESS, Score

PAGE = Path("docs/parity.md")
_END = "<!-- end of scores -->\n"


@dataclass(frozen=True)
class Comparison:
    """One method on one dataset, both sides."""

    repository: Repository
    dataset: str
    method: str
    steps: int
    episodes: int
    here: NDArray[np.float64]
    there: NDArray[np.float64]

    @property
    def interval(self) -> Interval:
        """Of the difference, here minus there, over seeds."""
        parts = [
            (float(side.var(ddof=1)) / len(side), len(side) - 1) for side in (self.here, self.there)
        ]
        return t_bounds(float(self.here.mean() - self.there.mean()), *welch(parts))

    @property
    def verdict(self) -> str:
        low, high = self.interval
        if low <= 0 <= high:
            return f"not told apart, ± {(high - low) / 2:.1f}"
        return "higher here" if low > 0 else f"higher in {self.repository.title}"


def comparisons(scores: Sequence[Score], repository: Repository) -> list[Comparison]:
    """Of what both sides have at the same budget and seeds, method by method."""
    there = repository.name
    sides: dict[tuple[str, str, int, int], dict[str, dict[int, float]]] = {}
    for score in scores:
        if score.implementation in (there, HARNESS):
            cell = (score.dataset, score.method, score.steps, score.episodes)
            by_side = sides.setdefault(cell, {there: {}, HARNESS: {}})
            by_side[score.implementation][score.seed] = score.score
    return [
        Comparison(
            repository,
            *cell,
            *(
                np.array([found[side][seed] for seed in sorted(found[side])])
                for side in (HARNESS, there)
            ),
        )
        for cell, found in sorted(sides.items(), key=lambda item: (item[0][1], item[0][0]))
        if found[there].keys() == found[HARNESS].keys()
    ]


def table(scores: Sequence[Score], repository: Repository) -> str:
    """The comparison as Markdown, with the commits it was made at."""
    there = repository.title
    columns = ("method", "dataset", "steps", "here", there, "difference", "95% interval", "")
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    compared = comparisons(scores, repository)
    for each in compared:
        low, high = each.interval
        cells = [
            f"`{each.method}`",
            f"`{each.dataset}`",
            f"{each.steps:,}",
            _mean_and_sd(each.here),
            _mean_and_sd(each.there),
            f"{each.here.mean() - each.there.mean():+.1f}",
            f"{low:.1f} to {high:.1f}",
            each.verdict,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    methods = {each.method for each in compared}
    commits = sorted(
        {f"`{s.commit}`" for s in scores if s.implementation == HARNESS and s.method in methods}
    )
    at = f"Commits: here {', '.join(commits)}; {repository.address} `{repository.commit}`."
    return "\n".join([*lines, "", at, ""])


def page(text: str, scores: Sequence[Score]) -> str:
    """The page with its tables as the scores give them."""
    for repository in REPOSITORIES:
        begin = f"<!-- scores: {repository.name} -->\n"
        block = f"{begin}\n{table(scores, repository)}\n{_END}"
        text = re.sub(
            f"{begin}.*?{_END}", lambda _, block=block: block, text, count=1, flags=re.DOTALL
        )
    return text


def _mean_and_sd(scores: NDArray[np.float64]) -> str:
    return f"{scores.mean():.1f} ± {scores.std(ddof=1):.1f}"
