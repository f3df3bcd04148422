"""`harness report --all`, and what reports leave alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from harness.commands.cli import app
from harness.errors import UserError
from harness.report import build_report


def report_all(results: Path) -> Any:
    return CliRunner().invoke(app, ["report", "--all", "--results", str(results)])


def files_of(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_suite_that_cannot_be_read_is_told_on_the_index_and_stops_no_other(
    make_suite: Callable[..., Any], tmp_path: Path
) -> None:
    make_suite(labels=["bc"], seeds=[0]).write()
    broken = tmp_path / "group" / "broken"
    broken.mkdir(parents=True)
    (broken / "suite.json").write_text("{}")
    result = report_all(tmp_path)
    assert result.exit_code == 1
    index = (tmp_path / "index.html").read_text()
    assert 'href="demo/report.html"' in index
    assert (tmp_path / "demo" / "report.html").is_file()
    assert "group/broken/suite.json is malformed" in index
    assert 'href="group/broken/report.html"' not in index


def test_an_index_of_other_hands_is_left_and_our_own_is_replaced(
    make_suite: Callable[..., Any], tmp_path: Path
) -> None:
    make_suite(labels=["bc"], seeds=[0]).write()
    index = tmp_path / "index.html"
    index.write_text("<title>mine</title>")
    result = report_all(tmp_path)
    assert isinstance(result.exception, UserError)
    assert f"{index} was not written by this command" in str(result.exception)
    assert index.read_text() == "<title>mine</title>"
    index.unlink()
    assert report_all(tmp_path).exit_code == 0
    first = index.read_bytes()
    assert report_all(tmp_path).exit_code == 0
    assert index.read_bytes() == first


def test_a_reference_named_later_is_in_every_report_from_then_on(
    make_suite: Callable[..., Any], write_suite: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_suite(name="tiny", labels=["bc", "iql"], seeds=[0, 1]).write()
    suite = write_suite(algorithms={"bc": {}, "iql": {}}, compare_to="bc")
    results = ["--results", str(tmp_path)]
    tables, plans = [], []
    for given in (["tiny"], [str(suite)], [str(suite)], ["tiny"], [str(folder)], ["--all"]):
        assert CliRunner().invoke(app, ["report", *given, *results]).exit_code == 0
        tables.append((folder / "table.md").read_text())
        plans.append((folder / "suite.json").read_bytes())
    before, *after = tables
    assert "Differences to a reference: none" in before
    assert "Differences to bc:" in after[0]
    assert len({*after}) == 1
    assert len({*plans[1:]}) == 1


@pytest.mark.parametrize("arguments", [[], ["demo", "--all"]])
def test_a_report_is_of_one_suite_or_of_all(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, ["report", *arguments])
    assert isinstance(result.exception, UserError)
    assert "--all" in str(result.exception)


def test_a_report_leaves_what_it_did_not_make(
    make_suite: Callable[..., Any], tmp_path: Path
) -> None:
    folder = make_suite(labels=["bc"], seeds=[0]).write()
    others = ("notes.txt", "report.old.html", "other.csv", "figures/mine.png", "figures/mine.svg")
    for name in others:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("mine")
    before = files_of(tmp_path)
    build_report(folder)
    build_report(folder)
    after = files_of(tmp_path)
    assert {path: after.get(path) for path in before} == before
