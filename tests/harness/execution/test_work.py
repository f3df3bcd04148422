"""One trial at work in this process: its files, its resumption, its failures."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from harness.execution.plan import Plan
from harness.execution.trial_evaluation import TrialEvaluation
from harness.execution.trial_runs import TrialRuns
from harness.execution.work import work
from harness.files import temporary_of
from harness.runs.trial import Trial
from tests.harness.conftest import checkpoint_step, evaluation_files, trials_of

PlanOf = Callable[..., Plan]
BANDIT = {"multimodal/modes-2-dim-2": {"transitions": 200}}  # episodes of one step


def finish(plan: Plan, seeds_per_trial: int = 4, cpus: int = 1) -> list[int]:
    """Do all that is left of a plan; returns the evaluated steps."""
    return [step for trial in trials_of(plan, seeds_per_trial, cpus) for step in work(trial)]


def states(plan: Plan) -> list[str | None]:
    statuses = [plan.folder(spec).status() for spec in plan.runs]
    return [None if status is None else status.state for status in statuses]


def checkpoints(plan: Plan) -> list[bytes]:
    return [(plan.folder(spec).path / "checkpoint.safetensors").read_bytes() for spec in plan.runs]


def stop_after(checks: int) -> Callable[[], bool]:
    """A stop request that comes at the given check."""
    left = iter(range(checks))
    return lambda: next(left, None) is None


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let training look up after every few steps, as slow training does."""
    monkeypatch.setattr("harness.execution.work._CHUNK_SECONDS", 0.0)
    monkeypatch.setattr("harness.execution.work._FIRST_CHUNK", 3)


def test_a_finished_run_leaves_all_its_files(plan_of: PlanOf) -> None:
    plan = plan_of()
    assert finish(plan) == [20, 40]
    assert states(plan) == ["done", "done"]
    assert plan.unfinished() == []
    for spec in plan.runs:
        folder = plan.folder(spec)
        assert json.loads((folder.path / "spec.json").read_text())["hash"] == spec.hash
        status = folder.status()
        assert status is not None
        assert (status.step, status.total_steps, status.evaluated_step) == (40, 40, 40)
        assert status.train_seconds > 0
        assert status.evaluation_seconds > 0
        assert status.wall_seconds > status.train_seconds + status.evaluation_seconds
        provenance = json.loads((folder.path / "provenance.json").read_text())
        assert provenance["dataset"]["sha256"] == spec.dataset_sha256
        assert provenance["packages"]["torch"]
        assert provenance["trial_seeds"] == [0, 1]
        names = {path.name for path in folder.path.iterdir()}
        assert {"evaluations.csv", "metrics.csv", "timings.csv", "checkpoint.json"} <= names
        assert not [name for name in names if name.endswith((".tmp", ".pkl", ".pt"))]


