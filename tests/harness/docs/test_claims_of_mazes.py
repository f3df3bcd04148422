"""What is said of mazes is what the committed results say."""

from __future__ import annotations

import csv
import re
from collections import defaultdict

import numpy as np

from tests.harness.docs.claims import (
    RESULTS,
    average_difference,
    corrected_p,
    difference,
    prose_of,
    scores_of,
    sides,
    tuning_of,
)


def test_on_mazes_decision_flow_stands_where_the_page_says() -> None:
    suite = RESULTS / "local" / "pointmaze"
    corrected = corrected_p(suite)
    told = {
        k
        for k in (
            "fql",
            "ifql",
            "bc",
            "df-div-actor-critic",
            "rebrac",
            "iql",
            "td3-bc",
            "df-dir",
            "diffusion-ql",
            "dt",
            "cql",
        )
        if corrected["average (pointmaze)", k] < 0.05
    }
    assert told == {"fql", "ifql", "bc", "df-div-actor-critic", "diffusion-ql", "dt", "cql"}
    mean, half = average_difference(suite, "dt", "bc")
    assert abs(mean) < half
    assert corrected["pointmaze/large", "iql"] < 0.05
    scores = scores_of(suite)
    for rows in scores.values():
        mean, half, _ = difference(rows["df-div"], rows["bc"])
        assert mean > half
    for label in ("ifql", "iql", "rebrac", "td3-bc"):
        mean, half = average_difference(suite, "df-div-actor-critic", label)
        assert mean > half
    above = set()
    for task, rows in scores.items():
        mean, half, _ = difference(rows["df-div-actor-critic"], rows["ifql"])
        if mean > half:
            above.add(task)
    assert above == {"pointmaze/umaze"}
    for task, sign in (("pointmaze/medium", -1), ("pointmaze/large", 1)):
        for label in ("iql", "rebrac"):
            mean, half, _ = difference(scores[task][label], scores[task]["df-div"])
            assert sign * mean > half
    mean, half = average_difference(suite, "fql", "df-div-actor-critic")
    assert 0 < mean < half
    apart = set()
    for task, rows in scores.items():
        mean, half, _ = difference(rows["fql"], rows["df-div-actor-critic"])
        if abs(mean) > half:
            apart.add(task)
    assert apart == {"pointmaze/medium", "pointmaze/large"}


def test_at_equal_effort_the_price_hardly_matters_and_fqls_weight_does() -> None:
    suite = RESULTS / "local" / "quickstart_settings"
    tried: dict[str, list[float]] = defaultdict(list)
    with (suite / "tuning.csv").open(encoding="utf-8") as file:
        for line in csv.DictReader(file):
            tried[line["setting"]].append(float(line["score"]))
    means = {setting: float(np.mean(scores)) for setting, scores in tried.items()}
    for variant in ("df-dir", "df-div"):
        assert abs(means[variant] - means[f"{variant}.rho-0.3"]) < 0.5
        assert means[f"{variant}.rho-0.1"] < means[f"{variant}.rho-0.3"] - 0.5
    assert (round(means["fql.alpha-1.0"], 1), round(means["fql"], 1)) == (74.4, 13.8)
    assert means["fql.alpha-1.0"] > 5 * means["fql"]
    [rows] = scores_of(suite).values()
    for label in rows.keys() - {"fql"}:
        mean, half, _ = difference(rows["fql"], rows[label])
        assert mean - half > 0
    for label, told in {"td3-bc": True, "bc": True, "iql": False, "df-dir": False}.items():
        mean, half, _ = difference(rows["df-div"], rows[label])
        assert (abs(mean) > half) == told


