"""What the pages of results say of numbers is what the committed results say."""

from __future__ import annotations

import csv
import json
import re
from collections import defaultdict
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from harness.report.comparison import compare
from harness.report.curves import read_curves
from harness.report.records import read_records
from harness.report.sections.modes.policies import landings, modal_tasks
from harness.runs.folder import RunFolder
from harness.statistics.paired import holm
from harness.tasks.multimodal_geometry import ActionModes

REPOSITORY = Path(__file__).resolve().parents[3]
RESULTS = REPOSITORY / "results"
DOCS = REPOSITORY / "docs"
EXPERIMENTS = ("experiments", "modes", "choices", "online")
PAGES = [DOCS / "results.md", *(DOCS / "algorithms" / f"{name}.md" for name in EXPERIMENTS)]
SECTIONS = {
    part.partition("\n")[0]: part
    for page in PAGES
    for part in re.split(r"\n#+ ", page.read_text("utf-8"))
}
WITH_SPREAD = re.compile(r"\d+\.\d ± \d+\.\d")


def prose_of(section: str) -> str:
    """A section's own words, without what is generated, in one line."""
    own = re.sub(r"<!-- generated: .*?<!-- end -->", "", SECTIONS[section], flags=re.DOTALL)
    return " ".join(own.split())


def suites_of(section: str) -> set[Path]:
    names = re.findall(r"generated: (?:results|figure) (\w+/\w+)", SECTIONS[section])
    return {RESULTS / name for name in names}


