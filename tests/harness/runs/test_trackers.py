"""Trackers get every number once, and cannot hurt a run."""

from __future__ import annotations

import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from harness.errors import UserError
from harness.execution.plan import Plan
from harness.execution.work import work
from harness.runs.folder import delete_runs
from harness.runs.pack import pack_suite
from harness.runs.trackers import FOLDER, Aim, Tracked, installed_trackers
from harness.runs.trial import Trial
from tests.harness.conftest import evaluation_files, trials_of

PlanOf = Callable[..., Plan]
BANDIT = {"multimodal/modes-2-dim-2": {"transitions": 200}}  # episodes of one step


def trials(plan: Plan, *trackers: str) -> list[Trial]:
    return [trial.model_copy(update={"trackers": trackers}) for trial in trials_of(plan)]


def finish(plan: Plan, *trackers: str) -> None:
    for trial in trials(plan, *trackers):
        assert [*work(trial)] == [20, 40]


def finish_at_the_second_go(plan: Plan, tracker: str) -> None:
    """Stopped after its first evaluation, and gone on with."""
    done: list[int] = []
    for trial in trials(plan, tracker):
        for step in work(trial, lambda: bool(done)):
            done.append(step)
    assert done == [20]
    for trial in trials(plan, tracker):
        assert [*work(trial)] == [40]


def tables(plan: Plan, name: str) -> list[str]:
    return [(plan.folder(spec).path / name).read_text() for spec in plan.runs]


class Recorded:
    """What a fake package was told, by the id or name of the run."""

    def __init__(self) -> None:
        self.begun: list[dict[str, Any]] = []
        self.logged: list[tuple[str, int, dict[str, float]]] = []
        self.ended: list[str] = []


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    found = Recorded()

    def init(**settings: Any) -> SimpleNamespace:
        found.begun.append(settings)
        name = settings["id"]
        return SimpleNamespace(
            log=lambda values, step: found.logged.append((name, step, values)),
            finish=lambda: found.ended.append(name),
        )

    module = ModuleType("wandb")
    monkeypatch.setitem(vars(module), "init", init)
    monkeypatch.setitem(sys.modules, "wandb", module)
    return found


@pytest.fixture
def aim(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    found = Recorded()

    class Run:
        def __init__(self, run_hash: str | None, **settings: Any) -> None:
            self.hash = run_hash or f"run-{len(found.begun)}"
            self.name = ""
            found.begun.append({"run_hash": run_hash, **settings})

        def __setitem__(self, key: str, value: Any) -> None:
            found.begun[-1][key] = value

        def track(self, value: float, name: str, step: int) -> None:
            found.logged.append((self.hash, step, {name: value}))

        def close(self) -> None:
            found.ended.append(self.hash)

    module = ModuleType("aim")
    monkeypatch.setitem(vars(module), "Run", Run)
    monkeypatch.setitem(sys.modules, "aim", module)
    return found


def test_tensorboards_files_hold_scores_and_metrics_and_no_hosts_name(plan_of: PlanOf) -> None:
    """Read with the package's own messages; the frames around them by their definition."""
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event

    plan = plan_of(tasks=[BANDIT], seeds=1)
    finish(plan, "tensorboard")
    (spec,) = plan.runs
    (path,) = (plan.folder(spec).path / FOLDER).iterdir()
    assert path.name.startswith("events.out.tfevents.")
    content, found = path.read_bytes(), {}
    assert socket.gethostname() not in path.name
    assert socket.gethostname().encode() not in content
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        event = Event.FromString(content[12 : 12 + length])
        content = content[16 + length :]
        found |= {(event.step, value.tag): value.simple_value for value in event.summary.value}
    (metrics,) = tables(plan, "metrics.csv")
    expected = {}
    for line in metrics.splitlines()[1:]:
        _, step, name, value = line.split(",")
        expected[int(step), name] = float(value)
    status = plan.folder(spec).status()
    assert status is not None
    expected[40, "evaluation/score"] = status.latest_score
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, rel=1e-6), key


