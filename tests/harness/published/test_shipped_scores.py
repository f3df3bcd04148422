"""The shipped file of published scores: facts with sources, in the form that its README says."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

from algorithms import registry
from harness.published import Literature, shipped
from harness.published.scores import COLUMNS, shipped_file, write_scores
from harness.tasks import get_task
from harness.tasks.ids import Scale

LINES = list(csv.DictReader(shipped_file().open(encoding="utf-8")))


def test_it_is_read_and_written_without_a_change(tmp_path: Path) -> None:
    write_scores(tmp_path / "scores.csv", shipped())
    assert (tmp_path / "scores.csv").read_bytes() == shipped_file().read_bytes()


def test_every_line_has_a_source_and_a_score_or_says_why_not() -> None:
    assert all(line["source"] for line in LINES)
    empty = [line for line in LINES if not line["score"]]
    assert {line["method"] for line in empty} == {"df-dir", "df-div"}
    assert all("not at hand" in line["note"] for line in empty)


def test_tasks_are_those_whose_scores_are_on_d4rls_scale() -> None:
    tasks = {line["task"] for line in LINES}
    assert len(tasks) == 9 + 12 + 3
    for task in tasks:
        spec = get_task(task)
        assert spec.dataset.source == "d4rl"
        assert spec.scale == Scale.D4RL


def test_registered_methods_are_found_under_their_ids() -> None:
    methods = {line["method"] for line in LINES}
    assert {"bc-10", "diffusion-ql", "td3-bc", "rvs", "onestep", "edp"} <= methods
    assert len(methods & set(registry.algorithms())) > 30
    assert all(name == name.lower() and " " not in name for name in methods)


def test_scores_are_in_the_range_of_d4rl_scores() -> None:
    scores = [float(line["score"]) for line in LINES if line["score"]]
    assert -50 < min(scores) < 0
    assert 150 < max(scores) < 300
    assert all(0 <= float(line["spread"]) < 100 for line in LINES if line["spread"])


def test_no_number_of_a_protocol_and_a_source_is_there_twice() -> None:
    keys = [tuple(line[name] for name in (*COLUMNS[:4], "source")) for line in LINES]
    assert max(Counter(keys).values()) == 1


def test_a_spread_has_its_kind_and_no_copy_has_one() -> None:
    for score in shipped():
        assert (score.spread is None) == (score.spread_kind == "")
        if score.standing == "copy":
            assert score.spread is None
        if score.spread_kind == "other":
            assert "Diffus" in score.source or "Trajectory" in score.source


def test_corl_has_every_cell_of_both_protocols_with_four_seeds() -> None:
    for protocol in ("last", "best"):
        found = [s for s in shipped() if s.standing == "library" and s.protocol == protocol]
        assert len(found) == 10 * 24
        assert {s.seeds for s in found} == {4}


@pytest.mark.parametrize(
    ("task", "method", "protocol", "score"),
    [
        ("gym/halfcheetah/medium", "iql", "last", 48.31),  # CORL
        ("gym/halfcheetah/medium-expert", "rebrac", "last", 101.1),  # its paper; CORL has 103.8
        ("gym/halfcheetah/medium", "iql", "best", 48.84),
        ("gym/hopper/medium", "edp", "mean-of-last-10", 81.9),
        ("adroit/pen/cloned", "fql", "last", 74),
        ("gym/halfcheetah/medium", "diffusion-ql", "unknown", 51.1),
    ],
)
def test_known_numbers_are_shown(task: str, method: str, protocol: str, score: float) -> None:
    cell = Literature([], shipped()).cell(task, method, protocol)
    assert cell is not None
    assert cell.value == pytest.approx(score)


def test_the_best_evaluation_is_better_than_the_last() -> None:
    """They are never mixed: CORL's best are 15 points above its last on average."""
    by_cell: dict[tuple[str, str], dict[str, float]] = {}
    for score in shipped():
        if score.standing == "library" and score.score is not None:
            by_cell.setdefault((score.task, score.method), {})[score.protocol] = score.score
    gains = [cell["best"] - cell["last"] for cell in by_cell.values()]
    assert sum(gains) / len(gains) > 10
    assert min(gains) > -1
