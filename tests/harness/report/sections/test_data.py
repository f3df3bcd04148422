"""The page's cards of data: the rows that runs recorded, or why they are not shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from harness import data
from harness.data.cache import LoadedData
from harness.data.facts import facts_of
from harness.report import build_report
from harness.report.sections.data.figure import _limits, data_figure
from harness.tasks import get_task

TASK = get_task("pointmaze/umaze", {"transitions": 1200})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, LoadedData]:
    """A data folder with the task's rows in it."""
    folder = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_DATA", str(folder))
        return folder, data.prepare(TASK, workers=1)


@pytest.fixture
def suite_of(make_suite: Callable[..., Any]) -> Callable[[str], Path]:
    """The folder of a suite whose runs were trained on the rows of that sha256."""

    def write(sha256: str, **settings: Any) -> Path:
        suite = make_suite(labels=["bc"], seeds=[0, 1], specs={TASK.id: TASK}, **settings)
        folder: Path = suite.write()
        for spec in folder.glob("runs/*/*/*/spec.json"):
            spec.write_text(spec.read_text().replace("d" * 64, sha256))
        return folder

    return write


def test_data_that_are_here_have_a_card_and_a_figure(
    made: tuple[Path, LoadedData],
    suite_of: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root, loaded = made
    monkeypatch.setenv("HARNESS_DATA", str(root))
    paths = build_report(suite_of(loaded.sha256)).paths
    png, pdf = (path for path in paths.figures if path.stem == "data-pointmaze_umaze")
    assert (png.suffix, pdf.suffix) == (".png", ".pdf")
    page = paths.html.read_text()
    assert '<th scope="row">transitions</th><td class="prose">1,200</td>' in page
    assert page.count("<img ") == 3
    assert "not on this machine" not in page

    rows, facts = loaded.transitions, facts_of(loaded.transitions)
    again, _ = data_figure(TASK, rows, facts, tmp_path / "again")
    smoke, _ = data_figure(TASK, rows, facts, tmp_path / "smoke", "SMOKE RUN")
    assert again.read_bytes() == png.read_bytes()
    assert smoke.read_bytes() != png.read_bytes()


def test_where_hardly_an_action_reaches_a_limit_that_is_said(made: tuple[Path, LoadedData]) -> None:
    facts = facts_of(made[1].transitions)
    scaled = [
        replace(facts, at_low=facts.at_low * factor, at_high=facts.at_high * factor)
        for factor in (1, 1e-4, 0)
    ]
    panels = Figure().subplots(1, 3)
    for axes, shown in zip(panels, scaled, strict=True):
        _limits(axes, shown)
    said = [[text.get_text() for text in axes.texts] for axes in panels]
    assert said == [[], ["less than 0.1%"], ["none"]]
    assert [axes.get_legend() is None for axes in panels] == [False, True, True]


def test_what_is_odd_about_data_is_on_their_card(
    suite_of: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "data"))
    sha256 = data.prepare(TASK, workers=1).sha256
    (path,) = (tmp_path / "data/cache").glob("*/manifest.json")
    manifest = json.loads(path.read_text())
    manifest["dataset"]["intake"] = {"clipped_steps": 300}
    path.write_text(json.dumps(manifest))
    page = build_report(suite_of(sha256)).paths.html.read_text()
    assert "the actions of 300 of its 1,200 steps (25.0%) were outside [-1, 1]" in page


def test_data_that_are_not_here_are_said_to_be_absent(
    suite_of: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "nothing"))
    paths = build_report(suite_of("e" * 64)).paths
    page = paths.html.read_text()
    assert f"no rows with the sha256 {'e' * 16}…" in page
    assert "python -m harness data make pointmaze/umaze-1200-v0" in page
    assert not [path for path in paths.figures if path.stem.startswith("data-")]
    assert not (tmp_path / "nothing").exists()


def test_a_figure_of_data_that_are_no_longer_here_stays_and_is_not_shown(
    made: tuple[Path, LoadedData],
    suite_of: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root, loaded = made
    folder = suite_of(loaded.sha256)
    monkeypatch.setenv("HARNESS_DATA", str(root))
    build_report(folder)
    figure = folder / "figures" / "data-pointmaze_umaze.png"
    drawn = figure.read_bytes()
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "nothing"))
    paths = build_report(folder).paths
    assert figure.read_bytes() == drawn
    assert figure in paths.left
    page = paths.html.read_text()
    assert "data-pointmaze_umaze.png, which an earlier report drew, is left in figures/" in page
    assert page.count("<img ") == 2  # averages and curves


def test_other_data_under_the_same_id_are_not_shown(
    made: tuple[Path, LoadedData], suite_of: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(made[0]))
    page = build_report(suite_of("e" * 64)).paths.html.read_text()
    assert "not on this machine" in page


def test_damaged_data_are_said_to_be_damaged(
    suite_of: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "data"))
    sha256 = data.prepare(TASK, workers=1).sha256
    (rows,) = (tmp_path / "data/cache").glob("*/rows.npy")
    rows.write_bytes(rows.read_bytes()[:-4] + b"abcd")
    page = build_report(suite_of(sha256)).paths.html.read_text()
    assert "The data are damaged, so they are not shown" in page
    assert "&#39;rows&#39; is not what its manifest says" in page
