from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import rgb_to_hsv, to_rgb
from matplotlib.figure import Figure
from PIL import Image

from harness.report import build_report
from harness.report.colours import DASHED, SOLID
from harness.report.comparison import compare
from harness.report.curves import read_curves
from harness.report.data_means import data_score
from harness.report.records import read_records
from harness.report.sections.scores import NO_CURVES
from harness.report.sections.scores.bars import average_bars
from harness.report.sections.scores.curves import learning_curves
from harness.report.style import CONTEXT, lines, method_lines

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


def test_decision_flow_is_thickest_and_the_broken_one_of_its_lines_is_on_top(
    make_suite: Callable[..., Any],
) -> None:
    styles = lines(compare(read_records(make_suite().write())))
    flow = {label for label, line in styles.items() if line.emphasised}
    assert flow == {"df-dir", "df-div"}
    thinnest = min(styles[label].width for label in flow)
    assert all(line.width < thinnest for label, line in styles.items() if label not in flow)
    below, above = list(styles)[-2:]
    assert (styles[below].dash, styles[above].dash) == (SOLID, DASHED)


def test_a_method_looks_the_same_in_every_suite(make_suite: Callable[..., Any]) -> None:
    first = lines(compare(read_records(make_suite(name="a").write())))
    labels = ["iql", "df-div", "somebodys-own", "bc", "df-dir"]
    second = lines(compare(read_records(make_suite(name="b", labels=labels).write())))
    for label in set(first) & set(second):
        assert first[label] == second[label]


def test_variants_of_a_method_share_its_hue_and_differ_in_everything_else() -> None:
    methods = {"df-div": "df-div", "price": "df-div", "kl": "df-div-kl", "iql": "iql"}
    styles = method_lines(methods)
    assert styles["df-div"] == method_lines({"df-div": "df-div"})["df-div"]
    family = [styles[name] for name in ("df-div", "price", "kl")]
    hues = [rgb_to_hsv(to_rgb(line.colour))[0] for line in family]
    assert hues == pytest.approx([hues[0]] * 3, abs=0.02)
    for part in ("colour", "dash", "marker"):
        assert len({str(getattr(line, part)) for line in family}) == 3
    assert styles["iql"] == method_lines({"iql": "iql"})["iql"]


@pytest.mark.parametrize(("count", "coloured"), [(16, 16), (17, 8), (35, 8)])
def test_no_two_named_lines_look_the_same(
    make_suite: Callable[..., Any], count: int, coloured: int
) -> None:
    labels = ["bc", *(f"method-{i}" for i in range(count - 2)), "df-dir"]
    suite = make_suite(labels=labels, seeds=[0], every=20_000, episodes=1)
    styles = lines(compare(read_records(suite.write())))
    named = {label: line for label, line in styles.items() if line is not CONTEXT}
    assert len({line.colour for line in named.values()}) == coloured
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
    suite = make_suite(tasks=tasks, labels=["bc"], seeds=[0], every=10_000, episodes=1)
    records = read_records(suite.write())
    files = learning_curves(records, compare(records), tmp_path)
    assert [path.name for path in files if path.suffix == ".png"] == ["curves.png", "curves-2.png"]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The learning curves, as they would be saved."""
    figures: list[Figure] = []
    monkeypatch.setattr(
        "harness.report.sections.scores.curves.save",
        lambda figure, path: (figures.append(figure), [path])[1],
    )
    return figures


def test_a_point_is_no_curve_and_the_report_says_so(make_suite: Callable[..., Any]) -> None:
    paths = build_report(make_suite(labels=["bc", "iql"], every=20_000).write()).paths
    assert {path.stem for path in paths.figures} == {"averages"}
    assert NO_CURVES in paths.html.read_text()


@pytest.mark.parametrize(("seeds", "thin", "bands"), [(1, 0, 0), (5, 5, 0), (6, 0, 1)])
def test_few_seeds_are_lines_and_many_a_band(
    make_suite: Callable[..., Any],
    tmp_path: Path,
    drawn: list[Figure],
    seeds: int,
    thin: int,
    bands: int,
) -> None:
    records = read_records(make_suite(labels=["iql"], seeds=[*range(seeds)]).write())
    learning_curves(records, compare(records), tmp_path)
    [panel] = drawn[0].axes
    curves = [line for line in panel.get_lines() if len(line.get_xdata()) == 10]
    assert (len(curves), len(panel.collections)) == (1 + thin, bands)
    found = read_curves(records)[TASK, "iql"].scores
    heights = sorted(map(tuple, [*(found if thin else []), found.mean(0)]))
    assert sorted(tuple(line.get_ydata()) for line in curves) == pytest.approx(np.array(heights))


def test_curves_are_measured_by_the_data_and_by_100(
    make_suite: Callable[..., Any],
    tmp_path: Path,
    drawn: list[Figure],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("harness.report.data_means.mean_return", lambda sha: 25.0)
    for name, level, lines_at in (("high", 90.0, {10.0, 100.0}), ("low", 20.0, {10.0})):
        suite = make_suite(name=name, labels=["iql"], final={(TASK, "iql"): [level] * 3})
        records = read_records(suite.write())
        learning_curves(records, compare(records), tmp_path)
        panel = drawn[-1].axes[0]
        flat = [line for line in panel.get_lines() if len(line.get_xdata()) == 2]
        assert {float(line.get_ydata()[0]) for line in flat} == lines_at
        low, high = panel.get_ylim()
        assert all(low < y < high for y in lines_at)


def test_what_the_data_score_is_known_without_them_if_the_suite_file_says_it(
    make_suite: Callable[..., Any],
) -> None:
    """It holds for the rows that runs learned from, and for no others under the task's name."""
    folder = make_suite(labels=["iql"]).write()
    path, records = folder / "suite.json", read_records(folder)
    [task], content = records.suite.tasks, json.loads(path.read_text())
    expected = {"d" * 64: task.normalized_score(50.0), "e" * 64: None}
    for sha256, score in expected.items():
        data = {TASK: {"sha256": sha256, "mean_return": 50.0}}
        path.write_text(json.dumps(content | {"data": data}))
        assert data_score(read_records(folder), task) == score
    assert data_score(records, task) is None


def test_a_task_without_curves_has_no_panel_and_others_start_at_0(
    make_suite: Callable[..., Any], tmp_path: Path, drawn: list[Figure]
) -> None:
    tasks = ["gym/nothing", "gym/something"]
    states = {(tasks[0], "bc", seed): "missing" for seed in range(3)}
    records = read_records(make_suite(tasks=tasks, labels=["bc"], states=states).write())
    learning_curves(records, compare(records), tmp_path)
    [panel] = drawn[0].axes
    assert panel.get_title() == "Gym Something"
    left, right = panel.get_xlim()
    assert left == 0
    assert right >= 20_000


def test_a_family_that_nobody_has_finished_has_no_bars(
    make_suite: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr(
        "harness.report.sections.scores.bars.save", lambda figure, path: figures.append(figure)
    )
    tasks = ["gym/one", "gym/other", TASK]
    states = {(tasks[0], label, n): "missing" for label in ("bc", "iql") for n in range(3)}
    records = read_records(make_suite(tasks=tasks, labels=["bc", "iql"], states=states).write())
    average_bars(compare(records), tmp_path)
    [panel] = figures[0].axes
    assert panel.get_title() == "Pointmaze Umaze"


def test_the_legend_names_what_is_drawn(
    make_suite: Callable[..., Any], tmp_path: Path, drawn: list[Figure]
) -> None:
    tasks = ["gym/one", "gym/other"]
    states = {(task, "iql", seed): "missing" for task in tasks for seed in range(3)}
    records = read_records(make_suite(tasks=tasks, labels=["bc", "iql"], states=states).write())
    learning_curves(records, compare(records), tmp_path)
    [legend] = drawn[0].legends
    assert [text.get_text() for text in legend.get_texts()] == ["bc"]


def test_a_suite_without_any_result_still_gets_its_report(make_suite: Callable[..., Any]) -> None:
    states = {(TASK, label, seed): "missing" for label in ("bc", "iql") for seed in range(3)}
    paths = build_report(make_suite(labels=["bc", "iql"], states=states).write()).paths
    lines = paths.markdown.read_text().splitlines()
    assert {"| bc | – | – |", "| iql | – | – |"} <= {*lines}
    assert not paths.figures


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
