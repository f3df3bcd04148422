"""A cell's learning curves as a small drawing in the page: a line for each seed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

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


def seed_curves(scores: pd.DataFrame) -> SeedCurves | None:
    """The curves of a cell; None where no seed has two evaluations.

    `scores` has a line for each seed and evaluated step: seed, step, score.
    """
    by_seed = {int(str(seed)): rows.sort_values("step") for seed, rows in scores.groupby("seed")}
    drawn = {seed: rows for seed, rows in by_seed.items() if len(rows) > 1}
    if not drawn:
        return None
    low = min(0.0, float(scores["score"].min()))
    high = max(1.0, float(scores["score"].max()))
    last = int(scores["step"].max())

    def height(score: float) -> float:
        return round(HEIGHT * (high - score) / (high - low), 1)

    lines = [
        " ".join(
            f"{WIDTH * step / last:.0f},{height(score):g}"
            for step, score in zip(rows["step"], rows["score"], strict=True)
            if math.isfinite(score)
        )
        for rows in drawn.values()
    ]
    ends = "; ".join(
        f"seed {seed}: {points(rows['score'].iloc[0])} to {points(rows['score'].iloc[-1])}"
        for seed, rows in drawn.items()
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
