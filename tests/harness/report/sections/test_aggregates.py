from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from harness.report.comparison import compare
from harness.report.records import read_records
from harness.report.sections.aggregates import UNSOUND, Aggregates

TASKS = ["gym/a", "gym/b"]
FINAL = {
    (task, label): [level + spread * seed for seed in range(10)]
    for task, spread in zip(TASKS, (1.0, 2.0), strict=True)
    for label, level in (("iql", 40.0), ("bc", 20.0))
}


@pytest.fixture
def section_of(make_suite: Callable[..., Any]) -> Callable[..., Aggregates]:
    def make(**settings: Any) -> Aggregates:
        known = {"tasks": TASKS, "labels": ["bc", "iql"], "final": FINAL, "seeds": list(range(10))}
        suite = make_suite(**(known | {"steps": 4_000, "episodes": 2} | settings))
        records = read_records(suite.write())
        return Aggregates(records, compare(records))

    return make


def of(table: pd.DataFrame, label: str) -> Any:
    return table.set_index("algorithm").loc[label]


def test_aggregates_are_of_all_runs_of_a_family(section_of: Callable[..., Aggregates]) -> None:
    numbers = section_of().numbers
    runs = np.concatenate([FINAL[task, "iql"] for task in TASKS])
    iql = of(numbers["aggregates"], "iql")
    assert iql["iqm"] == pytest.approx(scipy.stats.trim_mean(runs, 0.25))
    assert iql["iqm_ci95_low"] < iql["iqm"] < iql["iqm_ci95_high"]
    assert iql["optimality_gap"] == pytest.approx(100 - runs.mean())
    places = [of(numbers["aggregates"], label)["rank"] for label in ("iql", "bc")]
    assert places == pytest.approx([1.0, 2.0])


def test_the_matrix_reads_forwards(section_of: Callable[..., Aggregates]) -> None:
    section = section_of()
    better = section.numbers["improvements"]
    wins = [
        scipy.stats.mannwhitneyu(FINAL[task, "iql"], FINAL[task, "bc"]).statistic / 100
        for task in TASKS
    ]
    assert of(better, "iql")["p_better"] == pytest.approx(np.mean(wins))
    matrix = section.grids()[1]
    assert matrix.columns == ("Algorithm", "iql", "bc")
    assert matrix.rows[0].name == "iql"
    assert matrix.rows[0].texts[1].value == f"{np.mean(wins):.2f}"


def test_efficiency_ends_at_the_final_scores(section_of: Callable[..., Aggregates]) -> None:
    section = section_of()
    curve = section.numbers["efficiency"]
    ends = curve[curve["step"] == 4_000].set_index("algorithm")["iqm"]
    assert ends["iql"] == pytest.approx(of(section.numbers["aggregates"], "iql")["iqm"])
    assert {*curve["step"]} == {2_000, 4_000}


def test_below_ten_seeds_there_is_one_line_instead(
    section_of: Callable[..., Aggregates], tmp_path: Path
) -> None:
    section = section_of(seeds=list(range(9)))
    assert section.notes() == (UNSOUND,)
    assert (section.grids(), section.tables(), section.drawings(tmp_path)) == ([], {}, [])


def test_a_method_that_lacks_seeds_takes_no_part(section_of: Callable[..., Aggregates]) -> None:
    section = section_of(states={("gym/b", "bc", 3): "failed"})
    assert list(section.numbers["aggregates"]["algorithm"]) == ["iql"]
