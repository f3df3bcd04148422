"""Numbers, tables and figures of multimodal tasks, from measures of policies that tests choose."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.report.comparison import compare
from harness.report.records import Records, read_records
from harness.report.sections.modes.divergence import entropy, frontier, kl_from_behaviour
from harness.report.sections.modes.drawings import mode_figures
from harness.report.sections.modes.policies import (
    behaviour_numbers,
    landings,
    mode_grids,
    numbers,
    policy_numbers,
)
from harness.tasks import get_task
from harness.tasks.multimodal_geometry import ActionModes, Floats

TASKS = ["multimodal/modes-2-dim-2", "multimodal/modes-8-dim-2", "multimodal/modes-4-dim-8"]
EPISODES = 200
Policy = Callable[[ActionModes, int, np.random.Generator], Floats]


def one_mode(modes: ActionModes, count: int, rng: np.random.Generator) -> Floats:
    """Only the best mode, as the data have it."""
    return modes.centres[-1] + modes.sigma * rng.standard_normal((count, modes.dim))


def as_the_data(modes: ActionModes, count: int, rng: np.random.Generator) -> Floats:
    return modes.sample(count, rng)


def nowhere(modes: ActionModes, count: int, rng: np.random.Generator) -> Floats:
    """The same point between the modes, always."""
    return np.zeros((count, modes.dim))


POLICIES: dict[str, Policy] = {"df-dir": one_mode, "flow-bc": as_the_data, "bc": nowhere}


def modes_of(task_id: str) -> ActionModes:
    return ActionModes.of(get_task(task_id))


@pytest.fixture
def records(make_suite: Callable[..., Any]) -> Records:
    """Three policies on three tasks; before the last step all of them were `nowhere`."""
    suite = make_suite(
        tasks=TASKS,
        labels=list(POLICIES),
        seeds=[0, 1],
        every=10_000,
        episodes=EPISODES,
        specs={task: get_task(task) for task in TASKS},
    )
    folder = suite.write()
    content = json.loads((folder / "suite.json").read_text())
    content["rows"] = [{"action_selection": "noise-1"} | row for row in content["rows"]]
    (folder / "suite.json").write_text(json.dumps(content))
    for task in TASKS:
        for label, policy in POLICIES.items():
            for seed in (0, 1):
                write_measures(suite.run_path(task, label, seed), modes_of(task), policy, seed)
    return read_records(folder)


def write_measures(folder: Path, modes: ActionModes, policy: Policy, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = ["seed,step,action_selection,episode,name,value"]
    for step, selection, chosen in (
        (10_000, "noise-1", nowhere(modes, EPISODES, rng)),
        (20_000, "noise-1", policy(modes, EPISODES, rng)),
        (20_000, "best-of-4", one_mode(modes, EPISODES, rng)),
    ):
        for episode, action in enumerate(chosen):
            for axis, value in enumerate(action):
                name = f"canonical_{axis}"
                rows.append(f"{seed},{step},{selection},{episode},{name},{float(value)!r}")
    (folder / "measures.csv").write_text("\n".join(rows) + "\n")


@pytest.mark.parametrize(("dim", "tolerance"), [(1, 0.06), (2, 0.08), (8, 0.25)])
def test_entropy_is_that_of_a_gaussian(dim: int, tolerance: float) -> None:
    deviations = np.linspace(0.5, 1.0, dim)
    points = np.random.default_rng(0).standard_normal((2000, dim)) * deviations
    exact = 0.5 * dim * math.log(2 * math.pi * math.e) + np.log(deviations).sum()
    assert entropy(points) == pytest.approx(exact, abs=tolerance)


def test_entropy_is_that_of_a_uniform_square() -> None:
    points = np.random.default_rng(0).uniform(0, 3, (4000, 2))
    assert entropy(points) == pytest.approx(math.log(9), abs=0.08)


@pytest.mark.parametrize(("dim", "shift", "width"), [(2, 2.0, 0.5), (8, 1.0, 0.7)])
def test_kl_is_that_of_two_gaussians(dim: int, shift: float, width: float) -> None:
    modes = modes_of(f"multimodal/modes-1-dim-{dim}")
    policy = np.random.default_rng(0).standard_normal((2000, dim)) * width
    policy[:, 0] += shift
    exact = 0.5 * (dim * width**2 + shift**2 - dim - 2 * dim * math.log(width))
    found = kl_from_behaviour(modes, modes.centres[0] + modes.sigma * policy)
    assert found == pytest.approx(exact, abs=0.25)


def test_kl_of_one_mode_of_eight_is_the_log_of_eight() -> None:
    modes, rng = modes_of("multimodal/modes-8-dim-2"), np.random.default_rng(0)
    found = kl_from_behaviour(modes, one_mode(modes, 1000, rng))
    assert found == pytest.approx(math.log(8), abs=0.1)
    assert kl_from_behaviour(modes, modes.sample(1000, rng)) == pytest.approx(0, abs=0.1)


def test_kl_of_a_policy_without_noise_is_infinite_and_of_too_few_actions_unknown() -> None:
    modes = modes_of("multimodal/modes-8-dim-2")
    assert kl_from_behaviour(modes, np.zeros((50, 2))) == math.inf
    assert math.isnan(kl_from_behaviour(modes, modes.sample(3, np.random.default_rng(0))))


@pytest.mark.parametrize("task_id", ["multimodal/modes-8-dim-2", "multimodal/modes-4-dim-8"])
def test_the_frontier_is_that_of_reweighted_samples(task_id: str) -> None:
    modes = modes_of(task_id)
    q = modes.value(modes.sample(400_000, np.random.default_rng(0)))
    sharpness = np.array([0.0, 1.0, 5.0, 20.0])
    kl, reward = frontier(modes, sharpness)
    weights = np.exp(sharpness[:, None] * q)
    weights /= weights.mean(1, keepdims=True)
    np.testing.assert_allclose(reward, (weights * q).mean(1), atol=0.01)
    np.testing.assert_allclose(kl, (weights * np.log(weights)).mean(1), atol=0.03)


def test_no_policy_here_beats_the_frontier() -> None:
    modes, rng = modes_of("multimodal/modes-8-dim-2"), np.random.default_rng(0)
    kl, best = frontier(modes, np.geomspace(0.01, 1e5, 300))
    for width in (1.0, 0.5, 0.1):
        actions = modes.centres[-1] + width * modes.sigma * rng.standard_normal((2000, 2))
        found = kl_from_behaviour(modes, actions) + 0.1  # the estimate's error
        assert modes.value(actions).mean() <= np.interp(found, kl, best)


def test_numbers_of_policies_whose_numbers_are_known() -> None:
    modes, rng = modes_of("multimodal/modes-8-dim-2"), np.random.default_rng(0)
    best = numbers(modes, one_mode(modes, 2000, rng))
    assert best["reward"] == pytest.approx(2 / 3, abs=0.03)
    assert best["in_support"] == pytest.approx(0.99, abs=0.01)
    assert (best["coverage"], best["mode_entropy"]) == (1 / 8, 0.0)
    halves = np.concatenate([modes.centres[:2]] * 50)
    assert numbers(modes, halves)["coverage"] == 2 / 8
    assert numbers(modes, halves)["mode_entropy"] == pytest.approx(math.log(2))
    away = numbers(modes, nowhere(modes, 10, rng))
    assert (away["in_support"], away["coverage"], away["kl"]) == (0.0, 0.0, math.inf)
    assert math.isnan(away["mode_entropy"])
    data = behaviour_numbers(modes)
    assert data["reward"] == pytest.approx(0.5, abs=0.003)
    assert data["in_support"] == pytest.approx(0.99, abs=0.001)


def test_a_mode_counts_as_covered_from_a_quarter_of_its_share() -> None:
    modes = modes_of("multimodal/modes-2-dim-2")
    for rare, covered in ((12, 0.5), (13, 1.0)):
        actions = np.repeat(modes.centres, [rare, 100 - rare], axis=0)
        assert numbers(modes, actions)["coverage"] == covered


def test_only_last_steps_of_finished_runs_count(
    records: Records, make_suite: Callable[..., Any]
) -> None:
    found = dict(landings(records))
    assert len(found) == len(TASKS) * len(POLICIES) * 2 * 2
    key = ("multimodal/modes-4-dim-8", "flow-bc", "noise-1", 1)
    rng = np.random.default_rng(1)
    nowhere(modes_of(key[0]), EPISODES, rng)
    np.testing.assert_array_equal(found[key], as_the_data(modes_of(key[0]), EPISODES, rng))
    records.runs.loc[records.runs["seed"] == 1, "state"] = "running"
    assert {key[3] for key, _ in landings(records)} == {0}


def test_every_policy_has_a_line_for_each_action_selection_below_the_behaviour(
    records: Records,
) -> None:
    grids = mode_grids(records, policy_numbers(records))
    assert [grid.title.partition(":")[0] for grid in grids] == [
        "2 modes in 2-D",
        "8 modes in 2-D",
        "4 modes in 8-D",
    ]
    lines = [(row.name, str(row.texts[0])) for row in grids[1].rows]
    assert lines[0] == ("behaviour (exact)", "sample")
    assert lines[1:] == [
        (label, selection) for label in POLICIES for selection in ("noise-1", "best-of-4")
    ]
    texts = {row.name: row.texts for row in grids[1].rows if str(row.texts[0]) == "noise-1"}
    assert str(texts["bc"][2]) == "0.000 ± 0.000"
    assert str(texts["bc"][5]) == "∞"
    assert texts["df-dir"][3].value == "0.125"


def test_figures_are_of_each_kind(records: Records, tmp_path: Path) -> None:
    files = mode_figures(records, compare(records), policy_numbers(records), tmp_path)
    assert {path.name for path in files if path.suffix == ".png"} == {
        "modes.png",  # of the tasks that differ in the number of modes alone
        "policies.png",  # of the one that differs in more
        "frontier.png",
        "landings-modes-2-dim-2.png",
        "landings-modes-8-dim-2.png",
    }
    assert all(path.stat().st_size < 400_000 for path in files)


def test_a_suite_without_such_tasks_has_no_such_figures(
    make_suite: Callable[..., Any], tmp_path: Path
) -> None:
    records = read_records(make_suite(labels=["bc"]).write())
    found = policy_numbers(records)
    assert found.empty
    assert mode_grids(records, found) == []
    assert mode_figures(records, compare(records), found, tmp_path) == []
