"""One part of the report that cannot be made takes no other down, and is not passed over."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from harness.commands.cli import app
from harness.errors import UserError
from harness.report import build_report, sections
from harness.report.section import Section
from harness.report.sections import requested, scores
from harness.runs.pack import pack_suite

TASK = "pointmaze/umaze"
FIGURES = [
    {"kind": "metrics", "title": "First", "names": ["critic/loss"]},
    {"kind": "table", "title": "Second", "values": ["score"]},
]
FILES = ("table.md", "table.tex", "report.html", "table.csv", "scores.csv")


def broken(*_: Any, **__: Any) -> Any:
    raise ZeroDivisionError("division\nby zero")


class Broken(Section):
    """Fails whatever is asked of it."""

    subject = "the planted section"
    grids = tables = drawings = cards = notes = mistakes = broken


@pytest.fixture
def folder(make_suite: Callable[..., Any]) -> Path:
    metrics = {(TASK, "bc"): {"critic/loss": [1.0, 2.0, 3.0]}}
    suite = make_suite(labels=["bc"], figures=FIGURES, metrics=metrics)
    return Path(suite.write())


def report(folder: Path) -> tuple[int, str, dict[str, str]]:
    """Exit code, what is printed, and the files of a report."""
    result = CliRunner().invoke(app, ["report", str(folder)], env={"COLUMNS": "5000"})
    return result.exit_code, result.output, {n: (folder / n).read_text() for n in FILES}


def kept(text: str) -> set[str]:
    """The lines of a file that say nothing of what failed."""
    return {line for line in text.splitlines() if "NOT COMPLETE" not in line}


def pictures(folder: Path) -> set[str]:
    return {path.name for path in (folder / "figures").iterdir()}


def test_a_whole_report_ends_well(folder: Path) -> None:
    code, printed, files = report(folder)
    assert code == 0
    assert "NOT COMPLETE" not in printed + "".join(files.values())


def test_a_damaged_run_is_named_in_every_table_with_what_to_do(folder: Path) -> None:
    _, _, whole = report(folder)
    path = next(folder.glob("runs/*/*/seed-1/evaluations.csv"))
    path.write_bytes(path.read_bytes()[:-20])
    code, printed, files = report(folder)
    assert code == 1
    for text in (printed, files["table.md"], files["table.tex"], files["report.html"]):
        assert f"NOT COUNTED: {TASK} bc seed 1: its results are left out: " in text
        assert "repairs what can be repaired" in text
        assert "bc seed 0: its results" not in text
    assert "NOT COUNTED" not in "".join(whole.values())


def test_a_damaged_archive_leaves_the_report_of_whole_ones_as_it_is(folder: Path) -> None:
    """It has all runs of a task: its tables would be written anew without them."""
    pack_suite(folder)
    _, _, whole = report(folder)
    [archive] = (folder / "runs").iterdir()
    archive.write_bytes(archive.read_bytes()[:200])
    with pytest.raises(UserError, match=r"is damaged.*Bring it back from a copy, or delete it"):
        build_report(folder)
    assert {name: (folder / name).read_text() for name in FILES} == whole


@pytest.mark.parametrize(
    ("module", "name", "title", "lost"),
    [
        (requested, "draw_metrics", "figures of 'First'", {"first"}),
        (requested, "table_grids", "tables of 'Second'", set()),
        (scores, "learning_curves", "figures of the learning curves", {"curves"}),
    ],
)
def test_a_figure_that_cannot_be_drawn_is_a_note_and_all_else_is_made(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    name: str,
    title: str,
    lost: set[str],
) -> None:
    _, _, whole = report(folder)
    drawn = pictures(folder)
    for path in (folder / "figures").iterdir():
        path.unlink()
    monkeypatch.setattr(module, name, broken)
    code, printed, files = report(folder)
    assert code == 1
    sentence = f"NOT COMPLETE: the {title} could not be made (ZeroDivisionError: division by zero)"
    for text in (printed, files["table.md"], files["table.tex"].replace("''", "'")):
        assert sentence in text
    assert sentence in files["report.html"].replace("&#39;", "'")
    for name_of in ("table.csv", "scores.csv"):
        assert files[name_of] == whole[name_of]
    assert kept(files["table.md"]) <= kept(whole["table.md"])
    assert {picture.partition(".")[0] for picture in drawn - pictures(folder)} == lost


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            {"kind": "metrics", "names": ["critic/loss", "critic/lss"]},
            "no run has a metric 'critic/lss'. Did you mean 'critic/loss'?",
        ),
        (
            {"kind": "trend", "x": "latency", "value": "metric:critic/los"},
            "no run has a metric 'critic/los'. Did you mean 'critic/loss'?",
        ),
        (
            {"kind": "table", "values": ["score", "measure:in_suport"]},
            "no run has a measure 'in_suport'. Did you mean 'in_support'?",
        ),
        (
            {"kind": "table", "values": ["metric:critic/loss"], "label": "iql"},
            "no run that it shows has a metric 'critic/loss'.",
        ),
    ],
)
def test_a_figure_of_what_no_run_has_is_told_once_a_run_has_finished(
    make_suite: Callable[..., Any], asked: dict[str, Any], said: str
) -> None:
    figures = [*FIGURES, {"title": "Typo", **asked}]
    known = {
        "metrics": {(TASK, "bc"): {"critic/loss": [1.0, 2.0, 3.0]}},
        "measures": {(TASK, "bc"): {"in_support": [1.0, 2.0, 3.0]}},
    }
    labels = ["bc", "iql"]
    suite = make_suite(labels=labels, figures=figures, **known)
    code, printed, files = report(Path(suite.write()))
    assert code == 0
    for text in (printed, files["table.md"], files["report.html"].replace("&#39;", "'")):
        assert text.count(f"Figure 'Typo': {said}") == 1
        assert text.count("Figure '") == 1
    states = {(TASK, label, seed): "running" for label in labels for seed in range(3)}
    suite = make_suite(labels=labels, figures=figures, states=states, name="begun", **known)
    _, printed, files = report(Path(suite.write()))
    assert "Typo': no" not in printed + files["table.md"]


def test_a_section_that_fails_in_every_form_takes_nothing_else_down(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, whole = report(folder)
    monkeypatch.setattr("harness.report.build.SECTIONS", (Broken, *sections.SECTIONS))
    code, printed, files = report(folder)
    assert code == 1
    assert printed.count("of the planted section could not be made") == 6
    assert kept(files["table.md"]) == kept(whole["table.md"])
    assert kept(files["report.html"]) == kept(whole["report.html"])


def test_the_scores_may_fail_and_the_rest_is_made(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report(folder)
    monkeypatch.setattr("harness.report.sections.scores.grids.summary_grid", broken)
    monkeypatch.setattr(scores, "summary_grid", broken)
    code, printed, files = report(folder)
    assert code == 1
    assert "the table for terminals could not be made" in printed
    assert "**Second: pointmaze/umaze**" in files["table.md"]


HOSTILE = (
    "<img src=x onerror=alert(1)> a|b\nc & <b>d</b> [e](http://f) ![g](h) *i* `j` \\| _k_ &lt;"
)


def test_what_users_wrote_is_text_in_every_table(make_suite: Callable[..., Any]) -> None:
    builder = make_suite(
        labels=["bc"],
        figures=[{"kind": "table", "title": HOSTILE, "values": ["score"]}],
        states={(TASK, "bc", 1): "failed"},
        errors={(TASK, "bc", 1): HOSTILE},
    )
    folder = builder.write()
    suite = json.loads((folder / "suite.json").read_text()) | {"title": HOSTILE}
    suite["rows"][0] |= {"title": HOSTILE, "family": HOSTILE, "label": HOSTILE, "base": HOSTILE}
    suite["tasks"][0] |= {"title": HOSTILE, "description": HOSTILE}
    for run in suite["runs"]:
        run["label"] = HOSTILE
    (folder / "suite.json").write_text(json.dumps(suite))
    code, printed, files = report(folder)
    assert code == 0, printed
    page, table = files["report.html"], files["table.md"]
    assert "<img src=x" not in page
    assert "<b>" not in page
    from markdown_it import MarkdownIt

    shown = MarkdownIt("gfm-like", {"linkify": False}).render(table)
    assert "<img" not in shown
    assert "<b>" not in shown
    assert "<a " not in shown
    assert "<em>" not in shown
    assert "<code>" not in shown
    escaped = "&lt;img src=x onerror=alert(1)&gt; a|b c &amp; &lt;b&gt;d&lt;/b&gt; [e](http://f)"
    assert f"<h1>{escaped} ![g](h) *i* `j` \\| _k_ &amp;lt;</h1>" in shown
    tables = [block for block in table.split("\n\n") if block.startswith("|")]
    assert len(tables) == 2
    assert shown.count("<table>") == 2
    assert shown.count("<th") > 5
    assert shown.count(escaped) >= 5


def test_files_that_an_earlier_report_left_are_named_and_stay(folder: Path) -> None:
    report(folder)
    (folder / "rankings.csv").write_text("an earlier report's\n")
    (folder / "figures" / "old.png").write_bytes(b"an earlier report's")
    code, printed, _ = report(folder)
    assert code == 0
    assert f"left as they were in {folder}: figures/old.png, rankings.csv\n" in printed
    assert (folder / "rankings.csv").read_text() == "an earlier report's\n"
