from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
from rich.console import Console

from harness.errors import UserError
from harness.report import build_report, render_terminal
from harness.report.comparison import Comparison, compare
from harness.report.layout import Grid, GridRow, Text
from harness.report.notes import SMOKE, write_notes
from harness.report.records import read_records
from harness.report.sections.scores.grids import (
    MAX_COLUMNS,
    difference_grids,
    score_grids,
    summary_grid,
)
from harness.report.sections.scores.numbers import curves_csv, scores_csv, table_csv
from harness.report.tables import escape_latex, latex, markdown

EASY, HARD = "pointmaze/umaze", "pointmaze/large_maze"
FINAL = {
    (EASY, "df-dir"): [90.0, 91.0, 92.0],
    (EASY, "iql"): [89.0, 90.0, 91.0],
    (EASY, "bc"): [49.0, 50.0, 51.0],
    (HARD, "df-dir"): [60.0, 61.0, 62.0],
    (HARD, "iql"): [20.0, 21.0, 22.0],
    (HARD, "bc"): [0.0, 1.0, 2.0],
}
LABELS = ["df-dir", "iql", "bc"]


@pytest.fixture
def two_tasks(make_suite: Callable[..., Any]) -> Callable[..., Comparison]:
    def make(**settings: Any) -> Comparison:
        defaults: dict[str, Any] = {"tasks": [EASY, HARD], "labels": LABELS, "final": FINAL}
        return compare(read_records(make_suite(**(defaults | settings)).write()))

    return make


def markdown_rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_cells_averages_and_order_are_those_computed_by_hand(
    two_tasks: Callable[..., Comparison],
) -> None:
    comparison = two_tasks(labels=["bc", "df-dir"], episodes=1)
    text = markdown("T", score_grids(comparison), write_notes(comparison))
    assert markdown_rows(text) == [
        ["Task", "df-dir", "bc"],
        ["---", "---:", "---:"],
        [EASY, "91.0 ± 1.0", "50.0 ± 1.0"],
        [HARD, "61.0 ± 1.0", "1.0 ± 1.0"],
        ["**Average (pointmaze)**", "76.0", "25.5"],
    ]


def test_what_there_is_more_of_is_the_rows_and_methods_stand_best_first(
    two_tasks: Callable[..., Comparison],
) -> None:
    (grid,) = score_grids(two_tasks(labels=["bc", "iql", "df-dir"]))
    assert grid.columns == ("Algorithm", "umaze", "large_maze", "Average")
    assert [row.name for row in grid.rows] == ["df-dir", "iql", "bc"]


FIVE = {
    (EASY, "df-dir"): [90.0, 91.0, 92.0, 93.0, 94.0],
    (EASY, "iql"): [89.0, 90.0, 91.5, 92.0, 93.5],  # lower by 0.8 ± 0.27: t = 6.5, p = .003
    (EASY, "bc"): [95.0, 88.0, 92.0, 91.0, 93.0],  # lower by 0.2 ± 3.3: not told apart
}


def one_task(make_suite: Callable[..., Any], count: int, reference: str = "") -> Comparison:
    final = {key: scores[:count] for key, scores in FIVE.items()}
    suite = make_suite(labels=LABELS, final=final, seeds=list(range(count)), reference=reference)
    return compare(read_records(suite.write()))


def test_bold_is_what_a_paired_test_does_not_tell_apart_from_the_best(
    make_suite: Callable[..., Any],
) -> None:
    comparison = one_task(make_suite, 5)
    bold = {row.name: row.texts[0].bold for row in score_grids(comparison)[0].rows}
    assert bold == {"df-dir": True, "bc": True, "iql": False}


def test_below_five_seeds_nothing_is_bold_and_the_notes_say_why(
    make_suite: Callable[..., Any],
) -> None:
    comparison = one_task(make_suite, 4)
    assert comparison.best([EASY]) == set()
    notes = " ".join(write_notes(comparison).general)
    assert "No score is bold: with fewer than 5 seeds" in notes


