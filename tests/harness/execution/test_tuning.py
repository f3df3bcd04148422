"""Tuning: the rule of choice on results made by hand, and what the plan makes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UserError
from harness.execution.draft import RunOptions, draft
from harness.execution.plan import Plan
from harness.runs.pack import pack_suite
from harness.runs.spec import RunSpec
from harness.runs.status import Status
from harness.runs.tuning import choices
from tests.harness.conftest import TINY_TASK

PlanOf = Callable[..., Plan]
OPEN = {"pointmaze/open": {"transitions": 2000}}
OWN, LOW, HIGH = "iql", "iql.expectile-0.5", "iql.expectile-0.9"
TUNED: dict[str, Any] = {
    "algorithms": {"iql": {}},
    "seeds": 2,
    "tuning": {"seeds": [100, 101], "settings": {"iql": [{"expectile": 0.5}, {"expectile": 0.9}]}},
}


def per_family(**changes: Any) -> dict[str, Any]:
    """On two tasks of a family, which choose together."""
    return (
        TUNED
        | {"tasks": [TINY_TASK, OPEN], "tuning": TUNED["tuning"] | {"per": "family"}}
        | changes
    )


def leave(plan: Plan, spec: RunSpec, scores: Sequence[float], state: Any = "done") -> None:
    """What a run leaves that ended in a state: two episodes an evaluation, of these mean scores.

    By a further action selection, which does not count, their order is the other way round.
    """
    lines = ["seed,step,action_selection,episode,normalized_score"]
    for step, score in zip((20, 40), scores, strict=True):
        for episode, noise in enumerate((-3.0, 3.0)):
            lines.append(f"{spec.seed},{step},noise-0,{episode},{score + noise!r}")
            lines.append(f"{spec.seed},{step},best-of-4,{episode},{1000 - 9 * score!r}")
    folder = plan.folder(spec)
    folder.write_spec(spec)
    folder.write_table("evaluations", "\n".join([*lines, ""]).encode())
    folder.write_status(Status(state, 40, 40, "x", "then", evaluated_step=40))


def leave_all(plan: Plan, last: Mapping[str, Sequence[float]], first: float = 0.0) -> None:
    """Finish every tuning run, with these last scores by setting and seed."""
    assert plan.tuning is not None
    for spec in filter(plan.tunes, plan.left):
        score = last[spec.label][plan.tuning.seeds.index(spec.seed)]
        leave(plan, spec, (first, score))


def expectiles(plan: Plan) -> list[Any]:
    return [spec.config["expectile"] for spec in plan.runs]


def chosen(plan: Plan) -> list[str | None]:
    assert plan.tuning is not None
    protocol = plan.suite.evaluation.protocol
    return [c.chosen for c in choices(plan.directory, plan.tasks, plan.tuning, protocol)]


def test_tuning_runs_come_with_the_suite_and_final_ones_wait_for_them(plan_of: PlanOf) -> None:
    plan = plan_of(**TUNED)
    tried = [(spec.label, spec.seed) for spec in plan.left]
    assert tried == [(label, seed) for label in (OWN, LOW, HIGH) for seed in (100, 101)]
    assert all(map(plan.tunes, plan.left))
    assert plan.runs == []
    assert [spec.seed for spec in plan.undecided] == [0, 1]
    assert plan.asked_for == 8
    assert plan.suite_file("x").runs == []


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ({OWN: (10, 10), LOW: (0, 19), HIGH: (12, 9)}, HIGH),  # means 10, 9.5, 10.5
        ({OWN: (10, 10), LOW: (0, 22), HIGH: (12, 9)}, LOW),
        ({OWN: (10, 11), LOW: (11, 10), HIGH: (5, 16)}, OWN),  # equals: the first
        ({OWN: (1, 1), LOW: (11, 10), HIGH: (10, 11)}, LOW),
    ],
    ids=["highest mean", "mean, not most wins", "own among equals", "first among equals"],
)
def test_the_highest_mean_over_tuning_seeds_makes_the_final_runs(
    plan_of: PlanOf, scores: dict[str, tuple[float, float]], expected: str
) -> None:
    plan = plan_of(**TUNED)
    leave_all(plan, scores)
    assert chosen(plan) == [expected]
    decided = plan.again()
    assert expectiles(decided) == [{OWN: 0.7, LOW: 0.5, HIGH: 0.9}[expected]] * 2
    assert decided.left == decided.runs
    assert [spec.label for spec in decided.runs] == ["iql", "iql"]
    assert (decided.undecided, decided.asked_for) == ([], 8)


def test_the_suite_s_protocol_makes_the_scores(plan_of: PlanOf) -> None:
    """By their last evaluations the own setting is best, by the mean of two another."""
    for protocol, expected in (("last", OWN), ("mean-of-last-2", HIGH)):
        evaluation = {"every": 20, "episodes": 2, "protocol": protocol}
        plan = plan_of(**TUNED, name=protocol, evaluation=evaluation)
        for spec in filter(plan.tunes, plan.left):
            means = {OWN: (0.0, 12.0), LOW: (5.0, 5.0), HIGH: (10.0, 10.0)}[spec.label]
            leave(plan, spec, means)
        assert chosen(plan) == [expected]


def test_nothing_is_chosen_before_every_run_has_ended(plan_of: PlanOf) -> None:
    plan = plan_of(**TUNED)
    leave_all(plan, {OWN: (1, 1), LOW: (2, 2), HIGH: (3, 3)})
    last = plan.left[-1]
    for state in ("running", "interrupted"):
        leave(plan, last, (0, 3), state)
        assert chosen(plan) == [None]
        again = plan.again()
        assert again.left == [last]
        assert len(again.undecided) == 2
    table = plan.folder(last).path / "evaluations.csv"
    leave(plan, last, (0, 3))
    assert chosen(plan) == [HIGH]
    table.write_bytes(table.read_bytes().replace(b"6.0", b"9.0"))  # no longer what was sealed
    assert chosen(plan) == [None]
    table.unlink()
    assert chosen(plan) == [None]


def test_a_setting_of_which_a_run_failed_is_not_chosen(plan_of: PlanOf) -> None:
    plan = plan_of(**TUNED)
    leave_all(plan, {OWN: (1, 1), LOW: (2, 2), HIGH: (3, 3)})
    by_label = {(spec.label, spec.seed): spec for spec in plan.left}
    leave(plan, by_label[HIGH, 101], (0, 99), "failed")
    assert chosen(plan) == [LOW]
    again = plan.again()
    assert expectiles(again) == [0.5, 0.5]
    assert [(spec.label, spec.seed) for spec in again.left] == [(HIGH, 101), (OWN, 0), (OWN, 1)]
    for label in (OWN, LOW):
        leave(plan, by_label[label, 100], (0, 99), "failed")
    assert chosen(plan) == [None]


def test_a_final_run_is_the_one_that_a_suite_with_that_setting_has(plan_of: PlanOf) -> None:
    """Same spec, same folder, so that nothing is trained twice."""
    plan = plan_of(**TUNED)
    leave_all(plan, {OWN: (1, 1), LOW: (2, 2), HIGH: (3, 3)})
    untuned = {"algorithms": {"iql": {"config": {"expectile": 0.9}}}, "seeds": 2}
    expected = plan_of(**untuned).runs
    found = plan.again().runs
    assert [(run.hash, run.folder) for run in found] == [(r.hash, r.folder) for r in expected]
    own = plan_of(algorithms={"iql": {}}, seeds=[100, 101]).runs
    assert [run.hash for run in own] == [run.hash for run in plan.left[:2]]


def test_results_are_sealed_and_packed_with_the_others(plan_of: PlanOf) -> None:
    plan = plan_of(**TUNED)
    leave_all(plan, {OWN: (1, 1), LOW: (2, 2), HIGH: (3, 3)})
    for spec in plan.again().runs:
        leave(plan, spec, (0, 5))
    assert pack_suite(plan.directory).startswith("8 finished runs packed, 0 others left")
    again = plan.again()
    assert (again.left, expectiles(again)) == ([], [0.9, 0.9])


def test_each_task_or_each_family_has_its_choice(plan_of: PlanOf) -> None:
    """On umaze the low expectile is best, on open the high one, on both together by the mean."""
    scores = {
        "pointmaze/umaze": {OWN: 20.0, LOW: 22.0, HIGH: 1.0},
        "pointmaze/open": {OWN: 21.0, LOW: 10.0, HIGH: 24.0},
    }
    for per, expected in (("task", [0.5, 0.5, 0.9, 0.9]), ("family", [0.7] * 4)):
        suite = per_family(name=per, tuning=TUNED["tuning"] | {"per": per})
        plan = plan_of(**suite)
        for spec in filter(plan.tunes, plan.left):
            leave(plan, spec, (0, scores[spec.task.id][spec.label]))
        assert expectiles(plan.again()) == expected


def test_named_tasks_choose_for_all_of_their_family(
    plan_of: PlanOf, write_suite: Callable[..., Path], tmp_path: Path
) -> None:
    """Settings are tried on umaze alone, and final runs of both tasks have what it chose."""
    suite = per_family(tuning=TUNED["tuning"] | {"per": "family", "tasks": ["pointmaze/umaze"]})
    plan = plan_of(**suite)
    assert {spec.task.id for spec in plan.left} == {"pointmaze/umaze"}
    assert len(plan.left) == 6
    leave_all(plan, {OWN: (1, 1), LOW: (2, 2), HIGH: (3, 3)})
    decided = plan.again()
    finals = [(spec.task.id, spec.config["expectile"]) for spec in decided.left]
    assert finals == [("pointmaze/umaze", 0.9)] * 2 + [("pointmaze/open", 0.9)] * 2
    assert decided.suite_file("x").tuning == decided.tuning
    path = write_suite(**suite)
    for only, needed in (("pointmaze/umaze", [0]), ("pointmaze/open", [0, 1])):
        found = draft(path, tmp_path, RunOptions(only=[only])).needed_tasks
        assert found == [plan.tasks[index] for index in needed]


def test_a_selection_has_the_tuning_that_its_cells_need_and_no_more(plan_of: PlanOf) -> None:
    two = {"algorithms": {"iql": {}, "bc": {}}}
    tuning = TUNED["tuning"] | {
        "settings": {"iql": [{"expectile": 0.5}], "bc": [{"learning_rate": 0.01}]}
    }
    for per, tasks in (("task", {"umaze"}), ("family", {"umaze", "open"})):
        suite = per_family(name=per, tuning=tuning | {"per": per}) | two
        plan = plan_of({"only": ["pointmaze/umaze/iql"]}, **suite)
        found = {(spec.task.id.rpartition("/")[2], spec.label) for spec in plan.left}
        assert found == {(task, label) for task in tasks for label in (OWN, LOW)}
        waiting = {(spec.task.id, spec.label) for spec in plan.undecided}
        assert waiting == {("pointmaze/umaze", "iql")}


def test_a_selection_of_a_family_s_task_needs_the_data_of_all_of_them(
    write_suite: Callable[..., Path], tmp_path: Path
) -> None:
    only = ["pointmaze/umaze"]
    path = write_suite(**per_family())
    needed = draft(path, tmp_path, RunOptions(only=only)).needed_tasks
    assert [task.id for task in needed] == ["pointmaze/umaze", "pointmaze/open"]
    path = write_suite(**per_family(tuning=TUNED["tuning"]))
    assert [task.id for task in draft(path, tmp_path, RunOptions(only=only)).needed_tasks] == only


def test_too_few_evaluations_for_the_protocol_are_a_sentence(plan_of: PlanOf) -> None:
    """As where a method's pretraining, within which nothing is evaluated, takes the others."""
    plan = plan_of(**TUNED)
    leave_all(plan, {OWN: (1, 1), LOW: (2, 2), HIGH: (3, 3)})
    assert plan.tuning is not None
    with pytest.raises(UserError, match=r"needs 3 evaluations a run, and runs/.*/seed-100 has 2"):
        choices(plan.directory, plan.tasks, plan.tuning, "mean-of-last-3")


def test_a_smoke_run_tries_every_setting_on_two_seeds(plan_of: PlanOf) -> None:
    suite = TUNED | {"tuning": TUNED["tuning"] | {"seeds": [100, 101, 102]}, "seeds": 3}
    plan = plan_of({"smoke": True}, **suite)
    assert {(spec.label, spec.seed) for spec in plan.left} == {
        (label, seed) for label in (OWN, LOW, HIGH) for seed in (100, 101)
    }
    assert len(plan.undecided) == 2
