from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from harness.report.comparison import compare
from harness.report.curves import read_curves
from harness.report.page.answer import answers
from harness.report.records import read_records

TASK = "pointmaze/umaze"
MAZES, MIDDLE = [TASK, "pointmaze/large"], "pointmaze/medium"


def answers_of(suite: Any) -> list[str]:
    records = read_records(suite.write())
    return answers(compare(records), read_curves(records))


@pytest.fixture
def answer(make_suite: Callable[..., Any]) -> Callable[..., str]:
    """The answer of a suite of one task, whose title is `Pointmaze Umaze`."""

    def make(**settings: Any) -> str:
        [sentence] = answers_of(make_suite(**settings))
        return sentence

    return make


def test_it_names_the_best_those_not_told_apart_and_those_below(
    answer: Callable[..., str],
) -> None:
    # Student's t of five seeds: ± 2.776 sd / sqrt(5), which is 1.96 for iql. Its interval and bc's
    # overlap, as do its own and awac's, which is 1 below it on every seed.
    final = {
        (TASK, "iql"): [61.0, 62.0, 63.0, 64.0, 65.0],
        (TASK, "bc"): [64.0, 60.0, 63.0, 61.0, 62.0],
        (TASK, "awac"): [60.0, 61.0, 62.0, 63.0, 64.1],
        (TASK, "fql"): [10.0, 11.0, 12.0, 13.0, 14.0],
    }
    labels = ["fql", "bc", "awac", "iql"]
    assert answer(labels=labels, seeds=[0, 1, 2, 3, 4], final=final) == (
        "On Pointmaze Umaze, iql has the highest mean, 63.0 (95% interval 61.0 to 65.0); not told "
        "apart from it, paired by seed: bc; below it: awac and fql."
    )


def test_methods_that_share_few_seeds_with_the_best_are_said_to(
    answer: Callable[..., str],
) -> None:
    final = {
        (TASK, "iql"): [61.0, 62.0, 63.0, 64.0, 65.0, 66.0],
        (TASK, "bc"): [1.0, 2.0, 1.0, 2.0, 1.0, 2.0],
        (TASK, "fql"): [1.0, 2.0, 1.0, 2.0],
    }
    states = {(TASK, "fql", seed): "missing" for seed in (4, 5)}
    said = answer(labels=["fql", "bc", "iql"], seeds=[*range(6)], final=final, states=states)
    assert said.endswith(
        "; below it: bc; with too few seeds in common to tell: fql; intervals of 4 seeds are rough."
    )


def test_few_seeds_are_called_rough_and_one_seed_ranks_nothing(answer: Callable[..., str]) -> None:
    final = {(TASK, "bc"): [1.0], (TASK, "iql"): [9.0]}
    said = answer(labels=["bc", "iql"], seeds=[0], final=final)
    assert "nothing tells them apart" in said
    assert "below" not in said


def test_two_seeds_are_called_rough(answer: Callable[..., str]) -> None:
    final = {(TASK, "bc"): [1.0, 1.1], (TASK, "iql"): [9.0, 9.1]}
    said = answer(labels=["bc", "iql"], seeds=[0, 1], final=final)
    assert said.endswith("below its own: bc; intervals of 2 seeds are rough.")


def test_nothing_is_claimed_where_nothing_is_finished(answer: Callable[..., str]) -> None:
    states = {(TASK, label, seed): "missing" for label in ("bc", "iql") for seed in range(3)}
    assert answer(labels=["bc", "iql"], states=states) == (
        "No method has finished on Pointmaze Umaze, so nothing is claimed yet."
    )


def test_unfinished_methods_are_counted(answer: Callable[..., str]) -> None:
    states = {(TASK, "iql", seed): "running" for seed in range(3)}
    said = answer(labels=["bc", "iql"], states=states, final={(TASK, "bc"): [1.0, 2.0, 3.0]})
    assert "there is nothing to compare it with; 1 method not finished" in said


