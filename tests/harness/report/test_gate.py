from __future__ import annotations

import csv
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from harness.report import build_report
from harness.report.comparison import Comparison, compare
from harness.report.gate import MARK, UNUSABLE, CriticVerdict
from harness.report.records import read_records
from harness.report.sections.scores.grids import score_grids, summary_grid
from harness.report.sections.scores.numbers import table_csv

GOOD, BAD = "pointmaze/umaze", "gym/hopper"
LABELS = ["df-div", "iql", "known", "flow-bc", "ifql"]
ENTRIES = {
    "df-div": {"action_selection": "noise-1"},
    "iql": {"action_selection": "noise-0"},
    "known": {"action_selection": "noise-1", "config": {"known_q": True}},
    "flow-bc": {"action_selection": "noise-1", "trusts_critic": False},
    "ifql": {"action_selection": "best-of-32"},
}
CLONED, BETTER, WORSE = [40.0, 42.0, 44.0], [50.0, 51.0, 55.0], [35.0, 38.0, 36.0]


NO_GAIN = {(GOOD, "ifql"): {"noise-1": CLONED, "best-of-4": [44.0, 40.0, 43.0]}}  # 1/3 ± 1.9


@pytest.fixture
def judged(make_suite: Callable[..., Any]) -> Callable[..., Comparison]:
    """A comparison on two tasks, on the second of which picking by the critic does harm."""

    def make(**changes: Any) -> Comparison:
        settings: dict[str, Any] = {
            "tasks": [GOOD, BAD],
            "labels": LABELS,
            "entries": ENTRIES,
            "episodes": 1,
            "every": 10_000,
            "selections": {
                (GOOD, "ifql"): {"noise-1": CLONED, "best-of-4": BETTER},
                (BAD, "ifql"): {"noise-1": CLONED, "best-of-4": WORSE},
            },
        }
        return compare(read_records(make_suite(**(settings | changes)).write()))

    return make


def verdict(comparison: Comparison, task: str) -> CriticVerdict:
    return comparison.gate.verdicts[task]


def test_methods_that_learn_a_critic_are_marked_where_picking_by_it_does_harm(
    judged: Callable[..., Comparison],
) -> None:
    comparison = judged()
    assert verdict(comparison, GOOD).usable is True
    assert verdict(comparison, BAD).usable is False
    assert comparison.gate.marked == {(BAD, "df-div"), (BAD, "iql"), (BAD, "ifql")}
    good, bad = score_grids(comparison)
    averages = summary_grid(comparison)
    marked = [{row.name for row in g.rows if row.texts[0].mark} for g in (good, bad, averages)]
    assert marked == [set(), {"df-div", "iql", "ifql"}, {"df-div", "iql", "ifql"}]


def test_an_average_is_marked_in_numbers_too_where_another_task_was_not_judged(
    judged: Callable[..., Comparison],
) -> None:
    comparison = judged(states={(GOOD, "ifql", seed): "failed" for seed in range(3)})
    assert verdict(comparison, GOOD).usable is None
    table = table_csv(comparison).set_index(["task", "algorithm"])["critic_usable"]
    for task, usable in {GOOD: None, BAD: False, "average (all 2 tasks)": False}.items():
        found = table[task, "df-div"]
        assert (None if pd.isna(found) else bool(found)) is usable, task


def test_a_probe_that_is_scored_by_its_cloning_trusts_no_critic(
    judged: Callable[..., Comparison],
) -> None:
    marked = judged(entries={**ENTRIES, "ifql": {"action_selection": "noise-0"}}).gate.marked
    assert marked == {(BAD, "df-div"), (BAD, "iql")}


def test_the_reason_has_the_numbers(judged: Callable[..., Comparison]) -> None:
    # Differences -5, -4, -8: mean -17/3, standard error sqrt(13/3 / 3).
    assert verdict(judged(), BAD).reason == (
        "best-of-4 36.3, noise-1 42.0, paired difference -5.7 ± 1.2 over 3 seeds; "
        "value level not logged"
    )


@pytest.mark.parametrize(
    ("picked", "usable"),
    [
        ([40.0, 42.0, 44.0], True),  # no difference
        ([37.0, 43.0, 43.0], True),  # differences -3, 1, -1: mean -1, standard error 1.15
        ([38.0, 42.0, 43.0], False),  # differences -2, 0, -1: mean -1, standard error 0.58
        ([39.0, 41.0, 43.0], False),  # -1 on every seed
    ],
)
def test_harm_is_a_mean_difference_of_more_than_its_standard_error(
    judged: Callable[..., Comparison], picked: list[float], usable: bool
) -> None:
    selections = {(GOOD, "ifql"): {"noise-1": CLONED, "best-of-4": picked}}
    assert verdict(judged(selections=selections), GOOD).usable is usable


