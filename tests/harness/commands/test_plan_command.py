"""`harness plan` and `harness run --dry-run`: what they say, and that they leave nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness.commands.dry_run import show_dry_run
from harness.commands.plan import seconds_of, show_plan
from harness.commands.run import run_suite
from harness.errors import UserError
from harness.execution.draft import AS_WRITTEN
from harness.execution.execute import sole_use
from harness.execution.plan import Plan
from harness.execution.work import work
from harness.runs.status import Status, now
from tests.harness.conftest import trials_of

PlanOf = Callable[..., Plan]
WriteSuite = Callable[..., Path]
HOURS = {"steps": 3_600_000, "compile": False}
ONCE = {"every": 3_600_000, "episodes": 1}


def everything(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Contents and times of all files."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def planned(
    suite: Path,
    results: Path,
    capsys: pytest.CaptureFixture[str],
    *,
    rates: str = "",
    as_json: bool = False,
    **options: Any,
) -> str:
    """What `harness plan` prints."""
    table = suite.with_name("rates.csv")
    table.write_text(f"algorithm,steps_per_second,memory_mb\n{rates}")
    settings: dict[str, Any] = {"by": None, "price": None, **options}
    show_plan(
        str(suite),
        AS_WRITTEN,
        results=results,
        rates=table,
        measuring=False,
        as_json=as_json,
        console=Console(width=200),
        **settings,
    )
    return capsys.readouterr().out


def dry_run(suite: Path, results: Path) -> str:
    """What `harness run --dry-run --executor local` prints."""
    console = Console(width=200, record=True)
    show_dry_run(
        str(suite), AS_WRITTEN, executor="local", address=None, results=results, console=console
    )
    return console.export_text()


def test_hours_and_cost_are_those_of_the_rates(
    data_home: Path,
    write_suite: WriteSuite,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("harness.costs.prospect.core_count", lambda: 2)
    monkeypatch.setattr("harness.costs.prospect.available_mb", lambda: 10_000.0)
    suite = write_suite(algorithms={"bc": {}, "iql": {}}, seeds=8, training=HOURS, evaluation=ONCE)
    before = everything(data_home)
    found = json.loads(
        planned(
            suite,
            tmp_path / "results",
            capsys,
            rates="bc,1000,900\niql,500,900\n",
            as_json=True,
            by="2h",
            price=3.0,
        )
    )
    # Two trials of four seeds each: 1 h each for bc, 2 h each for iql, two at once.
    rows = {row["label"]: row for row in found["rows"]}
    assert rows["bc"]["train_hours"] == pytest.approx(2)
    assert rows["iql"]["train_hours"] == pytest.approx(4)
    assert rows["iql"]["steps"] == 8 * 3_600_000
    together = found["together"]
    assert together["cpu_hours"] == pytest.approx(6)
    assert together["hours"] == pytest.approx(3)
    assert together["cost"] == pytest.approx(9)
    assert together["at_once"] == 2
    assert together["needed_at_once"] == 3
    assert found["left"] == 16
    assert not (tmp_path / "results").exists()
    assert everything(data_home) == before


def test_memory_limits_how_many_run_at_once(
    data_home: Path,
    write_suite: WriteSuite,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("harness.costs.prospect.core_count", lambda: 8)
    monkeypatch.setattr("harness.costs.prospect.available_mb", lambda: 4_000.0)
    suite = write_suite(seeds=40, training=HOURS, evaluation=ONCE)
    said = planned(suite, tmp_path, capsys, rates="bc,1000,1500\n", by="6h")
    assert "trials at once: 2, as many as fit into 4.0 GB of free memory" in said
    assert "It fits 6h. Trials at once that are enough: 2." in said
    said = planned(suite, tmp_path, capsys, rates="bc,1000,1500\n", by="4h")
    assert "It does not fit 4h here. Trials at once that it takes: 3, as on 2 machines" in said
    said = planned(suite, tmp_path, capsys, rates="bc,1000,1500\n", by="30m")
    assert "It does not fit 30m, however many trials run at once" in said


def test_a_suite_for_gpus_is_planned_as_if_a_machine_without_had_one(
    data_home: Path,
    write_suite: WriteSuite,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    suite = write_suite(resources={"gpus_per_trial": 0.2})
    assert "trials at once: 1, if it had a GPU" in planned(
        suite, tmp_path, capsys, rates="bc,1000,1500\n"
    )


def test_methods_without_a_rate_are_named_with_what_to_do(
    data_home: Path,
    write_suite: WriteSuite,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    suite = write_suite(algorithms={"bc": {}, "iql": {}})
    said = planned(suite, tmp_path, capsys, rates="bc,1000,\n", by="1h")
    assert "No rate is known, and none is counted, of iql (pointmaze/umaze)." in said
    assert "Of 1 trials no rate is known: what follows leaves them out." in said


def test_where_no_rate_is_known_no_hours_are_named(
    data_home: Path,
    write_suite: WriteSuite,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    suite = write_suite(algorithms={"bc": {}, "iql": {}})
    said = planned(suite, tmp_path, capsys, by="8h", price=3.0)
    assert "What it takes is not known, as no rate is, nor whether it fits 8h." in said
    assert "No rate is known, and none is counted, of any row. To measure: add lines" in said
    assert "hours;" not in said
    assert "CPU-hours" not in said
    assert "Cost" not in said
    together = json.loads(planned(suite, tmp_path, capsys, as_json=True, price=3.0))["together"]
    assert together["unknown"] == 2
    for amount in ("cpu_hours", "gpu_hours", "hours", "cost"):
        assert together[amount] is None


@pytest.mark.parametrize("text", ["8", "h", "0h", "8 hours", "-1h", "1e3h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="is no duration: give it as 30m, 8h or 2d"):
        seconds_of(text)


def test_durations() -> None:
    assert [seconds_of(text) for text in ("30m", "8h", "1.5d")] == [1800, 28_800, 129_600]


def test_a_dry_run_says_why_each_run_would_run_and_writes_nothing(
    plan_of: PlanOf, data_home: Path, tmp_path: Path, write_suite: WriteSuite
) -> None:
    algorithms = {
        name: {"algorithm": "bc"} for name in ("done", "failed", "stopped", "broken", "new")
    }
    plan = plan_of(algorithms=algorithms, seeds=1)
    by_label = {spec.label: spec for spec in plan.runs}
    for trial in trials_of(plan):
        if trial.specs[0].label in {"done", "broken"}:
            list(work(trial))
    status = Status("failed", 7, 40, "before", now(), error="it is broken\ntrace")
    plan.folder(by_label["failed"]).write_status(status)
    stopped = replace(status, state="interrupted", step=20, error="")
    plan.folder(by_label["stopped"]).write_status(stopped)
    (plan.folder(by_label["broken"]).path / "evaluations.csv").write_text("0")
    before = everything(tmp_path) | everything(data_home)

    printed = dry_run(tmp_path / "tiny.yaml", tmp_path / "results")
    assert everything(tmp_path) | everything(data_home) == before
    said = [" ".join(line.split()) for line in printed.splitlines()]
    for line in (
        "pointmaze/umaze done 0 skip done",
        "pointmaze/umaze failed 0 run failed at step 7: it is broken",
        "pointmaze/umaze stopped 0 run interrupted at step 20",
        "pointmaze/umaze broken 0 run damaged: evaluations.csv is not what the run wrote",
        "pointmaze/umaze new 0 run new",
        "Would run 4 of 5 runs. Nothing was written.",
    ):
        assert line in said


def test_a_dry_run_beside_a_run_at_work_says_so(plan_of: PlanOf, tmp_path: Path) -> None:
    plan = plan_of()
    begun = Status("running", 20, 40, "an invocation", now())
    for spec in plan.runs:
        plan.folder(spec).write_status(begun)
    [trial, _] = trials_of(plan, seeds_per_trial=1)
    with sole_use(plan.directory, print):
        with trial.sole_work(lambda: False):
            before = everything(tmp_path)
            printed = dry_run(tmp_path / "tiny.yaml", tmp_path / "results")
            assert everything(tmp_path) == before
        assert "0 run running now, at step 20" in " ".join(printed.split())
        assert "1 run ended at step 20" in " ".join(printed.split())
        assert (
            "Another command is at work here: until it ends, this one would be refused." in printed
        )
    after = " ".join(dry_run(tmp_path / "tiny.yaml", tmp_path / "results").split())
    assert "0-1 run ended at step 20" in after
    assert "Another" not in after


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"code": "another"}, "changed code"),
        ({"dataset_sha256": "another"}, "changed data"),
        ({"config": {"batch_size": 8}}, "changed config"),
        ({"code": "another", "dataset_sha256": "another"}, "changed code and data"),
    ],
)
def test_a_dry_run_tells_what_has_changed_since(
    plan_of: PlanOf, tmp_path: Path, change: dict[str, Any], why: str
) -> None:
    plan = plan_of(seeds=1)
    before = plan.runs[0].model_copy(update=change)
    plan.folder(before).write_spec(before)
    printed = dry_run(tmp_path / "tiny.yaml", tmp_path / "results")
    assert f"run   {why}\n" in "\n".join(map(str.rstrip, printed.splitlines())) + "\n"


def test_a_dry_run_names_what_the_executor_lacks(
    data_home: Path, write_suite: WriteSuite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.execution.local.gpu_problem", lambda: "Here is no GPU.")
    for gpus, lacks in ((0, False), (1, True)):
        printed = dry_run(write_suite(resources={"gpus_per_trial": gpus}), tmp_path / "results")
        assert ("Here is no GPU." in printed) == lacks


@pytest.mark.parametrize(
    ("by", "acts_by", "lacking"),
    [
        ([], "best-of-32", "noise-1, best-of-4."),
        (["noise-0", "best-of-4"], "best-of-32", "noise-1."),
        (["noise-1"], "best-of-4", None),
        (["noise-1", "best-of-4"], "best-of-32", None),
    ],
)
def test_a_dry_run_says_what_the_report_lacks_to_judge_a_critic(
    data_home: Path,
    write_suite: WriteSuite,
    tmp_path: Path,
    by: list[str],
    acts_by: str,
    lacking: str | None,
) -> None:
    suite = write_suite(
        algorithms={"ifql": {"config": {"pretrain_share": 0.5}, "action_selection": acts_by}},
        evaluation={"every": 20, "episodes": 1, "action_selections": by},
    )
    printed = " ".join(dry_run(suite, tmp_path / "results").split())
    _, _, missing = printed.partition("add to evaluation.action_selections: ")
    assert (missing or None) == lacking


def test_too_few_evaluations_for_the_protocol_are_refused_before_anything_is_written(
    data_home: Path, write_suite: WriteSuite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor are the data made, which nobody has yet."""
    suite = write_suite(
        tasks=[{"pointmaze/umaze": {"transitions": 1717}}],
        algorithms={"df-div": {"config": {"pretrain_share": 0.75}}},
        training={"steps": 40, "compile": False},
        evaluation={"every": 10, "episodes": 1, "protocol": "mean-of-last-3"},
    )
    made = {*data_home.rglob("*")}
    results = tmp_path / "results"
    where: dict[str, Any] = {"executor": "local", "address": None, "results": results}
    console = Console(width=99)
    with pytest.raises(UserError, match="mean-of-last-3"):
        planned(suite, results, capsys)
    with pytest.raises(UserError, match="mean-of-last-3"):
        show_dry_run(str(suite), AS_WRITTEN, console=console, **where)
    with pytest.raises(UserError, match="mean-of-last-3"):
        run_suite(str(suite), AS_WRITTEN, command="", console=console, **where)
    assert not results.exists()
    assert {*data_home.rglob("*")} == made
