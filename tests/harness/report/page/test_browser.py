"""The pages in a browser. Skipped where there is no Chromium, or no Playwright to drive it."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from harness.commands.cli import app
from harness.report import build_report
from tests.harness.report.conftest import SuiteBuilder

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
DRIVEN = all(map(importlib.util.find_spec, ("playwright", "axe_playwright_python")))
pytestmark = pytest.mark.skipif(
    CHROMIUM is None or not DRIVEN,
    reason="tests in a browser need an installed Chromium, and the extras of [dev]",
)

TASK, OTHER = "pointmaze/umaze", "pointmaze/large"
LABELS = ["df-dir", "df-div", "bc", "td3-bc", "iql", "fql", "flow-bc", "awac", "cql"]
SCORES = {"bc": 9.0, "iql": 80.0, "fql": 100.0, "td3-bc": -3.0}
PHONE = {"width": 390, "height": 844}
FLAGS = ["disable-gpu", "disable-quic", "no-first-run", "disable-background-networking"]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of a suite with all that a page can have: scores, dashes, failures, curves."""
    suite = SuiteBuilder(
        tmp_path_factory.mktemp("results"),
        tasks=[TASK, OTHER],
        labels=LABELS,
        final={(t, name): [mean] * 3 for t in (TASK, OTHER) for name, mean in SCORES.items()},
        states={(TASK, "cql", 0): "failed"}
        | {(task, "awac", seed): "missing" for task in (TASK, OTHER) for seed in range(3)},
        errors={(TASK, "cql", 0): f"ValueError: no\n\nTraceback\n  {'long line ' * 40}"},
    )
    build_report(suite.write())
    return suite.root


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=CHROMIUM, args=[f"--{flag}" for flag in FLAGS]
        )
        yield started
        started.close()


@pytest.fixture
def show(browser: Any, results: Path) -> Iterator[Callable[..., Any]]:
    """Opens the suite's page, or another; what it complains about fails the test."""
    wrong: list[str] = []
    opened = []

    def open_page(file: Path = results / "demo" / "report.html", **options: Any) -> Any:
        context = browser.new_context(**options)
        opened.append(context)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(file.as_uri())
        wrong.extend(url for url in asked[1:] if not url.startswith("data:"))
        return page

    yield open_page
    for context in opened:
        context.close()
    assert wrong == []


def names(table: Any) -> list[str]:
    """The first words of the lines that are shown, from top to bottom."""
    return [row.locator("th").inner_text() for row in table.locator("tbody tr:visible").all()]


def summary(page: Any) -> Any:
    return page.locator("table", has=page.get_by_role("heading", name="Average over"))


def open_all(page: Any) -> None:
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")


def test_tables_sort_by_number_both_ways_and_back_with_dashes_last(
    show: Callable[..., Any],
) -> None:
    table = summary(show())
    heading = table.locator("th", has_text="Average").first
    before = names(table)
    assert sorted(before) == sorted(LABELS)
    heading.get_by_role("button").click()
    down = names(table)
    assert heading.get_attribute("aria-sort") == "descending"
    assert down[0] == "fql"  # 100 is more than 9, and more than 80
    assert down.index("iql") < down.index("bc") < down.index("td3-bc")
    assert down[-1] == "awac"
    heading.get_by_role("button").click()
    up = names(table)
    assert heading.get_attribute("aria-sort") == "ascending"
    assert up[0] == "td3-bc"
    assert up[-1] == "awac"
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") is None
    assert names(table) == before


def test_all_of_it_works_by_keyboard(show: Callable[..., Any]) -> None:
    page = show(viewport={"width": 240, "height": 844})  # narrower than any table
    table = summary(page)
    table.locator("th", has_text="Average").first.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert names(table)[0] == "fql"
    region = page.get_by_role("region", name="Average over")
    region.focus()
    page.keyboard.press("ArrowRight", delay=50)
    page.wait_for_function("region => region.scrollLeft > 0", arg=region.element_handle())
    page.get_by_role("navigation").get_by_role("link", name="Runs").focus()
    page.keyboard.press("Enter")
    page.wait_for_function("location.hash === '#runs'")
    fold = page.locator("details.task > summary").first
    fold.focus()
    page.keyboard.press("Enter")
    page.locator("details.task[open]").first.wait_for()


def test_filters_hide_what_lacks_a_word_and_say_how_much_is_left(
    show: Callable[..., Any],
) -> None:
    page = show()
    table = summary(page)
    box = page.get_by_role("searchbox", name="Filter Average over")
    box.fill("BC")
    assert sorted(names(table)) == ["bc", "flow-bc", "td3-bc"]
    assert page.get_by_text("3 of 9 shown").is_visible()
    box.fill("")
    assert sorted(names(table)) == sorted(LABELS)
    page.get_by_role("searchbox", name="Filter runs").fill("large iql")
    shown = page.locator("details.cell:visible > summary strong").all_inner_texts()
    assert shown == ["iql"]


