"""What is said of hands is what the committed results say."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from pandas import Series, concat
from scipy import stats

from algorithms import registry
from harness.api.frames import results
from harness.report.comparison import compare
from harness.report.curves import read_curves
from harness.report.records import read_records
from tests.harness.docs.claims import (
    RESULTS,
    average_difference,
    corrected_p,
    difference,
    last_scores,
    prose_of,
    records_of,
    scores_of,
    sides,
    tuning_of,
)


def test_on_hands_that_leave_something_df_div_is_told_apart_from_dt_and_td3_bc_alone() -> None:
    suite = RESULTS / "local" / "adroit_underfit"
    average, p = "average (adroit)", corrected_p(suite)
    level = ("iql", "fql", "ifql", "rebrac", "bc", "diffusion-ql")
    assert all(p[average, label] > 0.05 for label in level)
    assert p[average, "td3-bc"] < 0.05
    assert f"{p[average, 'dt']:.3f}" == "0.008"
    for label, side in {
        "ifql": 0,
        "bc": 0,
        "df-dir": 0,
        "rebrac": 0,
        "diffusion-ql": 0,
        "df-div-actor-critic": 0,
        "fql": -1,
        "cql": -1,
        "iql": 1,
        "dt": 1,
    }.items():
        mean, half = average_difference(suite, label, "df-div")
        assert (mean > half) - (mean < -half) == side
    table = (suite / "table.md").read_text("utf-8")
    assert "not usable at this budget (" not in table
    [moving] = re.findall(r"NOT FLAT on adroit: .*? these rise: (.*?) \(on average", table)
    assert moving == "diffusion-ql by 40.0 ± 21.5"
    assert sides(suite, "diffusion-ql", ["df-div"], last=True) == {"df-div": 0}
    chosen = {line["setting"] for line in tuning_of(suite) if line["chosen_for"]}
    assert chosen >= {
        "df-dir.rho-3.0",
        "df-div.rho-3.0",
        "df-div-actor-critic.rho-3.0",
        "iql.temperature-3.0",
        "rebrac.actor_penalty-0.1.critic_penalty-0.5",
        "cql.alpha-10.0",
        "ifql.expectile-0.7",
    }
    assert sides(suite, "df-div", ["ifql", "df-div-actor-critic"], "pen") == {
        "ifql": -1,
        "df-div-actor-critic": 1,
    }
    found = compare(read_records(suite))
    [hands] = found.ranking
    others = [label for label in found.labels if label != "df-div-actor-critic"]
    own = "df-div-actor-critic"
    assert f"{found.against(own, others, hands.tasks)['iql']:.3f}" == "0.055"
    assert sides(suite, own, ["iql"]) == {"iql": -1}
    rest = [label for label in found.labels if label not in ("dt", "iql")]
    against_dt = found.against("dt", [*rest, "iql"], hands.tasks)
    assert {label for label, p_value in against_dt.items() if p_value < 0.05} == set(rest)
    assert sides(suite, "dt", [*rest, "iql"]) == {**dict.fromkeys(rest, 1), "iql": 0}
    assert sides(suite, "dt", ["df-div"], last=True) == {"df-div": 0}
    doors = [
        float(line["score"])
        for line in tuning_of(suite)
        if line["algorithm"] == "td3-bc" and "door" in line["task"]
    ]
    assert len(doors) == 6
    assert max(doors) < 1


def test_cqls_values_run_away_on_hands() -> None:
    suite = "local/adroit_underfit"
    metrics = results(suite, RESULTS).metrics
    ends = metrics.query("label == 'cql' and step == 16_000 and name == 'critic/mean'")
    assert len(ends) == 10
    assert (ends["value"] > 1e7).sum() == 9
    assert records_of(RESULTS / suite).evaluations["return"].max() < 6000
    [prose] = re.findall(r"\*\*CQL's values run away\*\*.*?at these", prose_of("Hands"))
    assert "in nine of its ten final runs the mean Q of a batch ends above 10⁷" in prose
    mean, half = average_difference(RESULTS / suite, "cql", "df-div")
    assert f"({-mean:.1f} ± {half:.1f} below `df-div`)" in prose
    config = registry.resolve_config("cql", {})
    assert (config.learning_rate, config.tau) == (3e-4, 0.005)


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
        ("dt", "noise-1"): ("61.4", "84.0"),
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
    [pen] = (task for task in scores_of(suite) if "pen" in task)
    assert p[pen, "ifql"] > 0.05
    for flow in ("fql-from-zero", "ifql"):
        mean, half = average_difference(suite, label, flow, last=True)
        assert mean - half > 0.16 * best
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


def noise_costs(suite: Path, step: int) -> Series:
    """What df-div's last policies score more from zero than by samples, by seed, over the hands."""
    records = records_of(suite)
    found = concat([records.evaluations, records.other_selections])
    last = found[(found["step"] == step) & (found["label"] == "df-div-from-zero")]
    means = last.groupby(["seed", "task", "action_selection"])["normalized_score"].mean()
    by_selection = means.unstack("action_selection").groupby("seed").mean()
    return by_selection["noise-0"] - by_selection["noise-1"]


