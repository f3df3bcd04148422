from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from harness.pack import pack_suite
from harness.plan import Plan
from harness.report.records import read_records
from harness.results import RunFolder
from harness.suite_json import write_suite_json
from tests.harness.test_run import finish

PlanOf = Callable[..., Plan]


def test_packed_results_are_read_as_before_and_need_no_new_run(plan_of: PlanOf) -> None:
    task = {"multimodal/modes-2-dim-2": {"transitions": 300}}
    plan = plan_of(tasks=[task], seeds=2)
    write_suite_json(plan, "command")
    finish(plan)
    before = read_records(plan.directory)
    said = pack_suite(plan.directory)
    assert said.startswith("2 finished runs packed, 0 others left as they are")
    after = read_records(plan.directory)
    for name in ("evaluations", "metrics", "timings", "measures"):
        assert len(getattr(before, name))
        pd.testing.assert_frame_equal(getattr(before, name), getattr(after, name))
    assert plan.unfinished() == []
    files = [path.name for path in plan.directory.rglob("seed-0/*")]
    assert {"evaluations.csv.xz", "spec.json", "provenance.json"} <= set(files)
    assert not [name for name in files if name.endswith(".csv") or "checkpoint" in name]


def test_runs_that_go_on_are_left_alone(plan_of: PlanOf) -> None:
    plan = plan_of(seeds=1)
    finish(plan)
    folder = RunFolder(plan.directory / plan.runs[0].folder)
    status = folder.path / "status.json"
    status.write_text(status.read_text().replace('"done"', '"interrupted"'))
    there = sorted(path.name for path in folder.path.iterdir())
    assert pack_suite(plan.directory).startswith("0 finished runs packed, 1 others left")
    assert sorted(path.name for path in folder.path.iterdir()) == there


def test_equal_tables_are_packed_to_equal_bytes_and_give_way_to_new_ones(plan_of: PlanOf) -> None:
    folder = RunFolder(plan_of().directory / "run")
    packed = []
    for _ in range(2):
        folder.write_table("metrics", ("step", "value"), [(1, 0.5), (2, 0.25)])
        assert [path.name for path in folder.path.iterdir()] == ["metrics.csv"]
        folder.pack()
        packed.append((folder.path / "metrics.csv.xz").read_bytes())
        assert folder.read_table("metrics", ("step", "value"), 1) == [["1", "0.5"]]
    assert packed[0] == packed[1]