@pytest.mark.parametrize(
    ("level", "usable"), [(0.49, False), (0.5, True), (1.0, True), (2.0, True), (2.1, False)]
)
def test_the_probes_value_level_must_be_that_of_the_data(
    judged: Callable[..., Comparison], level: float, usable: bool
) -> None:
    levels = {(GOOD, "ifql"): {"critic/value_level": [level] * 3}}
    comparison = judged(metrics=levels, selections=NO_GAIN)
    assert verdict(comparison, GOOD).usable is usable
    assert f"value level {level:.2f}" in verdict(comparison, GOOD).reason


@pytest.mark.parametrize(("ceiling", "usable"), [(2.9, False), (3.1, True)])
def test_values_may_be_as_high_as_the_datas_best_returns(
    judged: Callable[..., Comparison], ceiling: float, usable: bool
) -> None:
    logged = {"critic/value_level": [3.0] * 3, "critic/value_ceiling": [ceiling] * 3}
    comparison = judged(metrics={(GOOD, "ifql"): logged}, selections=NO_GAIN)
    assert verdict(comparison, GOOD).usable is usable
    assert f"ceiling {ceiling:.2f}" in verdict(comparison, GOOD).reason


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("levels", [[NAN] * 3, [1.0, NAN, 1.0], [1.0, 1.0, INF], [INF, -INF, 1.0]])
def test_a_logged_value_level_that_is_not_finite_in_any_seed_is_not_usable(
    judged: Callable[..., Comparison], levels: list[float]
) -> None:
    comparison = judged(metrics={(GOOD, "ifql"): {"critic/value_level": levels}})
    assert verdict(comparison, GOOD).usable is False
    assert verdict(comparison, GOOD).reason.endswith("; value level not finite")
    own = judged(metrics={(GOOD, "df-div"): {"critic/value_level": levels}}, name="own")
    assert verdict(own, GOOD).reason.endswith("; value level not logged")
    assert {label for task, label in own.gate.marked if task == GOOD} == {"df-div"}


def test_a_nan_level_of_a_probe_that_was_evaluated_by_one_selection_is_a_verdict(
    judged: Callable[..., Comparison],
) -> None:
    comparison = judged(
        selections={(GOOD, "ifql"): {"noise-1": CLONED}},
        metrics={(GOOD, "ifql"): {"critic/value_level": [NAN] * 3}},
    )
    assert verdict(comparison, GOOD).usable is False


def test_the_latest_value_level_counts_also_if_it_is_nan(make_suite: Callable[..., Any]) -> None:
    suite = make_suite(
        tasks=[GOOD],
        labels=LABELS,
        entries=ENTRIES,
        selections={(GOOD, "ifql"): {"noise-1": CLONED, "best-of-4": BETTER}},
        metrics={(GOOD, "ifql"): {"critic/value_level": [NAN] * 3}},
    )
    folder = suite.write()
    for seed in suite.seeds:
        path = suite.run_path(GOOD, "ifql", seed) / "metrics.csv"
        header, *lines = path.read_text().splitlines()
        path.write_text("\n".join([header, f"{seed},2000,critic/value_level,1.0", *lines]) + "\n")
    assert compare(read_records(folder)).gate.verdicts[GOOD].usable is False


def test_a_method_whose_own_value_level_is_off_is_marked_alone(
    judged: Callable[..., Comparison],
) -> None:
    comparison = judged(
        metrics={(GOOD, "df-div"): {"critic/value_level": [3.0, 2.5, 3.5]}},
        final={(GOOD, "df-div"): [44.0, 40.0, 43.0]},
    )
    assert verdict(comparison, GOOD).usable is True
    assert {label for task, label in comparison.gate.marked if task == GOOD} == {"df-div"}