def scores_of(suite: Path) -> dict[str, dict[str, dict[int, float]]]:
    """By task, label and seed."""
    found: dict[str, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    with (suite / "scores.csv").open(encoding="utf-8") as file:
        for line in csv.DictReader(file):
            if line["score"]:
                found[line["task"]][line["label"]][int(line["seed"])] = float(line["score"])
    return found


def difference(a: dict[int, float], b: dict[int, float]) -> tuple[float, float, float]:
    """Mean, half of the 95% interval and p of the paired t-test, by SciPy."""
    both = sorted(a.keys() & b.keys())
    test = stats.ttest_rel([a[seed] for seed in both], [b[seed] for seed in both])
    low, high = test.confidence_interval(0.95)
    return float(low + high) / 2, float(high - low) / 2, float(test.pvalue)


def average_difference(suite: Path, a: str, b: str, part: str = "") -> tuple[float, float]:
    """Mean over all tasks and half of its 95% interval, by Welch and Satterthwaite.

    part: a level or a body that the tasks' names must have or, after a minus, must not.
    """
    pairs = [
        np.array(
            [rows[a][seed] - rows[b][seed] for seed in sorted(rows[a].keys() & rows[b].keys())]
        )
        for task, rows in scores_of(suite).items()
        if not part or (part.removeprefix("-") in task.split("/")) is not part.startswith("-")
    ]
    parts = np.array([pair.var(ddof=1) / len(pair) for pair in pairs])
    freedom = parts.sum() ** 2 / sum(parts**2 / [len(pair) - 1 for pair in pairs])
    half = stats.t.ppf(0.975, freedom) * np.sqrt(parts.sum()) / len(pairs)
    return float(np.mean([pair.mean() for pair in pairs])), float(half)


def paired(suite: Path) -> set[str]:
    """All differences of two rows on a task, and on average, as prose writes them.

    Averages are over all tasks, those of one level, those of one body, and all but these.
    """
    found = set()
    scores = scores_of(suite)
    for rows in scores.values():
        for a, b in permutations(rows, 2):
            if len(rows[a].keys() & rows[b].keys()) > 1:
                mean, half, _ = difference(rows[a], rows[b])
                found.add(f"{mean:.1f} ± {half:.1f}")
    complete = set.intersection(
        *({k for k, v in rows.items() if len(v) > 1} for rows in scores.values())
    )
    words = {word for task in scores for word in task.split("/")}
    tasks = {word: {task for task in scores if word in task.split("/")} for word in words}
    several = {word for word in words if len(tasks[word]) > 1 and tasks[word] != scores.keys()}
    parts = {"", *several, *(f"-{word}" for word in several)}
    for (a, b), part in product(permutations(complete, 2), parts):
        mean, half = average_difference(suite, a, b, part)
        found.add(f"{mean:.1f} ± {half:.1f}")
    return found


@pytest.mark.parametrize(
    "section", [name for name in SECTIONS if WITH_SPREAD.search(prose_of(name))]
)
def test_every_number_with_its_spread_is_a_cell_or_a_difference_paired_by_seed(
    section: str,
) -> None:
    known: set[str] = set()
    for suite in suites_of(section):
        table = re.sub(r"[*°†]", "", (suite / "table.md").read_text("utf-8"))
        known |= set(WITH_SPREAD.findall(table)) | paired(suite)
    assert set(WITH_SPREAD.findall(prose_of(section))) <= known


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


def test_online_every_seed_on_the_maze_loses_by_the_smaller_price() -> None:
    maze = scores_of(RESULTS / "decision_flow" / "offline_to_online")["pointmaze/umaze"]
    hand = scores_of(RESULTS / "decision_flow" / "offline_to_online_pen")["local/pen/mixed"]
    for variant in ("df-dir", "df-div"):
        lower, before = (maze[f"{variant}.online_rho-{rho}"] for rho in ("0.1", "0.3"))
        assert all(lower[seed] < before[seed] for seed in before)
    lower, before = (hand[f"df-dir.online_rho-{rho}"] for rho in ("0.1", "0.3"))
    assert all(lower[seed] > before[seed] for seed in before)


def test_on_known_modes_df_div_is_above_best_of_32_everywhere_and_df_dir_on_the_main_tasks() -> (
    None
):
    scores = scores_of(RESULTS / "decision_flow" / "multimodal")
    above = {
        variant: {
            task.removeprefix("multimodal/")
            for task, rows in scores.items()
            if np.mean([*rows[variant].values()]) > np.mean([*rows["ifql"].values()])
        }
        for variant in ("df-dir", "df-div")
    }
    assert above["df-dir"] == {"modes-8-dim-2", "modes-4-dim-8"}
    assert above["df-div"] == above["df-dir"] | {"modes-2-dim-2", "modes-4-dim-2"}


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


def test_committed_figures_are_those_that_a_page_shows() -> None:
    pages = [REPOSITORY / "README.md", *DOCS.rglob("*.md")]
    links = [
        link for page in pages for link in re.findall(r"!\[.*?\]\((.*?)\)", page.read_text("utf-8"))
    ]
    shown = {link.partition("results/")[2] for link in links if "results/" in link}
    lines = (RESULTS / ".gitignore").read_text("utf-8").splitlines()
    kept = [line.removeprefix("!/") for line in lines if line.startswith("!/")]
    assert kept == sorted(shown)
    assert [name for name in kept if not (RESULTS / name).is_file()] == []


def tuning_of(suite: Path) -> list[dict[str, str]]:
    """Every trial that chooses a setting."""
    with (suite / "tuning.csv").open(encoding="utf-8") as file:
        return [*csv.DictReader(file)]


def corrected_p(suite: Path) -> dict[tuple[str, str], float]:
    """Of the differences to the reference, after Holm's correction, by task or average and row."""
    with (suite / "table.csv").open(encoding="utf-8") as file:
        lines = [line for line in csv.DictReader(file) if line["p_holm"]]
    return {(line["task"], line["algorithm"]): float(line["p_holm"]) for line in lines}


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


def test_rankings_are_as_near_to_d4rls_as_the_page_says() -> None:
    found = {}
    for name in ("pointmaze", "gym_mujoco", "adroit_underfit", "adroit"):
        with (RESULTS / "local" / name / "rankings.csv").open(encoding="utf-8") as file:
            [found[name]] = csv.DictReader(file)
    mazes, hands = found["pointmaze"], found["adroit_underfit"]
    assert (mazes["methods"], mazes["planned_methods"]) == ("6", "6")
    pairs = 6 * 5 / 2
    assert round(float(mazes["tau"]) * pairs) == pairs - 2  # one pair stands the other way
    assert float(mazes["tau_ci95_low"]) > 0
    bodies = found["gym_mujoco"]
    assert (bodies["methods"], bodies["tau"]) == ("4", "1.0")
    assert float(bodies["tau_ci95_low"]) < 0
    assert (hands["methods"], round(float(hands["tau"]), 2)) == ("6", 0.6)
    assert float(hands["tau_ci95_low"]) < 0
    assert (found["adroit"]["methods"], found["adroit"]["tau"]) == ("5", "0.0")


def test_on_hands_that_leave_something_df_div_is_told_apart_from_td3_bc_alone() -> None:
    suite = RESULTS / "local" / "adroit_underfit"
    average, p = "average (adroit)", corrected_p(suite)
    assert all(p[average, label] > 0.05 for label in ("iql", "fql", "ifql", "rebrac", "bc"))
    assert p[average, "td3-bc"] < 0.05
    for label, side in {
        "ifql": 0,
        "bc": 0,
        "rebrac": 0,
        "df-div-actor-critic": 0,
        "fql": -1,
        "iql": 1,
    }.items():
        mean, half = average_difference(suite, label, "df-div")
        assert (mean > half) - (mean < -half) == side
    assert "not usable at this budget (" not in (suite / "table.md").read_text("utf-8")
    chosen = {line["setting"] for line in tuning_of(suite) if line["chosen_for"]}
    assert {"df-div.rho-3.0", "df-div-actor-critic.rho-3.0"} <= chosen
    found = compare(read_records(suite))
    [hands] = found.ranking
    others = [label for label in found.labels if label != "df-div-actor-critic"]
    assert found.against("df-div-actor-critic", others, hands.tasks)["iql"] < 0.05
    doors = [
        float(line["score"])
        for line in tuning_of(suite)
        if line["algorithm"] == "td3-bc" and "door" in line["task"]
    ]
    assert len(doors) == 6
    assert max(doors) < 1


def check_hands(
    means: dict[tuple[str, str, str], float],
    level: str,
    told: dict[tuple[str, str], tuple[str, str]],
    prose: str,
) -> None:
    """Last scores on pen and door, by row and action selection, are what is told, and in prose."""
    for (label, selection), numbers in told.items():
        for hand, number in zip(("pen", "door"), numbers, strict=True):
            assert f"{means[f'local/{hand}/{level}', label, selection]:.1f}" == number
            assert number in prose


def test_on_hands_that_leave_something_noise_costs_decision_flow_what_the_page_says() -> None:
    means = last_scores(RESULTS / "local" / "adroit_underfit", step=16_000)
    told = {
        ("df-div", "noise-0"): ("79.0", "101.7"),
        ("df-div", "noise-1"): ("59.0", "67.0"),
        ("iql", "noise-0"): ("75.0", "83.3"),
        ("ifql", "noise-0"): ("49.9", "36.2"),
        ("df-div-actor-critic", "noise-0"): ("67.2", "96.0"),
    }
    check_hands(means, "underfit-clone", told, prose_of("Hands"))


def test_from_zero_df_div_gains_more_than_16_percent_over_the_best_flow_baseline() -> None:
    suite, label = RESULTS / "local" / "adroit_from_zero", "df-div-from-zero"
    average, p = "average (adroit)", corrected_p(suite)
    best = max(
        np.mean([np.mean([*rows[flow].values()]) for rows in scores_of(suite).values()])
        for flow in ("fql-from-zero", "ifql")
    )
    assert f"{best:.1f}" == "53.8"
    assert f"{0.16 * best:.1f}" == "8.6"
    for flow in ("fql-from-zero", "ifql"):
        mean, half = average_difference(suite, label, flow)
        assert mean - half > 0.16 * best
    told = {other for other in ("fql-from-zero", "ifql", "iql", "bc") if p[average, other] < 0.05}
    assert told == {"fql-from-zero", "ifql", "iql", "bc"}
    above_iql = {
        task: difference(rows[label], rows["iql"]) for task, rows in scores_of(suite).items()
    }
    assert {task for task, (mean, half, _) in above_iql.items() if mean > half} == {
        "local/door/underfit-clone"
    }
    means = last_scores(suite, step=16_000)
    told_last = {
        (label, "noise-1"): ("50.1", "60.1"),
        (label, "noise-0"): ("62.7", "98.0"),
        ("fql-from-zero", "noise-1"): ("29.9", "66.3"),
        ("fql-from-zero", "noise-0"): ("33.6", "77.6"),
        ("ifql", "noise-1"): ("41.3", "37.7"),
        ("ifql", "noise-0"): ("38.8", "25.4"),
    }
    check_hands(means, "underfit-clone", told_last, prose_of("From zero instead of noise"))


def test_a_cloning_flow_needs_the_steps_that_the_page_says() -> None:
    curves = read_curves(read_records(RESULTS / "local" / "cloning_flow"))
    told = {("flow-bc", 5_000): ("67.4", "54.7"), ("flow-bc", 10_000): ("90.1", "90.4")}
    told |= {("flow-bc-256", 5_000): ("79.1", "90.6")}
    for (label, step), numbers in told.items():
        for hand, number in zip(("pen", "door"), numbers, strict=True):
            curve = curves[f"local/{hand}/agent-cloned", label]
            assert f"{curve.scores[:, [*curve.steps].index(step)].mean():.1f}" == number
            assert number in prose_of("What a cloning flow needs")


def last_scores(suite: Path, step: int) -> dict[tuple[str, str, str], float]:
    """Means of the final runs at `step`, by task, label and action selection."""
    records = read_records(suite)
    found = pd.concat([records.evaluations, records.other_selections])
    last = found[(found["step"] == step) & (found["seed"] < 100)]
    groups = last.groupby(["task", "label", "action_selection"])["normalized_score"]
    return dict(groups.mean())


def test_on_hands_nothing_that_follows_the_critic_but_iql_is_level_with_cloning() -> None:
    suite = RESULTS / "local" / "adroit"
    p = corrected_p(suite)
    average = "average (adroit)"
    assert p[average, "fql"] > 0.05
    for label, above in (("bc", True), ("ifql", False), ("df-div-actor-critic", False)):
        mean, half = average_difference(suite, label, "df-div")
        assert abs(mean) > half
        assert (mean > 0) == above
        assert (p[average, label] < 0.05) == (label != "df-div-actor-critic")
    behind = ("td3-bc", "fql", "ifql", "df-div", "df-dir", "df-div-actor-critic", "diffusion-ql")
    for label in behind:
        mean, half = average_difference(suite, "bc", label)
        assert mean > half
    for a, b in (("iql", "bc"), ("df-dir", "df-div"), ("fql", "df-div")):
        mean, half = average_difference(suite, a, b)
        assert abs(mean) < half
    mean, half = average_difference(suite, "df-div", "diffusion-ql")
    assert mean > half
    assert (suite / "table.md").read_text("utf-8").count("critic not usable at this budget (") == 2


def test_on_hands_the_last_policies_score_without_noise_what_the_page_says() -> None:
    means = last_scores(RESULTS / "local" / "adroit", step=10_000)
    told = {
        ("df-div", "noise-0"): ("93.8", "102.7"),
        ("df-div", "noise-1"): ("72.0", "48.1"),
        ("fql", "noise-0"): ("98.6", "100.3"),
    }
    prose = prose_of("Where the clone is as good as the agent")
    check_hands(means, "agent-cloned", told, prose)


def test_the_readmes_scores_are_the_quickstarts() -> None:
    readme = " ".join((REPOSITORY / "README.md").read_text("utf-8").split())
    [rows] = scores_of(RESULTS / "local" / "quickstart").values()
    sentence = readme[readme.index("On this small task") : readme.index("All seven have")]
    said = dict(re.findall(r"`([a-z0-9-]+)` (?:scores )?(-?\d+\.\d ± \d+\.\d)", sentence))
    assert said == {
        label: f"{np.mean([*scores.values()]):.1f} ± {np.std([*scores.values()], ddof=1):.1f}"
        for label, scores in rows.items()
    }
    [more] = scores_of(RESULTS / "local" / "quickstart_settings").values()
    mean, half, _ = difference(more["fql"], more["df-div"])
    assert f"with five seeds `fql` is {mean:.1f} ± {half:.1f} points above `df-div`" in readme


def test_the_quickstarts_runs_left_the_bytes_that_other_stacks_of_seeds_did() -> None:
    """Trained twice, three seeds at once and five: of each run every evaluation."""
    ours, others = (RESULTS / "local" / name for name in ("quickstart", "quickstart_settings"))
    runs = json.loads((ours / "suite.json").read_text("utf-8"))["runs"]
    assert len(runs) == 21
    for run in runs:
        found, again = (
            RunFolder(f / run["path"]).read_table("evaluations") for f in (ours, others)
        )
        assert found is not None
        assert found == again, run["path"]


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
    for label in ("best-target.rho-0.3", "best-target.rho-1.0"):
        mean, half, _ = difference(rows[label], rows["df-div"])
        assert mean > half
    mean, half, _ = difference(rows["actor-critic.rho-1.0"], rows["fql"])
    assert abs(mean) < half
    medium = scores_of(suite)["pointmaze/medium"]
    mean, half, _ = difference(medium["actor-critic.rho-1.0"], medium["df-div"])
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


COUNTS = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


@pytest.mark.parametrize(
    ("suite", "section", "place"),
    [
        ("gym_mujoco", "Locomotion", "bodies"),
        ("adroit_underfit", "Hands", "hands"),
        ("adroit", "Where the clone is as good as the agent", ""),
    ],
)
def test_pages_count_the_methods_that_are_finished(suite: str, section: str, place: str) -> None:
    scores = scores_of(RESULTS / "local" / suite).values()
    planned = json.loads((RESULTS / "local" / suite / "suite.json").read_text("utf-8"))["rows"]
    finished = [row for row in planned if all(len(task[row["label"]]) == 5 for task in scores)]
    assert len(planned) == 12
    done, left = COUNTS[len(finished)], COUNTS[12 - len(finished)]
    folders = (RESULTS / "README.md").read_text("utf-8")
    assert re.search(rf"`local/{suite}/` .* \({done} of twelve methods\) \|", folders)
    assert f"{done} of the twelve" in prose_of(section).lower()
    readme = " ".join((REPOSITORY / "README.md").read_text("utf-8").split())
    assert not place or re.search(
        rf"what is not run yet: [^.]*\b{left} (methods )?on {place}", readme
    )
