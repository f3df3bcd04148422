"""What a report says of interaction, from files with numbers chosen here."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness.report.comparison import compare
from harness.report.records import Records, read_records
from harness.report.sections.online.drawing import online_figures, running_scores
from harness.report.sections.online.numbers import online_grids, online_numbers
from tests.harness.report.conftest import HIGH, LOW, SuiteBuilder

TASK = "pointmaze/umaze"
OFFLINE, ONLINE = 1000, 400
LIVED = {  # by seed: (length, score) of the episodes that ended
    0: [(100, 0.0), (50, 140.0), (150, 60.0)],
    1: [(300, 50.0)],
}
Make = Callable[..., SuiteBuilder]


def write(make_suite: Make, lived: dict[int, list[tuple[int, float]]] = LIVED) -> Path:
    """Two runs of iql: at 20 and 40 points before interaction, at 50 and 90 after it."""
    suite = make_suite(
        tasks=[TASK],
        labels=["iql", "df-div"],
        seeds=[0, 1],
        steps=OFFLINE + ONLINE,
        every=200,
        episodes=2,
        states={(TASK, "df-div", 1): "failed"},
    )
    folder = suite.write()
    described = json.loads((folder / "suite.json").read_text())
    described |= {"steps": OFFLINE, "online_steps": ONLINE}
    (folder / "suite.json").write_text(json.dumps(described))
    for seed, before, after in ((0, 20.0, 50.0), (1, 40.0, 90.0)):
        for label in ("iql", "df-div"):
            _write_run(suite.run_path(TASK, label, seed), seed, before, after, lived[seed])
    return folder


def _write_run(
    path: Path, seed: int, before: float, after: float, lived: list[tuple[int, float]]
) -> None:
    outcome = "return,length,terminated,success,normalized_score"
    rows = [f"seed,step,episode,{outcome}"]
    for step, score in ((500, -80.0), (OFFLINE, before), (1200, 0.0), (OFFLINE + ONLINE, after)):
        for episode, spread in enumerate((-10.0, 10.0)):
            rows.append(f"{seed},{step},{episode},{_raw(score + spread)}")
    (path / "evaluations.csv").write_text("\n".join(rows) + "\n")
    step, rows = OFFLINE, [f"seed,step,episode,{outcome}"]
    for episode, (length, score) in enumerate(lived):
        step += length
        rows.append(f"{seed},{step},{episode},{_raw(score, length)}")
    (path / "online.csv").write_text("\n".join(rows) + "\n")


def _raw(score: float, length: int = 300) -> str:
    return f"{LOW + score / 100 * (HIGH - LOW)!r},{length},false,0.0,{score!r}"


@pytest.fixture
def records(make_suite: Make) -> Records:
    return read_records(write(make_suite))


def test_numbers_are_those_of_the_boundary_of_the_end_and_between(records: Records) -> None:
    found = online_numbers(records).set_index(["label", "seed"])
    assert list(found.index) == [("iql", 0), ("iql", 1), ("df-div", 0)]  # one run failed
    for label, seed in found.index:
        row = found.loc[(label, seed)]
        before, after, count, regret = {
            # 100 steps lose all, 50 nothing though above the reference, 150 lose 0.4.
            0: (20.0, 50.0, 3, (100 * 1.0 + 50 * 0.0 + 150 * 0.4) / 300),
            1: (40.0, 90.0, 1, 0.5),
        }[seed]
        assert (row["before"], row["after"]) == pytest.approx((before, after))
        assert row["gain"] == pytest.approx(after - before)
        assert row["episodes"] == count
        assert row["regret"] == pytest.approx(regret)


def test_the_grid_has_means_and_deviations_over_seeds(records: Records) -> None:
    [grid] = online_grids(records, online_numbers(records))
    assert grid.columns == ("Algorithm", "Before", "After", "Gain", "Regret")
    cells = {row.name: [str(text) for text in row.texts] for row in grid.rows}
    spread = np.std([160 / 300, 0.5], ddof=1)
    assert cells == {
        "iql": ["30.0 ± 14.1", "70.0 ± 28.3", "40.0 ± 14.1", f"0.517 ± {spread:.3f}"],
        "df-div": ["20.0", "50.0", "30.0", "0.533"],
    }


def test_a_run_of_which_no_episode_ended_has_no_regret(make_suite: Make) -> None:
    records = read_records(write(make_suite, {**LIVED, 1: []}))
    found = online_numbers(records).set_index(["label", "seed"])
    assert np.isnan(found.loc[("iql", 1), "regret"])
    assert found.loc[("iql", 1), "episodes"] == 0
    [grid] = online_grids(records, online_numbers(records))
    assert [str(row.texts[-1]) for row in grid.rows] == ["–", "0.533"]
    assert "iql" not in running_scores(records, TASK)


def test_the_running_score_is_of_episodes_that_ended_lately(records: Records) -> None:
    points = running_scores(records, TASK)
    steps, scores = points["df-div"]
    assert steps[0] >= OFFLINE + 100
    assert steps[-1] == OFFLINE + ONLINE
    ends = {OFFLINE + 100: 0.0, OFFLINE + 150: 140.0, OFFLINE + 300: 60.0}
    for step, score in zip(steps, scores[0], strict=True):
        recent = [value for end, value in ends.items() if 0 <= step - end < ONLINE / 10]
        latest = [value for end, value in ends.items() if end <= step][-1]
        assert score == pytest.approx(np.mean(recent) if recent else latest)
    assert points["iql"][0][0] >= OFFLINE + 300  # seed 1's first episode ends there


def test_the_figure_is_drawn_and_equal_results_give_equal_bytes(
    records: Records, tmp_path: Path
) -> None:
    comparison = compare(records)
    files = online_figures(records, comparison, tmp_path)
    assert [file.name for file in files] == ["online.png", "online.pdf"]
    before = [file.read_bytes() for file in files]
    online_figures(records, comparison, tmp_path)
    assert [file.read_bytes() for file in files] == before


def test_a_suite_without_interaction_has_none_of_it(make_suite: Make, tmp_path: Path) -> None:
    records = read_records(make_suite().write())
    found = online_numbers(records)
    assert found.empty
    assert online_grids(records, found) == []
    assert online_figures(records, compare(records), tmp_path) == []
