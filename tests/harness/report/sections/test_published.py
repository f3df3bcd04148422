"""Published scores beside the suite's own, and reported against reproduced."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats

from harness.published import PublishedScore
from harness.report import build_report
from harness.report.comparison import compare
from harness.report.records import read_records
from harness.report.sections.published import Published
from harness.report.sections.published.beside import Beside
from harness.report.sections.published.reproduction import (
    MARGIN,
    Reproduction,
    interval_to_published,
    reproductions,
)
from harness.runs.suite_file import PlannedPublished
from harness.tasks import get_task

HOPPER = "gym/hopper/medium"


def made(score: float, **facts: Any) -> PublishedScore:
    given = {"task": HOPPER, "method": "iql", "protocol": "last", "source": "a paper"}
    return PublishedScore.model_validate({**given, "score": score, **facts})


@pytest.fixture
def beside_of(make_suite: Callable[..., Any]) -> Callable[..., Beside]:
    """The literature beside a suite of one row with these scores; only `scores` are published."""

    def make(
        ours: list[float],
        *scores: PublishedScore,
        task: str = HOPPER,
        spec: Any = None,
        label: str = "iql",
        **settings: Any,
    ) -> Beside:
        steps = settings.pop("steps", 1_000_000)
        builder = make_suite(
            tasks=[task],
            labels=[label],
            seeds=list(range(len(ours))),
            final={(task, label): ours},
            specs={task: spec or get_task(task)},
            steps=steps,
            every=steps // 2,
            episodes=2,
            **settings,
        )
        records = read_records(builder.write())
        published = PlannedPublished(scores=list(scores))
        suite = records.suite.model_copy(update={"published": published})
        return Beside(compare(read_records(records.folder, suite)))

    return make


def only(found: list[Reproduction]) -> Reproduction:
    [cell] = found
    return cell


def test_the_interval_is_welchs_where_spread_and_seeds_are_known() -> None:
    ours, theirs = np.array([60.0, 64.0, 66.0, 70.0]), np.array([70.0, 72.0, 77.0])
    stated = made(theirs.mean(), spread=theirs.std(ddof=1), spread_kind="sd", seeds=3)
    welch = scipy_stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval(0.95)
    interval, is_point = interval_to_published(ours, stated)
    assert interval == pytest.approx((welch.low, welch.high), abs=2e-3)
    assert not is_point
    for kind, spread in (
        ("sd-population", theirs.std()),
        ("se", theirs.std(ddof=1) / math.sqrt(3)),
    ):
        same = stated.model_copy(update={"spread": spread, "spread_kind": kind})
        assert interval_to_published(ours, same)[0] == pytest.approx(interval)


@pytest.mark.parametrize(
    "facts",
    [{}, {"spread": 3.0, "spread_kind": "sd"}, {"spread": 3.0, "spread_kind": "other", "seeds": 5}],
)
def test_an_unknown_spread_makes_the_published_score_a_point(facts: dict[str, Any]) -> None:
    ours = np.array([60.0, 64.0, 66.0, 70.0])
    interval, is_point = interval_to_published(ours, made(50.0, **facts))
    t = scipy_stats.ttest_1samp(ours, 50.0).confidence_interval(0.95)
    assert interval == pytest.approx((t.low - 50, t.high - 50), abs=2e-3)
    assert is_point


@pytest.mark.parametrize(
    ("ours", "verdict"),
    [
        ([68.0, 68.5, 67.5, 68.2, 67.8], "reproduced"),
        ([70.0, 70.5, 69.5, 70.2, 69.8], "reproduced"),  # excludes 0, but is inside the margin
        ([80.0, 81.0, 79.0, 80.5, 79.5], "better"),
        ([50.0, 51.0, 49.0, 50.5, 49.5], "worse"),
        ([40.0, 95.0, 68.0, 55.0, 80.0], "undecided"),
        ([68.0], "undecided"),
    ],
)
def test_verdicts(beside_of: Callable[..., Beside], ours: list[float], verdict: str) -> None:
    theirs = made(68.0, spread=0.5, spread_kind="sd", seeds=5)
    assert only(reproductions(beside_of(ours, theirs))).verdict == verdict


def test_reproduced_needs_an_interval_inside_the_margin(beside_of: Callable[..., Beside]) -> None:
    """Equal means are no evidence: two far seeds with the published mean are undecided."""
    cell = only(reproductions(beside_of([60.0, 76.0], made(68.0))))
    assert cell.difference == pytest.approx(0)
    assert cell.interval.high > MARGIN
    assert cell.verdict == "undecided"


def differs(beside: Beside) -> tuple[str, ...]:
    cell = only(reproductions(beside))
    assert cell.verdict == ("not comparable" if cell.differs else "reproduced")
    return cell.differs


OURS = [68.0, 68.5, 67.5, 68.2, 67.8]


def test_facts_decide_what_is_comparable(beside_of: Callable[..., Beside], tmp_path: Path) -> None:
    stated = {"data": "v2", "steps": 1_000_000}
    assert differs(beside_of(OURS, made(68.0, **stated), name="a")) == ()
    few = get_task(HOPPER, {"transitions": 1000})
    assert differs(beside_of(OURS, made(68.0), spec=few, name="b")) == ("data",)
    assert differs(beside_of(OURS, made(68.0, data="v0"), name="c")) == ("data",)
    short = get_task(HOPPER).model_copy(update={"horizon": 500})
    assert differs(beside_of(OURS, made(68.0), spec=short, name="d")) == ("environment",)
    assert differs(beside_of(OURS, made(68.0, **stated), steps=1000, name="e")) == ("budget",)
    assert differs(beside_of(OURS, made(68.0), smoke=True, name="f")) == ("budget",)
    best = made(68.0, protocol="best", method="fql")
    assert differs(beside_of(OURS, best, label="fql", name="g")) == ("protocol",)


def test_what_the_source_does_not_state_is_said(beside_of: Callable[..., Beside]) -> None:
    cell = only(reproductions(beside_of(OURS, made(68.0))))
    assert cell.unstated == ("data", "budget", "acting")


def test_acting_otherwise_is_not_comparable_unless_it_was_measured(
    beside_of: Callable[..., Beside],
) -> None:
    entries = {"iql": {"action_selection": "noise-0"}}
    theirs = made(90.0, action_selection="best-of-32")
    cell = only(reproductions(beside_of(OURS, theirs, entries=entries, name="a")))
    assert cell.differs == ("acting",)
    measured = {(HOPPER, "iql"): {"best-of-32": [90.0, 91.0, 89.0, 90.5, 89.5]}}
    cell = only(
        reproductions(beside_of(OURS, theirs, entries=entries, selections=measured, name="b"))
    )
    assert (cell.verdict, cell.action_selection) == ("reproduced", "best-of-32")
    assert cell.scores.mean() == pytest.approx(90)


def test_scores_by_another_protocol_are_compared_with_published_ones_by_that(
    make_suite: Callable[..., Any],
) -> None:
    """And not at all with those of the suite's."""
    suite = make_suite(
        tasks=[HOPPER],
        labels=["iql"],
        final={(HOPPER, "iql"): [60.0, 61.0, 62.0]},
        specs={HOPPER: get_task(HOPPER)},
        steps=1_000_000,
        every=100_000,
    )
    records = read_records(suite.write())
    last, best = made(66.0), made(90.0, protocol="best")
    published = PlannedPublished(scores=[last, best])
    planned = records.suite.model_copy(update={"published": published})
    for protocol, shown, differs in (
        ("last", 66.0, ()),
        ("best", 90.0, ()),
        ("mean-of-last-3", 66.0, ("protocol",)),
    ):
        beside = Beside(compare(read_records(records.folder, planned), protocol))
        cell = only(reproductions(beside))
        assert (cell.published.score, cell.differs) == (shown, differs)


