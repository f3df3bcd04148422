"""Ways through mazes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from harness.report.comparison import compare
from harness.report.records import read_records
from harness.report.sections.mazes import Mazes

TASK = "pointmaze/umaze"


def test_the_ways_of_a_row_lie_over_what_its_critic_expects(
    make_suite: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(
        "harness.report.panels.save", lambda figure, path: drawn.append(figure) or [path]
    )
    way = [(-0.5, -0.5), (0.0, -0.4), (0.5, 0.5)]
    entries = {label: {"action_selection": "noise-0"} for label in ("iql", "bc")}
    suite = make_suite(labels=["iql", "bc"], ways={(TASK, "iql"): way}, entries=entries)
    records = read_records(suite.write())
    [section] = Mazes.all_of(records, compare(records))
    [drawing] = section.drawings(tmp_path)
    assert "seed 0" in drawing.caption
    [axes] = drawn[0].axes
    assert axes.get_title() == "iql"
    [line] = [line for line in axes.get_lines() if len(line.get_xdata()) == 3]
    assert np.array(line.get_xydata()) == pytest.approx(np.array(way))
    [values] = axes.collections
    assert np.array(values.get_array()) == pytest.approx(np.array([[-1.0, 0.0], [0.0, 1.0]]))


def test_runs_that_left_no_ways_have_no_picture(
    make_suite: Callable[..., Any], tmp_path: Path
) -> None:
    records = read_records(make_suite(labels=["iql"]).write())
    [section] = Mazes.all_of(records, compare(records))
    assert section.drawings(tmp_path) == []
