"""What is said of known modes, back-propagation and online steps is what the results say."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from itertools import combinations
from pathlib import Path

import numpy as np
from scipy import stats

from harness.report.records import read_records
from harness.report.sections.modes.policies import landings, modal_tasks
from harness.statistics.paired import holm
from harness.tasks.multimodal_geometry import ActionModes
from tests.harness.docs.claims import RESULTS, difference, scores_of

LINEAR = "flow-bc.path-linear"


def measured(table: Path, quantity: str) -> dict[tuple[str, str], float]:
    """Means by task and row, of samples, as a table that a suite asked for has them."""
    with table.open(encoding="utf-8") as file:
        return {
            (line["task"], line["algorithm"]): float(line["mean"])
            for line in csv.DictReader(file)
            if line["quantity"] == quantity and line["action_selection"] == "noise-1"
        }


def gained(label: str) -> list[float]:
    """What interaction on the maze brought a row, by seed."""
    path = RESULTS / "decision_flow" / "offline_to_online" / "online.csv"
    with path.open(encoding="utf-8") as file:
        return [float(line["gain"]) for line in csv.DictReader(file) if line["label"] == label]


def test_the_best_price_on_the_maze_depends_on_the_flow_steps() -> None:
    [rows] = scores_of(RESULTS / "decision_flow" / "sensitivity").values()
    means: dict[tuple[str, str], dict[float, float]] = defaultdict(dict)
    for label, scores in rows.items():
        if found := re.fullmatch(
            r"grid\.rho-(.+)\.flow_steps-(.+)\.policy_learning_rate-(.+)", label
        ):
            price, steps, rate = found.groups()
            means[steps, rate][float(price)] = float(np.mean([*scores.values()]))
    assert {cell: max(of_price, key=of_price.__getitem__) for cell, of_price in means.items()} == {
        ("3", "0.0003"): 1.0,
        ("3", "0.001"): 1.0,
        ("10", "0.0003"): 0.3,
        ("10", "0.001"): 0.3,
    }
    above = [means["3", rate][1.0] - means["3", rate][0.3] for rate in ("0.0003", "0.001")]
    assert all(0.5 < more < 2.5 for more in above)


def test_of_twelve_differences_from_back_propagation_three_leave_zero_out_and_one_is_left() -> None:
    scores = scores_of(RESULTS / "decision_flow" / "backpropagation")
    found = {
        (task, price): difference(rows[f"df-div.rho-{price}"], rows[f"flow-bptt.rho-{price}"])
        for task, rows in scores.items()
        for price in ("0.3", "1.0", "3.0")
    }
    assert len(found) == 12
    apart = {cell for cell, (mean, half, _) in found.items() if abs(mean) > half}
    assert apart == {
        ("pointmaze/umaze", "1.0"),
        ("pointmaze/umaze", "3.0"),
        ("local/pen/mixed", "0.3"),
    }
    assert all(found[cell][0] < 0 for cell in apart)
    corrected = dict(zip(found, holm([p for *_, p in found.values()]), strict=True))
    assert [cell for cell, p in corrected.items() if p < 0.05] == [("local/pen/mixed", "0.3")]
    assert round(corrected["local/pen/mixed", "0.3"], 3) == 0.047


def test_no_path_and_no_coupling_is_measurably_better() -> None:
    suite = RESULTS / "decision_flow" / "paths"
    scores = scores_of(suite)
    modes, maze = scores["multimodal/modes-8-dim-2"], scores["pointmaze/umaze"]
    assert all(min(rows.values()) > 90 for label, rows in modes.items() if "flow-bc" not in label)
    for curved in ("df-div-path.path-cosine", "df-div-path.path-spline"):
        mean, half, _ = difference(maze[curved], maze["df-div"])
        assert 0 < mean < half
        mean, half, _ = difference(maze[curved.replace("df-div-path", "flow-bc")], maze[LINEAR])
        assert abs(mean) < half
    straight = {"linear": "df-div", **{p: f"df-div-path.path-{p}" for p in ("cosine", "spline")}}
    losses = {
        label: loss
        for (task, label), loss in measured(suite / "paths.csv", "metric:behavior/loss").items()
        if task.startswith("multimodal/")
    }
    for path, uncoupled in straight.items():
        coupled = f"df-div-transport.path-{path}"
        assert losses[coupled] < losses[uncoupled] / 5
        mean, half, _ = difference(modes[coupled], modes[uncoupled])
        assert mean < half


def test_two_flow_steps_keep_the_score_and_distillation_loses_in_8_d_alone() -> None:
    suite = RESULTS / "decision_flow" / "few_step"
    modes, maze = (scores_of(suite)[t] for t in ("multimodal/modes-4-dim-8", "pointmaze/umaze"))
    p_values = [difference(maze[a], maze[b])[2] for a, b in combinations(maze, 2)]
    assert len(p_values) == 91
    assert min(holm(p_values)) > 0.05
    means = {label: np.mean([*scores.values()]) for label, scores in modes.items()}
    assert means["df-div.flow_steps-2"] > means["df-div.flow_steps-10"] > 99
    assert means["df-div.flow_steps-1"] < 80
    assert max(mean for label, mean in means.items() if label.startswith("distilled")) < 75
    latency = measured(suite / "few-steps.csv", "latency")
    for task in scores_of(suite):
        two, ten = (latency[task, f"df-div.flow_steps-{steps}"] for steps in (2, 10))
        assert two < ten / 2


def test_online_every_seed_on_the_maze_loses_by_the_smaller_price() -> None:
    maze = scores_of(RESULTS / "decision_flow" / "offline_to_online")["pointmaze/umaze"]
    hand = scores_of(RESULTS / "decision_flow" / "offline_to_online_pen")["local/pen/mixed"]
    for variant in ("df-dir", "df-div"):
        lower, before = (maze[f"{variant}.online_rho-{rho}"] for rho in ("0.1", "0.3"))
        assert len(before) == 5
        assert all(lower[seed] < before[seed] for seed in before)
        mean, half, _ = difference(lower, before)
        assert mean + half < 0
        gains = gained(f"{variant}.online_rho-0.3")
        assert round(np.mean(gains)) in (25, 26)
        assert sum(gain < -25 for gain in gains) == sum(gain < 0 for gain in gains) == 1
        test = stats.ttest_1samp(gains, 0.0)
        assert test.pvalue > 0.05
    mean, half, _ = difference(maze["df-div.online_rho-0.3"], maze["iql"])
    assert mean > half
    for variant in ("df-dir", "df-div"):
        lower, before = (hand[f"{variant}.online_rho-{rho}"] for rho in ("0.1", "0.3"))
        assert sorted(lower[seed] > before[seed] for seed in before) == [False, True, True]
        assert np.mean([*lower.values()]) > np.mean([*before.values()])


def test_on_known_modes_df_div_is_above_best_of_32_everywhere_and_df_dir_on_the_main_tasks() -> (
    None
):
    sides: dict[str, dict[str, int]] = {}  # 1: above, 0: not told apart, -1: below
    for task, rows in scores_of(RESULTS / "decision_flow" / "multimodal").items():
        found = sides.setdefault(task.removeprefix("multimodal/"), {})
        for variant in ("df-dir", "df-div"):
            mean, half, _ = difference(rows[variant], rows["ifql"])
            found[variant] = (mean > half) - (mean < -half)
    assert {task: found["df-div"] for task, found in sides.items()} == dict.fromkeys(sides, 1)
    assert {task: found["df-dir"] for task, found in sides.items()} == {
        "modes-8-dim-2": 1,
        "modes-4-dim-8": 1,
        "modes-2-dim-2": -1,
        "modes-4-dim-2": 0,
    }


def test_of_every_method_on_eight_modes_the_groups_are_what_the_page_says() -> None:
    with (RESULTS / "local" / "multimodal_methods" / "policies.csv").open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    rows: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for line in lines:
        for name in ("reward", "in_support", "coverage", "kl"):
            rows[line["label"]][name].append(float(line[name] or "inf"))
    assert len(rows) == 48
    assert {len(found["reward"]) for found in rows.values()} == {3}
    climbing = ["cql", "cal-ql", "mcq", "td3-bc", "sac-n", "edac", "plas", "dtql", "qt"]
    for label in climbing:
        assert rows[label]["coverage"] == [1 / 8] * 3, label
        assert min(rows[label]["in_support"]) > 0.99, label
    assert rows["sac-n"] == rows["edac"]
    for label in ("ifql", "sfbc", "idql", "bdpo", "mean-flow"):
        assert min(rows[label]["coverage"]) > 1 / 8, label
        assert min(rows[label]["in_support"]) > 0.97, label
    for label in ("fql", "floq", "dfql", "fbrac"):
        assert min(rows[label]["coverage"]) > 0.8, label
        assert 0.6 < np.mean(rows[label]["reward"]) < 0.7, label
    for label in ["bc", "iql", "xql", "sql", "onestep", "awac", "rebrac", "srpo", "dd", "qdt"]:
        assert max(rows[label]["reward"]) < 0.02, label
    assert round(float(np.mean(rows["diffusion-bc"]["in_support"])), 1) == 0.2
    assert 0.6 < np.mean(rows["flow-bc"]["in_support"]) < 0.75
    nearest = min(rows, key=lambda label: float(np.mean(rows[label]["kl"])))
    assert nearest == "tt"


def test_on_eight_modes_four_rows_send_nearly_every_action_to_the_best_on_every_seed() -> None:
    records = read_records(RESULTS / "local" / "multimodal_methods")
    [task] = modal_tasks(records)
    modes = ActionModes.of(task)
    shares: dict[str, list[float]] = defaultdict(list)
    for (_, label, _, _), actions in landings(records):
        shares[label].append(float((modes.nearest(actions)[0] == modes.rewards.argmax()).mean()))
    assert {len(found) for found in shares.values()} == {3}
    highest = {label for label, found in shares.items() if min(found) >= 0.9}
    assert highest == {"df-dir", "df-div", "dt", "rvs"}
