"""What a suite takes, against sums done by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.bench.trial import TrialTimes
from harness.costs import rates
from harness.costs.forecast import TrialCost, forecast, longest_first, makespan, needed_at_once
from harness.costs.outline import evaluation_count
from harness.costs.prospect import (
    costs_of,
    in_order,
    refuse_few_evaluations,
    trials_left,
)
from harness.costs.rates import RatesTable, measured, shape_key
from harness.errors import UserError
from harness.execution.draft import draft
from harness.execution.plan import Plan
from harness.execution.prepare import planned_without_data
from harness.execution.work import work
from harness.files import write_json
from harness.runs.status import Status, now
from harness.runs.trial import Trial
from tests.harness.conftest import TINY_TASK, evaluation_files, trials_of

PlanOf = Callable[..., Plan]
TIMES = TrialTimes(
    steps_per_second=[100.0],
    evaluation_seconds={"noise-1": 0.01},
    interaction_seconds=0.002,
    start_seconds=7.0,
    memory_mb=500.0,
    rows=1000,
    row_bytes=50_000,
    state_mb=3.0,
)
BUDGET = {"steps": 20_000, "compile": False}
EVERY = {"every": 5000, "episodes": 10}


def costs(plan: Plan, times: TrialTimes | None = TIMES) -> list[TrialCost]:
    return forecast(trials_left(plan), lambda _, __: times, 4)


def test_a_trial_takes_its_steps_its_evaluations_and_its_start(plan_of: PlanOf) -> None:
    plan = plan_of(seeds=5, training=BUDGET, evaluation=EVERY)
    horizon = plan.tasks[0].horizon
    stacked, alone = costs(plan)
    for cost in (stacked, alone):  # a stack of one is no slower than one of four
        assert cost.train_seconds == pytest.approx(20_000 / 100 + 7)
        assert cost.evaluation_seconds == pytest.approx(4 * horizon * 0.01)
        # 2000 transitions, a thousand more than were measured.
        assert cost.memory_mb == pytest.approx(500 + 1000 * 50_000 / 1e6)
    assert (stacked.steps, alone.steps) == (80_000, 20_000)
    assert stacked.disk_mb == pytest.approx(4 * alone.disk_mb)
    assert alone.disk_mb > 2 * 3.0


def test_evaluation_beside_training_takes_what_training_waits_for(plan_of: PlanOf) -> None:
    """There are 50 s of training between two of the four evaluations."""
    resources = {"cpus_per_trial": 3, "seeds_per_trial": 4}  # two evaluators, of two seeds each
    plan = plan_of(seeds=4, training=BUDGET, evaluation=EVERY, resources=resources)
    waits = []
    for each in (20.0, 100.0, 300.0):  # seconds of an evaluation of all seeds, in turn
        seconds = {"noise-1": each / plan.tasks[0].horizon}
        [cost] = costs(plan, TIMES.model_copy(update={"evaluation_seconds": seconds}))
        waits.append(cost.evaluation_seconds)
        assert cost.memory_mb > 2 * 500
    assert waits == pytest.approx([10, 50, 3 * (150 - 50) + 150])


def test_more_episodes_than_go_at_once_come_in_waves(plan_of: PlanOf) -> None:
    few, many = (
        costs(plan_of(training=BUDGET, evaluation=EVERY | {"episodes": episodes}))[0]
        for episodes in (250, 251)
    )
    assert few.evaluation_seconds is not None
    assert many.evaluation_seconds == pytest.approx(2 * few.evaluation_seconds)


def test_a_run_that_was_interrupted_takes_what_is_left_of_it(plan_of: PlanOf) -> None:
    plan = plan_of(training=BUDGET, evaluation=EVERY)
    for spec, step in zip(plan.runs, (12_000, 11_000), strict=True):
        status = Status("interrupted", step, spec.total_steps, "before", now())
        plan.folder(spec).write_status(status)
    [cost] = costs(plan)
    assert cost.train_seconds == pytest.approx(9_000 / 100 + 7)
    assert cost.evaluation_seconds == pytest.approx(2 * plan.tasks[0].horizon * 0.01)
    assert cost.steps == 2 * 9_000


def test_stages_have_rates_of_their_own_and_shared_pretraining_is_done_once(
    plan_of: PlanOf,
) -> None:
    algorithms = {name: {"config": {"pretrain_share": 0.25}} for name in ("df-div", "df-dir")}
    plan = plan_of(algorithms=algorithms, training=BUDGET, evaluation=EVERY)
    first, second = costs(plan, TIMES.model_copy(update={"steps_per_second": [100.0, 10.0]}))
    assert first.train_seconds == pytest.approx(5000 / 100 + 15_000 / 10 + 7)
    assert second.train_seconds == pytest.approx(15_000 / 10 + 7)


@pytest.mark.parametrize("share", [0.5, 0.6])
def test_as_many_evaluations_are_counted_as_a_run_has(plan_of: PlanOf, share: float) -> None:
    plan = plan_of(
        algorithms={"df-div": {"config": {"pretrain_share": share}}},
        seeds=1,
        training={"steps": 40, "compile": False},
        evaluation={"every": 10, "episodes": 1},
    )
    [trial] = trials_of(plan)
    list(work(trial))
    [spec] = plan.runs
    table = plan.folder(spec).read_table("evaluations") or b""
    steps = {line.split(b",")[1] for line in table.splitlines()[1:]}
    assert evaluation_count(spec) == len(steps) == {0.5: 3, 0.6: 2}[share]


def test_a_protocol_that_pretraining_leaves_too_few_evaluations_for_is_refused(
    plan_of: PlanOf,
) -> None:
    entries = {"bc": {}, "df-div": {"config": {"pretrain_share": 0.75}}}
    fine, short = (
        plan_of(algorithms=entries, training=BUDGET, evaluation=EVERY | {"protocol": protocol})
        for protocol in ("mean-of-last-2", "mean-of-last-3")
    )
    refuse_few_evaluations(fine)
    one_task = plan_of(
        tasks=["multimodal/modes-2-dim-2", TINY_TASK],
        algorithms={
            "df-div": {
                "config": {"pretrain_share": 0.5},
                "per_task": {"multimodal/*": {"pretrain_share": 0.75}},
            }
        },
        training=BUDGET,
        evaluation=EVERY | {"protocol": "mean-of-last-3"},
    )
    with pytest.raises(UserError, match=r"of df-div \(2\)"):
        refuse_few_evaluations(one_task)
    with pytest.raises(UserError, match=r"needs 3 evaluations .* of df-div \(2\): pretraining"):
        refuse_few_evaluations(short)


def test_steps_in_the_environment_are_counted_with_their_updates(plan_of: PlanOf) -> None:
    plan = plan_of(
        algorithms={"iql": {}}, training=BUDGET | {"online_steps": 5000}, evaluation=EVERY
    )
    [cost] = costs(plan)
    assert cost.train_seconds == pytest.approx(25_000 / 100 + 5000 * 0.002 + 7)


def test_what_is_not_known_is_not_guessed_in_seconds(plan_of: PlanOf) -> None:
    [small] = costs(plan_of(), None)
    [large] = costs(plan_of(defaults={"hidden_dims": [512, 512], "batch_size": 256}), None)
    assert small.seconds is None
    assert large.work > 100 * small.work
    assert large.memory_mb > small.memory_mb > 300


def test_longest_first_where_rates_are_known_and_by_work_where_not(plan_of: PlanOf) -> None:
    [cost] = costs(plan_of(training=BUDGET))

    def made(name: str, seconds: float | None, work: float) -> TrialCost:
        trial = cost.trial.model_copy(update={"invocation": name})
        return replace(cost, trial=trial, train_seconds=seconds, evaluation_seconds=0.0, work=work)

    # A unit of work takes two seconds where it is known, so that `c` is guessed to take 10.
    given = [made("a", 4, 2), made("b", 20, 10), made("c", None, 5), made("d", 6, 3)]
    assert [trial.invocation for trial in longest_first(given)] == ["b", "c", "d", "a"]


def test_numbers_are_the_same_in_whatever_order(plan_of: PlanOf, tmp_path: Path) -> None:
    found = []
    for turn in (1, -1):
        plan = plan_of(algorithms={"bc": {}, "iql": {}}, seeds=3)
        for trial in trials_of(plan, seeds_per_trial=2)[::turn]:
            list(work(trial))
        found.append(evaluation_files(plan.directory))
        (tmp_path / "results").rename(tmp_path / f"results-{turn}")
    assert found[0] == found[1]
    assert len(found[0]) == 6


def test_the_longest_trials_start_first_and_say_what_they_take(plan_of: PlanOf) -> None:
    plan = plan_of(algorithms={"bc": {}, "long": {"algorithm": "bc", "steps": 4000}})
    order, memory_of = in_order(plan, trials_of(plan))
    assert [trial.specs[0].label for trial in order] == ["long", "bc"]
    assert all(memory_of(trial) > 300 for trial in order)


def test_a_method_that_cannot_be_made_stops_no_plan(
    plan_of: PlanOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def create(self: Any) -> None:
        raise ValueError("no width for this")

    plan = plan_of()
    monkeypatch.setattr("baselines.bc.BC.create", create)
    [trial], _ = in_order(plan, trials_of(plan))
    assert trial.specs == tuple(plan.runs)


@pytest.mark.parametrize(
    ("at_once", "expected"),
    [(1, 18), (2, 10), (3, 7), (5, 5), (9, 5)],  # 2: 5+3, 4+3+3; 3: 5, 4+3, 3+3
)
def test_trials_share_the_places_longest_first(at_once: int, expected: float) -> None:
    assert makespan([3, 3, 5, 3, 4], at_once) == expected


def test_a_deadline_takes_the_fewest_at_once_that_meet_it() -> None:
    seconds = [3.0, 3.0, 5.0, 3.0, 4.0]
    assert needed_at_once(seconds, 4.9) is None  # one alone takes longer
    for deadline in (5.0, 7.0, 10.0, 18.0):
        count = needed_at_once(seconds, deadline)
        assert count is not None
        assert makespan(seconds, count) <= deadline
        assert count == 1 or makespan(seconds, count - 1) > deadline
    assert needed_at_once([], 1.0) == 1


def test_a_shape_is_what_decides_speed_and_nothing_else(plan_of: PlanOf) -> None:
    def key(**changes: Any) -> str:
        return shape_key(plan_of(**changes).runs[0], 4)

    assert key(seeds=[7], training=BUDGET) == key(defaults={"hidden_dims": [16, 16], **RATE})
    others = {
        key(defaults={"hidden_dims": [32, 16], "batch_size": 16}),
        key(defaults={"hidden_dims": [16, 16], "batch_size": 32}),
        key(algorithms={"bc": {"algorithm": "iql"}}),
        key(tasks=[{"pointmaze/open": {"transitions": 2000}}]),
        key(evaluation={"every": 20, "episodes": 3}),
        key(algorithms={"bc": {"algorithm": "iql", "action_selection": "noise-0.5"}}),
        key(training={"steps": 40, "compile": True}),
        shape_key(plan_of().runs[0], 3),
    }
    assert len(others | {key()}) == 9


RATE = {"batch_size": 16, "learning_rate": 1e-5}


def test_a_measurement_is_kept_and_a_damaged_one_is_none(
    plan_of: PlanOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(rates, "ask", lambda worker, core: {"trial": TIMES.model_dump()})
    spec = plan_of().runs[0]
    assert measured(spec, 4) is None
    assert rates.measure(spec, 4) == TIMES == measured(spec, 4)
    assert measured(spec, 3) is None
    [file] = (tmp_path / ".cache").rglob("*.json")
    write_json(file, {"steps_per_second": "fast"})
    assert measured(spec, 4) is None


def test_a_table_of_rates_is_taken_line_by_line(plan_of: PlanOf, tmp_path: Path) -> None:
    path = tmp_path / "rates.csv"
    path.write_text(
        "algorithm,task,steps_per_second,evaluation_seconds\niql,*/open,50,\niql,,200,9\n"
    )
    plan = plan_of(
        tasks=[TINY_TASK, {"pointmaze/open": {"transitions": 2000}}],
        algorithms={"bc": {}, "iql": {}},
        training=BUDGET,
        evaluation=EVERY,
    )
    found = {
        (cost.trial.specs[0].task.id, cost.trial.specs[0].label): cost.seconds
        for cost in costs_of(plan, trials_left(plan), RatesTable.read(path).find)
    }
    assert found == {
        ("pointmaze/umaze", "bc"): None,
        ("pointmaze/open", "bc"): None,
        ("pointmaze/umaze", "iql"): pytest.approx(20_000 / 200 + 4 * 9),
        ("pointmaze/open", "iql"): pytest.approx(20_000 / 50),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("algorithm,steps_per_second\niql,10\nbc,fast\n", "line 3: steps_per_second"),
        ("algorithm,steps_per_second\niql,0\n", "line 2: steps_per_second"),
        ("algorithm,speed\niql,5\n", "The columns are algorithm, task, steps_per_second"),
        ("algorithm,steps_per_second\niql,5,6\n", "line 2: more"),
        (None, "cannot be read"),
    ],
)
def test_a_mistake_in_a_table_of_rates_is_named_with_its_line(
    tmp_path: Path, text: str | None, message: str
) -> None:
    path = tmp_path / "rates.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=message):
        RatesTable.read(path)


def test_a_suite_is_planned_without_its_data(
    data_home: Path, write_suite: Callable[..., Path], tmp_path: Path
) -> None:
    tasks = [{"pointmaze/medium": {"transitions": 2345}}]
    drafted = draft(write_suite(tasks=tasks), tmp_path / "results")
    plan = planned_without_data(drafted)
    assert [spec.dataset_sha256 for spec in plan.left] == ["", ""]
    trials: list[Trial] = trials_left(plan)
    assert len(costs_of(plan, trials, lambda _, __: TIMES)) == 1
    assert not (tmp_path / "results").exists()
    assert not [path for path in data_home.rglob("*") if "2345" in path.name]
