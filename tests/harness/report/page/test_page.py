from __future__ import annotations

import base64
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any
from urllib.parse import unquote

import pytest

from harness.report import build_report
from harness.report.page.settings import flatten
from harness.runs.pack import pack_suite

TASK = "pointmaze/umaze"
OTHER = "pointmaze/large"
VOID = {"meta", "img", "wbr", "br", "link"}


class Page(HTMLParser):
    """Collects text, links and table rows; complains about tags that do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.sources: list[str] = []
        self.ids: list[str] = []
        self.alts: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [value or "" for name, value in attrs if name in {"src", "href"}]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.alts += [value or "" for name, value in attrs if name == "alt"]
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element of a drawing that closes itself."""

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
        errors={(TASK, "td3-bc", 1): "RuntimeError: <NaN> action & more\n\nTraceback\n  line 7"},
    )
    return Page(build_report(suite.write()).paths.html.read_text())


def report_of(suite: Any) -> Page:
    return Page(build_report(suite.write()).paths.html.read_text())


def test_page_is_self_contained(page: Page) -> None:
    images = [source for source in page.sources if source.startswith("data:image/png;base64,")]
    assert len(images) == 3
    for image in images:
        assert base64.b64decode(image.partition(",")[2]).startswith(b"\x89PNG")
    loaded = [x for x in page.sources if x not in images and not x.startswith(("#", "runs/"))]
    assert {*loaded} == {"data:,", "https://arxiv.org/abs/0000.00000"}


def test_every_link_on_the_page_has_its_target_and_every_run_folder_is_there(
    make_suite: Callable[..., Any],
) -> None:
    suite = make_suite(tasks=[TASK, OTHER], labels=["df-dir", "bc", "iql"])
    found = report_of(suite)
    inside = [source[1:] for source in found.sources if source.startswith("#")]
    assert len(inside) > 20
    assert {*inside} <= {*found.ids}
    assert len({*found.ids}) == len(found.ids)
    folders = [source for source in found.sources if source.startswith("runs/")]
    assert len(folders) == len({*folders}) == 18
    assert all((suite.folder / unquote(folder)).is_dir() for folder in folders)


def test_every_score_leads_to_its_runs_and_every_average_to_its_method(
    make_suite: Callable[..., Any],
) -> None:
    suite = make_suite(tasks=[TASK, OTHER], labels=["df-dir", "bc"], final={(OTHER, "bc"): [7] * 3})
    html = build_report(suite.write()).paths.html.read_text()
    assert re.search(r'<td><a href="#runs/pointmaze%2Flarge/bc">7\.0</a>', html)
    assert html.count('<a href="#runs/pointmaze%2Flarge/bc">7.0</a>') == 1
    average = re.search(r"Average \(pointmaze\).*?</tr>", html)
    assert average is not None
    assert re.findall(r'href="#([^"]*)"', average[0]) == ["method/df-dir", "method/bc"]


def test_packed_runs_lead_to_their_archive(make_suite: Callable[..., Any]) -> None:
    suite = make_suite(labels=["bc"])
    folder = suite.write()
    pack_suite(folder)
    packed = [x for x in Page(build_report(folder).paths.html.read_text()).sources if "runs/" in x]
    assert {x for x in packed if not x.startswith("#")} == {
        f"{suite.run_path(TASK, 'bc', 0).parent.parent.relative_to(folder)}.tar.xz"
    }


def test_page_shows_what_users_wrote_as_text(page: Page) -> None:
    assert "Does Decision Flow beat cloning & offline RL <on mazes>?" in page.text
    assert "RuntimeError: <NaN> action & more" in page.text


def test_every_planned_run_has_a_line(page: Page) -> None:
    rows = [row for row in page.rows if len(row) == 6 and row[5] in {"folder", "none"}]
    assert [row[0] for row in rows] == ["0", "1", "2"] * 3
    assert [row[1] for row in rows] == ["done"] * 4 + ["failed"] + ["done"] * 3 + ["missing"]
    assert rows[0][3:] == ["20,000", "3 min 20 s", "folder"]
    assert rows[-1][2:] == ["–", "–", "–", "none"]


def test_runs_that_failed_alike_are_told_once_and_the_traceback_is_folded(
    make_suite: Callable[..., Any],
) -> None:
    failed = [(TASK, label, seed) for label in ("bc", "iql") for seed in (0, 1)]
    errors = dict.fromkeys(failed, "ValueError: bad\n\nTraceback\n  line 7")
    suite = make_suite(labels=["bc", "iql"], states=dict.fromkeys(failed, "failed"), errors=errors)
    html = build_report(suite.write()).paths.html.read_text()
    assert html.count("Traceback") == 1
    assert '<details class="failure">' in html
    assert "4×" in Page(html).text
    for _, label, seed in failed:
        assert f">{TASK}, {label}, seed {seed}: failed</a></li>" in html


def test_pictures_say_what_they_show_with_the_numbers_of_the_chart(
    make_suite: Callable[..., Any],
) -> None:
    found = report_of(make_suite(labels=["bc", "iql"], final={(TASK, "bc"): [40.0, 50.0, 60.0]}))
    assert len(found.alts) == 2
    assert "bc 50.0 (95% interval 25.2 to 74.8)" in found.alts[0]  # 50 ± 4.303 · 10 / √3
    assert found.alts[1].startswith("Learning curves. ")


def test_score_table_equals_the_markdown_table(make_suite: Callable[..., Any]) -> None:
    paths = build_report(make_suite().write()).paths
    line = next(x for x in paths.markdown.read_text().splitlines() if x.startswith("| df-dir"))
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
    assert "python -m harness report FOLDER" in page.text


def test_the_page_names_the_protocol_that_its_scores_are_by(
    make_suite: Callable[..., Any],
) -> None:
    folder = make_suite(labels=["df-dir", "bc"]).write()
    for protocol, named in (("last", "last, 10"), ("best", "best (online selection), 10")):
        page = Page(build_report(folder, protocol=protocol).paths.html.read_text())
        assert f"Protocol{named} episodes" in page.text
        assert ("By online selection ('best'), on" in page.text) == (protocol == "best")
        assert ("report FOLDER --protocol best" in page.text) == (protocol == "best")


def test_settings_that_tasks_differ_in_are_listed_by_task(make_suite: Callable[..., Any]) -> None:
    suite = make_suite(tasks=[TASK, OTHER], labels=["bc"], seeds=[0])
    folder = suite.write()
    spec = suite.run_path(OTHER, "bc", 0) / "spec.json"
    spec.write_text(spec.read_text().replace('"discount": 0.99', '"discount": 0.995'))
    rows = Page(build_report(folder).paths.html.read_text()).rows
    assert ["discount", f"{OTHER}: 0.995; {TASK}: 0.99"] in rows
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


def test_costs_stand_by_score_the_best_method_first(make_suite: Callable[..., Any]) -> None:
    final = {(TASK, label): [score] * 3 for label, score in (("bc", 5.0), ("iql", 90.0))}
    found = report_of(
        make_suite(labels=["bc", "fql", "iql"], final=final | {(TASK, "fql"): [7] * 3})
    )
    assert [row[0] for row in found.rows if row[1:2] == ["3 of 3"]] == ["iql", "fql", "bc"]


def test_costs_count_the_time_of_a_trial_once(make_suite: Callable[..., Any]) -> None:
    latencies = {(TASK, "bc"): [0.2, 0.4, 0.6]}
    found = report_of(make_suite(labels=["bc"], latencies=latencies))
    assert ["bc", "3 of 3", "3 min 20 s", "8%", "111", "0.400"] in found.rows  # 15 s of 200 s
