from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest

from harness.report import build_report
from harness.report.html import flatten

TASK = "pointmaze/umaze"
VOID = {"meta", "img", "wbr", "br"}


class Page(HTMLParser):
    """Collects text, links and table rows; complains about tags that do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.sources: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [value or "" for name, value in attrs if name in {"src", "href"}]
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


@pytest.fixture
def page(make_suite: Callable[..., Any]) -> Page:
    suite = make_suite(
        labels=["df-dir", "td3-bc", "bc"],
        states={(TASK, "td3-bc", 1): "failed", (TASK, "bc", 2): "missing"},
        errors={(TASK, "td3-bc", 1): "RuntimeError: <NaN> action & more"},
    )
    return Page(build_report(suite.write()).paths.html.read_text())


def test_page_is_self_contained(page: Page) -> None:
    images = [source for source in page.sources if source.startswith("data:image/png;base64,")]
    assert len(images) == 3
    assert [source for source in page.sources if source not in images] == ["#data"]
    for image in images:
        assert base64.b64decode(image.partition(",")[2]).startswith(b"\x89PNG")


def test_page_shows_what_users_wrote_as_text(page: Page) -> None:
    assert "Does Decision Flow beat cloning & offline RL <on mazes>?" in page.text
    assert "RuntimeError: <NaN> action & more" in page.text


def test_every_planned_run_has_a_status_row(page: Page) -> None:
    rows = [row for row in page.rows if row[0] == TASK and len(row) == 9]
    assert [row[3] for row in rows] == ["done"] * 4 + ["failed"] + ["done"] * 3 + ["missing"]
    assert rows[0][6:] == ["200", "111", "0.400"]
    assert rows[-1][5:] == ["–"] * 4


def test_score_table_equals_the_markdown_table(make_suite: Callable[..., Any]) -> None:
    paths = build_report(make_suite().write()).paths
    line = next(x for x in paths.markdown.read_text().splitlines() if x.startswith(f"| {TASK}"))
    expected = [cell.strip() for cell in line.replace("**", "").strip("|").split("|")]
    shown = [[" ".join(cell.split()) for cell in row] for row in Page(paths.html.read_text()).rows]
    assert expected in shown


def test_page_shows_configuration_data_provenance_and_commands(page: Page) -> None:
    assert ["flow_steps", "10"] in page.rows
    assert ["actor.hidden_dims", "[128, 128]"] in page.rows
    assert ["dataset", "pointmaze/umaze-150k-v0"] in page.rows
    assert ["packages.torch", "2.13.0"] in page.rows
    assert ["git.commit", "0123abcd" * 5] in page.rows
    assert "python -m harness run suites/demo.yaml" in page.text
    assert "python -m harness report demo" in page.text


def test_settings_that_tasks_differ_in_are_listed_by_task(make_suite: Callable[..., Any]) -> None:
    other = "pointmaze/large"
    suite = make_suite(tasks=[TASK, other], labels=["bc"], seeds=[0])
    folder = suite.write()
    spec = suite.run_path(other, "bc", 0) / "spec.json"
    spec.write_text(spec.read_text().replace('"discount": 0.99', '"discount": 0.995'))
    rows = Page(build_report(folder).paths.html.read_text()).rows
    assert ["discount", f"{other}: 0.995; {TASK}: 0.99"] in rows
    assert ["batch_size", "256"] in rows


def test_flatten_joins_nested_names() -> None:
    nested = {"a": {"b": {"c": 1}, "d": [1, 2]}, "e": "text", "f": None}
    assert flatten(nested) == {"a.b.c": "1", "a.d": "[1, 2]", "e": "text", "f": "null"}


def test_importing_the_report_loads_no_training_or_simulation_library() -> None:
    code = (
        "import sys, harness.report; heavy = {'torch', 'ray', 'gymnasium', 'mujoco', 'minari'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr
