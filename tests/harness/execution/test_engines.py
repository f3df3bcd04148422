"""A method is tried before a run's first step, and what is wrong with it is what a user reads."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from algorithms import registry
from algorithms.contract.subject import FEW
from algorithms.engine.preflight import check
from harness.execution.plan import Plan
from harness.execution.work import work
from harness.suite.configs import resolve_configs
from harness.suite.schema import load_suite, suite_files, suite_tasks
from harness.tasks import known_q
from tests.algorithms.engine.test_preflight import RIGHT
from tests.algorithms.planted import ID, Package, installed
from tests.harness.conftest import CommandLine, trials_of

PlanOf = Callable[..., Plan]
ALGORITHMS = {"algorithms": {ID: {}}}
FEWER = {
    "batch_size": 16,
    "samples": 2,
    "candidates": 3,
    "critics": 3,
    "critic_hidden_dims": [16, 16],
    "transformer_batch_size": 8,
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Package]:
    yield from installed(tmp_path / "site", monkeypatch)


def errors(plan: Plan) -> set[str]:
    """Of the plan's runs, all of which fail before their first step, after all its work."""
    for trial in trials_of(plan):
        assert list(work(trial)) == []
    statuses = [plan.folder(spec).status() for spec in plan.runs]
    assert all(status is not None and status.state == "failed" for status in statuses)
    return {status.error for status in statuses if status is not None}


@pytest.mark.usefixtures("data_home")
def test_no_row_of_a_suite_of_ours_raises_an_alarm() -> None:
    tried = set()
    for path in suite_files():
        suite, document = load_suite(path)
        tasks = {task.id: task for task in suite_tasks(suite)}
        rows = {row.label: row for row in suite.settings}
        online, selections = suite.training.online_steps > 0, suite.evaluation.action_selections
        for (task_id, label), fields in resolve_configs(
            suite, document, list(tasks.values()), {}
        ).items():
            algorithm, small = rows[label].algorithm, fields | {"hidden_dims": [16, 16]}
            small |= {k: v for k, v in (FEW | FEWER).items() if k in fields}
            # Rates and weights change no shape and no gradient's path, unless they are nought.
            kinds = {k: bool(v) if isinstance(v, float) else v for k, v in small.items()}
            known = task_id if small["known_q"] else ""
            key = (algorithm, json.dumps(kinds), known, online, *selections)
            if key in tried:
                continue
            tried.add(key)
            cls = registry.load(algorithm)
            config = cls.Config.model_validate_json(json.dumps(small))
            q = known_q(tasks[task_id]) if known else None
            dims = (2, q.constants["centres"].shape[-1]) if q else (11, 4)
            remarks = check(cls, config, *dims, known_q=q, online=online, selections=selections)
            assert {*map(str, remarks)} <= RIGHT.get(algorithm, set()), (path, task_id, label)
    assert {"df-dir", "df-div", "fql", "iql"} <= {algorithm for algorithm, *_ in tried}
    assert any(known for _, _, known, *_ in tried)
    assert any(online for _, _, _, online, *_ in tried)


def test_a_mistake_stops_a_run_before_its_first_step(plan_of: PlanOf, package: Package) -> None:
    package.write(("q - backup.unsqueeze(1)", "q - bakup"))
    [error] = errors(plan_of(**ALGORITHMS))
    where = package.line("q - bakup")
    assert error == f"NameError: name 'bakup' is not defined. Did you mean 'backup'? ({where})"


def test_a_run_that_goes_on_from_a_checkpoint_is_not_tried_again(
    plan_of: PlanOf, package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(**ALGORITHMS)
    [trial] = trials_of(plan)
    first = work(trial)
    assert next(first) == 20
    first.close()
    monkeypatch.setattr("harness.execution.engines.check", None)
    assert list(work(trial)) == [40]


def test_ways_of_acting_that_a_suite_asks_for_are_tried(plan_of: PlanOf, package: Package) -> None:
    package.write(("def act(", "def action_value(self, *_):\n        return None\n\n    def act("))
    evaluation = {"every": 20, "episodes": 1, "action_selections": ["best-of-2"]}
    [error] = errors(plan_of(**ALGORITHMS, evaluation=evaluation))
    where = package.line("def action_value")
    assert error == (
        f"action_value must return a tensor of floats [S, E], found a NoneType ({where})"
    )


def test_an_error_that_only_training_meets_is_told_with_its_line(
    plan_of: PlanOf, package: Package
) -> None:
    package.write(
        (
            "        error = q",
            "        if len(batch.rewards) == 2:  # seeds: the trial has other numbers of them\n"
            "            raise LookupError('nothing there')\n"
            "        error = q",
        )
    )
    [error] = errors(plan_of(**ALGORITHMS))
    first, *trace = error.splitlines()
    assert first == f"LookupError: nothing there ({package.line('raise LookupError')})"
    assert "Traceback (most recent call last):" in trace


def test_a_user_reads_the_sentence_and_the_line(
    harness: CommandLine, write_suite: Callable[..., Path], package: Package
) -> None:
    package.write(("error.square().mean((1, 2))", "error.square().mean()"))
    printed = harness("run", write_suite(**ALGORITHMS, seeds=1), "--executor", "local", code=1)
    sentence = (
        "a loss must have one number per seed, [S], found one number: average over all but the "
        f"seed axis ({package.line('def critic_loss')})"
    )
    assert f"failed: pointmaze/umaze {ID} seed 0: {sentence}\n" in printed


def test_a_method_that_does_not_import_is_the_users_to_mend(
    harness: CommandLine, write_suite: Callable[..., Path], package: Package
) -> None:
    package.write(("import random", "import planted_nothing"))
    printed = harness("run", write_suite(**ALGORITHMS), "--executor", "local", code=2)
    assert printed == (
        "error: the algorithm 'planted' = planted_method:Planted of package 'planted': it needs "
        f"the package 'planted_nothing', which is not installed ({package.line('planted_nothing')})"
        ". Mend it, or remove it from the suite.\n"
    )