def test_tables_and_numbers_name_the_protocol_of_ours(make_suite: Callable[..., Any]) -> None:
    folder = make_suite(tasks=[HOPPER], labels=["iql"], specs={HOPPER: get_task(HOPPER)}).write()
    text = build_report(folder, protocol="best").paths.markdown.read_text()
    assert "Published and ours on gym medium, protocol 'last' (ours: 'best')" in text
    assert set(pd.read_csv(folder / "published.csv")["our_protocol"].dropna()) == {"best"}
    assert set(pd.read_csv(folder / "reproduction.csv")["protocol"]) == {"best"}
    assert "protocol 'last' (ours" not in build_report(folder).paths.markdown.read_text()


def test_other_public_data_of_the_same_name_is_not_comparable(
    beside_of: Callable[..., Beside],
) -> None:
    theirs = made(80.0, task="adroit/pen/human")
    beside = beside_of([80.0, 80.1], theirs, task="minari/adroit/pen/human")
    cell = only(reproductions(beside))
    assert cell.published.task == "adroit/pen/human"
    assert cell.differs == ("data",)
    assert beside.tasks == []  # and its published score does not stand in the tables


def test_local_data_and_mazes_have_no_published_scores(make_suite: Callable[..., Any]) -> None:
    for task in ("local/pen/expert", "pointmaze/umaze"):
        records = read_records(
            make_suite(
                tasks=[task], labels=["iql"], specs={task: get_task(task)}, name=task[:3]
            ).write()
        )
        assert Published.all_of(records, compare(records)) == []