def test_trackers_change_no_result_and_break_no_seal(plan_of: PlanOf, tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    plan = plan_of(tasks=[BANDIT])
    finish(plan)
    without = evaluation_files(tmp_path / "results")
    delete_runs(map(plan.folder, plan.runs))
    finish(plan, "tensorboard")
    assert evaluation_files(tmp_path / "results") == without
    for spec in plan.runs:
        assert (plan.folder(spec).path / FOLDER).is_dir()
        for file in (plan.folder(spec).path / FOLDER).iterdir():
            file.write_bytes(b"looked at, and changed")
        assert plan.folder(spec).is_done()
    pack_suite(plan.directory)
    assert plan.unfinished() == []
    assert not [*plan.directory.rglob(FOLDER)]


def test_wandb_has_a_run_for_each_seed(plan_of: PlanOf, wandb: Recorded) -> None:
    plan = plan_of(tasks=[BANDIT], seeds=2)
    finish(plan, "wandb")
    assert [run["name"] for run in wandb.begun] == [
        f"multimodal/modes-2-dim-2 bc seed {seed}" for seed in (0, 1)
    ]
    first, second = (run["id"] for run in wandb.begun)
    assert first != second
    assert {run["project"] for run in wandb.begun} == {"tiny"}
    assert [run["config"]["hash"] for run in wandb.begun] == [spec.hash for spec in plan.runs]
    assert [(name, step) for name, step, _ in wandb.logged] == [
        (name, step) for step in (20, 40) for name in (first, second)
    ]
    assert all("evaluation/score" in values for *_, values in wandb.logged)
    assert sorted(wandb.ended) == sorted([first, second])


@pytest.mark.parametrize("tracker", ["wandb", "aim"])
def test_a_run_that_goes_on_is_the_same_run_there(
    plan_of: PlanOf, wandb: Recorded, aim: Recorded, tracker: str
) -> None:
    plan = plan_of(tasks=[BANDIT], seeds=1)
    finish_at_the_second_go(plan, tracker)
    found = {"wandb": wandb, "aim": aim}[tracker]
    (spec,) = plan.runs
    kept = (plan.folder(spec).path / FOLDER / f"{tracker}.id").read_text().strip()
    assert {name for name, *_ in found.logged} == {kept}
    assert sorted({step for _, step, _ in found.logged}) == [20, 40]
    assert len(found.begun) == len(found.ended) == 2


def test_a_tracker_that_fails_is_left_out_with_a_note(plan_of: PlanOf, wandb: Recorded) -> None:
    def fail(**_settings: Any) -> None:
        raise OSError("no route to host")

    sys.modules["wandb"].init = fail  # type: ignore[attr-defined]
    plan = plan_of(tasks=[BANDIT], seeds=1)
    finish(plan, "wandb")
    status = plan.folder(plan.runs[0]).status()
    assert status is not None
    assert status.state == "done"
    assert status.note == "wandb could not start and is left out (OSError: no route to host)"


def test_mlflows_own_store_has_every_number(plan_of: PlanOf) -> None:
    mlflow = pytest.importorskip("mlflow")
    plan = plan_of(tasks=[BANDIT], seeds=2)
    finish_at_the_second_go(plan, "mlflow")
    client = mlflow.MlflowClient(f"sqlite:///{plan.directory / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("tiny")
    runs = client.search_runs([experiment.experiment_id])
    assert sorted(run.data.params["seed"] for run in runs) == ["0", "1"]
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert {run.data.tags["harness.hash"] for run in runs} == {spec.hash for spec in plan.runs}
    for run in runs:
        history = client.get_metric_history(run.info.run_id, "evaluation/score")
        assert [metric.step for metric in history] == [20, 40]


def test_workers_do_not_begin_aims_runs_at_once(
    plan_of: PlanOf, aim: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two processes that make its repository, one is refused."""
    module, within = vars(sys.modules["aim"]), threading.Lock()
    run = module["Run"]

    def refusing(**settings: Any) -> Any:
        if not within.acquire(blocking=False):
            raise RuntimeError
        time.sleep(0.2)
        begun = run(**settings)
        within.release()
        return begun

    monkeypatch.setitem(module, "Run", refusing)
    plan = plan_of(tasks=[BANDIT], seeds=3)
    begin = [partial(Aim, Tracked(spec, plan.directory)) for spec in plan.runs]
    with ThreadPoolExecutor() as pool:
        assert len([*pool.map(lambda start: start(), begin)]) == len(aim.begun) == 3


def test_aims_own_repository_has_every_number(plan_of: PlanOf) -> None:
    aim = pytest.importorskip("aim")
    plan = plan_of(tasks=[BANDIT], seeds=2)
    finish_at_the_second_go(plan, "aim")
    repository = aim.Repo(str(plan.directory))
    assert len(repository.list_all_runs()) == 2
    for spec in plan.runs:
        kept = (plan.folder(spec).path / FOLDER / "aim.id").read_text().strip()
        run = aim.Run(kept, repo=repository, system_tracking_interval=None)
        assert run["spec"]["hash"] == spec.hash
        (score,) = [metric for metric in run.metrics() if metric.name == "evaluation/score"]
        assert sorted(score.dataframe()["step"]) == [20, 40]
        run.close()


def test_wandbs_own_files_are_of_every_seed(
    plan_of: PlanOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    plan = plan_of(tasks=[BANDIT], seeds=2)
    finish_at_the_second_go(plan, "wandb")
    for spec in plan.runs:
        folder = plan.folder(spec).path / FOLDER
        kept = (folder / "wandb.id").read_text().strip()
        files = [*folder.glob(f"wandb/offline-run-*/run-{kept}.wandb")]
        assert len(files) == 2
        assert all(b"evaluation/score" in file.read_bytes() for file in files)
        status = plan.folder(spec).status()
        assert status is not None
        assert status.note == ""


def test_a_missing_package_is_named_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("harness.runs.trackers.find_spec", lambda _name: None)
    assert installed_trackers([]) == ()
    with pytest.raises(UserError, match=r"--log aim needs the package aim, .* pip install aim"):
        installed_trackers(["aim"])


def test_no_environment_variable_of_a_tracker_is_written(
    plan_of: PlanOf, wandb: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "WANDB_API_KEY", "only-for-its-owner")
    plan = plan_of(tasks=[BANDIT], seeds=1)
    finish(plan, "wandb", "tensorboard")
    files = [path for path in plan.directory.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if b"only-for-its-owner" in path.read_bytes()]
