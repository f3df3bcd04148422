"""Readers learn of which commits a table's runs are, and which of no commit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.report import build_report

FIRST, SECOND = "0123abcd" * 5, "fedc4321" * 5
UNKNOWN = {"unknown": "git is not installed, or does not answer"}
ONE_CODE = "Each method's code and the engine's version are the same in all of its runs"


@pytest.fixture
def pages_of(make_suite: Callable[..., Any]) -> Callable[..., tuple[str, str]]:
    def pages(codes: str = "", cpu: str = "", **changed: dict[str, Any]) -> tuple[str, str]:
        """`table.md` and the page's answer; `changed`: what `git` is of a label's first run.

        codes: one letter for the code of each seed's runs.
        cpu: of the first seed's runs.
        """
        folder: Path = make_suite(labels=["iql", "bc"]).write()
        for run in json.loads((folder / "suite.json").read_text())["runs"]:
            path = folder / run["path"] / "provenance.json"
            found = json.loads(path.read_text())
            if run["seed"] == 0 and run["label"] in changed:
                found["git"] = changed[run["label"]]
            if run["seed"] == 0 and cpu:
                found["cpu"] = cpu
            path.write_text(json.dumps(found))
            spec = folder / run["path"] / "spec.json"
            if codes:
                code = {"code": codes[run["seed"]]}
                spec.write_text(json.dumps(json.loads(spec.read_text()) | code))
        build_report(folder)
        answer = (folder / "report.html").read_text().partition('id="answer"')[2]
        return (folder / "table.md").read_text(), answer.partition("</section>")[0]

    return pages


def test_one_commit_is_named_and_nothing_warned_of(pages_of: Callable[..., Any]) -> None:
    table, answer = pages_of()
    assert "- Code: all runs are of commit 0123abc." in table
    assert "Machines:" not in table
    assert "UNCOMMITTED" not in table + answer


def test_several_commits_are_named_with_whose_runs_each_has(pages_of: Callable[..., Any]) -> None:
    table, _ = pages_of(codes="aaa", bc={"commit": SECOND, "dirty": False})
    assert f"- Code: not of one commit: 0123abc (iql, bc); fedc432 (bc). {ONE_CODE}.\n" in table


@pytest.mark.parametrize("codes", ["", "aab"])
def test_nothing_is_said_of_one_code_where_it_is_not_known_or_not_one(
    pages_of: Callable[..., Any], codes: str
) -> None:
    table, _ = pages_of(codes=codes, bc={"commit": SECOND, "dirty": False})
    assert "not of one commit: 0123abc (iql, bc); fedc432 (bc).\n" in table


def test_runs_of_versions_that_wrote_no_commit_count(pages_of: Callable[..., Any]) -> None:
    table, _ = pages_of(bc=None)
    assert "unknown (1 of 6 runs)" in table
    assert "NOT COUNTED" not in table


def test_runs_of_no_known_commit_are_counted(pages_of: Callable[..., Any]) -> None:
    table, _ = pages_of(iql=UNKNOWN)
    assert "not of one commit: 0123abc (iql, bc); unknown (1 of 6 runs)." in table


def test_uncommitted_changes_are_said_beside_the_answer(pages_of: Callable[..., Any]) -> None:
    table, answer = pages_of(iql={"commit": FIRST, "dirty": True})
    said = "UNCOMMITTED CHANGES: 1 of 6 runs (iql) are of code that no commit has"
    assert "not of one commit: 0123abc (iql, bc); 0123abc with changes (iql)." in table
    assert said in table
    assert said in answer
    assert "bc) are of code" not in table


@pytest.mark.parametrize("git", [[1], {"commit": [1]}, {"dirty": "perhaps"}])
def test_a_run_with_a_damaged_commit_does_not_count(
    pages_of: Callable[..., Any], git: object
) -> None:
    table, _ = pages_of(bc=git)
    assert "NOT COUNTED" in table
    assert "provenance.json does not say" in table


def test_several_kinds_of_machine_are_named_with_whose_runs_each_has(
    pages_of: Callable[..., Any],
) -> None:
    table, _ = pages_of(cpu="Another CPU")
    assert "not all runs were made on one kind: Another CPU (2 runs: iql, bc); " in table
    assert " (4 runs: iql, bc). Another processor rounds differently" in table