def test_a_report_has_the_numbers_side_by_side(make_suite: Callable[..., Any]) -> None:
    pair = [HOPPER, "gym/walker2d/medium"]
    final = {(task, label): [68.0, 69.0, 67.0] for task in pair for label in ("iql", "df-div")}
    folder = make_suite(
        tasks=pair,
        labels=["iql", "df-div", "bc"],
        final=final,
        specs={task: get_task(task) for task in pair},
        states={(task, "bc", seed): "missing" for task in pair for seed in range(3)},
    ).write()
    report = build_report(folder)
    assert not report.notes.failures
    text = report.paths.markdown.read_text()
    assert "| hopper/published | hopper/ours | walker2d/published | walker2d/ours |" in text
    table = text.split("Published and ours on gym medium, protocol 'last'")[1].split("**")[1]
    lines = {
        line.split(" | ")[0].strip("| "): line.split(" | ")[1:3] for line in table.splitlines()
    }
    assert lines["iql"] == ["67.5", "68.0 ± 1.0"]  # CORL's; sd with ddof = 1
    assert lines["bc"] == ["53.5", "–"]
    assert lines["df-div"] == ["– (not at hand)", "68.0 ± 1.0"]
    assert lines["sac-rnd"][1] == "–"
    assert "Decision Flow" in text
    shown = pd.read_csv(folder / "published.csv")
    assert shown.loc[shown["published"].notna(), "source"].notna().all()
    found = pd.read_csv(folder / "reproduction.csv")
    assert set(found["algorithm"]) == {"iql"}
    assert (found["differs"] == "budget").all()  # 20,000 steps, CORL's IQL has a million
    assert (folder / "figures" / "verdicts.png").is_file()


def test_protocols_are_never_in_one_table(make_suite: Callable[..., Any]) -> None:
    folder = make_suite(tasks=[HOPPER], labels=["iql"], specs={HOPPER: get_task(HOPPER)}).write()
    build_report(folder)
    shown = pd.read_csv(folder / "published.csv")
    of_iql = shown[shown["method"] == "iql"].set_index("protocol")["published"]
    assert set(of_iql.index) == {"last", "unknown"}
    assert of_iql["last"] == 67.53
    assert of_iql["unknown"] != of_iql["last"]


def test_the_suite_chooses_methods_and_protocols(make_suite: Callable[..., Any]) -> None:
    folder = make_suite(
        tasks=[HOPPER], labels=["iql", "bc"], specs={HOPPER: get_task(HOPPER)}
    ).write()
    suite = read_records(folder).suite
    chosen = PlannedPublished(methods=["iql", "D-QL"], protocols=["best"])
    build_report(folder, suite.model_copy(update={"published": chosen}))
    shown = pd.read_csv(folder / "published.csv")
    assert set(shown["protocol"]) == {"best"}
    assert set(shown["method"]) == {"iql", "diffusion-ql"}
