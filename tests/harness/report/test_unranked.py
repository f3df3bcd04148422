"""Tasks that test denoising are shown, and neither averaged nor ranked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.report.comparison import Comparison, compare
from harness.report.layout import Grid
from harness.report.notes import write_notes
from harness.report.page.answer import answers, averages_in_words
from harness.report.records import read_records
from harness.report.sections.aggregates.pools import pools
from harness.report.sections.scores import Scores
from harness.report.sections.scores.bars import average_bars
from harness.report.sections.scores.grids import difference_grids, score_grids, terminal_grids
from harness.report.sections.scores.numbers import table_csv
from harness.report.style import by_score
from harness.tasks import get_task
from tests.harness.report.conftest import make_task

SEEDS = [*range(10)]
MIXED, OTHER = "gym/mixed", "gym/also-mixed"


def noisy(task_id: str) -> Any:
    """A task whose data are made as those of local/…/mixed."""
    data = get_task("local/pen/mixed").dataset
    return make_task(task_id).model_copy(update={"dataset": data})


@pytest.fixture
def comparison(make_suite: Callable[..., Any]) -> Callable[..., Comparison]:
    def made(*tasks: str) -> Comparison:
        levels = {
            ("gym/a", "bc"): 10.0,
            ("gym/a", "iql"): 30.0,
            ("gym/b", "bc"): 20.0,
            ("gym/b", "iql"): 50.0,
            (MIXED, "bc"): 1000.0,
            (MIXED, "iql"): 0.0,
            (OTHER, "bc"): 900.0,
            (OTHER, "iql"): 0.0,
        }
        final = {
            key: [level + 0.1 * seed for seed in SEEDS]
            for key, level in levels.items()
            if key[0] in tasks
        }
        suite = make_suite(
            tasks=[*tasks],
            labels=["bc", "iql"],
            seeds=SEEDS,
            episodes=1,
            steps=2_000,
            reference="bc",
            final=final,
            specs={task: noisy(task) for task in (MIXED, OTHER)},
        )
        return compare(read_records(suite.write()))

    return made


def cells(grid: Grid) -> dict[str, list[str]]:
    return {row.name: [str(text) for text in row.texts] for row in grid.rows}


def test_only_tasks_that_add_noise_to_a_policy_rank_nothing() -> None:
    ranks = {
        "local/pen/mixed": False,
        "local/hopper/mixed": False,
        "local/pen/expert": True,
        "local/door/cloned": True,
        "rollout/pen/dapg-pen": True,
        "pointmaze/umaze": True,
        "gym/hopper/medium-replay": True,
    }
    assert {task_id: get_task(task_id).ranks for task_id in ranks} == ranks


def test_they_are_in_no_average_and_no_order(comparison: Callable[..., Comparison]) -> None:
    found = comparison("gym/a", MIXED, "gym/b")
    (grid,) = score_grids(found)
    assert grid.columns == ("Task", "iql", "bc (reference)")  # bc's 1000 points do not count
    rows = cells(grid)
    assert [*rows] == ["gym/a", "gym/b", "Average (gym)", MIXED]
    assert rows["Average (gym)"] == ["40.4", "15.4"]  # by hand: 0.45 is the seeds' mean
    shown = [float(text.partition(" ")[0]) for text in rows[MIXED]]
    assert shown == pytest.approx([0.45, 1000.45], abs=0.06)
    (differences,) = difference_grids(found)
    assert cells(differences)["Average (gym)"][0].startswith("25.0")
    assert by_score(found) == ["iql", "bc"]
    table = table_csv(found)
    averages = table[table["task"] == "average (gym)"].set_index("algorithm")["mean"]
    assert averages["iql"] == pytest.approx(40.45)
    assert averages["bc"] == pytest.approx(15.45)
    assert [pool.family.tasks for pool in pools(found)] == [("gym/a", "gym/b")]


def test_nothing_is_bold_on_them(comparison: Callable[..., Comparison]) -> None:
    (grid,) = score_grids(comparison("gym/a", MIXED))
    bold = {row.name: [text.bold for text in row.texts] for row in grid.rows}
    assert bold == {"gym/a": [True, False], MIXED: [False, False]}


def test_the_page_and_every_table_say_why(comparison: Callable[..., Comparison]) -> None:
    found = comparison("gym/a", MIXED)
    *claims, last = answers(found, {})
    assert [claim.split(",")[0] for claim in claims] == ["On Gym A"]
    assert last.startswith(f"Not ranked: {MIXED}, whose data are one policy's actions with noise")
    notes = write_notes(found).general
    assert any(note.startswith(f"Not ranked: {MIXED}. The data are") for note in notes)
    assert any(
        note.startswith("Needed to make data, and not in this repository")
        and note.endswith(f": public policies (data fetch policies): {MIXED}.")
        for note in notes
    )


def test_a_chart_shows_each_by_itself(
    comparison: Callable[..., Comparison], tmp_path: Path
) -> None:
    found = comparison("gym/a", MIXED, "gym/b", OTHER)
    assert [(group.tasks, group.ranks) for group in found.charted] == [
        (("gym/a", "gym/b"), True),
        ((MIXED,), False),
        ((OTHER,), False),
    ]
    assert average_bars(found, tmp_path)
    assert "Gym Mixed: bc 1000" in averages_in_words(found)


def test_a_suite_of_nothing_else_ranks_nothing(comparison: Callable[..., Comparison]) -> None:
    found = comparison(MIXED, OTHER)
    grid, differences = Scores(None, found).grids()  # type: ignore[arg-type]
    assert [*cells(differences)] == [MIXED, OTHER]
    assert grid.columns == ("Task", "bc (reference)", "iql")  # as in the suite
    assert [*cells(grid)] == [MIXED, OTHER]
    assert found.averaged == []
    assert found.average("bc", found.everything.tasks) is None
    (sentence,) = answers(found, {})
    assert sentence.startswith("Not ranked: ")
    assert [grid.title for grid in terminal_grids(found)] == ["Normalized score on gym, not ranked"]


def test_a_ranked_suite_says_nothing_of_it(comparison: Callable[..., Comparison]) -> None:
    notes = " ".join(write_notes(comparison("gym/a", "gym/b")).general)
    assert "Not ranked" not in notes
    assert "not in this repository" not in notes
