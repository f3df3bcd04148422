"""A suite with tuning from its first run to its report, stopped and gone on.

Two of these tests have real workers; for the others this process does the work.
"""

from __future__ import annotations

import csv
import io
import json
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness.commands.dry_run import show_dry_run
from harness.commands.plan import show_plan
from harness.commands.run import ALL_DONE, SOME_FAILED, run_suite
from harness.execution.draft import AS_WRITTEN, RunOptions
from harness.execution.plan import Plan
from harness.execution.work import work
from harness.report import build_report
from harness.runs.trial import Trial
from harness.suite.schema import Resources
from tests.harness.commands.test_cli import HUGE, LOCAL, is_training, states, wait_for
from tests.harness.conftest import CommandLine, evaluation_files, trials_of

PlanOf = Callable[..., Plan]
WriteSuite = Callable[..., Path]
TUNED: dict[str, Any] = {
    "seeds": 1,
    "evaluation": {"every": 40, "episodes": 2},
    "tuning": {"seeds": [100], "settings": {"bc": [{"learning_rate": 0.1}]}},
}


class Here:
    """An executor without workers: this process works on one trial after the other."""

    def __init__(self, *_: object) -> None:
        self._trials: list[Trial] = []

    def start(self, trials: Sequence[Trial], resources: Resources) -> None:
        self._trials = [*trials]

    def working(self) -> bool:
        for trial in self._trials:
            list(work(trial))
        return False

    def kill(self) -> None:
        raise AssertionError


@pytest.fixture
def without_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.commands.run.make_executor", Here)


def run(suite: Path, results: Path, executor: str = "local", **options: Any) -> tuple[int, str]:
    """`harness run` in this process; its exit code and what it prints."""
    console = Console(width=200, file=io.StringIO(), force_terminal=False)
    code = run_suite(
        str(suite),
        RunOptions(**options),
        executor=executor,
        address=None,
        results=results,
        command="x",
        console=console,
    )
    assert isinstance(console.file, io.StringIO)
    return code, console.file.getvalue()


def foreseen(show: Callable[..., None], suite: Path, results: Path, **options: Any) -> str:
    """What `harness run --dry-run` or `harness plan` prints."""
    console = Console(width=200)
    with console.capture() as printed:
        show(str(suite), AS_WRITTEN, results=results, console=console, **options)
    return printed.get()


def lines_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return [*csv.DictReader(file)]


def train_tuning_runs(plan: Plan) -> None:
    """All that a command does which is killed between tuning and final runs."""
    plan.suite_file("python -m harness run tiny.yaml").write(plan.directory)
    for trial in trials_of(plan):
        list(work(trial))


def test_one_command_tunes_trains_and_reports(
    write_suite: WriteSuite, data_home: Path, tmp_path: Path
) -> None:
    suite, results = write_suite(**TUNED), tmp_path / "results"
    local = {"executor": "local", "address": None}
    printed = foreseen(show_dry_run, suite, results, **local)
    assert "bc.learning_rate-0.1" in printed
    assert printed.count("new, with the setting that tuning chooses before") == 1
    assert "Would run 3 of 3 runs" in printed
    nothing = {"by": None, "rates": None, "measuring": False, "price": None, "as_json": False}
    printed = foreseen(show_plan, suite, results, **nothing)
    assert "3 runs, 0 done, 3 to do in 3 trials. Of these runs 2 choose settings; 1 " in printed
    assert not results.exists()

    code, printed = run(suite, results)
    assert code == ALL_DONE
    assert "0 done already, 3 to do. Those that choose settings come first: 2." in printed
    folder = results / "tiny"
    tried = lines_of(folder / "tuning.csv")
    assert [line["setting"] for line in tried] == ["bc", "bc.learning_rate-0.1"]
    own, other = (float(line["score"]) for line in tried)
    [planned] = json.loads((folder / "suite.json").read_text())["runs"]
    spec = json.loads((folder / planned["path"] / "spec.json").read_text())
    assert spec["config"]["learning_rate"] == (0.1 if other > own else 0.0003)
    assert spec["seed"] == 0
    text = (folder / "table.md").read_text()
    assert "**Summary of pointmaze/umaze (TUNED ONLINE)**" in text
    assert "(chosen)" in text
    before = evaluation_files(folder)
    assert len(before) == 3
    assert "3 done already, 0 to do" in run(suite, results)[1]
    assert evaluation_files(folder) == before


