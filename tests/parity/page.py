"""docs/parity.md, from the scores alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.report.stats import Interval, difference_interval
from tests.parity.scores import CORL, HARNESS, Score

PAGE = Path("docs/parity.md")
_COLUMNS = ("method", "dataset", "steps", "here", "CORL", "difference", "95% interval", "")
_BEGIN, _END = "<!-- scores -->\n", "<!-- end of scores -->\n"


@dataclass(frozen=True)
class Comparison:
    """One method on one dataset, both sides."""

    dataset: str
    method: str
    steps: int
    episodes: int
    here: NDArray[np.float64]
    there: NDArray[np.float64]

    @property
    def interval(self) -> Interval:
        """Of the difference, here minus there, over seeds."""
        return difference_interval([self.here], [self.there])

    @property
    def verdict(self) -> str:
        low, high = self.interval
        if low <= 0 <= high:
            return f"not told apart, ± {(high - low) / 2:.1f}"
        return "higher here" if low > 0 else "higher in CORL"


def comparisons(scores: Sequence[Score]) -> list[Comparison]:
    """Of what both sides have at the same budget and seeds, method by method."""
    sides: dict[tuple[str, str, int, int], dict[str, dict[int, float]]] = {}
    for score in scores:
        cell = (score.dataset, score.method, score.steps, score.episodes)
        by_side = sides.setdefault(cell, {CORL: {}, HARNESS: {}})
        by_side[score.implementation][score.seed] = score.score
    return [
        Comparison(
            *cell,
            *(
                np.array([found[side][seed] for seed in sorted(found[side])])
                for side in (HARNESS, CORL)
            ),
        )
        for cell, found in sorted(sides.items(), key=lambda item: (item[0][1], item[0][0]))
        if found[CORL].keys() == found[HARNESS].keys()
    ]


def table(scores: Sequence[Score]) -> str:
    """The comparison as Markdown, with the commits it was made at."""
    lines = [f"| {' | '.join(_COLUMNS)} |", "|---" * len(_COLUMNS) + "|"]
    for each in comparisons(scores):
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
    here, there = (_commits(scores, side) for side in (HARNESS, CORL))
    return "\n".join([*lines, "", f"Commits: here {here}; tinkoff-ai/CORL {there}.", ""])


def _commits(scores: Sequence[Score], side: str) -> str:
    return ", ".join(sorted({f"`{s.commit}`" for s in scores if s.implementation == side}))


def page(text: str, scores: Sequence[Score]) -> str:
    """The page with its table as the scores give it."""
    block = f"{_BEGIN}\n{table(scores)}\n{_END}"
    return re.sub(f"{_BEGIN}.*{_END}", lambda _: block, text, count=1, flags=re.DOTALL)


def _mean_and_sd(scores: NDArray[np.float64]) -> str:
    return f"{scores.mean():.1f} ± {scores.std(ddof=1):.1f}"
