"""Tuning in the report: every setting tried, the choice, the best of fewer, and the mark."""

from __future__ import annotations

import csv
import itertools
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness.report import build_report
from harness.report.comparison import compare
from harness.report.notes import write_notes
from harness.report.records import read_records
from harness.report.sections.aggregates import Aggregates
from harness.report.sections.published.beside import Beside
from harness.report.sections.published.reproduction import reproductions
from harness.report.sections.published.verdicts import verdict_grids
from harness.report.sections.tuning import Tuning, drawing
from harness.tasks import get_task
from tests.harness.report.conftest import SuiteBuilder

EASY, HARD = "pointmaze/umaze", "pointmaze/large"
SEEDS = [100, 101]
SCORES = {  # of the tuning runs, by task and setting: one for each seed
    EASY: {
        "iql": [10.0, 30.0],
        "iql.tau-1": [50.0, 60.0],
        "bc": [5.0, 5.0],
        "bc.tau-1": [2.0, 3.0],
    },
    HARD: {"iql": [40.0, 42.0], "iql.tau-1": [1.0, 90.0], "bc": [5.0, 6.0], "bc.tau-1": [7.0, 8.0]},
}

MakeSuite = Callable[..., SuiteBuilder]


def tuned(suite: SuiteBuilder, missing: tuple[str, str] | None = None, **changes: Any) -> Path:
    """Write a suite whose rows were tuned; one setting on one task may be missing."""
    folder = suite.write()
    content = json.loads((folder / "suite.json").read_text())
    settings = [label for label in SCORES[EASY] if label.partition(".")[0] in suite.labels]
    extra = SuiteBuilder(
        suite.root,
        suite.tasks,
        labels=settings,
        seeds=SEEDS,
        name="tuning-runs",
        final={(task, label): SCORES[task][label] for task in suite.tasks for label in settings},
        entries={
            label: {"base": label.partition(".")[0], "action_selection": "noise-0"}
            for label in settings
        },
        states={(*missing, seed): "missing" for seed in SEEDS} if missing else {},
    )
    planned = extra.suite()
    extra.write()
    (extra.folder / "runs").rename(folder / "tuning-runs")
    for run in planned["runs"]:
        run["path"] = run["path"].replace("runs/", "tuning-runs/", 1)
    runs = [run for run in planned["runs"] if run["task"] in changes.get("tasks", suite.tasks)]
    tuning = {"per": "task", "seeds": SEEDS, "rows": planned["rows"], "runs": runs}
    (folder / "suite.json").write_text(json.dumps(content | {"tuning": tuning | changes}))
    return folder


def section_of(folder: Path) -> Tuning:
    records = read_records(folder)
    return Tuning(records, compare(records))


def commits_of_tuning(folder: Path) -> list[str]:
    return [note for note in section_of(folder).notes() if note.startswith("Code of tuning")]


def lines_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return [*csv.DictReader(file)]


@pytest.fixture
def suite(make_suite: MakeSuite) -> SuiteBuilder:
    return make_suite(tasks=[EASY, HARD], labels=["iql", "bc"])


def test_every_setting_is_listed_with_its_scores_and_the_choice(suite: SuiteBuilder) -> None:
    folder = tuned(suite)
    report = build_report(folder)
    assert report.notes.failures == ()
    text = (folder / "table.md").read_text()
    table = text.partition("**Tuning: every setting tried**\n\n")[2].splitlines()[:6]
    assert table == [
        f"| Setting | {EASY} | {HARD} |",
        "| --- | ---: | ---: |",
        "| iql (its own) | 20.0 | 41.0 |",
        "| iql.tau-1 | **55.0** (chosen) | **45.5** (chosen) |",
        "| bc (its own) | **5.0** (chosen) | 5.5 |",
        "| bc.tau-1 | 2.5 | **7.5** (chosen) |",
    ]
    chosen = {
        (line["task"], line["setting"])
        for line in lines_of(folder / "tuning.csv")
        if line["chosen_for"]
    }
    assert chosen == {(EASY, "iql.tau-1"), (EASY, "bc"), (HARD, "iql.tau-1"), (HARD, "bc.tau-1")}
    scores = {
        (line["task"], line["setting"], int(line["seed"])): float(line["score"])
        for line in lines_of(folder / "tuning.csv")
    }
    assert scores == pytest.approx(
        {(t, s, SEEDS[i]): x for t in SCORES for s in SCORES[t] for i, x in enumerate(SCORES[t][s])}
    )
    assert "Tuning: every setting tried" in (folder / "report.html").read_text()
    assert (folder / "figures" / "tuning.png").is_file()


