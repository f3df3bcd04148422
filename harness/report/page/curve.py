"""A cell's learning curves as a small drawing in the page: a line for each seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.report.layout import points

WIDTH, HEIGHT = 260, 70  # of the field of the curves
TOP = 100.0  # a score that a reader looks for


@dataclass(frozen=True)
class SeedCurves:
    """Curves in the field's coordinates, and the numbers at its edges.

    Attributes:
        lines: `x,y x,y …`, one for each seed.
        zero, top: heights of the scores 0 and 100; None where they are out of the field.
        words: what the drawing shows.
    """

    lines: list[str]
    low: str
    high: str
    steps: str
    zero: float | None
    top: float | None
    words: str


def seed_curves(scores: Mapping[int, Sequence[tuple[int, float]]]) -> SeedCurves | None:
    """The curves of a cell; None where no seed has two evaluations.

    `scores` has by seed each evaluated step, ascending, with its score.
    """
    drawn = {seed: evaluations for seed, evaluations in scores.items() if len(evaluations) > 1}
    if not drawn:
        return None
    every = [score for evaluations in scores.values() for _, score in evaluations]
    low, high = min(0.0, *every), max(1.0, *every)
    last = max(step for evaluations in scores.values() for step, _ in evaluations)

    def height(score: float) -> float:
        return round(HEIGHT * (high - score) / (high - low), 1)

    lines = [
        " ".join(f"{WIDTH * step / last:.0f},{height(score):g}" for step, score in evaluations)
        for evaluations in drawn.values()
    ]
    ends = "; ".join(
        f"seed {seed}: {points(evaluations[0][1])} to {points(evaluations[-1][1])}"
        for seed, evaluations in drawn.items()
    )
    return SeedCurves(
        lines=lines,
        low=points(low),
        high=points(high),
        steps=f"{last:,}",
        zero=height(0.0) if low < 0 else None,
        top=height(TOP) if high > TOP else None,
        words=f"Score by gradient step, from the first evaluation to the last. {ends}.",
    )
