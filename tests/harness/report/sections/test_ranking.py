"""The suite's ranking beside the published one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from harness.published import PublishedScore
from harness.published.names import d4rl_tasks
from harness.report.comparison import compare
from harness.report.layout import Grid
from harness.report.records import Records, read_records
from harness.report.sections.ranking import Ranking
from harness.runs.suite_file import PlannedPublished
from harness.tasks import get_task

METHODS = ("bc", "td3-bc", "iql", "fql")
HANDS = [task for task in d4rl_tasks() if get_task(task).family == "adroit"]
PUBLISHED = {"bc": 10.0, "td3-bc": 20.0, "iql": 30.0, "fql": 40.0}


def published(lacking: Sequence[str] = ()) -> PlannedPublished:
    """On every task of hands 10, 20, 30 and 40 points, but on the first 40, 30, 20 and 10."""
    scores = [
        PublishedScore(
            task=task,
            method=method,
            protocol="last",
            score=50 - score if task == HANDS[0] else score,
            source="by hand",
        )
        for task in HANDS
        for method, score in PUBLISHED.items()
        if method not in lacking
    ]
    return PlannedPublished(scores=scores)


@pytest.fixture
def made(make_suite: Callable[..., Any]) -> Callable[..., list[Ranking]]:
    """The section of a suite with two hands, on which methods have these scores."""

    def make(ours: dict[str, float], **settings: Any) -> list[Ranking]:
        tasks = settings.pop("tasks", ["adroit/a", "adroit/b"])
        literature = settings.pop("literature", published())
        # Its own kind of score on each of the two; only the average counts.
        final = {
            (task, label): [score + shift] * 2
            for label, score in ours.items()
            for task, shift in zip(tasks, (-3.0, 3.0), strict=True)
        }
        labels = [*METHODS, "df-dir"]
        suite = make_suite(tasks=tasks, labels=labels, seeds=[0, 1], final=final, **settings)
        folder = suite.write()
        records: Records = read_records(folder)
        planned = records.suite.model_copy(update={"published": literature})
        records = read_records(folder, planned)
        return Ranking.all_of(records, compare(records))

    return make


def row(section: Ranking) -> list[str]:
    grid: Grid
    (grid,) = section.grids()
    (line,) = grid.rows
    return [line.name, *(str(text) for text in line.texts)]


def test_tau_counts_pairs_in_the_same_order(made: Callable[..., list[Ranking]]) -> None:
    """Ours has bc and td3-bc the other way round: (5 - 1) / 6. The published ranking on one task
    of twelve is the reverse of the others': (11 - 1) / 12."""
    (section,) = made({"bc": 25.0, "td3-bc": 15.0, "iql": 60.0, "fql": 70.0, "df-dir": 99.0})
    name, methods, tasks, tau, interval, theirs, left_out = row(section)
    assert (name, methods, tasks, theirs) == ("adroit", "4/4", "2", "12")
    assert tau == f"{4 / 6:.2f}"
    assert interval.startswith("[-0.")  # four methods tell next to nothing
    assert left_out == f"{10 / 12:.2f}"
    table = section.tables()["rankings"]
    assert table["labels"][0] == "bc; td3-bc; iql; fql"  # nothing is published of df-dir
    assert table["tau"][0] == pytest.approx(4 / 6)


def test_what_was_not_run_says_so(made: Callable[..., list[Ranking]]) -> None:
    tasks = ["adroit/a", "adroit/b"]
    states = {(t, label, s): "missing" for t in tasks for label in METHODS for s in (0, 1)}
    (section,) = made(dict.fromkeys(METHODS, 1.0), states=states)
    assert row(section)[1:5] == ["0/4", "2", "not run", "–"]
    assert row(section)[6] == f"{10 / 12:.2f}"


def test_a_row_that_acts_otherwise_is_not_ranked_as_its_method(
    made: Callable[..., list[Ranking]],
) -> None:
    assert made(dict.fromkeys(METHODS, 1.0), entries={"fql": {"acts_by_entry": True}}) == []


def test_what_d4rl_has_with_itself_is_of_the_same_methods(
    made: Callable[..., list[Ranking]],
) -> None:
    """Of five methods four are finished: of these the first task is the others' reverse but for
    bc, which is last everywhere, (3 - 3) / 6; of all five it would be another number."""
    scores = published().scores
    last = [s.model_copy(update={"score": 1.0}) if s.method == "bc" else s for s in scores]
    more = [s.model_copy(update={"method": "df-dir", "score": 99.0}) for s in scores[::4]]
    states = {(t, "df-dir", s): "missing" for t in ("adroit/a", "adroit/b") for s in (0, 1)}
    (section,) = made(
        dict.fromkeys(METHODS, 1.0), states=states, literature=PlannedPublished(scores=last + more)
    )
    assert row(section)[1] == "4/5"
    assert row(section)[6] == f"{11 / 12:.2f}"


def test_three_finished_methods_are_too_few(made: Callable[..., list[Ranking]]) -> None:
    states = {("adroit/b", "fql", 0): "failed", ("adroit/b", "fql", 1): "failed"}
    (section,) = made(dict.fromkeys(METHODS, 1.0), states=states)
    assert row(section)[1:5] == ["3/4", "2", "too few", "–"]


def test_families_with_too_few_published_methods_have_no_section(
    made: Callable[..., list[Ranking]],
) -> None:
    """On maze2d nothing is published of FQL by its final evaluation."""
    assert made(dict.fromkeys(METHODS, 1.0), tasks=["pointmaze/a", "pointmaze/b"]) == []
