from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from harness.report import build_report
from harness.report.comparison import compare
from harness.report.curves import read_curves
from harness.report.records import read_records
from harness.report.sections.scores.curves import learning_curves
from harness.report.style import CONTEXT, lines

TASK = "pointmaze/umaze"


def png_dots_per_inch(path: Path) -> float:
    content = path.read_bytes()
    at = content.index(b"pHYs") + 4
    return float(struct.unpack(">I", content[at : at + 4])[0] * 0.0254)


def test_same_results_write_the_same_bytes(make_suite: Callable[..., Any]) -> None:
    folder = make_suite(labels=["df-dir", "bc"]).write()
    paths = build_report(folder).paths
    files = [*paths.figures, paths.html, paths.markdown, paths.latex, paths.csv, paths.scores]
    first = [path.read_bytes() for path in files]
    build_report(folder)
    assert [path.read_bytes() for path in files] == first


def test_figures_are_written_as_sharp_png_and_as_pdf(make_suite: Callable[..., Any]) -> None:
    paths = build_report(make_suite(labels=["df-dir", "bc"]).write()).paths
    names = sorted(path.name for path in paths.figures)
    assert names == ["averages.pdf", "averages.png", "curves.pdf", "curves.png"]
    for path in paths.figures:
        if path.suffix == ".png":
            assert png_dots_per_inch(path) >= 150
        else:
            assert b"CreationDate" not in path.read_bytes()


def test_algorithms_have_distinct_colours_and_decision_flow_is_thickest(
    make_suite: Callable[..., Any],
) -> None:
    styles = lines(compare(read_records(make_suite().write())))
    assert len({line.colour for line in styles.values()}) == 7
    flow = {label for label, line in styles.items() if line.emphasised}
    assert flow == {"df-dir", "df-div"}
    thinnest = min(styles[label].width for label in flow)
    assert all(line.width < thinnest for label, line in styles.items() if label not in flow)
    assert list(styles)[-1] == "df-dir"  # drawn last: on top


@pytest.mark.parametrize(("count", "coloured"), [(16, 16), (17, 8), (35, 8)])
def test_no_two_named_lines_look_the_same(
    make_suite: Callable[..., Any], count: int, coloured: int
) -> None:
    labels = ["bc", *(f"method-{i}" for i in range(count - 2)), "df-dir"]
    suite = make_suite(labels=labels, seeds=[0], every=20_000, episodes=1)
    styles = lines(compare(read_records(suite.write())))
    named = {label: line for label, line in styles.items() if line is not CONTEXT}
    assert len({(line.colour, str(line.dash)) for line in named.values()}) == coloured
    assert "df-dir" in named  # however low its score


def test_curve_is_over_finished_runs_only(make_suite: Callable[..., Any]) -> None:
    suite = make_suite(labels=["bc"], states={(TASK, "bc", 1): "failed"})
    records = read_records(suite.write())
    curve = read_curves(records)[TASK, "bc"]
    assert curve.steps.tolist() == list(range(2_000, 20_001, 2_000))
    final = compare(records).cells[TASK, "bc"].scores
    assert curve.scores[:, -1] == pytest.approx(final)
    assert curve.scores.shape == (2, 10)


def test_curve_of_unfinished_runs_ends_where_the_first_of_them_ends(
    make_suite: Callable[..., Any],
) -> None:
    suite = make_suite(labels=["bc"], states={(TASK, "bc", seed): "running" for seed in range(3)})
    folder = suite.write()
    path = suite.run_path(TASK, "bc", 2) / "evaluations.csv"
    early = [line for line in path.read_text().splitlines() if not line.startswith("2,10000,")]
    path.write_text("\n".join(early))
    curve = read_curves(read_records(folder))[TASK, "bc"]
    assert curve.steps.tolist() == [2_000, 4_000, 6_000, 8_000]
    assert curve.scores.shape == (3, 4)


def test_panels_continue_on_further_pages(make_suite: Callable[..., Any], tmp_path: Path) -> None:
    tasks = [f"gym/task-{i}" for i in range(13)]
    suite = make_suite(tasks=tasks, labels=["bc"], seeds=[0], every=20_000, episodes=1)
    records = read_records(suite.write())
    files = learning_curves(records, compare(records), tmp_path)
    assert [path.name for path in files if path.suffix == ".png"] == ["curves.png", "curves-2.png"]


def test_curves_of_later_tasks_are_in_view_where_the_first_has_none(
    make_suite: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = ["gym/nothing", "gym/something"]
    states = {(tasks[0], "bc", seed): "missing" for seed in range(3)}
    records = read_records(make_suite(tasks=tasks, labels=["bc"], states=states).write())
    figures: list[Figure] = []
    monkeypatch.setattr(
        "harness.report.sections.scores.curves.save",
        lambda figure, path: (figures.append(figure), [path])[1],
    )
    learning_curves(records, compare(records), tmp_path)
    _, panel = figures[0].axes
    [line] = panel.get_lines()
    left, right = panel.get_xlim()
    assert left == 0
    assert max(line.get_xdata()) == 20_000 <= right


def test_a_suite_without_any_result_still_gets_its_report(make_suite: Callable[..., Any]) -> None:
    states = {(TASK, label, seed): "missing" for label in ("bc", "iql") for seed in range(3)}
    paths = build_report(make_suite(labels=["bc", "iql"], states=states).write()).paths
    assert "| pointmaze/umaze | – | – |" in paths.markdown.read_text()
    assert len(paths.figures) == 4


def test_a_report_deletes_nothing_and_says_what_it_did_not_make(
    make_suite: Callable[..., Any],
) -> None:
    folder = make_suite(labels=["bc"], seeds=[0]).write()
    figures = folder / "figures"
    figures.mkdir()
    for name in ("by-hand.png", "curves-2.pdf", "curves.png", "notes.txt"):
        (figures / name).write_bytes(b"old")
    paths = build_report(folder).paths
    assert paths.left == (figures / "by-hand.png", figures / "curves-2.pdf")
    unchanged = {path.name for path in figures.iterdir() if path.read_bytes() == b"old"}
    assert unchanged == {"by-hand.png", "curves-2.pdf", "notes.txt"}


def test_long_names_stay_inside_the_picture(make_suite: Callable[..., Any], tmp_path: Path) -> None:
    labels = [f"transport.path-spline-{i}" for i in range(9)]
    records = read_records(make_suite(tasks=[TASK, "pointmaze/medium"], labels=labels).write())
    picture = learning_curves(records, compare(records), tmp_path)[0]
    pixels = np.asarray(Image.open(picture).convert("L"))
    for edge in (pixels[:, :2], pixels[:, -2:]):
        assert edge.min() > 250, "something is cut off"