def test_differences_are_those_of_runs_with_the_same_seed(make_suite: Callable[..., Any]) -> None:
    comparison = one_task(make_suite, 5, reference="iql")
    (grid,) = difference_grids(comparison)
    assert grid.title == "Differences to iql, paired by seed on pointmaze"
    x, y = np.array(FIVE[EASY, "df-dir"]), np.array(FIVE[EASY, "iql"])
    test = scipy.stats.ttest_rel(x, y)
    half = test.confidence_interval(0.95).high - 0.8
    first = {row.name: row.texts[0] for row in grid.rows}["df-dir"]
    assert str(first) == f"0.8 ± {half:.1f} (p {2 * test.pvalue:.3f})"  # the smaller of two p
    assert first.bold
    line = table_csv(comparison).set_index("algorithm").loc["df-dir"]
    assert line["compared_to"] == "iql"
    assert line["p"] == pytest.approx(test.pvalue)
    assert line["p_holm"] == pytest.approx(2 * test.pvalue)
    assert "iql (reference)" in [row.name for row in score_grids(comparison)[0].rows]


def test_seeds_that_one_side_lacks_are_left_out_of_differences(
    make_suite: Callable[..., Any],
) -> None:
    final = {key: scores for key, scores in FIVE.items() if key[1] != "bc"}
    states = {(EASY, "df-dir", 0): "failed", (EASY, "iql", 4): "failed"}
    suite = make_suite(labels=["df-dir", "iql"], final=final, seeds=list(range(5)), states=states)
    found = compare(read_records(suite.write())).difference("df-dir", "iql", [EASY])
    assert found is not None
    assert found.pairs == 3
    assert found.mean == pytest.approx((1.0 + 0.5 + 1.0) / 3)  # seeds 1, 2 and 3


def test_without_a_reference_the_notes_say_how_to_name_one(
    two_tasks: Callable[..., Comparison],
) -> None:
    comparison = two_tasks()
    assert difference_grids(comparison) == []
    assert "`compare_to: df-dir`" in " ".join(write_notes(comparison).general)


def test_failed_missing_and_partial_cells_say_so(two_tasks: Callable[..., Comparison]) -> None:
    every = range(3)
    comparison = two_tasks(
        episodes=1,
        states={(EASY, "df-dir", 1): "failed"}
        | {(EASY, "iql", seed): "failed" for seed in every}
        | {(HARD, "bc", seed): "missing" for seed in every},
    )
    rows = {row.name: [str(text) for text in row.texts] for row in score_grids(comparison)[0].rows}
    assert rows == {
        "df-dir": ["91.0 ± 1.4 (2/3 seeds)", "61.0 ± 1.0", "76.0"],
        "iql": ["failed", "21.0 ± 1.0", "–"],
        "bc": ["50.0 ± 1.0", "–", "–"],
    }


def test_nothing_finished_is_dashes(two_tasks: Callable[..., Comparison]) -> None:
    states = {(task, label, seed): "missing" for task, label in FINAL for seed in range(3)}
    comparison = two_tasks(states=states)
    grids = [*score_grids(comparison), summary_grid(comparison)]
    assert {str(text) for grid in grids for row in grid.rows for text in row.texts} == {"–"}


def test_a_single_seed_has_no_spread(two_tasks: Callable[..., Comparison]) -> None:
    comparison = two_tasks(seeds=[0])
    rows = score_grids(comparison)[0].rows
    assert [str(row.texts[0]) for row in rows] == ["90.0", "89.0", "49.0"]
    assert "only seed" in " ".join(write_notes(comparison).general)


def test_episode_noise_is_marked_where_it_explains_most_of_the_spread(
    make_suite: Callable[..., Any],
) -> None:
    final = {(EASY, "df-dir"): [10.0, 50.0, 90.0], (EASY, "iql"): [49.0, 50.0, 51.0]}
    suite = make_suite(labels=["df-dir", "iql"], final=final, episodes=10)
    comparison = compare(read_records(suite.write()))
    # Episodes scatter with sd 8 here: 8 / sqrt(10) = 2.5 points, more than the 1 between iql's.
    assert comparison.cells[EASY, "iql"].episode_error == pytest.approx(8 / 10**0.5, rel=0.4)
    texts = {row.name: str(row.texts[0]) for row in score_grids(comparison)[0].rows}
    assert texts == {"df-dir": "50.0 ± 40.0", "iql": "50.0 ± 1.0°"}
    line = table_csv(comparison).set_index("algorithm").loc["df-dir"]
    assert line["episode_share"] == pytest.approx((line["episode_error"] / 40) ** 2)


