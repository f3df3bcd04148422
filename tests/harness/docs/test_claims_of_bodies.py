"""What is said of bodies is what the committed results say."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from harness.report.comparison import compare
from harness.report.sections.ranking import agreements
from tests.harness.docs.claims import (
    RESULTS,
    average_difference,
    corrected_p,
    difference,
    last_scores,
    prose_of,
    readme,
    records_of,
    scores_of,
    sides,
    tuning_of,
)

BODIES, FROM_ZERO = (RESULTS / "local" / name for name in ("gym_mujoco", "gym_from_zero"))
LONGER = RESULTS / "local" / "gym_longer"
USABLE = "-made/halfcheetah/medium-expert -made/walker2d/medium-expert"


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
    assert min(p["average (gym)", label] for label in ("fql", "bc", "df-dir")) > 0.05
    assert sides(BODIES, "df-dir", ["df-div"]) == {"df-div": 0}
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
    assert "in four of six cases on data of one or two policies" in prose_of(
        "Before reading a ranking: the critic"
    )


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


def test_diffusion_ql_on_bodies_stands_where_the_page_says() -> None:
    row, replays = "diffusion-ql", "medium-replay"
    others = ["bc", "fql", "df-div", "df-div-actor-critic", "rebrac", "iql", "td3-bc", "ifql"]
    without_a_flow = {"rebrac", "iql", "td3-bc"}
    everywhere = {label: -1 if label in without_a_flow else 0 for label in others}
    assert sides(BODIES, row, others) == everywhere | {"ifql": 1}
    above = {"bc", "df-div", "df-div-actor-critic"}
    assert sides(BODIES, row, others, replays) == {label: int(label in above) for label in others}
    told = [average_difference(BODIES, row, label) for label in others[:-1]]
    told += [average_difference(BODIES, row, label, replays) for label in others if label in above]
    for mean, half in told:
        assert f"{abs(mean):.1f} ± {half:.1f}" in prose_of("Locomotion")


def test_cql_on_bodies_is_behind_and_rises() -> None:
    scores = scores_of(BODIES).values()
    others = set.intersection(*({*rows} for rows in scores)) - {"cql", "dt"}
    assert sides(BODIES, "cql", others) == {label: -(label != "ifql") for label in others}
    assert sides(BODIES, "cql", ["bc", "df-div"], "medium-replay") == {"bc": 1, "df-div": -1}
    assert sides(BODIES, "cql", ["df-div"], last=True) == {"df-div": 0}
    assert corrected_p(BODIES)["average (gym)", "cql"] < 0.05
    rises = "these rise: cql by 8.5 ± 4.8 (on average over the tasks"
    assert rises in (BODIES / "table.md").read_text("utf-8")
    own = [line for line in tuning_of(BODIES) if line["setting"] == "cql" and line["chosen_for"]]
    assert len(own) == 7
    [ranking] = agreements(compare(records_of(BODIES)))
    published = dict(zip(ranking.labels, ranking.published.mean(1), strict=True))
    assert sorted(published, key=lambda label: -published[label]).index("cql") == 2
    assert ranking.labels[np.nanargmin(ranking.ours)] == "cql"


def test_most_settings_on_bodies_are_at_an_end_of_what_was_tried() -> None:
    found = [line for line in tuning_of(BODIES) if line["chosen_for"]]
    chosen = {(line["task"], line["algorithm"]): line["setting"] for line in found}
    # Of the others the row's own is between.
    middle = {"ifql": "ifql.expectile-0.8", "cql": "cql.alpha-5.0"}
    ends = {
        (task, label)
        for (task, label), setting in chosen.items()
        if setting != middle.get(label, label)
    }
    assert f"{len(ends)} of {len(chosen)} choices are at an end" in prose_of("Locomotion")
    assert len([label for _, label in ends if label == "iql"]) == 9


def check_bodies(
    suite: Path, told: dict[tuple[str, str], str], section: str, step: int = 10_000
) -> None:
    """Last scores on average over nine tasks, by row and action selection, as prose has them."""
    means = last_scores(suite, step)
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
    suite, label = FROM_ZERO, "df-div-from-zero"
    mean, half = average_difference(suite, label, "bc", "medium-replay")
    assert mean > half
    for level in ("medium", "medium-expert"):
        mean, half = average_difference(suite, label, "bc", level)
        assert abs(mean) < half
    assert corrected_p(suite)["average (gym)", "bc"] < 0.05
    told = {
        (label, "noise-1"): "33.1",
        (label, "noise-0"): "40.4",
        ("fql-from-zero", "noise-1"): "35.1",
        ("fql-from-zero", "noise-0"): "39.6",
        ("df-div-actor-critic-from-zero", "noise-1"): "35.7",
        ("df-div-actor-critic-from-zero", "noise-0"): "48.0",
    }
    check_bodies(suite, told, "Bodies from zero")


OWN, ALL_BUT_OWN = (
    "df-div-actor-critic-from-zero",
    ("rebrac", "iql", "td3-bc", "fql-from-zero", "df-div-from-zero", "bc"),
)


def test_by_the_protocol_a_critic_of_its_own_actions_is_above_all_from_zero() -> None:
    assert all({OWN, *ALL_BUT_OWN} == row.keys() for row in scores_of(FROM_ZERO).values())
    assert sides(FROM_ZERO, OWN, ALL_BUT_OWN) == dict.fromkeys(ALL_BUT_OWN, 1)
    found = compare(records_of(FROM_ZERO))
    [bodies] = found.ranking
    assert found.best(bodies.tasks) == {OWN}
    for level, names in {
        "medium-replay": ("df-div-from-zero",),
        "medium": (),
        "medium-expert": ("iql",),
    }.items():
        told = sides(FROM_ZERO, OWN, ALL_BUT_OWN, level)
        for name in ("df-div-from-zero", "iql"):
            assert told[name] == (0 if name in names else 1)


def test_at_the_last_evaluation_it_is_not_told_apart_from_rebrac_and_iql_which_rise() -> None:
    told = sides(FROM_ZERO, OWN, ALL_BUT_OWN, last=True)
    assert {other for other, side in told.items() if side == 0} == {"rebrac", "iql"}
    assert min(told.values()) == 0
    prose = prose_of("Bodies from zero")
    rises = {OWN: ("49.7", "48.0"), "rebrac": ("38.4", "45.6"), "iql": ("39.0", "45.7")}
    for label, numbers in rises.items():
        for step, number in zip((6_000, 10_000), numbers, strict=True):
            assert f"{at_step(label, step):.1f}" == number
            assert number in prose
    steps = [at_step(OWN, step) for step in range(5_000, 10_001, 1_000)]
    assert max(steps) == steps[0] or max(steps) == steps[1]


def at_step(label: str, step: int) -> float:
    """The mean over the nine tasks of an evaluation."""
    table = records_of(FROM_ZERO).evaluations
    found = table[(table["label"] == label) & (table["step"] == step)]
    return float(found.groupby("task")["normalized_score"].mean().mean())


def test_hopper_alone_puts_it_above_rebrac_and_td3_bc() -> None:
    for part, above, below in (
        ("hopper", {*ALL_BUT_OWN}, set()),
        ("halfcheetah", {*ALL_BUT_OWN} - {"rebrac"}, {"rebrac"}),
        ("walker2d", set(), set()),
        ("-hopper", {"iql", "fql-from-zero", "bc"}, set()),
    ):
        told = sides(FROM_ZERO, OWN, ALL_BUT_OWN, part)
        assert {other for other, side in told.items() if side == 1} == above
        assert {other for other, side in told.items() if side == -1} == below


def test_with_three_times_the_steps_the_lead_is_gone() -> None:
    others = ("rebrac", "iql", "td3-bc")
    assert sides(LONGER, OWN, others) == {"rebrac": -1, "iql": 0, "td3-bc": 0}
    p = corrected_p(LONGER)
    assert p["average (gym)", "rebrac"] < 0.05
    assert "NOT FLAT" not in (LONGER / "table.md").read_text("utf-8")
    assert sides(LONGER, OWN, others, "-made/halfcheetah/medium-expert")["rebrac"] == 0
    assert sides(LONGER, OWN, ["iql"], "hopper") == {"iql": -1}
    assert sides(LONGER, OWN, ["iql"], "halfcheetah") == {"iql": 1}
    hopper = "made/hopper/medium"
    means = [np.mean([*scores_of(suite)[hopper][OWN].values()]) for suite in (FROM_ZERO, LONGER)]
    assert [f"{mean:.1f}" for mean in means] == ["65.0", "38.3"]
    assert sides(LONGER, OWN, others, hopper) == dict.fromkeys(others, 0)
    averages = [
        np.mean([np.mean([*rows[OWN].values()]) for rows in scores_of(suite).values()])
        for suite in (LONGER, FROM_ZERO)
    ]
    assert [f"{mean:.1f}" for mean in averages] == ["47.1", "48.0"]
    told = {(OWN, "noise-0"): "48.0", (OWN, "noise-1"): "44.4"}
    check_bodies(LONGER, told, "Bodies from zero, three times as long", step=30_000)


def test_from_zero_df_divs_averages_are_of_opposite_signs() -> None:
    ours, others = "df-div-from-zero", ("rebrac", "iql", "td3-bc")
    assert sides(FROM_ZERO, ours, others) == dict.fromkeys(others, 0)
    assert sides(FROM_ZERO, ours, others, last=True) == {"rebrac": -1, "iql": -1, "td3-bc": 0}
    assert sides(FROM_ZERO, ours, ["iql"], "halfcheetah") == {"iql": 1}
    assert sides(FROM_ZERO, ours, ["iql"], "hopper") == {"iql": -1}
    assert sides(FROM_ZERO, ours, ["rebrac"], "-hopper") == {"rebrac": -1}


def test_on_halfcheetahs_replay_fql_loses_from_zero_and_this_alone_puts_df_div_above_it() -> None:
    ours, replay = "df-div-from-zero", "made/halfcheetah/medium-replay"
    assert sides(FROM_ZERO, ours, ["fql-from-zero"]) == {"fql-from-zero": 1}
    assert corrected_p(FROM_ZERO)["average (gym)", "fql-from-zero"] > 0.05
    assert sides(FROM_ZERO, ours, ["fql-from-zero"], f"-{replay}") == {"fql-from-zero": 0}
    means = last_scores(FROM_ZERO, step=10_000)
    found = [means[replay, "fql-from-zero", selection] for selection in ("noise-1", "noise-0")]
    assert [f"{score:.1f}" for score in found] == ["30.4", "15.8"]


def test_few_data_sets_make_what_three_methods_gain_over_cloning() -> None:
    others = ("rebrac", "iql", "td3-bc")
    assert sides(BODIES, "bc", others) == dict.fromkeys(others, -1)
    assert sides(BODIES, "bc", others, "walker2d") == dict.fromkeys(others, 0)
    assert sides(BODIES, "bc", ["iql"], "-made/hopper/medium-expert") == {"iql": 0}
    without = sides(BODIES, "bc", others, "-made/halfcheetah/medium-replay")
    assert without == dict.fromkeys(others, -1)
    for body, side in {"halfcheetah": 1, "hopper": 1, "walker2d": -1}.items():
        assert sides(BODIES, "df-div", ["bc"], f"medium-replay {body}") == {"bc": side}


def test_where_the_critic_is_usable_the_best_of_32_and_cloning_are_not_told_apart_from_df_div() -> (
    None
):
    assert sides(BODIES, "df-div", ["ifql"]) == {"ifql": 1}
    told = sides(BODIES, "df-div", ["ifql", "bc", "rebrac", "iql", "td3-bc"], USABLE)
    assert told == {"ifql": 0, "bc": 0, "rebrac": -1, "iql": -1, "td3-bc": -1}
    told = sides(BODIES, "df-div-actor-critic", ["rebrac", "iql", "td3-bc"], USABLE)
    assert told == {"rebrac": 0, "iql": -1, "td3-bc": 0}


def test_the_overviews_say_of_cloning_what_averages_over_data_sets_say() -> None:
    """Uncorrected, as they say; data set by data set less is told."""
    for part, sign in (("medium-replay", 1), ("-medium-replay", -1)):
        mean, half = average_difference(BODIES, "df-div", "bc", part)
        assert sign * mean > half
    assert (
        "above cloning on the average of three replays and below it on that of data of one policy "
        "or two (neither is corrected" in readme()
    )
    five = prose_of("Where Decision Flow stands, in five sentences")
    assert "ahead of cloning on mazes and on the average of three bodies' replays" in five
    assert "behind it on other hands and on the average of bodies' data of one or two" in five