def test_evaluations_hold_a_row_a_seed_step_and_episode(plan_of: PlanOf) -> None:
    plan = plan_of(seeds=[3, 8], evaluation={"every": 10, "episodes": 3})
    finish(plan)
    for spec in plan.runs:
        folder = plan.folder(spec)
        with (folder.path / "evaluations.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        keys = [(int(r["seed"]), int(r["step"]), int(r["episode"])) for r in rows]
        assert keys == [(spec.seed, step, e) for step in (10, 20, 30, 40) for e in range(3)]
        low, high = spec.task.reference.min, spec.task.reference.max
        for row in rows:
            expected = 100 * (float(row["return"]) - low) / (high - low)
            assert float(row["normalized_score"]) == pytest.approx(expected, rel=1e-12)
            assert int(row["length"]) == spec.task.horizon
            assert row["terminated"] == "false"
        status = folder.status()
        assert status is not None
        last = [float(row["normalized_score"]) for row in rows if row["step"] == "40"]
        assert status.latest_score == pytest.approx(np.mean(last))


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("checks", [0, 1, 12, 19, 30])
def test_a_stopped_run_continues_to_the_same_bytes(
    plan_of: PlanOf, tmp_path: Path, checks: int
) -> None:
    algorithms = {"iql": {}}  # target networks, several optimisers, a stochastic policy
    plan = plan_of(tasks=[BANDIT], algorithms=algorithms)
    finish(plan)
    whole, learned = evaluation_files(plan.directory), checkpoints(plan)
    assert len(whole) == 2
    shutil.rmtree(tmp_path / "results")

    [trial] = trials_of(plan)
    list(work(trial, stop_after(checks)))
    assert states(plan) in ([None, None], ["interrupted"] * 2)
    assert evaluation_files(plan.directory) != whole
    finish(plan)
    assert states(plan) == ["done", "done"]
    assert evaluation_files(plan.directory) == whole
    assert checkpoints(plan) == learned


@pytest.mark.usefixtures("small_chunks")
def test_a_run_stopped_while_its_next_stage_prepares_goes_on_with_that(
    plan_of: PlanOf, tmp_path: Path
) -> None:
    """A stage that draws two times 200 support actions, 32 at once, after 20 of 40 steps."""
    config = {"behavior_share": 0.5, "support_actions": 2, "critic_batch_size": 4}
    plan = plan_of(tasks=[BANDIT], algorithms={"qgpo": {"config": config}})
    finish(plan)
    whole, learned = evaluation_files(plan.directory), checkpoints(plan)
    shutil.rmtree(tmp_path / "results")

    [trial] = trials_of(plan)
    activities: list[str] = []

    def stop() -> bool:
        status = trial.folder(trial.specs[0]).status()
        activities.append(status.activity if status is not None else "")
        return len({each for each in activities if each.startswith("preparing")}) > 2

    assert list(work(trial, stop)) == [20]
    assert states(plan) == ["interrupted"] * 2
    told = [activity for activity in activities if activity.startswith("preparing")]
    assert len(set(told)) == len(told) > 2
    saved = safe_open(plan.folder(plan.runs[0]).path / "checkpoint.safetensors", "numpy")
    assert 0 < len(saved.get_tensor("columns_begun/support")) < 200
    assert finish(plan) == [40]
    assert evaluation_files(plan.directory) == whole
    assert checkpoints(plan) == learned


@pytest.mark.usefixtures("small_chunks")
def test_a_killed_run_continues_from_its_checkpoint_and_drops_later_rows(
    plan_of: PlanOf, tmp_path: Path
) -> None:
    plan = plan_of()
    finish(plan)
    whole = evaluation_files(plan.directory)
    shutil.rmtree(tmp_path / "results")

    [trial] = trials_of(plan)
    assert list(work(trial, stop_after(25))) == [20]
    for spec in plan.runs:  # as if it had died after writing the next rows, before the checkpoint
        with (plan.folder(spec).path / "evaluations.csv").open("a") as file:
            file.write(f"{spec.seed},40,noise-1,0,1.0,2,false,0.0,3.0\n")
    assert finish(plan) == [40]
    assert evaluation_files(plan.directory) == whole


@pytest.mark.usefixtures("small_chunks")
def test_seeds_at_different_steps_finish_to_the_same_bytes(plan_of: PlanOf, tmp_path: Path) -> None:
    plan = plan_of()
    finish(plan)
    whole = evaluation_files(plan.directory)
    shutil.rmtree(tmp_path / "results")

    [trial] = trials_of(plan)
    list(work(trial.model_copy(update={"specs": trial.specs[1:]}), stop_after(4)))
    assert states(plan) == [None, "interrupted"]
    finish(plan)
    assert evaluation_files(plan.directory) == whole


def test_stacking_changes_no_byte(plan_of: PlanOf, tmp_path: Path) -> None:
    plan = plan_of(algorithms={"bc": {}, "iql": {}})
    finish(plan, seeds_per_trial=2)
    stacked = evaluation_files(plan.directory)
    shutil.rmtree(tmp_path / "results")
    finish(plan, seeds_per_trial=1)
    assert evaluation_files(plan.directory) == stacked
    assert len(set(stacked.values())) == 4  # the seeds do differ


def test_a_checkpoint_is_written_between_far_evaluations(
    plan_of: PlanOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.execution.work._CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr("harness.execution.work._FIRST_CHUNK", 7)
    [trial] = trials_of(plan_of(evaluation={"every": 40, "episodes": 1}))
    seen: list[int] = []

    def stop() -> bool:
        seen.append(checkpoint_step(trial.folder(trial.specs[0])))
        return False

    list(work(trial, stop))
    assert 7 in seen


def test_checkpoints_that_take_long_are_written_less_often(
    plan_of: PlanOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two seeds, 4.5 s each: three times as long as what a minute's wait is for."""
    [trial] = trials_of(plan_of())
    clock = iter([0.0, 0.0, 9.0, 9.0 + 61, 9.0 + 179, 9.0 + 181])
    monkeypatch.setattr("harness.execution.trial_runs.time.perf_counter", lambda: next(clock))
    monkeypatch.setattr(TrialRuns, "count_wall_seconds", lambda _: None)
    runs = TrialRuns(trial)
    runs.write_checkpoints(0, lambda _: {}, {})
    assert [runs.is_save_due(60) for _ in range(3)] == [False, False, True]


class BrokenError(Exception):
    pass


def break_evaluation(monkeypatch: pytest.MonkeyPatch, step: int, error: Exception) -> None:
    """Let the evaluation at `step` raise, as a broken environment would."""
    evaluate = TrialEvaluation.evaluate

    def broken(evaluation: TrialEvaluation) -> None:
        if evaluation.seeds.runs.step == step:
            raise error
        evaluate(evaluation)

    monkeypatch.setattr(TrialEvaluation, "evaluate", broken)


def test_a_failure_is_recorded_and_what_was_saved_is_kept(
    plan_of: PlanOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of()
    with monkeypatch.context() as patch:
        break_evaluation(patch, 40, BrokenError("the physics exploded"))
        assert finish(plan) == [20]
    assert states(plan) == ["failed", "failed"]
    status = plan.folder(plan.runs[0]).status()
    assert status is not None
    assert status.error.startswith("BrokenError: the physics exploded\n")
    assert "Traceback" in status.error
    assert (status.step, status.evaluated_step) == (40, 20)
    assert checkpoint_step(plan.folder(plan.runs[0])) == 20
    assert finish(plan) == [40]  # the next `run` continues
    assert states(plan) == ["done", "done"]


def test_a_run_saved_just_before_an_evaluation_makes_up_for_it(
    plan_of: PlanOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of()
    finish(plan)
    whole = evaluation_files(plan.directory)
    shutil.rmtree(tmp_path / "results")
    with monkeypatch.context() as patch:
        patch.setattr("harness.execution.work._CHECKPOINT_SECONDS", 0.0)
        break_evaluation(patch, 40, BrokenError())
        finish(plan)
    assert checkpoint_step(plan.folder(plan.runs[0])) == 40
    assert finish(plan) == [40]
    assert evaluation_files(plan.directory) == whole


def test_a_full_disk_fails_the_run_with_a_sentence_and_spoils_no_file(plan_of: PlanOf) -> None:
    plan = plan_of()
    [trial] = trials_of(plan)
    steps = work(trial)
    assert next(steps) == 20
    before = evaluation_files(plan.directory)
    folder = plan.folder(plan.runs[1])
    temporary_of(folder.path / "evaluations.csv").symlink_to(
        "/dev/full"
    )  # the kernel: no space left
    assert list(steps) == []
    status = folder.status()
    assert status is not None
    assert status.state == "failed"
    assert status.error.startswith("the disk is full ")
    assert "\n" not in status.error
    path = "runs/pointmaze_umaze/" + folder.path.parent.name + "/seed-1/evaluations.csv"
    assert evaluation_files(plan.directory)[path] == before[path]
    assert finish(plan) == [40]  # there is space again
    assert states(plan) == ["done", "done"]


def test_data_that_changed_after_planning_are_refused(plan_of: PlanOf) -> None:
    plan = plan_of()
    [trial] = trials_of(plan)
    specs = [spec.model_copy(update={"dataset_sha256": "0" * 64}) for spec in trial.specs]
    changed = trial.model_copy(update={"specs": tuple(specs)})
    assert list(work(changed)) == []
    status = changed.status(specs[0])
    assert status is not None
    assert status.state == "failed"
    assert "changed after the run was planned" in status.error


def test_nothing_starts_once_a_stop_is_requested(plan_of: PlanOf) -> None:
    plan = plan_of()
    [trial] = trials_of(plan)
    trial.suite_dir.mkdir(parents=True)
    (trial.suite_dir / ".stop").touch()
    assert list(work(trial)) == []
    assert states(plan) == [None, None]


def test_a_trial_survives_the_way_to_its_worker(plan_of: PlanOf) -> None:
    trial: Any = trials_of(plan_of())[0]
    assert Trial.model_validate_json(trial.model_dump_json()) == trial


def rows(plan: Plan, index: int, name: str) -> list[dict[str, str]]:
    path = plan.folder(plan.runs[index]).path / f"{name}.csv"
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_further_action_selections_are_measured_after_the_last_step_only(plan_of: PlanOf) -> None:
    algorithms = {"iql": {}, "td3-bc": {}}
    asked = ["noise-1", "noise-0", "best-of-4", "noise-1"]
    evaluation = {"every": 20, "episodes": 2, "action_selections": asked}
    plan = plan_of(seeds=[4, 5], algorithms=algorithms, evaluation=evaluation)
    finish(plan)
    keys = ("step", "action_selection", "episode")
    found = [tuple(row[key] for key in keys) for row in rows(plan, 0, "evaluations")]
    assert found == [
        (step, selection, str(episode))
        for step, measured in (("20", ["noise-0"]), ("40", ["noise-0", "noise-1", "best-of-4"]))
        for selection in measured
        for episode in range(2)
    ]
    times = [(row["step"], row["action_selection"]) for row in rows(plan, 0, "timings")]
    assert times == list(dict.fromkeys(key[:2] for key in found))
    own = [float(r["normalized_score"]) for r in rows(plan, 0, "evaluations")[2:4]]
    status = plan.folder(plan.runs[0]).status()
    assert status is not None
    assert status.latest_score == pytest.approx(np.mean(own))
    deterministic = rows(plan, 2, "evaluations")
    assert {row["action_selection"] for row in deterministic} == {
        "noise-1"
    }  # TD3+BC can do nothing else


def test_further_action_selections_change_no_number_of_the_own_one(plan_of: PlanOf) -> None:
    asked = {"every": 20, "episodes": 2, "action_selections": ["noise-1"]}
    plain, more = plan_of(algorithms={"iql": {}}), plan_of(algorithms={"iql": {}}, evaluation=asked)
    assert plain.runs[0].hash != more.runs[0].hash
    finish(plain)
    finish(more)
    expected = rows(plain, 0, "evaluations")
    found = rows(more, 0, "evaluations")
    assert [row for row in found if row["action_selection"] == "noise-0"] == expected


@pytest.mark.usefixtures("small_chunks")
def test_a_resumed_run_keeps_the_score_of_its_own_selection(
    plan_of: PlanOf, tmp_path: Path
) -> None:
    evaluation = {"every": 20, "episodes": 2, "action_selections": ["noise-1"]}
    plan = plan_of(algorithms={"iql": {}}, evaluation=evaluation)
    finish(plan)
    whole = evaluation_files(plan.directory)
    shutil.rmtree(tmp_path / "results")
    [trial] = trials_of(plan)
    list(work(trial, stop_after(25)))
    finish(plan)
    assert evaluation_files(plan.directory) == whole


def test_measures_of_an_environment_are_kept(plan_of: PlanOf) -> None:
    plan = plan_of(tasks=[BANDIT], seeds=1, evaluation={"every": 20, "episodes": 3})
    finish(plan)
    found = rows(plan, 0, "measures")
    assert list(found[0]) == ["seed", "step", "action_selection", "episode", "name", "value"]
    keys = {(row["step"], row["action_selection"], row["episode"]) for row in found}
    assert keys == {(step, "noise-1", str(e)) for step in ("20", "40") for e in range(3)}


def test_a_run_in_a_maze_leaves_ways_values_and_the_time_of_a_decision(plan_of: PlanOf) -> None:
    asked = {"every": 20, "episodes": 2, "action_selections": ["best-of-4"]}
    plan = plan_of(algorithms={"iql": {}, "bc": {}}, seeds=[3, 4], evaluation=asked)
    finish(plan)
    for index, selections in ((0, ["noise-0", "best-of-4"]), (2, ["noise-1"])):
        found = rows(plan, index, "decisions")
        assert [(row["step"], row["action_selection"]) for row in found] == [
            ("40", selection) for selection in selections
        ]
        assert all(float(row["decision_ms"]) > 0 for row in found)
        ways = rows(plan, index, "paths")
        assert {(row["step"], row["seed"]) for row in ways} == {("40", "3")}
        lengths = {row["episode"]: int(row["length"]) for row in rows(plan, index, "evaluations")}
        for selection in selections:
            for episode, length in lengths.items():
                key = {"action_selection": selection, "episode": episode}
                times = [int(row["time"]) for row in ways if key.items() <= row.items()]
                assert times == list(range(length + 1))
    values = rows(plan, 0, "values")
    assert len({(row["x"], row["y"]) for row in values}) == len(values) > 0
    assert not (plan.folder(plan.runs[2]).path / "values.csv").exists()


def test_a_run_without_measures_leaves_no_file_of_them(plan_of: PlanOf) -> None:
    plan = plan_of(seeds=1)
    finish(plan)
    assert not (plan.folder(plan.runs[0]).path / "measures.csv").exists()


def test_a_closed_form_critic_is_given_to_the_engine(plan_of: PlanOf) -> None:
    config = {"known_q": True, "normalize_observations": False}
    plan = plan_of(tasks=[BANDIT], seeds=1, algorithms={"ifql": {"config": config}})
    finish(plan)
    assert states(plan) == ["done"]