def test_a_number_leads_to_its_runs_and_unfolds_them(show: Callable[..., Any]) -> None:
    page = show()
    page.locator("a[href='#runs/pointmaze%2Flarge/fql']", has_text="100.0").first.click()
    runs = page.locator("[id='runs/pointmaze%2Flarge/fql']")
    runs.wait_for(state="visible")
    page.wait_for_function(
        "runs => runs.getBoundingClientRect().top < 300", arg=runs.element_handle()
    )
    assert runs.locator("tbody tr td.done").count() == 3
    assert runs.get_by_role("img").get_attribute("aria-label").startswith("Score by gradient step")


def test_it_is_complete_without_the_script(show: Callable[..., Any]) -> None:
    page = show(java_script_enabled=False)
    assert page.locator("input, button").count() == 0
    assert page.locator("tr:visible").count() > 20
    page.goto(f"{page.url}#runs/pointmaze%2Flarge/fql")
    page.locator("[id='runs/pointmaze%2Flarge/fql']").wait_for(state="visible")


def test_on_a_phone_nothing_but_scrolling_tables_is_wider_than_the_screen(
    show: Callable[..., Any],
) -> None:
    page = show(viewport=PHONE)
    open_all(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    wide = page.evaluate(
        "[...document.querySelectorAll('body *')].filter(each => "
        "each.getBoundingClientRect().right > 391 && !each.closest('.wide, nav, pre, .runs-of'))"
        ".map(each => each.outerHTML.slice(0, 80))"
    )
    assert wide == []


def test_on_a_phone_every_tables_title_is_read_without_scrolling(show: Callable[..., Any]) -> None:
    page = show(viewport=PHONE)
    page.evaluate(
        "document.querySelectorAll('caption h3').forEach(each => each.append(' word'.repeat(30)))"
    )
    ends = page.evaluate(
        "[...document.querySelectorAll('caption h3')].map(e => e.getBoundingClientRect().right)"
    )
    assert len(ends) > 2
    assert max(ends) <= 390


def test_on_a_phone_charts_scroll_rather_than_have_text_too_small_to_read(
    show: Callable[..., Any],
) -> None:
    page = show(viewport=PHONE)
    widths = "all => all.map(each => each.getBoundingClientRect().width)"
    drawn = page.locator("figure img").evaluate_all(widths)
    inches = page.locator("figure img").evaluate_all("all => all.map(e => e.naturalWidth / 200)")
    assert len(drawn) > 2
    assert all(width >= 95.5 * inch for width, inch in zip(drawn, inches, strict=True))
    chart = page.locator("#chart").get_by_role("region")
    assert chart.bounding_box()["width"] < 390 < drawn[0]
    chart.focus()
    page.keyboard.press("ArrowRight", delay=50)
    page.wait_for_function("chart => chart.scrollLeft > 0", arg=chart.element_handle())
    page.emulate_media(media="print")  # paper does not scroll
    assert max(page.locator("figure img").evaluate_all(widths)) < 390


def test_it_is_dark_where_the_reader_wants_it(show: Callable[..., Any]) -> None:
    def brightness(page: Any, what: str) -> int:
        colour = page.evaluate(f"getComputedStyle(document.body).{what}")
        return sum(map(int, colour.removeprefix("rgb(").removesuffix(")").split(",")))

    light, dark = show(color_scheme="light"), show(color_scheme="dark")
    assert brightness(light, "backgroundColor") > 700 > 200 > brightness(light, "color")
    assert brightness(dark, "backgroundColor") < 100 < 600 < brightness(dark, "color")


def test_paper_has_no_controls(show: Callable[..., Any]) -> None:
    page = show()
    page.emulate_media(media="print")
    assert page.locator("nav:visible, input:visible, button:visible").count() == 0
    assert summary(page).is_visible()
    assert page.pdf().startswith(b"%PDF")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(show: Callable[..., Any], scheme: str) -> None:
    page = show(color_scheme=scheme)
    open_all(page)
    assert serious(page) == []
    # That it would find something:
    page.evaluate("document.querySelector('img').removeAttribute('alt')")
    assert serious(page) == ["image-alt"]


def serious(page: Any) -> list[str]:
    """Rules of axe-core of serious or critical impact that the page violates."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [each["id"] for each in found if each["impact"] in {"serious", "critical"}]


def test_the_index_leads_to_every_suite_by_relative_links(
    show: Callable[..., Any], results: Path
) -> None:
    result = CliRunner().invoke(app, ["report", "--all", "--results", str(results)])
    assert result.exit_code == 0, result.output
    page = show(results / "index.html")
    assert serious(page) == []
    link = page.get_by_role("link", name="Decision Flow against its baselines")
    assert link.get_attribute("href") == "demo/report.html"
    link.click()
    assert (
        page.get_by_role("heading", level=1).inner_text() == "Decision Flow against its baselines"
    )
