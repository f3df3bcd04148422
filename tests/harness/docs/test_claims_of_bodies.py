"""What is said of bodies is what the committed results say."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from harness.report.comparison import compare
from harness.report.records import read_records
from tests.harness.docs.claims import (
    RESULTS,
    average_difference,
    corrected_p,
    difference,
    last_scores,
    prose_of,
    scores_of,
    tuning_of,
)

BODIES = RESULTS / "local" / "gym_mujoco"


def is_above(a: str, b: str, part: str = "") -> bool:
    """Whether a row is told apart, and above, on bodies by the paired interval of an average."""
    mean, half = average_difference(BODIES, a, b, part)
    return mean > half


def test_on_bodies_three_without_a_flow_are_above_cloning_and_df_div() -> None:
    p = corrected_p(BODIES)
    for label in ("rebrac", "iql", "td3-bc"):
        assert is_above(label, "bc")
        assert is_above(label, "df-div")
        assert p["average (gym)", label] < 0.05
    assert is_above("df-div", "ifql")
    assert p["average (gym)", "ifql"] < 0.05
    assert min(p["average (gym)", label] for label in ("fql", "bc")) > 0.05
    assert not is_above("fql", "df-div")
    assert not is_above("rebrac", "iql")
    own = "df-div-actor-critic"
    assert is_above(own, "df-div")
    assert p["average (gym)", own] > 0.05
    assert all(is_above(label, own) for label in ("rebrac", "iql", "td3-bc"))
    assert not is_above(own, "bc")


def test_on_replays_df_div_is_above_cloning_and_on_narrow_data_below() -> None:
    assert is_above("df-div", "bc", "medium-replay")
    for label in ("rebrac", "iql", "td3-bc", "fql", "ifql"):
        assert is_above(label, "df-div", "medium-replay")
    for level in ("medium", "medium-expert"):
        assert is_above("bc", "df-div", level)
    bodies = ("halfcheetah", "hopper", "walker2d")
    behind = {}
    for body in bodies:
        rows = scores_of(BODIES)[f"made/{body}/medium-expert"]
        behind[body] = difference(rows["bc"], rows["df-div"])[0]
    assert behind["walker2d"] > sum(behind.values()) / 2


def test_on_two_bodies_of_two_policies_the_critic_is_not_usable() -> None:
    gate = (BODIES / "table.md").read_text("utf-8").partition("- Critic gate on ")[2]
    found = dict(re.findall(r"(made/\S+): critic (usable|not usable)", gate.split("\n")[0]))
    assert len(found) == 9
    assert {task for task, verdict in found.items() if verdict == "not usable"} == {
        "made/halfcheetah/medium-expert",
        "made/walker2d/medium-expert",
    }


def test_on_bodies_settings_follow_the_data() -> None:
    chosen = {
        (line["task"], line["algorithm"]): line["setting"]
        for line in tuning_of(BODIES)
        if line["chosen_for"]
    }
    assert chosen["made/walker2d/medium-expert", "df-div"] == "df-div.rho-10.0"
    closest = [task for (task, _), setting in chosen.items() if setting == "td3-bc.alpha-0.3"]
    assert len(closest) == 5
    assert all(not task.endswith("replay") for task in closest)


def check_bodies(suite: Path, told: dict[tuple[str, str], str], section: str) -> None:
    """Last scores on average over nine tasks, by row and action selection, as prose has them."""
    means = last_scores(suite, step=10_000)
    for (label, selection), number in told.items():
        scores = [means[task, label, selection] for task in scores_of(suite)]
        assert len(scores) == 9
        assert f"{np.mean(scores):.1f}" == number
        assert number in prose_of(section)


def test_on_bodies_noise_costs_decision_flow_what_the_page_says() -> None:
    told = {
        ("df-div", "noise-0"): "40.5",
        ("df-div", "noise-1"): "31.7",
        ("df-div-actor-critic", "noise-0"): "44.9",
        ("df-div-actor-critic", "noise-1"): "37.3",
        ("fql", "noise-0"): "37.9",
        ("fql", "noise-1"): "35.5",
        ("td3-bc", "noise-1"): "42.9",
    }
    check_bodies(BODIES, told, "Locomotion")


def test_bodies_from_zero_are_what_the_page_says() -> None:
    suite, label = RESULTS / "local" / "gym_from_zero", "df-div-from-zero"
    for other in ("rebrac", "iql", "td3-bc"):
        mean, half = average_difference(suite, label, other)
        assert abs(mean) < half
    mean, half = average_difference(suite, label, "bc", "medium-replay")
    assert mean > half
    for level in ("medium", "medium-expert"):
        mean, half = average_difference(suite, label, "bc", level)
        assert abs(mean) < half
    assert corrected_p(suite)["average (gym)", "bc"] < 0.05
    assert average_difference(suite, label, "fql-from-zero")[0] > 0
    told = {
        (label, "noise-1"): "33.1",
        (label, "noise-0"): "40.4",
        ("fql-from-zero", "noise-1"): "35.1",
        ("fql-from-zero", "noise-0"): "39.6",
        ("df-div-actor-critic-from-zero", "noise-1"): "35.7",
        ("df-div-actor-critic-from-zero", "noise-0"): "48.0",
    }
    check_bodies(suite, told, "Bodies from zero")


def test_with_a_critic_of_its_own_actions_decision_flow_from_zero_is_above_all_on_bodies() -> None:
    suite, ours = RESULTS / "local" / "gym_from_zero", "df-div-actor-critic-from-zero"
    others = ("rebrac", "iql", "td3-bc", "fql-from-zero", "df-div-from-zero", "bc")
    rows = scores_of(suite)
    assert all({ours, *others} == row.keys() for row in rows.values())
    for other in others:
        mean, half = average_difference(suite, ours, other)
        assert mean > half
    found = compare(read_records(suite))
    [bodies] = found.ranking
    assert found.best(bodies.tasks) == {ours}
    for level, names in {
        "medium-replay": ("df-div-from-zero",),
        "medium": (),
        "medium-expert": ("iql",),
    }.items():
        told = set(others)
        for other in others:
            mean, half = average_difference(suite, ours, other, level)
            assert mean > 0
            told -= {other} if mean < half else set()
        assert set(others) - told == set(names)


def test_hopper_alone_puts_it_above_rebrac_and_td3_bc() -> None:
    suite, ours = RESULTS / "local" / "gym_from_zero", "df-div-actor-critic-from-zero"
    others = {"rebrac", "iql", "td3-bc", "fql-from-zero", "df-div-from-zero", "bc"}
    for part, above, below in (
        ("hopper", others, set()),
        ("halfcheetah", others - {"rebrac"}, {"rebrac"}),
        ("walker2d", set(), set()),
        ("-hopper", {"iql", "fql-from-zero", "bc"}, set()),
    ):
        found = {other: average_difference(suite, ours, other, part) for other in others}
        assert {other for other, (mean, half) in found.items() if mean > half} == above
        assert {other for other, (mean, half) in found.items() if mean < -half} == below