def test_with_three_times_the_steps_it_leads_flow_baselines_and_not_by_16_percent() -> None:
    suite, label = RESULTS / "local" / "adroit_longer", "df-div-from-zero"
    shorter = RESULTS / "local" / "adroit_from_zero"
    average, p = "average (adroit)", corrected_p(suite)
    scores = scores_of(suite)
    averages = {
        (name, row): np.mean([np.mean([*rows[row].values()]) for rows in scores_of(name).values()])
        for name in (shorter, suite)
        for row in (label, "fql-from-zero", "ifql")
    }
    assert [f"{averages[shorter, 'ifql']:.1f}", f"{averages[suite, 'ifql']:.1f}"] == [
        "52.2",
        "64.3",
    ]
    assert averages[suite, "ifql"] > averages[suite, "fql-from-zero"]
    assert f"{0.16 * averages[suite, 'ifql']:.1f}" == "10.3"
    mean, half = average_difference(suite, label, "ifql")
    assert 0 < mean - half < 0.16 * averages[suite, "ifql"] < mean + half
    mean, half = average_difference(suite, label, "ifql", last=True)
    assert mean - half < 0
    below = ("fql-from-zero", "ifql", "rebrac", "bc")
    assert sides(suite, label, below) == dict.fromkeys(below, 1)
    assert {row for row in ("iql", *below) if p[average, row] < 0.05} == {"ifql", "bc"}
    assert f"{p[average, 'fql-from-zero']:.3f}" == "0.052"
    assert sides(suite, label, ["iql"]) == {"iql": 0}
    [pen], [door] = ([task for task in scores if hand in task] for hand in ("pen", "door"))
    assert sides(suite, label, ("iql", *below), door) == dict.fromkeys(("iql", *below), 1)
    assert {row for row in ("iql", *below) if p[door, row] < 0.05} == {"rebrac", "bc"}
    assert sides(suite, label, ("iql", *below), pen) == dict.fromkeys(("iql", *below), 0)
    assert [f"{end(scores[pen][label].values()):.0f}" for end in (min, max)] == ["53", "105"]
    cloned = [np.mean([*found[door]["bc"].values()]) for found in (scores, scores_of(shorter))]
    assert [f"{mean:.1f}" for mean in cloned] == ["21.7", "52.5"]
    assert p[average, "bc"] < 0.05
    told = {(label, "noise-1"): ("67.8", "83.0"), (label, "noise-0"): ("68.9", "98.9")}
    prose = prose_of("Hands from zero, three times as long")
    means = last_scores(suite, step=48_000)
    check_hands(means, "underfit-clone", told, prose)
    assert f"{means[door, 'fql-from-zero', 'noise-0']:.1f}" == "51.3"
    costs = (noise_costs(shorter, 16_000), noise_costs(suite, 48_000))
    assert stats.ttest_ind(*costs, equal_var=False).pvalue < 0.001


def test_a_cloning_flow_needs_the_steps_that_the_page_says() -> None:
    curves = read_curves(read_records(RESULTS / "local" / "cloning_flow"))
    told = {("flow-bc", 5_000): ("67.4", "54.7"), ("flow-bc", 10_000): ("90.1", "90.4")}
    told |= {("flow-bc-256", 5_000): ("79.1", "90.6")}
    for (label, step), numbers in told.items():
        for hand, number in zip(("pen", "door"), numbers, strict=True):
            curve = curves[f"local/{hand}/agent-cloned", label]
            assert f"{curve.scores[:, [*curve.steps].index(step)].mean():.1f}" == number
            assert number in prose_of("What a cloning flow needs")


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