def test_on_umaze_the_critic_of_its_own_actions_is_what_df_div_lacks() -> None:
    suite = RESULTS / "decision_flow" / "held_back"
    rows = scores_of(suite)["pointmaze/umaze"]
    for label in ("actor-critic.rho-0.3", "actor-critic.rho-1.0", "fql"):
        mean, half, _ = difference(rows[label], rows["df-div"])
        assert mean - half > 0
    for label in (
        "joint",
        "expectile-0.9",
        "rho-0.3",
        "actor-critic.rho-3.0",
        "ensemble",
        "pretrained-longer",
    ):
        assert difference(rows[label], rows["df-div"])[0] < 0  # no better
    for label in ("noised", "flow-steps-20", "best-target-alone"):
        mean, half, _ = difference(rows[label], rows["df-div"])
        assert 0 < mean < half
    for label in ("best-target.rho-0.3", "best-target.rho-1.0"):
        mean, half, _ = difference(rows[label], rows["df-div"])
        assert mean > half
        assert corrected_p(suite)["pointmaze/umaze", label] > 0.05
    mean, half, _ = difference(rows["actor-critic.rho-1.0"], rows["fql"])
    assert abs(mean) < half
    table = (suite / "table.md").read_text("utf-8")
    values = table.partition("**What holds it back: pointmaze/umaze**")[2]
    values = values.partition("**What holds it back: pointmaze/medium**")[0]
    for label, q in {
        "df-div": 15.4,
        "actor-critic.rho-1.0": 28.1,
        "actor-critic.rho-0.3": 42.8,
    }.items():
        [line] = re.findall(rf"^\| {re.escape(label)} \|.*\| (\S+) ± \S+ \|$", values, re.MULTILINE)
        assert float(line) == q


def test_on_the_medium_maze_nothing_but_fql_is_told_apart_from_df_div() -> None:
    suite = RESULTS / "decision_flow" / "held_back"
    corrected, medium = corrected_p(suite), scores_of(suite)["pointmaze/medium"]
    others = medium.keys() - {"df-div"}
    assert len(others) == 15
    assert all(len(scores) == 5 for scores in medium.values())
    told = set()
    for label in others:
        mean, half, _ = difference(medium[label], medium["df-div"])
        told |= {label} if abs(mean) > half else set()
        assert corrected["pointmaze/medium", label] > 0.05
    assert told == {"fql"}
    seeds = medium["actor-critic.rho-0.3"].values()
    assert (round(min(seeds)), round(max(seeds))) == (18, 73)
    averages = {label: average_difference(suite, label, "df-div") for label in others}
    above = {label for label, (mean, half) in averages.items() if mean > half}
    known = {"fql", "ifql", "noised", "actor-critic.rho-0.3", "actor-critic.rho-1.0"}
    assert above == known
    after = {label for label in above if corrected["average (pointmaze)", label] < 0.05}
    assert after == {"fql", "actor-critic.rho-1.0"}
    said = {"noised": "1.2 ± 0.8", "ifql": "11.5 ± 10.9", "actor-critic.rho-1.0": "23.8 ± 7.4"}
    for label, words in (said | {"actor-critic.rho-0.3": "32.2 ± 14.4"}).items():
        mean, half = averages[label]
        assert f"{mean:.1f} ± {half:.1f}" == words
    mean, half = average_difference(suite, "actor-critic.rho-0.3", "fql")
    assert f"{-mean:.1f} ± {half:.1f}" == "2.2 ± 16.8"


def test_umaze_makes_most_of_what_a_critic_of_its_own_actions_is_worth_on_mazes() -> None:
    suite, own = RESULTS / "local" / "pointmaze", "df-div-actor-critic"
    others = ("iql", "rebrac", "td3-bc")
    assert sides(suite, own, others, "umaze") == dict.fromkeys(others, 1)
    assert sides(suite, own, others, "large") == {"iql": 0, "rebrac": -1, "td3-bc": 0}
    assert sides(suite, own, others, "-umaze") == {"iql": 0, "rebrac": 1, "td3-bc": 1}
    large = scores_of(suite)["pointmaze/large"]["fql"].values()
    assert (round(min(large)), round(max(large))) == (24, 82)


def test_tuning_tried_a_longer_improvement_on_mazes() -> None:
    scores: dict[tuple[str, str], list[float]] = defaultdict(list)
    for line in tuning_of(RESULTS / "local" / "pointmaze"):
        scores[line["task"], line["setting"]].append(float(line["score"]))
    prose = prose_of("What holds Decision Flow back")
    half = "df-div-actor-critic.rho-0.3"
    for maze, numbers in {"large": ("65.6", "45.5"), "medium": ("39.4", "53.8")}.items():
        for label, number in zip((f"{half}.pretrain_share-0.25", half), numbers, strict=True):
            found = scores[f"pointmaze/{maze}", label]
            assert len(found) == 2
            assert f"{np.mean(found):.1f}" == number
            assert number in prose
