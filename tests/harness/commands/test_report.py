"""`harness report` before anything was run, and with a file of the user's own."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from harness.commands.report import report_suite
from harness.errors import UserError
from harness.runs.suite_file import SuiteFile
from tests.harness.report.conftest import SuiteBuilder

HOPPER = "gym/hopper/medium"


@pytest.fixture
def hopper_suite(write_suite: Callable[..., Path]) -> Callable[..., Path]:
    """A suite on one of D4RL's tasks, whose data are not here."""

    def write(**changes: Any) -> Path:
        algorithms = {"df-div": {}, "iql": {}, "mine": {"algorithm": "bc"}}
        return write_suite(**({"tasks": [HOPPER], "algorithms": algorithms} | changes))

    return write


def report(suite: Path | str, results: Path) -> str:
    console = Console(width=100, record=True, file=io.StringIO())
    assert report_suite(str(suite), results, console)
    return console.export_text()


def test_with_nothing_run_there_is_the_literatures_table(
    hopper_suite: Callable[..., Path], tmp_path: Path
) -> None:
    printed = report(hopper_suite(), tmp_path)
    assert "Nothing of this suite has been run" in printed
    assert "Published averages on gym" in printed
    folder = tmp_path / "tiny"
    text = (folder / "table.md").read_text()
    assert "| iql | 67.5 | – |" in text
    assert "| df-div | – (not at hand) | – |" in text
    assert "Not at hand: the published scores of df-div" in text
    of_suite = text.split("gym medium, protocol not stated, methods of the suite")[1].split("**")[1]
    others = text.split("gym medium, protocol not stated, other methods")[1].split("**")[1]
    assert "| iql |" in of_suite
    assert "| dtql |" in others
    assert "| iql |" not in others
    assert "67.5" in (folder / "table.tex").read_text()
    page = (folder / "report.html").read_text()
    assert "67.5" in page
    assert "Nothing of this suite has been run, so nothing is claimed" in page
    # What only runs tell is not said of methods whose runs there are none of.
    for claim in ("Unlike the others", "leads to its runs", "the chart above", "This ran"):
        assert claim not in page
    assert not pd.read_csv(folder / "published.csv").empty
    # Nothing that looks like results: the suite was not run.
    assert {path.name for path in folder.iterdir()} == {
        *("table.md", "table.tex", "report.html", "published.csv", "figures")
    }


def test_with_nothing_run_an_unknown_protocol_is_refused_too(
    hopper_suite: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="'medn' is no protocol"):
        report_suite(str(hopper_suite()), tmp_path, Console(quiet=True), protocol="medn")


def test_it_needs_neither_torch_nor_ray_nor_data(
    hopper_suite: Callable[..., Path], tmp_path: Path
) -> None:
    program = (
        "import sys; from harness.commands.cli import main; "
        f"sys.argv = ['harness', 'report', {str(hopper_suite())!r}, '--results', {str(tmp_path)!r}]"
        "\ntry: main()\nexcept SystemExit as end: assert not end.code, end.code\n"
        "assert not {'torch', 'ray', 'gymnasium', 'mujoco', 'minari'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def test_a_suite_without_published_scores_has_to_be_run(
    write_suite: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="There are no results of 'tiny'") as refused:
        report(write_suite(), tmp_path)
    assert "look at" not in str(refused.value)
    committed = tmp_path / "local" / "tiny"
    committed.mkdir(parents=True)
    (committed / "suite.json").touch()
    with pytest.raises(UserError, match=f"python -m harness report {committed}"):
        report(write_suite(), tmp_path)


def test_a_file_of_ones_own_is_beside_the_suite_and_comes_first(
    hopper_suite: Callable[..., Path], tmp_path: Path
) -> None:
    path = hopper_suite(published="my_scores.csv")
    (path.parent / "my_scores.csv").write_text(
        "task,method,protocol,score,source\n"
        f"{HOPPER},df-div,last,99.5,the paper\n"
        f"{HOPPER},iql,last,66.0,somebody\n"
        f"{HOPPER},mine,last,12.0,a report of ours\n"
    )
    report(path, tmp_path)
    text = (tmp_path / "tiny" / "table.md").read_text()
    assert "| df-div | 99.5 | – |" in text
    assert "| iql | 66.0 | – |" in text
    assert "| mine | 12.0 | – |" in text
    assert "Not at hand" not in text


@pytest.mark.parametrize(("reference", "kept"), [("td3-bc", "td3-bc"), ("", ""), ("iql", "bc")])
def test_a_file_chooses_the_reference_among_the_rows_that_were_run(
    write_suite: Callable[..., Path], tmp_path: Path, reference: str, kept: str
) -> None:
    labels = ["df-div", "bc", "td3-bc"]
    folder = SuiteBuilder(
        tmp_path, ["pointmaze/umaze"], labels, name="tiny", reference="bc"
    ).write()
    planned = write_suite(
        algorithms={label: {} for label in [*labels, "iql"]}, compare_to=reference
    )
    printed = " ".join(report(planned, tmp_path).split())
    assert SuiteFile.read(folder).compare_to == kept
    said = "iql, which" in printed and "was not run: as before, differences are to bc." in printed
    assert said == (reference == "iql")


@pytest.mark.parametrize(
    ("published", "said"),
    [
        ("absent.csv", ["line", "published.file", "absent.csv cannot be read"]),
        ("my_scores.csv", ["published.file", "line 2, column 'score'", "'a lot'"]),
        ({"methods": ["iqll"]}, ["published.methods[0]", "Did you mean 'iql'"]),
        ({"protocols": ["final"]}, ["published.protocols[0]", "'final' is none of last"]),
        ({"protocol": "last"}, ["published.protocol", "Did you mean 'protocols'"]),
    ],
)
def test_a_mistake_is_said_before_anything_is_made(
    hopper_suite: Callable[..., Path], tmp_path: Path, published: Any, said: list[str]
) -> None:
    path = hopper_suite(published=published)
    (path.parent / "my_scores.csv").write_text(
        f"task,method,protocol,score,source\n{HOPPER},iql,last,a lot,x\n"
    )
    with pytest.raises(UserError) as found:
        report(path, tmp_path / "results")
    for part in said:
        assert part in str(found.value)
    assert not (tmp_path / "results").exists()
