"""Records rliable's aggregates: `python -m tests.oracles.record_rliable`, into rliable.json.

In a venv of its own (requirements-rliable.txt), as rliable needs an older NumPy than we do. Scores
are in points; rliable has runs in rows and tasks in columns.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
from rliable import library, metrics

FILE = Path(__file__).with_name("rliable.json")
LEVELS = np.array([0.0, 25.0, 50.0, 75.0, 100.0])
REPETITIONS = 50_000


def main() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(80, 30, (12, 5)).round(3)
    y = rng.normal(70, 30, (10, 5)).round(-1)  # with ties
    y[:2, :2] = x[:2, :2]  # and some across methods
    profile, _ = library.create_performance_profile({"x": x}, LEVELS, reps=10)
    _, intervals = library.get_interval_estimates(
        {"x": x},
        lambda scores: np.array([metrics.aggregate_iqm(scores)]),
        reps=REPETITIONS,
        random_state=np.random.RandomState(0),
    )
    record = {
        "rliable": version("rliable"),
        "x": x.tolist(),
        "y": y.tolist(),
        "levels": LEVELS.tolist(),
        "interquartile_mean": metrics.aggregate_iqm(x),
        "interquartile_mean_interval": intervals["x"][:, 0].tolist(),
        "optimality_gap": metrics.aggregate_optimality_gap(x, 100.0),
        "probability_of_improvement": metrics.probability_of_improvement(x, y),
        "profile": profile["x"].tolist(),
    }
    FILE.write_text(json.dumps(record) + "\n", "utf-8")


if __name__ == "__main__":
    main()