def test_the_best_of_n_is_the_mean_over_all_ways_to_pick_n_settings(suite: SuiteBuilder) -> None:
    lines = section_of(tuned(suite)).tables()["tuning_best_of"].to_dict("records")
    found = {(line["place"], line["algorithm"], line["settings"]): line["score"] for line in lines}
    expected = {}
    for task, label, n in itertools.product(SCORES, ("iql", "bc"), (1, 2)):
        means = [sum(x) / 2 for name, x in SCORES[task].items() if name.startswith(label)]
        picks = [max(pick) for pick in itertools.combinations(means, n)]
        expected[task, label, n] = sum(picks) / len(picks)
    assert found == pytest.approx(expected)


def test_the_figure_s_legend_has_the_methods_that_were_tried(
    suite: SuiteBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[list[str]] = []

    def note_legend(*_args: Any, legend: list[Any], **_rest: Any) -> list[Path]:
        drawn.append([handle.get_label() for handle in legend])
        return []

    monkeypatch.setattr(drawing, "draw_pages", note_legend)
    comparison = compare(read_records(suite.write()))
    for tried in (["iql", "bc"], ["bc"]):
        scores = {"place": EASY, "algorithm": tried, "settings": 1, "score": 5.0}
        drawing.draw_tuning(pd.DataFrame(scores), comparison, tmp_path)
    assert [{*labels} for labels in drawn] == [{"iql", "bc"}, {"bc"}]


def test_every_table_marks_tuned_scores_and_a_note_says_how_they_came_about(
    suite: SuiteBuilder,
) -> None:
    folder = tuned(suite)
    report = build_report(folder)
    titles = [grid.title for grid in report.terminal]
    assert titles[0] == "Normalized score (TUNED ONLINE) on pointmaze"
    assert titles[-1] == "Average over all 2 tasks (TUNED ONLINE)"
    text = (folder / "table.md").read_text()
    scores = re.findall(r"(?m)^\| (?:iql|bc) \| .*$", text)
    assert scores
    assert all("ᵗ" in line for line in scores)
    note = (
        "ᵗ: TUNED ONLINE. Every method tried 2 settings, its own among them, on seeds of their own "
        "(100, 101); its scores are of the one that the rule chose for each task: "
    )
    assert note in text
    assert note in (folder / "report.html").read_text()
    assert r"$^t$" in (folder / "table.tex").read_text()
    for name in ("table.csv", "scores.csv"):
        assert {line["tuned_online"] for line in lines_of(folder / name)} == {"True"}


def test_aggregates_and_verdicts_mark_tuned_scores_too(make_suite: MakeSuite) -> None:
    task, labels = "gym/hopper/medium", ["iql", "bc"]
    suite = make_suite(
        tasks=[task],
        labels=labels,
        seeds=[*range(10)],
        episodes=2,
        final={(task, label): [50.0] * 10 for label in labels},
        specs={task: get_task(task)},
    )
    content = suite.suite()
    folder = suite.write()
    tuning = {"per": "task", "seeds": SEEDS, "rows": content["rows"], "runs": []}
    for told, mark in (({}, ""), ({"tuning": tuning}, "ᵗ")):
        (folder / "suite.json").write_text(json.dumps(content | told))
        records = read_records(folder)
        comparison = compare(records)
        aggregates, better = Aggregates(records, comparison).grids()
        for row in aggregates.rows:
            assert [text.mark for text in row.texts] == [mark, ""] * 3
        assert better.rows[0].texts[1].mark == mark
        [verdicts] = verdict_grids(comparison.suite, reproductions(Beside(comparison)))
        assert {row.name for row in verdicts.rows} == {*labels}
        for row in verdicts.rows:
            assert [text.mark for text in row.texts] == ["", mark, mark, "", ""]


def test_without_tuning_nothing_is_marked(suite: SuiteBuilder) -> None:
    folder = suite.write()
    build_report(folder)
    for name in ("table.md", "table.csv", "report.html"):
        text = (folder / name).read_text()
        assert "ᵗ" not in text
        assert "tuned" not in text.lower()
    assert not (folder / "tuning.csv").exists()


def test_a_family_has_one_choice_by_the_mean_over_its_tasks(suite: SuiteBuilder) -> None:
    """iql: own 30.5, the other 50.25; bc: own 5.25, the other 5."""
    section = section_of(tuned(suite, per="family"))
    lines = section.tables()["tuning"]
    assert {*lines.loc[lines["chosen_for"] != "", "setting"]} == {"iql.tau-1", "bc"}
    assert {*lines["chosen_for"]} == {"pointmaze", ""}
    [grid] = section.grids()
    assert [str(text) for text in grid.rows[0].texts] == ["25.0", "36.0", "30.5"]
    notes = write_notes(section.comparison)
    assert "chose for each family: " in " ".join(notes.origins)


def test_the_tasks_that_chose_for_a_family_are_named(suite: SuiteBuilder) -> None:
    section = section_of(tuned(suite, per="family", tasks=[EASY]))
    [grid] = section.grids()
    assert [str(text) for text in grid.rows[0].texts] == ["10.0", "30.0", "20.0"]
    notes = write_notes(section.comparison)
    assert f"the highest mean over these seeds on {EASY} of the score" in " ".join(notes.origins)


def test_of_one_place_every_seed_is_listed(make_suite: MakeSuite) -> None:
    [grid] = section_of(tuned(make_suite(tasks=[EASY], labels=["iql", "bc"]))).grids()
    assert grid.title == f"Tuning on {EASY}: every setting tried"
    assert grid.columns == ("Setting", "seed 100", "seed 101", "Mean")
    assert [[str(text) for text in row.texts] for row in grid.rows] == [
        ["10.0", "30.0", "20.0"],
        ["50.0", "60.0", "55.0 (chosen)"],
        ["5.0", "5.0", "5.0 (chosen)"],
        ["2.0", "3.0", "2.5"],
    ]


def test_what_is_not_decided_is_said(suite: SuiteBuilder) -> None:
    section = section_of(tuned(suite, missing=(EASY, "bc.tau-1")))
    said = f"Tuning has chosen no setting yet of bc on {EASY}: some of its runs are not done, "
    assert section.notes()[0].startswith(said)
    [grid] = section.grids()
    row = grid.rows[-1]
    assert (row.name, [str(text) for text in row.texts]) == ("bc.tau-1", ["–", "7.5 (chosen)"])


def test_methods_that_have_not_begun_are_said_and_not_listed(suite: SuiteBuilder) -> None:
    folder = tuned(suite)
    for path in (folder / "tuning-runs").glob("*/bc*"):
        shutil.rmtree(path)
    section = section_of(folder)
    [grid] = section.grids()
    assert [row.name for row in grid.rows] == ["iql (its own)", "iql.tau-1"]
    assert section.notes()[0].startswith("Tuning has chosen no setting yet of bc: some of its runs")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": [0, 100, 101]}, "it tunes on seeds of its final runs"),
        ({"seeds": [100]}, "is of a task, row or seed that it does not list"),
    ],
)
def test_a_suite_file_whose_tuning_does_not_belong_to_it_is_refused(
    suite: SuiteBuilder, changes: dict[str, Any], message: str
) -> None:
    folder = tuned(suite, **changes)
    with pytest.raises(Exception, match=message):
        read_records(folder)


def test_no_score_is_of_a_tuning_run(suite: SuiteBuilder) -> None:
    plain = compare(read_records(suite.write())).scores
    other = SuiteBuilder(suite.root, suite.tasks, labels=suite.labels, name="other")
    assert compare(read_records(tuned(other))).scores.equals(plain)


def test_the_commits_are_named_that_choices_come_from(suite: SuiteBuilder) -> None:
    folder = tuned(suite)
    assert commits_of_tuning(folder) == ["Code of tuning: all runs are of commit 0123abc."]
    [planned] = [
        run
        for run in json.loads((folder / "suite.json").read_text())["tuning"]["runs"]
        if (run["task"], run["label"], run["seed"]) == (HARD, "iql.tau-1", 101)
    ]
    path = folder / planned["path"] / "provenance.json"
    changed = json.loads(path.read_text()) | {"git": {"commit": "fedc4321" * 5, "dirty": True}}
    path.write_text(json.dumps(changed))
    assert commits_of_tuning(folder) == [
        "Code of tuning: not of one commit: 0123abc (iql, bc); fedc432 with changes (iql)."
    ]
    assert any(
        note.startswith("UNCOMMITTED CHANGES: 1 of 16") for note in section_of(folder).notes()
    )
