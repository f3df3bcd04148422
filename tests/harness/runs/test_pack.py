from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from harness.execution.plan import Plan
from harness.report.records import read_records
from harness.runs.archive import members_of
from harness.runs.folder import RunFolder, Status
from harness.runs.pack import pack_suite
from tests.harness.execution.test_work import finish
from tests.harness.runs.test_spec import BASE

PlanOf = Callable[..., Plan]


def test_packed_results_are_read_as_before_and_need_no_new_run(plan_of: PlanOf) -> None:
    task = {"multimodal/modes-2-dim-2": {"transitions": 300}}
    plan = plan_of(tasks=[task], seeds=2)
    plan.suite_file("command").write(plan.directory)
    finish(plan)
    before = read_records(plan.directory)
    said = pack_suite(plan.directory)
    assert said.startswith("2 finished runs packed, 0 others left as they are")
    after = read_records(plan.directory)
    for name in ("evaluations", "metrics", "timings", "measures"):
        assert len(getattr(before, name))
        pd.testing.assert_frame_equal(getattr(before, name), getattr(after, name))
    assert plan.unfinished() == []
    cell = (plan.directory / plan.runs[0].folder).parent
    assert [path.name for path in cell.parent.iterdir()] == [f"{cell.name}.tar.xz"]
    names = list(members_of(cell))
    assert {"seed-0/evaluations.csv", "seed-1/spec.json", "seed-1/provenance.json"} <= set(names)
    assert not [name for name in names if "checkpoint" in name]


def test_runs_that_go_on_are_left_alone(plan_of: PlanOf) -> None:
    plan = plan_of(seeds=1)
    finish(plan)
    folder = RunFolder(plan.directory / plan.runs[0].folder)
    status = folder.path / "status.json"
    status.write_text(status.read_text().replace('"done"', '"interrupted"'))
    there = sorted(path.name for path in folder.path.iterdir())
    assert pack_suite(plan.directory).startswith("0 finished runs packed, 1 others left")
    assert sorted(path.name for path in folder.path.iterdir()) == there


def test_equal_runs_are_packed_to_equal_bytes(tmp_path: Path) -> None:
    packed = []
    for suite in ("a", "b"):
        for seed in (0, 1):
            folder = RunFolder(tmp_path / suite / "runs" / "cell" / f"seed-{seed}")
            folder.write_table("metrics", ("step", "value"), [(1, 0.5), (2, 0.25 + seed)])
            folder.write_status(Status("done", 2, 2, "x", "then"))
        pack_suite(tmp_path / suite)
        packed.append((tmp_path / suite / "runs" / "cell.tar.xz").read_bytes())
    assert packed[0] == packed[1]
    assert folder.read_table("metrics", ("step", "value"), 1) == [["1", "0.5"]]


def test_seeds_that_finish_later_join_the_others_and_can_be_deleted_one_by_one(
    tmp_path: Path,
) -> None:
    runs = [RunFolder(tmp_path / "runs" / "cell" / f"seed-{seed}") for seed in (0, 1)]
    for run in runs:
        run.write_table("metrics", ("step", "value"), [(1, 0.5)])
        run.write_status(Status("done", 1, 1, "x", "then"))
        run.write_spec(BASE)
        pack_suite(tmp_path)
    assert [run.is_done() for run in runs] == [True, True]
    runs[0].delete()
    assert [run.exists() for run in runs] == [False, True]
    assert [run.is_done() for run in runs] == [False, True]
    assert runs[0].read_table("metrics", ("step", "value"), 1) == []
    runs[1].delete()
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_run_started_afresh_is_read_from_its_folder_alone(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "runs" / "cell" / "seed-0")
    run.write_table("metrics", ("step", "value"), [(1, 0.5)])
    run.write_status(Status("done", 1, 1, "x", "then"))
    pack_suite(tmp_path)
    run.write_status(Status("running", 0, 1, "y", "now"))
    assert not run.is_done()
    assert run.read_table("metrics", ("step", "value"), 1) == []
