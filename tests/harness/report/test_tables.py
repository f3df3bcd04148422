from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness.report import build_report, render_terminal
from harness.report.comparison import Comparison, compare
from harness.report.notes import SMOKE, write_notes
from harness.report.records import read_records
from harness.report.sections.scores.grids import MAX_COLUMNS, score_grids, summary_grid
from harness.report.sections.scores.numbers import scores_csv, table_csv
from harness.report.tables import escape_latex, latex, markdown

EASY, HARD = "pointmaze/umaze", "pointmaze/large_maze"
FINAL = {
    (EASY, "df-dir"): [90.0, 91.0, 92.0],
    (EASY, "iql"): [89.0, 90.0, 91.0],  # t = 1.22 < 2.78: tied
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


def test_cells_averages_and_bold_are_those_computed_by_hand(
    two_tasks: Callable[..., Comparison],
) -> None:
    comparison = two_tasks()
    text = markdown("T", score_grids(comparison), write_notes(comparison))
    assert markdown_rows(text) == [
        ["Task", *LABELS],
        ["---", "---:", "---:", "---:"],
        [EASY, "**91.0** ± 0.8", "**90.0** ± 0.8", "50.0 ± 0.8"],
        [HARD, "**61.0** ± 0.8", "21.0 ± 0.8", "1.0 ± 0.8"],
        ["**Average (pointmaze)**", "**76.0**", "55.5", "25.5"],
    ]


def test_failed_missing_and_partial_cells_say_so(two_tasks: Callable[..., Comparison]) -> None:
    every = range(3)
    comparison = two_tasks(
        states={(EASY, "df-dir", 1): "failed"}
        | {(EASY, "iql", seed): "failed" for seed in every}
        | {(HARD, "bc", seed): "missing" for seed in every}
    )
    easy, hard, average = score_grids(comparison)[0].rows
    assert [str(cell) for cell in easy.texts] == ["91.0 ± 1.0 (2/3 seeds)", "failed", "50.0 ± 0.8"]
    assert str(hard.texts[2]) == "–"
    assert [str(cell) for cell in average.texts] == ["76.0", "–", "–"]


def test_with_one_seed_only_the_best_is_bold_and_no_spread_is_invented(
    two_tasks: Callable[..., Comparison],
) -> None:
    comparison = two_tasks(seeds=[0])
    easy = score_grids(comparison)[0].rows[0].texts
    assert [(str(cell), cell.bold) for cell in easy] == [
        ("90.0", True),
        ("89.0", False),
        ("49.0", False),
    ]
    assert "one seed" in " ".join(write_notes(comparison).general)


def test_summary_compares_with_the_leader(two_tasks: Callable[..., Comparison]) -> None:
    grid = summary_grid(two_tasks())
    assert grid.columns[-1] == "P(df-dir better)"
    by_name = {row.name: [str(cell) for cell in row.texts] for row in grid.rows}
    # On the easy task 6 of 9 pairs are won, 2 tied: (6 + 1) / 9; on the hard one all.
    assert by_name["iql"][-1] == f"{(7 / 9 + 1) / 2:.2f}"
    assert by_name["df-dir"][-1] == "–"
    assert by_name["df-dir"][0] == "76.0"
    assert by_name["df-dir"][2] == "76.0"  # IQM: the middle four of 60, 61, 62, 90, 91, 92


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
    assert float(row["std"]) == pytest.approx((2 / 3) ** 0.5, rel=1e-12)
    half = 4.302652729749464 / 3**0.5  # t(0.975, 2) times the standard error
    assert float(row["ci95_low"]) == pytest.approx(90 - half, rel=1e-4)
    assert (row["seeds"], row["best"], row["protocol"]) == ("3", "True", "last")
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
        "ddof = 0",
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


def test_latex_rows_have_as_many_cells_as_columns(two_tasks: Callable[..., Comparison]) -> None:
    comparison = two_tasks()
    grids = [*score_grids(comparison), summary_grid(comparison)]
    text = latex("Under_score", grids, write_notes(comparison))
    assert r"pointmaze/large\_maze & \textbf{61.0}{\tiny\,$\pm$\,0.8} & 21.0" in text
    assert not re.search(r"(?<!\\)_", text)
    for grid, tabular in zip(grids, text.split(r"\begin{tabular}")[1:], strict=True):
        rows = [line for line in tabular.splitlines() if line.endswith(r"\\") and "&" in line]
        assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {len(grid.columns)}


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_latex_compiles(make_suite: Callable[..., Any], tmp_path: Path) -> None:
    paths = build_report(make_suite(tasks=[EASY, HARD], smoke=True).write()).paths
    document = (
        r"\documentclass{article}\usepackage{booktabs}\begin{document}"
        rf"\input{{{paths.latex}}}\end{{document}}"
    )
    (tmp_path / "page.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True).returncode == 0


def test_terminal_table_fits_80_characters(make_suite: Callable[..., Any]) -> None:
    report = build_report(make_suite().write())
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(render_terminal(report))
    lines = console.export_text().splitlines()
    assert any(re.match(r"df-dir +\d+\.\d ± \d+\.\d +\[", line) for line in lines)


def test_a_row_of_another_budget_has_it_in_the_notes_and_beside_its_numbers(
    make_suite: Callable[..., Any],
) -> None:
    suite = make_suite(labels=["bc", "td3-bc"], entries={"td3-bc": {"steps": 40_000}})
    report = build_report(suite.write())
    assert "20,000 gradient steps a run (but td3-bc 40,000)" in report.paths.markdown.read_text()
    rows = list(csv.DictReader(io.StringIO(report.paths.scores.read_text())))
    assert {(row["label"], row["steps"]) for row in rows} == {("bc", "20000"), ("td3-bc", "40000")}
    assert {row["state"] for row in rows} == {"done"}
