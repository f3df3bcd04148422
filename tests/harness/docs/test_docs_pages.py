"""The committed pages under docs/ and the README agree with the code and results beside them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from algorithms import registry
from harness.docs.blocks import find_blocks
from harness.docs.place import Place
from harness.docs.render import render
from harness.report.panels import BAND_FROM
from harness.runs.suite_file import SuiteFile
from tests.harness.conftest import REPOSITORY

DOCS, RESULTS = REPOSITORY / "docs", REPOSITORY / "results"
PAGES = [*sorted(DOCS.rglob("*.md")), REPOSITORY / "README.md"]
GENERATED = [page for page in PAGES if find_blocks(page.read_text("utf-8"))]


def results_folder(request: str) -> Path | None:
    """The suite's folder that a block is about, if it is about one."""
    kind, *words = request.split()
    if kind == "results":
        return RESULTS / words[0]
    return (RESULTS / words[0]).parents[1] if kind == "figure" else None


@pytest.mark.parametrize("page", GENERATED, ids=lambda page: page.name)
def test_committed_pages_are_up_to_date(page: Path) -> None:
    for found in find_blocks(page.read_text("utf-8")):
        folder = results_folder(found.request)
        if folder is None or folder.is_dir():
            written = render(found.request, Place(page, RESULTS))
            assert found.content == written, f"line {found.line}: run `python -m harness docs`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_of_committed_pages_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text("utf-8"), flags=re.DOTALL)
    links = [link for link in re.findall(r"\]\(([^)]*)\)", prose) if not link.startswith("http")]
    for link in links:
        file, _, anchor = link.partition("#")
        target = page.parent / file if file else page
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text("utf-8"), flags=re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}


def test_captions_of_learning_curves_say_what_is_drawn_beside_the_means() -> None:
    told = 0
    for page in PAGES:
        for found in find_blocks(page.read_text("utf-8")):
            if re.match(r"figure \S*/curves\S* .*means over", found.request):
                told += 1
                folder = results_folder(found.request)
                assert folder is not None
                seeds = len(SuiteFile.read(folder).seeds)
                drawn = "95% intervals" if seeds >= BAND_FROM else "and the seeds"
                assert drawn in found.request, f"{page.name}, line {found.line}"
    assert told > 4


@pytest.mark.parametrize("algorithm_id", ["df-dir", "df-div"])
def test_each_variant_has_a_page_with_its_settings_and_its_place_at_equal_effort(
    algorithm_id: str,
) -> None:
    page = (DOCS / "algorithms" / f"{algorithm_id}.md").read_text("utf-8")
    requests = [found.request for found in find_blocks(page)]
    assert f"config {algorithm_id}" in requests
    assert any(request.startswith("averages local/pointmaze ") for request in requests)


def test_every_ablation_stands_on_its_page_with_its_own_settings() -> None:
    page = (DOCS / "algorithms" / "ablations.md").read_text("utf-8")
    table = re.findall(r"^\| `(\S+)` \|(.*)$", page.partition("## In the code")[0], re.MULTILINE)
    ablations = {k for k, v in registry.algorithms().items() if v.family == registry.ABLATIONS}
    assert {name for name, _ in table} == ablations
    for name, row in table:
        own = registry.load(name).Config.model_fields.keys()
        for field in own - registry.load(name[:6]).Config.model_fields.keys():
            assert f"`{field}`" in row


@pytest.mark.parametrize("page", ["flow-mdp", "df-dir", "df-div", "ablations"])
def test_the_functions_that_pages_name_exist(page: str) -> None:
    text = (DOCS / "algorithms" / f"{page}.md").read_text("utf-8")
    section = text.partition("## In the code")[2].partition("\n## ")[0]
    named = {name.rpartition(".")[2] for name in re.findall(r"`([\w.]+)`", section)}
    code = "".join(file.read_text("utf-8") for file in (REPOSITORY / "algorithms").rglob("*.py"))
    assert named
    assert named <= set(re.findall(r"(?:def|class) (\w+)", code))


def test_bdpo_stands_beside_decision_flow_in_the_same_words_on_both_pages() -> None:
    header = "| | Decision Flow (DF-div) | BDPO |"
    tables = []
    for name in ("bdpo", "flow-mdp"):
        page = (REPOSITORY / "docs" / "algorithms" / f"{name}.md").read_text()
        tables.append(page[page.index(header) :].partition("\n\n")[0])
    assert tables[0] == tables[1]
    assert len(tables[0].splitlines()) > 8