@pytest.mark.usefixtures("without_workers")
def test_a_command_killed_between_tuning_and_final_runs_goes_on_to_the_same_bytes(
    write_suite: WriteSuite, plan_of: PlanOf, tmp_path: Path
) -> None:
    plan = plan_of(**TUNED)
    train_tuning_runs(plan)
    report = build_report(plan.directory)
    assert report.notes.protocol.startswith("No final run is planned before its setting is chosen.")
    assert report.paths.csv.is_file()
    assert report.notes.failures == ()
    tuning = evaluation_files(plan.directory)
    assert len(tuning) == 2
    suite = write_suite(**TUNED)
    code, printed = run(suite, tmp_path / "results")
    assert code == ALL_DONE
    assert "2 done already, 1 to do" in printed
    assert "Tuning has ended. Final runs to do: 1." in printed
    found = evaluation_files(plan.directory)
    assert found.items() >= tuning.items()
    assert run(suite, tmp_path / "undisturbed")[0] == ALL_DONE
    assert evaluation_files(tmp_path / "undisturbed" / "tiny") == found


def test_a_stop_while_tuning_starts_no_final_run(
    harness: CommandLine, write_suite: WriteSuite
) -> None:
    with harness.start("run", write_suite(**TUNED | HUGE), *LOCAL) as process:
        wait_for(lambda: is_training(harness.results), process)
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=100)
    assert process.returncode == 130
    assert "Stopped with 0 of 3 runs done" in printed
    assert set(states(harness.results)) == {"interrupted"}
    assert not list(harness.results.rglob("seed-0"))


@pytest.mark.usefixtures("without_workers")
def test_a_setting_that_diverges_is_named_and_another_makes_the_final_runs(
    write_suite: WriteSuite, data_home: Path, tmp_path: Path
) -> None:
    tuning = {"seeds": [100], "settings": {"td3-bc": [{"alpha": 1e300}]}}
    suite = write_suite(**TUNED | {"algorithms": {"td3-bc": {}}, "tuning": tuning})
    code, printed = run(suite, tmp_path)
    assert code == SOME_FAILED
    assert "failed: pointmaze/umaze td3-bc.alpha-1e+300 seed 100: " in printed
    lines = lines_of(tmp_path / "tiny" / "tuning.csv")
    assert [(line["state"], bool(line["chosen_for"])) for line in lines] == [
        ("done", True),
        ("failed", False),
    ]
    assert [line["state"] for line in lines_of(tmp_path / "tiny" / "scores.csv")] == ["done"]


@pytest.mark.usefixtures("without_workers")
def test_without_a_setting_that_finishes_no_final_run_is_made(
    write_suite: WriteSuite, data_home: Path, tmp_path: Path
) -> None:
    broken = {"td3-bc": {"config": {"alpha": 1e300}}, "bc": {}}
    settings = {"td3-bc": [{"alpha": 1e301}], "bc": [{"learning_rate": 0.1}]}
    tuning = {"seeds": [100], "settings": settings}
    code, printed = run(write_suite(**TUNED | {"algorithms": broken, "tuning": tuning}), tmp_path)
    assert code == SOME_FAILED
    assert "not run: pointmaze/umaze td3-bc: tuning has chosen no setting" in printed
    scores = lines_of(tmp_path / "tiny" / "scores.csv")
    assert [(line["label"], line["state"]) for line in scores] == [("bc", "done")]
    text = (tmp_path / "tiny" / "table.md").read_text()
    assert "Tuning has chosen no setting yet of td3-bc: some of its runs are not done" in text


@pytest.mark.usefixtures("without_workers")
def test_afresh_everything_is_trained_again_and_smoke_runs_tune_too(
    write_suite: WriteSuite, data_home: Path, tmp_path: Path
) -> None:
    suite = write_suite(**TUNED)
    code, printed = run(suite, tmp_path, smoke=True)
    assert (code, len(evaluation_files(tmp_path / "tiny-smoke"))) == (ALL_DONE, 3)
    code, printed = run(suite, tmp_path, smoke=True, fresh=True)
    assert code == ALL_DONE
    assert "deleting 3 earlier runs" in printed
    assert "3 runs of 60 steps, 0 done already, 3 to do" in printed


@pytest.mark.slow
def test_ray_chooses_and_trains_the_same(
    write_suite: WriteSuite, data_home: Path, tmp_path: Path
) -> None:
    suite = write_suite(**TUNED)
    for executor in ("local", "ray"):
        assert run(suite, tmp_path / executor, executor)[0] == ALL_DONE
    files = [evaluation_files(tmp_path / executor) for executor in ("local", "ray")]
    assert len(files[0]) == 3
    assert files[0] == files[1]
