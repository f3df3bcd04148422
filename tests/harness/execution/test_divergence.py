"""A seed that diverges ends alone, in every phase of a run, and leaves the others' bytes as is."""

from __future__ import annotations

import html
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.execution.plan import Plan
from tests.harness.conftest import CommandLine, trials_of
from tests.harness.execution.test_work import finish, states
from tests.harness.their_package import TheirPackage

PlanOf = Callable[..., Plan]
BANDIT = {"multimodal/modes-2-dim-2": {"transitions": 200}}  # episodes of one step
SEEDS = 4
LOSS = """
from algorithms.base import Uniform
from {module} import {base}

class Theirs({base}):
    def create(self):
        super().create()
        self.noise = {{**self.noise, "luck": Uniform(1)}}

    def {loss}(self, nets, batch, noise):
        loss, metrics = super().{loss}(nets, batch, noise)
        unlucky = {when} & (noise["luck"] > {limit}).any(1).squeeze(1)
        broken = loss / (1 - unlucky.float())
        return broken, {{**metrics, "their/loss": broken}}
"""
ACT = """
from baselines.iql import IQL

class Theirs(IQL):
    action_selection = "noise-1"

    def act(self, nets, observations, noise):
        _, log_std = nets.actor(observations)
        unlucky = (noise["gaussian"] > {limit}) & (log_std != 0)  # 0: not trained yet
        return super().act(nets, observations, noise).masked_fill(unlucky, float("nan"))
"""
OWN = "batch.returns.isnan().any(1)"  # only what learners have seen for themselves has none
OFFLINE = {"steps": 40, "compile": False}
ONLINE = {"steps": 20, "online_steps": 20, "compile": False}
IQL = {"module": "baselines.iql", "base": "IQL", "loss": "loss"}
IFQL = {**IQL, "module": "baselines.ifql", "base": "IFQL", "loss": "pretrain_loss"}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "offline": (LOSS.format(when="True", limit=0.9985, **IQL), OFFLINE),
    "online": (LOSS.format(when=OWN, limit=0.998, **IQL), ONLINE),
    "pretraining": (LOSS.format(when="True", limit=0.9985, **IFQL), OFFLINE),
    "evaluation": (ACT.format(limit=1.5), OFFLINE),
    "acting online": (ACT.format(limit=2.9), ONLINE),
}


def plan_of_case(their_package: TheirPackage, plan_of: PlanOf, case: str) -> Plan:
    method, training = CASES[case]
    their_package.write_method(method)
    return plan_of(tasks=[BANDIT], algorithms={"theirs": {}}, seeds=SEEDS, training=training)


def left(plan: Plan) -> list[dict[str, bytes]]:
    """What each run has left that no clock is in."""
    names = ("evaluations.csv", "metrics.csv", "online.csv", "checkpoint.safetensors", "spec.json")
    folders = [plan.folder(spec).path for spec in plan.runs]
    return [
        {name: (folder / name).read_bytes() for name in names if (folder / name).exists()}
        for folder in folders
    ]


def errors(plan: Plan) -> list[str]:
    statuses = [plan.folder(spec).status() for spec in plan.runs]
    return ["" if status is None else status.error for status in statuses]


@pytest.mark.parametrize(
    ("case", "chunk", "cpus"),
    [
        *((case, chunk, 1) for case in CASES for chunk in (3, 32)),
        *((case, 3, 3) for case in ("offline", "online", "evaluation")),  # beside evaluators
    ],
)
def test_a_seed_that_diverges_ends_alone_whatever_it_is_stacked_with(
    their_package: TheirPackage,
    plan_of: PlanOf,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    case: str,
    chunk: int,
    cpus: int,
) -> None:
    plan = plan_of_case(their_package, plan_of, case)
    finish(plan, seeds_per_trial=1)
    alone, why, ended = left(plan), errors(plan), states(plan)
    assert set(ended) == {"done", "failed"}
    assert [bool(error) for error in why] == [state == "failed" for state in ended]
    shutil.rmtree(tmp_path / "results")

    monkeypatch.setattr("harness.execution.work._CHUNK_SECONDS", 0.0)
    monkeypatch.setattr("harness.execution.work._FIRST_CHUNK", chunk)
    finish(plan, seeds_per_trial=SEEDS, cpus=cpus)
    assert states(plan) == ended
    assert errors(plan) == why  # the step too, however seldom anybody looks
    assert left(plan) == alone


def test_its_status_says_by_what_when_and_what_to_do(
    their_package: TheirPackage, plan_of: PlanOf
) -> None:
    plan = plan_of_case(their_package, plan_of, "offline")
    finish(plan)
    [error, *_] = filter(None, errors(plan))
    assert error.startswith("their/loss became inf at step ")
    assert "\n" not in error
    assert "a lower learning rate" in error


def test_a_loss_that_is_never_finite_is_the_methods_and_not_the_settings(
    their_package: TheirPackage, plan_of: PlanOf
) -> None:
    their_package.write_method(LOSS.format(when="True", limit=-1, **IQL))
    plan = plan_of(tasks=[BANDIT], algorithms={"theirs": {}}, seeds=1, training=OFFLINE)
    finish(plan)
    [error] = errors(plan)
    assert error == (
        "their/loss became inf at step 1: it is no finite number from the start, so that the run "
        "was stopped. `python -m harness check theirs` says where in the method that comes from."
    )


def test_running_again_tries_the_failed_runs_alone_and_ends(
    their_package: TheirPackage, plan_of: PlanOf
) -> None:
    plan = plan_of_case(their_package, plan_of, "offline")
    finish(plan)
    before, why = left(plan), errors(plan)
    failed = [spec for spec, error in zip(plan.runs, why, strict=True) if error]
    [again] = trials_of(plan)
    assert list(again.specs) == failed
    finish(plan)
    assert left(plan) == before
    assert errors(plan) == why


@pytest.mark.parametrize("executor", ["local", pytest.param("ray", marks=pytest.mark.slow)])
def test_the_command_names_the_runs_and_fails_and_the_report_too(
    their_package: TheirPackage, plan_of: PlanOf, harness: CommandLine, executor: str
) -> None:
    plan = plan_of_case(their_package, plan_of, "offline")
    suite = harness.results.parent / "tiny.yaml"
    printed = harness("run", suite, "--executor", executor, code=1)
    found = {i: error for i, error in enumerate(errors(plan)) if error}
    assert 0 < len(found) < SEEDS
    for index, error in found.items():
        spec = plan.runs[index]
        assert f"failed: {spec.task.id} theirs seed {spec.seed}: {error}" in printed
        assert error in html.unescape((plan.directory / "report.html").read_text())