def test_protocols_are_recomputed_from_the_stored_evaluations(
    make_suite: Callable[..., Any],
) -> None:
    suite = make_suite(labels=["bc"], seeds=[0], episodes=3, steps=6_000)
    records = read_records(suite.write())
    means = records.evaluations.groupby("step")["normalized_score"].mean()
    expected = {
        "last": means.iloc[-1],
        "mean-of-last-2": means.iloc[-2:].mean(),
        "best": means.max(),
        "expected-best-of-1": means.mean(),
    }
    for name, score in expected.items():
        comparison = compare(records, name)
        assert comparison.cells[EASY, "bc"].mean == pytest.approx(score), name
        assert {*scores_csv(comparison)["protocol"]} == {name}
    comparison = compare(records, "best")
    assert "ONLINE SELECTION" in write_notes(comparison).protocol
    assert "ONLINE SELECTION" in score_grids(comparison)[0].title
    assert table_csv(comparison)["online_selection"].all()


def test_a_protocol_that_needs_more_evaluations_than_there_are_says_so(
    make_suite: Callable[..., Any],
) -> None:
    records = read_records(make_suite(labels=["bc"], seeds=[0], steps=6_000).write())
    with pytest.raises(UserError, match=r"needs 5 evaluations a run, and bc on .*, seed 0, has 3"):
        compare(records, "mean-of-last-5")


def test_curves_csv_holds_every_evaluation(make_suite: Callable[..., Any]) -> None:
    records = read_records(make_suite(labels=["bc"], seeds=[0, 1], steps=6_000).write())
    table = curves_csv(records)
    assert list(table) == ["step", "task", "label", "seed", "score"]
    assert list(table["step"]) == [2_000, 4_000, 6_000] * 2
    last = compare(records).cells[EASY, "bc"].scores
    assert list(table.loc[table["step"] == 6_000, "score"]) == pytest.approx(list(last))


def test_many_algorithms_become_rows_and_columns_stay_few(make_suite: Callable[..., Any]) -> None:
    tasks = [f"gym/t{i}" for i in range(9)] + [f"adroit/t{i}" for i in range(3)]
    labels = [f"method-{i}" for i in range(35)]
    suite = make_suite(tasks=tasks, labels=labels, seeds=[0], every=20_000, episodes=1)
    grids = score_grids(compare(read_records(suite.write())))
    assert [len(grid.rows) for grid in grids] == [35, 35, 35]
    assert all(len(grid.columns) <= MAX_COLUMNS + 2 for grid in grids)
    shown = [name for grid in grids for name in grid.columns if name.startswith("t")]
    assert shown == [task.split("/")[1] for task in tasks]


def test_several_families_get_an_average_each_and_one_over_all(
    make_suite: Callable[..., Any],
) -> None:
    suite = make_suite(tasks=["gym/a", "gym/b", "adroit/c"], labels=["bc"], episodes=1)
    names = [row.name for row in score_grids(compare(read_records(suite.write())))[0].rows]
    expected = ["gym/a", "gym/b", "Average (gym)", "adroit/c", "Average (all 3 tasks)"]
    assert names == expected


def test_csv_holds_the_numbers_in_full_precision(two_tasks: Callable[..., Comparison]) -> None:
    comparison = two_tasks()
    text = table_csv(comparison).to_csv(index=False)
    rows = {(r["task"], r["algorithm"]): r for r in csv.DictReader(io.StringIO(text))}
    row = rows[EASY, "iql"]
    assert float(row["std"]) == pytest.approx(1.0, rel=1e-9)
    half = 4.302652729749464 / 3**0.5  # t(0.975, 2) times the standard error
    assert float(row["ci95_low"]) == pytest.approx(90 - half, rel=1e-9)
    assert (row["seeds"], row["best"], row["protocol"]) == ("3", "False", "last")
    assert float(rows["average (pointmaze)", "bc"]["mean"]) == pytest.approx(25.5)
    assert len(scores_csv(comparison)) == 18


def test_notes_spell_out_protocol_budget_data_and_semantics(
    two_tasks: Callable[..., Comparison],
) -> None:
    notes = write_notes(two_tasks())
    text = " ".join([*notes.general, *notes.tasks])
    for fact in (
        "Protocol 'last'",
        "20,000 gradient steps",
        "10 evaluation episodes every 2,000",
        "3 seeds (0, 1, 2)",
        "ddof = 1",
        "Welch",
        "pointmaze/umaze-150k-v0, made locally by the recipe pointmaze",
        "transitions=150000",
        "sparse: probability that the next position is within 0.45",
        "100 (return - 5) / (205 - 5)",
        "hand-made_for_tests",
        "never terminate.",
    ):
        assert fact in text


