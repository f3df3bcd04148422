"""Trials: runs that train together."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from harness.commands.dry_run import why_run
from harness.execution.plan import Plan
from harness.report.records import read_records
from harness.runs.trial import LOCKS, Trial, taken_up
from tests.harness.conftest import trials_of
from tests.harness.runs.test_spec import BASE


def trial_of(seeds: Iterable[int]) -> Trial:
    specs = tuple(BASE.model_copy(update={"seed": seed}) for seed in seeds)
    return Trial(suite_dir=Path("/x"), specs=specs, invocation="i", command="c", executor="ray")


def test_a_name_tells_task_label_and_seeds() -> None:
    assert trial_of([0, 1, 2]).name == "pointmaze_umaze-mine-seeds-0-1-2"


def test_names_of_many_seeds_name_folders_and_differ(tmp_path: Path) -> None:
    trials = [trial_of(range(120)), trial_of(range(121)), trial_of(range(1000))]
    for trial in trials:
        (tmp_path / trial.name).mkdir()
        assert trial.name.startswith("pointmaze_umaze-mine-seeds-0-1-2-")
    assert len(list(tmp_path.iterdir())) == 3


def test_a_run_that_never_began_has_failed_wherever_it_is_read(
    plan_of: Callable[..., Plan],
) -> None:
    plan = plan_of()
    plan.suite_file("command").write(plan.directory)
    for trial in trials_of(plan):
        trial.fail_unfinished("its worker died")
    runs = read_records(plan.directory).runs
    assert [*runs["state"]] == ["failed", "failed"]
    assert [*runs["error"]] == ["its worker died"] * 2
    again = plan.again()
    assert len(again.unfinished()) == 2
    assert why_run(again, again.runs[0], fresh=False) == "failed at step 0: its worker died"


def test_a_trial_has_begun_once_a_worker_has_taken_it_up(tmp_path: Path) -> None:
    begun, waiting = (
        trial_of(seeds).model_copy(update={"suite_dir": tmp_path}) for seeds in ([0, 1], [2])
    )
    assert taken_up(tmp_path) == set()
    with begun.sole_work(lambda: False) as ours:
        assert ours
        known = taken_up(tmp_path)
        [holder] = {path.read_text() for path in (tmp_path / LOCKS).glob("*.pid")}
        assert int(holder) == os.getpid()
    assert begun.is_begun(known)
    assert not waiting.is_begun(known)
