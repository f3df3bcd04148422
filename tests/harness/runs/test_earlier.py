"""Runs that a method's earlier code made: they are found, and kept or made again, as asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from harness.commands.run import earlier_code
from harness.execution.plan import Plan
from harness.execution.work import work
from harness.runs.pack import pack_suite
from harness.runs.spec import RunSpec
from harness.runs.status import Status
from tests.harness.conftest import evaluation_files, trials_of
from tests.harness.their_package import TheirPackage

PlanOf = Callable[..., Plan]
BOTH: dict[str, Any] = {"algorithms": {"theirs": {}, "bc": {}}}


def finish(plan: Plan, finished: str = "2026-01-01T00:00:00+00:00") -> None:
    """Leave what shows that the plan's selected runs are done."""
    for spec in plan.selected:
        leave(plan, spec, finished)


def leave(plan: Plan, spec: RunSpec, finished: str, state: Any = "done") -> None:
    folder = plan.folder(spec)
    folder.write_spec(spec)
    folder.write_table("evaluations", b"seed,step\n")
    status = Status(state, 40, 40, "x", "then", finished=finished, evaluated_step=40)
    folder.write_status(status)


def hashes(runs: list[RunSpec]) -> list[str]:
    return [run.hash for run in runs]


def test_changed_code_trains_again_and_the_old_code_finds_its_runs(
    their_package: TheirPackage, plan_of: PlanOf
) -> None:
    first = plan_of(**BOTH)
    assert (first.kept, first.outdated) == ([], [])
    finish(first)
    before = {path: path.read_bytes() for path in first.directory.rglob("*.json")}

    their_package.change("-1.0")
    second = plan_of(**BOTH)
    assert [run.label for run in second.unfinished()] == ["theirs"] * 2
    assert hashes(second.outdated) == hashes(first.runs[:2])
    assert {run.folder for run in second.runs[:2]}.isdisjoint(run.folder for run in first.runs)
    assert list(earlier_code(second)) == [
        "The code of theirs has changed since 2 of its runs were made: they are trained again. "
        "To keep them: --keep."
    ]
    finish(second)
    third = plan_of(**BOTH)
    assert (third.unfinished(), third.outdated) == ([], [])
    assert {path: path.read_bytes() for path in before} == before

    their_package.change("1.0")
    assert plan_of(**BOTH).runs == first.runs
    assert plan_of(**BOTH).unfinished() == []


@pytest.mark.parametrize("packed", [False, True], ids=["folders", "packed"])
def test_kept_runs_count_as_done_and_are_marked(
    their_package: TheirPackage, plan_of: PlanOf, packed: bool
) -> None:
    first = plan_of(**BOTH, seeds=1)
    finish(first)
    if packed:
        pack_suite(first.directory)
    their_package.change("2.0")
    plan = plan_of({"keep": True}, **BOTH, seeds=2)
    assert hashes(plan.kept) == hashes(first.runs[:1])
    assert plan.outdated == []
    assert [(run.label, run.seed) for run in plan.unfinished()] == [("theirs", 1), ("bc", 1)]
    planned = plan.suite_file("command").runs
    assert [run.kept for run in planned] == [True, False, False, False]
    assert planned[0].path == str(first.runs[0].folder)
    assert list(earlier_code(plan)) == [
        "The code of theirs has changed since 1 of its runs was made: it is kept, and marked in "
        "tables."
    ]


def test_cells_that_are_not_asked_for_keep_what_they_have(
    their_package: TheirPackage, plan_of: PlanOf
) -> None:
    first = plan_of(**BOTH)
    finish(first)
    their_package.change("2.0")
    plan = plan_of({"only": ["bc"]}, **BOTH)
    assert hashes(plan.runs) == hashes(first.runs)
    assert hashes(plan.kept) == hashes(first.runs[:2])
    assert plan.unfinished() == []


def test_of_several_earlier_codes_the_latest_counts(
    their_package: TheirPackage, plan_of: PlanOf
) -> None:
    only = {"algorithms": {"theirs": {}}, "seeds": 1}
    plans = []
    for factor, finished in (("2.0", "2026-03-01"), ("3.0", "2026-04-01"), ("4.0", "2026-02-01")):
        their_package.change(factor)
        plans.append(plan_of(**only))
        finish(plans[-1], finished)
    their_package.change("5.0")
    unfinished = plan_of(**only)
    leave(unfinished, unfinished.runs[0], "2026-05-01", "interrupted")
    their_package.change("6.0")
    assert hashes(plan_of({"keep": True}, **only).runs) == hashes(plans[1].runs)


def test_runs_from_before_code_was_recorded_are_of_earlier_code(plan_of: PlanOf) -> None:
    plan = plan_of()
    for spec in plan.runs:
        leave(plan, spec.model_copy(update={"code": ""}), "2026-01-01")
    again = plan_of()
    assert [run.code for run in again.outdated] == ["", ""]
    assert next(earlier_code(again)).startswith("Which code of bc made 2 of its runs is not recor")
    assert plan_of({"keep": True}).unfinished() == []


def test_runs_that_differ_in_more_than_code_are_not_earlier_ones(
    their_package: TheirPackage, plan_of: PlanOf
) -> None:
    only = {"algorithms": {"theirs": {}}}
    finish(plan_of(**only))
    finish(plan_of(algorithms={"theirs-2": {"algorithm": "theirs"}}))
    their_package.change("2.0")
    changed = {"algorithms": {"theirs": {"config": {"learning_rate": 2e-4}}}}
    assert plan_of(**changed).outdated == []
    assert len(plan_of(**only).outdated) == 2


def test_code_that_changed_after_planning_is_refused(
    their_package: TheirPackage, plan_of: PlanOf
) -> None:
    plan = plan_of(algorithms={"theirs": {}})
    [trial] = trials_of(plan)
    their_package.change("-1.0")
    assert list(work(trial)) == []
    status = plan.folder(plan.runs[0]).status()
    assert status is not None
    assert status.state == "failed"
    assert "code of theirs changed after the run was planned" in status.error


def test_provenance_names_the_package_of_the_method(
    their_package: TheirPackage, plan_of: PlanOf
) -> None:
    plan = plan_of(algorithms={"theirs": {}, "bc": {}}, seeds=1)
    for trial in trials_of(plan):
        list(work(trial))
    theirs, ours = (
        json.loads((plan.folder(run).path / "provenance.json").read_text())["algorithm"]
        for run in plan.runs
    )
    assert theirs == {
        "id": "theirs",
        "module": "their_package.method",
        "code": plan.runs[0].code,
        "package": "their-package",
        "version": "1.2",
        "git": {"unknown": "it is in no git checkout"},
    }
    assert ours["package"] == "decision-flow-harness"
    assert (ours["module"], ours["code"]) == ("baselines.bc", plan.runs[1].code)
    assert len(evaluation_files(plan.directory)) == 2