def test_smoke_results_are_labelled_in_every_artefact(make_suite: Callable[..., Any]) -> None:
    report = build_report(make_suite(labels=["bc"], smoke=True).write())
    paths = report.paths
    for path in (paths.markdown, paths.latex, paths.csv, paths.scores, paths.html):
        assert SMOKE in path.read_text(), path.name
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(render_terminal(report))
    assert SMOKE in console.export_text()


def test_real_results_are_not_called_smoke(make_suite: Callable[..., Any]) -> None:
    paths = build_report(make_suite(labels=["bc"]).write()).paths
    for path in (paths.markdown, paths.latex, paths.csv, paths.scores, paths.html):
        assert "SMOKE" not in path.read_text(), path.name


def test_latex_escapes_what_it_would_misread() -> None:
    assert escape_latex("50% of a_b & c#1 ± 2") == r"50\% of a\_b \& c\#1 $\pm$ 2"


def test_pdflatex_can_read_every_character() -> None:
    """It stops at characters that it has no glyph of."""
    assert escape_latex("KL ∞, ρ → λ, σ ≤ ω") == (
        r"KL $\infty$, $\rho$ $\to$ $\lambda$, $\sigma$ $\le$ $\omega$"
    )
    assert escape_latex("Müller, 漢 ✓") == "Müller, [U+6F22] [U+2713]"


def test_latex_rows_have_as_many_cells_as_columns(two_tasks: Callable[..., Comparison]) -> None:
    comparison = two_tasks()
    grids = [*score_grids(comparison), summary_grid(comparison)]
    text = latex("Under_score", grids, write_notes(comparison))
    assert r"df-dir & 91.0{\tiny\,$\pm$\,1.0$^\circ$} & 61.0" in text
    assert not re.search(r"(?<!\\)_", text)
    for grid, tabular in zip(grids, text.split(r"\begin{tabular}")[1:], strict=True):
        rows = [line for line in tabular.splitlines() if line.endswith(r"\\") and "&" in line]
        assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {len(grid.columns)}


def _pdflatex(folder: Path, table: Path) -> str:
    """What pdflatex says of a page with the table. Raises CalledProcessError if it stops."""
    document = (
        r"\documentclass{article}\usepackage{booktabs,graphicx}\begin{document}"
        rf"\input{{{table}}}\end{{document}}"
    )
    (folder / "page.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    return subprocess.run(command, cwd=folder, capture_output=True, check=True, text=True).stdout


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_latex_compiles(make_suite: Callable[..., Any], tmp_path: Path) -> None:
    paths = build_report(make_suite(tasks=[EASY, HARD], smoke=True).write()).paths
    _pdflatex(tmp_path, paths.latex)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
@pytest.mark.parametrize("columns", [3, 30])
def test_no_table_is_wider_than_the_page(
    columns: int, two_tasks: Callable[..., Comparison], tmp_path: Path
) -> None:
    row = GridRow("row", (Text("91.0", spread="12.3"),) * columns)
    grid = Grid("Many", ("Method", *["a-task"] * columns), (row,))
    notes = replace(write_notes(two_tasks()), origins=(), data=(), statistics=())
    (tmp_path / "table.tex").write_text(latex("Wide", [grid], notes))
    says = _pdflatex(tmp_path, tmp_path / "table.tex")
    assert "Output written" in says
    assert not re.search(r"Overfull \\hbox \(\d{2,}", says)


def test_terminal_table_fits_80_characters(make_suite: Callable[..., Any]) -> None:
    report = build_report(make_suite().write())
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(render_terminal(report))
    lines = console.export_text().splitlines()
    assert any(re.match(r"df-dir +\d+\.\d ± \d+\.\d°? +\[", line) for line in lines), lines


def test_a_row_of_another_budget_has_it_in_the_notes_and_beside_its_numbers(
    make_suite: Callable[..., Any],
) -> None:
    suite = make_suite(labels=["bc", "td3-bc"], entries={"td3-bc": {"steps": 40_000}})
    report = build_report(suite.write())
    assert "20,000 gradient steps a run (but td3-bc 40,000)" in report.paths.markdown.read_text()
    rows = list(csv.DictReader(io.StringIO(report.paths.scores.read_text())))
    assert {(row["label"], row["steps"]) for row in rows} == {("bc", "20000"), ("td3-bc", "40000")}
    assert {row["state"] for row in rows} == {"done"}