def test_methods_that_trust_an_unusable_critic_are_not_ranked(answer: Callable[..., str]) -> None:
    # Picking by the critic is worse than cloning, so that the gate marks what trusts a critic.
    own = {"action_selection": "best-of-4"}
    said = answer(
        labels=["ifql", "bc", "iql"],
        entries={
            "ifql": own,
            "bc": {"trusts_critic": False, "action_selection": "noise-1"},
            "iql": {"action_selection": "noise-0"},
        },
        final={
            (TASK, "ifql"): [10.0, 11.0, 12.0],
            (TASK, "bc"): [30.0, 31.0, 32.0],
            (TASK, "iql"): [90.0, 91.0, 92.0],
        },
        selections={(TASK, "ifql"): {"noise-1": [50.0, 51.0, 52.0]}},
    )
    assert said.startswith("On Pointmaze Umaze, bc scores 31.0")
    assert "2 methods not ranked" in said
    assert "iql" not in said


def test_tasks_without_a_usable_critic_are_left_out_where_others_have_one(
    make_suite: Callable[..., Any],
) -> None:
    # On the first maze picking by the critic is worse than cloning, on the others it is better.
    scores = {"ifql": [10.0, 11.0, 12.0], "bc": [20.0, 21.0, 22.0], "iql": [50.0, 51.0, 52.0]}
    cloned = {MAZES[0]: [170.0, 171.0, 172.0], MAZES[1]: [0.0, 1.0, 2.0], MIDDLE: [0.0, 1.0, 2.0]}
    suite = make_suite(
        tasks=[*MAZES, MIDDLE],
        labels=[*scores],
        entries={
            "ifql": {"action_selection": "best-of-4"},
            "bc": {"trusts_critic": False, "action_selection": "noise-1"},
            "iql": {"action_selection": "noise-0"},
        },
        final={
            (task, label): [score + 100.0 * (task == MAZES[0]) for score in of]
            for task in cloned
            for label, of in scores.items()
        },
        selections={(task, "ifql"): {"noise-1": of} for task, of in cloned.items()},
    )
    [said] = answers_of(suite)
    assert said.startswith("On 2 of 3 pointmaze tasks on average, iql has the highest mean, 51.0 ")
    assert said.endswith("; 1 task left out (†: critic not usable at this budget).")


def test_families_are_not_ranked_together(make_suite: Callable[..., Any]) -> None:
    suite = make_suite(tasks=["pointmaze/umaze", "pointmaze/large", "adroit/pen"], labels=["bc"])
    sentences = answers_of(suite)
    assert len(sentences) == 2
    assert "2 pointmaze tasks on average" in sentences[0]
    assert "Adroit Pen" in sentences[1]


def test_without_an_average_nothing_is_said_to_be_on_average(
    make_suite: Callable[..., Any],
) -> None:
    states = {(task, "bc", seed): "missing" for task in MAZES for seed in range(3)}
    none = make_suite(name="none", tasks=MAZES, labels=["bc"], states=states)
    assert answers_of(none) == [
        "No method has finished on all 2 pointmaze tasks, so nothing is claimed yet."
    ]
    apart = make_suite(
        name="apart",
        tasks=MAZES,
        labels=["bc", "iql"],
        entries={"bc": {"tasks": MAZES[:1]}, "iql": {"tasks": MAZES[1:]}},
    )
    assert answers_of(apart) == ["No method runs on all 2 pointmaze tasks, so none is named."]


def test_a_row_that_more_steps_might_move_is_named(make_suite: Callable[..., Any]) -> None:
    # Curves end flat but for noise of 3 points and e^-3.6 of the last score: 1 of bc, 14 of iql.
    final = {(TASK, "iql"): [500.0 + seed for seed in range(5)], (TASK, "bc"): [40.0] * 5}
    suite = make_suite(tasks=[TASK], labels=["bc", "iql"], seeds=[*range(5)], final=final)
    records = read_records(suite.write())
    curves = read_curves(records)
    *_, said = answers(compare(records, "mean-of-last-5"), curves)
    assert said == (
        "On Pointmaze Umaze, iql still moves when training ends: more steps may change the order."
    )
    assert len(answers(compare(records, "last"), curves)) == 1