@pytest.mark.parametrize(
    ("gained", "usable"),
    [
        ([2.0, 3.0, 4.0], True),  # 3 ± 2.5
        ([1.0, 2.0, 3.0], False),  # 2 ± 2.5
        ([-4.0, -5.0, -6.0], False),
    ],
)
def test_a_level_that_is_off_is_forgiven_where_following_the_critic_clearly_helps(
    judged: Callable[..., Comparison], gained: list[float], usable: bool
) -> None:
    """Where data stop at no goal, a good policy's values lie above almost all that was seen."""
    scores = [cloned + gain for cloned, gain in zip(CLONED, gained, strict=True)]
    level = {"critic/value_level": [9.0] * 3}
    probe = judged(
        metrics={(GOOD, "ifql"): level},
        selections={(GOOD, "ifql"): {"noise-1": CLONED, "best-of-4": scores}},
    )
    assert verdict(probe, GOOD).usable is usable
    own = judged(metrics={(GOOD, "iql"): level}, final={(GOOD, "iql"): scores}, name="own")
    assert verdict(own, GOOD).usable is True
    assert ((GOOD, "iql") in own.gate.marked) is not usable


def test_a_level_that_is_too_low_is_not_forgiven(judged: Callable[..., Comparison]) -> None:
    comparison = judged(metrics={(GOOD, "ifql"): {"critic/value_level": [0.1] * 3}})
    assert verdict(comparison, GOOD).usable is False


def test_without_a_gain_of_the_probe_no_other_level_is_forgiven(
    judged: Callable[..., Comparison],
) -> None:
    """A method that acts without noise is above one noisy sample by that alone."""
    comparison = judged(
        selections=NO_GAIN,
        metrics={(GOOD, "iql"): {"critic/value_level": [9.0] * 3}},
        final={(GOOD, "iql"): [90.0, 92.0, 94.0]},
    )
    assert verdict(comparison, GOOD).usable is True
    assert (GOOD, "iql") in comparison.gate.marked


def test_of_a_single_seed_nothing_is_clear(judged: Callable[..., Comparison]) -> None:
    comparison = judged(
        seeds=[0],
        selections={(GOOD, "ifql"): {"noise-1": [40.0], "best-of-4": [90.0]}},
        metrics={(GOOD, "ifql"): {"critic/value_level": [9.0]}},
    )
    assert verdict(comparison, GOOD).usable is False


def test_without_a_probe_nothing_is_marked_and_the_note_says_so(
    judged: Callable[..., Comparison],
) -> None:
    levels = {(GOOD, "iql"): {"critic/value_level": [9.0] * 3}}
    comparison = judged(labels=["df-div", "iql"], selections={}, metrics=levels)
    assert comparison.gate.marked == frozenset()
    assert comparison.gate.notes() == (
        "Critic gate: not measured, as no run of ifql learns a critic here.",
    )


def test_a_probe_with_the_closed_form_q_says_nothing_of_learned_critics(
    judged: Callable[..., Comparison],
) -> None:
    entries = ENTRIES | {"ifql": {"action_selection": "noise-1", "config": {"known_q": True}}}
    assert "not measured" in judged(entries=entries).gate.notes()[0]


def test_a_probe_that_was_not_evaluated_by_both_selections_is_no_measurement(
    judged: Callable[..., Comparison],
) -> None:
    comparison = judged(selections={(GOOD, "ifql"): {"noise-1": CLONED}})
    assert verdict(comparison, GOOD).usable is None
    assert "not evaluated by both noise-1 and best-of-4" in verdict(comparison, GOOD).reason
    assert not [task for task, _ in comparison.gate.marked if task == GOOD]


def test_every_artefact_says_which_cells_trust_an_unusable_critic(
    make_suite: Callable[..., Any],
) -> None:
    suite = make_suite(
        tasks=[BAD],
        labels=LABELS,
        entries=ENTRIES,
        selections={(BAD, "ifql"): {"noise-1": CLONED, "best-of-4": WORSE}},
        final={(BAD, "iql"): [10.0, 11.0, 12.0]},
    )
    paths = build_report(suite.write()).paths
    assert f"11.0{MARK} ± 1.0°" in paths.markdown.read_text()
    assert r"11.0$^\dagger$" in paths.latex.read_text()
    assert f'11.0</a><sup title="{UNUSABLE}">{MARK}</sup>' in paths.html.read_text()
    for path in (paths.markdown, paths.latex, paths.html):
        assert UNUSABLE in path.read_text()
    with paths.csv.open(newline="") as file:
        found = {row["algorithm"]: row["critic_usable"] for row in csv.DictReader(file)}
    assert found == {"df-div": "False", "iql": "False", "known": "", "flow-bc": "", "ifql": "False"}
