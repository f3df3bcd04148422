"""Figures and tables that a suite asks for."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from scipy import stats as reference

from harness.errors import UserError
from harness.report import build_report
from harness.report.comparison import Comparison, compare
from harness.report.records import Records, read_records
from harness.report.sections.requested import AMORTISED_NOTE, DECISION_NOTE, Requested
from harness.report.sections.requested.heatmap import draw_heatmap
from harness.report.sections.requested.points import trend_points
from harness.report.sections.requested.quantities import axis_label, quantity
from harness.report.sections.requested.tables import table_grids
from harness.report.sections.requested.trend import draw_trend
from harness.suite.figures import Table, Trend
from harness.suite.rows import label_of
from harness.tasks import get_task

TASK = "pointmaze/umaze"
RHO, STEPS = (0.3, 1.0), (1, 10)
SWEPT = {
    label_of("df-div", variant): variant
    for rho in RHO
    for steps in STEPS
    for variant in [{"rho": rho, "flow_steps": steps}]
}
HEATMAP = {"kind": "heatmap", "title": "Score by rho", "x": "rho", "y": "flow_steps"}
TREND = {"kind": "trend", "title": "Score by steps", "x": "flow_steps"}
BEST = label_of("df-div", {"rho": 0.3, "flow_steps": 10})


@pytest.fixture
def swept(make_suite: Callable[..., Any]) -> Callable[..., Any]:
    """A suite with `df-div` over rho and flow_steps, beside `bc`."""

    def make(**settings: Any) -> Any:
        entries = {
            label: {"base": "df-div", "variant": v, "action_selection": "noise-1"}
            for label, v in SWEPT.items()
        }
        entries["bc"] = {"action_selection": "noise-1"}
        final = {(TASK, label): [1.0, 2.0, 6.0] for label in SWEPT}
        defaults = {"labels": [*SWEPT, "bc"], "entries": entries, "every": 10_000, "episodes": 2}
        return make_suite(**(defaults | {"final": final} | settings))

    return make


def read(suite: Any) -> tuple[Records, Comparison]:
    records = read_records(suite.write())
    return records, compare(records)


def points(records: Records, **changes: Any) -> list[Any]:
    figure = Trend.model_validate({**TREND, **changes})
    return trend_points(figure, records, compare(records))


def test_quantities_are_those_of_the_last_step(swept: Callable[..., Any]) -> None:
    suite = swept(
        metrics={(TASK, BEST): {"policy/divergence": [1.0, 2.0, 3.0]}},
        measures={(TASK, BEST): {"in_support": [0.5, 0.75, 1.0]}},
        latencies={(TASK, BEST): [0.1, 0.2, 0.3]},
    )
    records = read_records(suite.write())
    comparison = compare(records)

    def values(name: str) -> list[float]:
        table = quantity(records, comparison, name)
        return [float(value) for value in table.loc[table["label"] == BEST, "value"]]

    assert values("score") == pytest.approx([1, 2, 6])
    assert values("metric:policy/divergence") == [1.0, 2.0, 3.0]
    assert values("measure:in_support") == [0.5, 0.75, 1.0]
    assert values("latency") == [0.1, 0.2, 0.3]
    assert values("metric:nothing") == []


def test_unfinished_runs_do_not_count(swept: Callable[..., Any]) -> None:
    records = read_records(swept(states={(TASK, BEST, 1): "running"}).write())
    table = quantity(records, compare(records), "score")
    assert table.loc[table["label"] == BEST, "seed"].tolist() == [0, 2]


def test_a_trend_has_a_line_for_every_value_of_the_other_fields(
    swept: Callable[..., Any],
) -> None:
    found = points(read_records(swept().write()))
    assert [(p.line, p.x) for p in found if not p.is_reference] == [
        (f"df-div, rho {rho:g}", steps) for rho in RHO for steps in STEPS
    ]
    assert [p.line for p in found if p.is_reference] == ["bc"]
    low, high = reference.t.interval(0.95, 2, loc=3, scale=reference.sem([1, 2, 6]))
    assert found[0].mean == pytest.approx(3)
    assert tuple(found[0].interval) == pytest.approx((low, high), rel=1e-4)
    assert {p.panel for p in found} == {"Pointmaze Umaze"}


def test_against_latency_the_rows_of_an_entry_are_points_of_one_line(
    swept: Callable[..., Any],
) -> None:
    latencies = {(TASK, label): [0.1 * i + 0.1] * 3 for i, label in enumerate(SWEPT)}
    records = read_records(swept(latencies=latencies).write())
    line = [(p.line, p.words, p.x) for p in points(records, x="latency", label="df-*")]
    words = ["0.3, 1", "0.3, 10", "1, 1", "1, 10"]
    assert line == [("df-div", words[i], pytest.approx(0.1 * i + 0.1)) for i in range(4)]
    split = [p.line for p in points(records, x="latency", label="df-*", group="rho")]
    assert split == ["df-div, rho 0.3"] * 2 + ["df-div, rho 1"] * 2


def test_action_selections_make_lines_when_asked_for(swept: Callable[..., Any]) -> None:
    selections = {(TASK, BEST): {"best-of-4": [9.0, 9.0, 9.0]}}
    records = read_records(swept(selections=selections).write())
    found = points(records, label=BEST, group="selection")
    assert [(p.line, p.mean) for p in found] == [
        ("df-div, noise-1, rho 0.3", pytest.approx(3)),
        ("df-div, best-of-4, rho 0.3", pytest.approx(9)),
    ]
    assert [p.action_selection for p in points(records, label=BEST)] == ["noise-1"]


def test_tasks_that_differ_in_an_option_share_a_panel(make_suite: Callable[..., Any]) -> None:
    tasks = [f"multimodal/modes-{modes}-dim-{dim}" for dim in (2, 8) for modes in (2, 4)]
    suite = make_suite(tasks=tasks, labels=["bc"], specs={task: get_task(task) for task in tasks})
    found = points(read_records(suite.write()), x="task:modes")
    assert [(p.panel, p.x) for p in found] == [
        ("dim 2", 2),
        ("dim 2", 4),
        ("dim 8", 2),
        ("dim 8", 4),
    ]


def test_a_heat_map_shows_means_and_says_where_there_are_none(
    swept: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(
        "harness.report.panels.save", lambda figure, stem: drawn.append(figure) or [stem]
    )
    failed = {(TASK, BEST, seed): "failed" for seed in range(3)}
    records = read_records(swept(figures=[HEATMAP], states=failed).write())
    drawing = draw_heatmap(records.suite.requested_figures[0], records, compare(records), tmp_path)  # type: ignore[arg-type]
    axes = drawn[0].axes[0]
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    assert cells == {(0.5, 0.5): "3.0", (1.5, 0.5): "3.0", (0.5, 1.5): "–", (1.5, 1.5): "3.0"}
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["1", "10"]
    assert axes.get_ylim() == (0, 2)  # larger values further up
    assert "3 seeds" in drawing.caption
    assert TASK in drawing.caption


def test_every_kind_is_drawn_into_the_report(swept: Callable[..., Any]) -> None:
    figures = [
        HEATMAP,
        TREND,
        TREND | {"title": "By latency", "x": "latency"},
        {"kind": "metrics", "title": "Training", "names": ["policy/divergence"]},
        {"kind": "table", "title": "Both", "values": ["score", "metric:policy/divergence"]},
    ]
    metrics = {(TASK, label): {"policy/divergence": [0.1, 0.2, 0.3]} for label in SWEPT}
    paths = build_report(swept(figures=figures, metrics=metrics).write()).paths
    names = {path.stem for path in paths.figures}
    slugs = {"score-by-rho", "score-by-steps", "by-latency", "training"}
    assert names == {"averages", "curves", "cost"} | slugs
    page = paths.html.read_text()
    for title in ("Score by rho", "Score by steps", "By latency", "Training", "Both"):
        assert f"{title}" in page
    assert page.count("data:image/png") == 7
    assert f"| {BEST} | 3.0 ± 2.6 | 0.2 ± 0.1 |" in paths.markdown.read_text()
    with (paths.csv.parent / "both.csv").open(newline="") as file:
        rows = {(row["algorithm"], row["quantity"]): row for row in csv.DictReader(file)}
    assert float(rows[BEST, "metric:policy/divergence"]["mean"]) == pytest.approx(0.2)
    assert rows[BEST, "score"]["seeds"] == "3"


@pytest.fixture
def saved(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Every figure that is saved, once for each format."""
    figures: list[Figure] = []
    savefig = Figure.savefig

    def save(self: Figure, *args: Any, **kwargs: Any) -> None:
        figures.append(self)
        savefig(self, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", save)
    return figures


def words(figure: Figure) -> list[str]:
    """Everything that is written in it."""
    return [text.get_text() for text in figure.findobj(Text) if isinstance(text, Text)]


def test_a_row_has_its_fields_in_words_in_every_figure(
    swept: Callable[..., Any], saved: list[Figure]
) -> None:
    metric = "policy/divergence"
    suite = swept(
        metrics={(TASK, label): {metric: [1.0, 2.0, 3.0]} for label in SWEPT},
        figures=[TREND, {"kind": "metrics", "title": "Divergence", "names": [metric]}],
    )
    build_report(suite.write())
    written = {word for figure in saved for word in words(figure)}
    assert "df-div, rho 0.3, flow steps 10" in written
    assert not written & SWEPT.keys()


def test_a_panel_with_a_single_place_shows_no_trend_and_is_left_out(
    make_suite: Callable[..., Any], saved: list[Figure], tmp_path: Path
) -> None:
    labels = {f"df-div.rho-{rho:g}": {"rho": rho} for rho in (0.3, 1.0)}
    entries: dict[str, Any] = {
        label: {"base": "df-div", "variant": variant} for label, variant in labels.items()
    }
    entries["df-div.rho-1"]["tasks"] = [TASK]
    tasks = [TASK, "pointmaze/large"]
    suite = make_suite(tasks=tasks, labels=[*labels], entries=entries)
    figure = Trend.model_validate({**TREND, "x": "rho"})
    drawing = draw_trend(figure, *read(suite), tmp_path)
    written = words(saved[0])
    assert "Pointmaze Umaze" in written
    assert "Pointmaze Large" not in written
    assert drawing.caption.endswith("Left out, as they have a single rho: Pointmaze Large.")


def test_words_beside_points_are_not_written_over_each_other(
    swept: Callable[..., Any], saved: list[Figure], tmp_path: Path
) -> None:
    """Four points: two at one place, and two far from all others."""
    at = dict(zip(SWEPT, [(0.1, 1.0), (0.1, 1.0), (0.2, 50.0), (0.4, 99.0)], strict=True))
    suite = swept(
        latencies={(TASK, label): [time] * 3 for label, (time, _) in at.items()},
        final={(TASK, label): [score] * 3 for label, (_, score) in at.items()},
    )
    draw_trend(Trend.model_validate({**TREND, "x": "latency"}), *read(suite), tmp_path)
    assert [word for word in words(saved[0]) if word in {"0.3, 1", "0.3, 10", "1, 1", "1, 10"}] == [
        "0.3, 1",
        "1, 1",
        "1, 10",
    ]


@pytest.mark.parametrize(
    ("kind", "title", "file"),
    [("trend", "Averages", "averages.png"), ("table", "Scores", "scores.csv")],
)
def test_a_title_that_the_report_needs_itself_is_refused(
    swept: Callable[..., Any], kind: str, title: str, file: str
) -> None:
    more = {"x": "flow_steps"} if kind == "trend" else {"values": ["score"]}
    figures = [{"kind": kind, "title": title} | more]
    with pytest.raises(UserError, match=rf"whose file {file} the report needs.*Change its title"):
        build_report(swept(figures=figures).write())


@pytest.mark.parametrize(
    "figure",
    [
        TREND | {"x": "latency"},
        HEATMAP | {"value": "latency"},
        {"kind": "table", "title": "Both", "values": ["score", "latency"]},
    ],
)
def test_where_latency_is_shown_a_note_says_how_it_was_measured(
    swept: Callable[..., Any], figure: dict[str, Any]
) -> None:
    suite = swept(figures=[figure, TREND])
    sections = Requested.all_of(*read(suite))
    assert [section.notes() for section in sections] == [(AMORTISED_NOTE,), ()]
    assert "It is no latency" in AMORTISED_NOTE
    measured = {(TASK, label): 0.5 for label in suite.labels}
    suite = swept(figures=[figure, TREND], name="measured", decisions=measured)
    sections = Requested.all_of(*read(suite))
    assert [section.notes() for section in sections] == [(DECISION_NOTE,), ()]


def test_latency_is_that_of_single_decisions_once_every_run_has_measured_them(
    swept: Callable[..., Any],
) -> None:
    amortised = {(TASK, label): [0.01, 0.01, 0.01] for label in [*SWEPT, "bc"]}
    measured = {(TASK, label): 0.5 for label in [*SWEPT, "bc"]}
    for name, decisions, expected in (
        ("all", measured, (0.5, "Latency of a decision (ms)")),
        ("one-lacks-it", {(TASK, BEST): 0.5}, (0.01, "Amortised time of an action (ms)")),
    ):
        suite = swept(name=name, latencies=amortised, decisions=decisions)
        records = read_records(suite.write())
        values = quantity(records, compare(records), "latency")["value"]
        assert values.tolist() == pytest.approx([expected[0]] * len(values))
        assert axis_label("latency", records, compare(records)) == expected[1]


def test_where_no_latency_is_shown_there_is_no_note_of_it(swept: Callable[..., Any]) -> None:
    sections = Requested.all_of(*read(swept(figures=[TREND, HEATMAP])))
    assert [section.notes() for section in sections] == [(), ()]


def test_more_panels_than_a_page_holds_continue_on_the_next(
    make_suite: Callable[..., Any],
) -> None:
    names = [f"metric-{i}" for i in range(7)]
    metrics = {(TASK, "bc"): {name: [1.0, 2.0, 3.0] for name in names}}
    figure = {"kind": "metrics", "title": "All", "names": names}
    paths = build_report(make_suite(labels=["bc"], metrics=metrics, figures=[figure]).write()).paths
    assert {p.stem for p in paths.figures} == {"averages", "curves", "all", "all-2"}


def test_figures_without_any_result_are_explained_and_break_nothing(
    swept: Callable[..., Any],
) -> None:
    states = {(TASK, label, seed): "missing" for label in [*SWEPT, "bc"] for seed in range(3)}
    table = {"kind": "table", "title": "Both", "values": ["latency"]}
    metrics = {"kind": "metrics", "title": "M", "names": ["a"]}
    paths = build_report(
        swept(figures=[HEATMAP, TREND, metrics, table], states=states).write()
    ).paths
    assert "no finished seed, by rho and flow steps, on no task yet" in paths.html.read_text()


def test_a_table_leaves_out_rows_that_it_knows_nothing_of(swept: Callable[..., Any]) -> None:
    metrics = {(TASK, BEST): {"policy/divergence": [0.1, 0.2, 0.3]}}
    records = read_records(swept(metrics=metrics).write())
    figure = Table(kind="table", title="D", values=["metric:policy/divergence", "latency"])
    [grid] = table_grids(figure, records, compare(records))
    assert grid.columns == ("Algorithm", "policy/divergence", "Amortised time of an action (ms)")
    cells = {row.name: [str(text) for text in row.texts] for row in grid.rows}
    assert cells[BEST][0] == "0.2 ± 0.1"
    assert cells["bc"][0] == "–"


def test_a_method_that_the_suite_does_not_run_on_a_task_is_not_called_missing(
    make_suite: Callable[..., Any],
) -> None:
    other = "pointmaze/large"
    entries = {"bc": {"tasks": [TASK]}}
    report = build_report(
        make_suite(tasks=[TASK, other], labels=["iql", "bc"], entries=entries).write()
    )
    text = report.paths.markdown.read_text()
    assert f"| {other} |" in text
    assert text.split(f"| {other} |")[1].splitlines()[0].endswith("| – |")
    assert "'–' also: the suite does not run the method on that task" in text
    assert "missing" not in report.paths.html.read_text().split("<h2>Runs</h2>")[1]
