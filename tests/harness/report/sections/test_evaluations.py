"""Readers learn where evaluations begin, whose scores still move at the end, and by how much."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from harness.report import build_report
from harness.report.comparison import Comparison, compare
from harness.report.curves import Curve, Curves
from harness.report.records import read_records
from harness.report.sections.scores.evaluations import slope_notes, start_notes

EASY, HARD = "pointmaze/umaze", "pointmaze/large"
SEEDS = 5
RISES = np.array([4.0, 5.0, 6.0, 7.0, 9.0])
NOISE = np.array([3.0, -2.0, 1.0, -4.0, 2.0])


@pytest.fixture
def comparison_of(make_suite: Callable[..., Any]) -> Callable[..., Comparison]:
    def comparison(protocol: str = "mean-of-last-3", seeds: int = SEEDS) -> Comparison:
        suite = make_suite(tasks=[EASY, HARD], labels=["iql", "bc"], seeds=[*range(seeds)])
        return compare(read_records(suite.write()), protocol)

    return comparison


def curve(change: NDArray[np.float64]) -> Curve:
    """Two high evaluations, then two at the seed's level, then one `change` above these."""
    scores = np.full((len(change), 5), 20.0) + np.arange(len(change))[:, None]
    scores[:, :2] += 30.0
    scores[:, -1] += change
    return Curve(np.arange(len(change)), np.arange(5) * 1_000, scores)


def curves(iql: NDArray[np.float64], bc: NDArray[np.float64]) -> Curves:
    return {(task, "iql"): curve(iql) for task in (EASY, HARD)} | {
        (task, "bc"): curve(bc) for task in (EASY, HARD)
    }


def test_a_row_that_rises_is_named_with_the_interval_of_its_paired_changes(
    comparison_of: Callable[..., Comparison],
) -> None:
    [note] = slope_notes(comparison_of(), curves(RISES, NOISE))
    # Two tasks with the same changes: by Welch and Satterthwaite twice the degrees of freedom.
    error = RISES.std(ddof=1) / np.sqrt(SEEDS) / np.sqrt(2)
    half = stats.t.ppf(0.975, 2 * (SEEDS - 1)) * error
    assert f"these rise: iql by {RISES.mean():.1f} ± {half:.1f} (on average" in note
    assert "from the first to the last of the 3 evaluations" in note
    assert "fall" not in note
    assert "bc" not in note


def test_those_that_fall_are_named_apart(comparison_of: Callable[..., Comparison]) -> None:
    [note] = slope_notes(comparison_of(), curves(RISES, -RISES))
    assert "these rise: iql by 6.2 ± " in note
    assert "these fall: bc by 6.2 ± " in note


def test_nothing_is_said_of_rows_that_are_not_told_to_move(
    comparison_of: Callable[..., Comparison],
) -> None:
    assert [*slope_notes(comparison_of(), curves(NOISE, -NOISE))] == []


@pytest.mark.parametrize("protocol", ["last", "best", "expected-best-of-3"])
def test_nothing_is_said_where_a_score_is_no_mean_of_evaluations(
    comparison_of: Callable[..., Comparison], protocol: str
) -> None:
    assert [*slope_notes(comparison_of(protocol), curves(RISES, NOISE))] == []


def test_nothing_is_said_of_fewer_than_five_seeds(
    comparison_of: Callable[..., Comparison],
) -> None:
    found = slope_notes(comparison_of(seeds=4), curves(RISES[:4], NOISE[:4]))
    assert [*found] == []


def test_rows_that_pretrain_are_named_with_their_first_evaluation(
    comparison_of: Callable[..., Comparison],
) -> None:
    suite = comparison_of().suite  # evaluates every 2,000 steps
    steps = {"bc": 2_000, "df-dir": 10_000, "df-div": 10_000, "ifql": 6_000}
    found = {
        (task, label): Curve(np.arange(2), np.arange(first, 20_001, 2_000), np.zeros((2, 1)))
        for label, first in steps.items()
        for task in (EASY, HARD)
    }
    assert [*start_notes(suite, found)] == [
        "Not evaluated while they pretrain: ifql (from step 6,000 on); df-dir, df-div (from step "
        "10,000 on)."
    ]
    assert [*start_notes(suite, {(EASY, "bc"): found[EASY, "bc"]})] == []


@pytest.mark.parametrize(
    ("first", "named"), [(0, "ifql"), (2_001, "ifql"), (4_000, "ifql"), (5_000, ""), (6_000, "")]
)
def test_a_row_that_begins_where_all_are_to_does_not_pretrain(
    comparison_of: Callable[..., Comparison], first: int, named: str
) -> None:
    """At the first multiple of `every` that is not before `first`."""
    suite = comparison_of().suite
    evaluation = suite.evaluation.model_copy(update={"first": first})
    steps = np.arange(6_000, 20_001, 2_000)
    curves = {(EASY, "ifql"): Curve(np.arange(2), steps, np.zeros((2, len(steps))))}
    said = " ".join(start_notes(suite.model_copy(update={"evaluation": evaluation}), curves))
    assert ("ifql (from step 6,000 on)" in said) == bool(named)


def test_it_stands_under_the_tables(make_suite: Callable[..., Any]) -> None:
    """The made-up curves rise on every seed."""
    suite = make_suite(tasks=[EASY], labels=["iql", "bc"], seeds=[*range(SEEDS)])
    folder = suite.write()
    build_report(folder, protocol="mean-of-last-8")
    assert "NOT FLAT on pointmaze: from the first to the last" in (folder / "table.md").read_text()
