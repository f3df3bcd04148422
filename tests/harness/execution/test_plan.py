from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness.data import ensure
from harness.errors import UserError
from harness.execution.draft import RunOptions
from harness.execution.plan import Plan
from harness.execution.prepare import prepare
from harness.execution.pretraining import pretrainers_first
from harness.execution.work import work
from harness.suite.schema import find_suite
from harness.tasks import make_environment
from tests.harness.conftest import TINY_TASK, trials_of

PlanOf = Callable[..., Plan]
TWO_BY_TWO = {
    "tasks": [TINY_TASK, {"pointmaze/open": {"transitions": 2000}}],
    "algorithms": {"bc": {}, "slow-bc": {"algorithm": "bc", "config": {"learning_rate": 1e-4}}},
}


def names(plan: Plan) -> list[str]:
    return [f"{run.task.id}/{run.label}/{run.seed}" for run in plan.selected]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ([], ["umaze/bc", "umaze/slow-bc", "open/bc", "open/slow-bc"]),
        (["bc"], ["umaze/bc", "open/bc"]),
        (["*/open/*"], ["open/bc", "open/slow-bc"]),
        (["pointmaze/open"], ["open/bc", "open/slow-bc"]),
        (["pointmaze/umaze/slow-bc", "pointmaze/open/bc"], ["umaze/slow-bc", "open/bc"]),
        (["slow*"], ["umaze/slow-bc", "open/slow-bc"]),
    ],
    ids=str,
)
def test_patterns_select_cells(plan_of: PlanOf, patterns: list[str], expected: list[str]) -> None:
    plan = plan_of({"only": patterns}, seeds=1, **TWO_BY_TWO)
    assert names(plan) == [f"pointmaze/{cell}/0" for cell in expected]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("iql", ["iql.expectile-0.7", "iql.expectile-0.9"]),
        ("pointmaze/umaze/iql", ["iql.expectile-0.7", "iql.expectile-0.9"]),
        ("iql.expectile-0.9", ["iql.expectile-0.9"]),
        ("bc", ["bc"]),
    ],
)
def test_an_entry_stands_for_all_rows_of_its_sweep(
    plan_of: PlanOf, pattern: str, expected: list[str]
) -> None:
    swept = {"iql": {"sweep": {"expectile": [0.7, 0.9]}}, "bc": {}}
    plan = plan_of({"only": [pattern]}, algorithms=swept, seeds=1)
    assert [spec.label for spec in plan.runs if spec in plan.selected] == expected


def test_an_empty_selection_says_what_there_is(plan_of: PlanOf) -> None:
    with pytest.raises(UserError) as error:
        plan_of({"only": ["dqn"]}, **TWO_BY_TWO)
    for part in ("dqn selects nothing", "pointmaze/umaze", "pointmaze/open", "bc, slow-bc"):
        assert part in str(error.value)


@pytest.fixture
def own_data(data_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder in which nobody else makes anything."""
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def test_data_of_tasks_that_are_not_selected_are_not_made(plan_of: PlanOf, own_data: Path) -> None:
    tasks = [TINY_TASK, {"pointmaze/large": {"transitions": 2100}}]
    plan = plan_of({"only": ["pointmaze/umaze"]}, tasks=tasks)
    assert [task.id for task in plan.tasks] == ["pointmaze/umaze", "pointmaze/large"]
    assert {run.task.id for run in plan.runs} == {"pointmaze/umaze"}
    assert [path for path in own_data.rglob("*") if "umaze" in path.name]
    assert not [path for path in own_data.rglob("*") if "large" in path.name]


def test_all_missing_data_are_named_before_any_are_made(
    plan_of: PlanOf, own_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_D4RL_DATA", str(tmp_path / "nowhere"))
    makeable = {"pointmaze/medium": {"transitions": 2200}}
    with pytest.raises(UserError) as error:
        plan_of(tasks=[makeable, "gym/hopper/medium", "adroit/pen/human"])
    for dataset in ("gym/hopper/medium-v2", "adroit/pen/human-v1"):
        assert f"Get it with: python -m harness data fetch {dataset}" in str(error.value)
    assert "2 things are missing, and nothing was started:\n- " in str(error.value)
    assert not [path for path in own_data.rglob("*") if "medium" in path.name]
    only = {"only": ["pointmaze/medium"]}
    plan = plan_of(only, tasks=[makeable, "gym/hopper/medium"])  # the rest is not needed
    assert {run.task.id for run in plan.runs} == {"pointmaze/medium"}
    assert [path for path in own_data.rglob("*") if "medium" in path.name]


def test_what_the_executor_lacks_is_named_with_the_data_before_any_are_made(
    plan_of: PlanOf, own_data: Path
) -> None:
    lacking = {"lacking": lambda resources: [f"{resources.gpus_per_trial} GPUs"]}
    resources = {"gpus_per_trial": 0.5}
    makeable = {"pointmaze/large": {"transitions": 2300}}
    with pytest.raises(UserError, match=r"(?s)^2 things are missing.*fetch gym/.*\n- 0\.5 GPUs$"):
        plan_of(lacking, tasks=[makeable, "gym/hopper/medium"], resources=resources)
    with pytest.raises(UserError, match=r"^1 thing is missing, and nothing was started:\n- 0\.5 "):
        plan_of(lacking, tasks=[makeable], resources=resources)
    assert not [path for path in own_data.rglob("*") if "large" in path.name]


def test_a_suite_that_is_done_needs_no_executor_unless_it_starts_afresh(plan_of: PlanOf) -> None:
    options = {"lacking": lambda _: ["a GPU"]}
    for trial in trials_of(plan_of(seeds=1)):
        list(work(trial))
    assert plan_of(options, seeds=1).unfinished() == []
    for more in ({"fresh": True}, {"seeds": 2}):
        with pytest.raises(UserError, match=r"- a GPU$"):
            plan_of(options | more, seeds=1)


def test_what_was_done_when_planned_is_left_out_unless_it_starts_afresh(plan_of: PlanOf) -> None:
    assert len(plan_of(seeds=1).left) == 1
    for trial in trials_of(plan_of(seeds=1)):
        list(work(trial))
    plan = plan_of(seeds=2)
    assert [spec.seed for spec in plan.left] == [1]
    assert [spec.seed for spec in plan_of({"fresh": True}, seeds=2).left] == [0, 1]


def test_thousands_of_trials_look_for_installed_packages_a_few_times(
    plan_of: PlanOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []

    def entry_points(group: str) -> tuple[()]:
        looks.append(group)
        return ()

    monkeypatch.setattr("algorithms.registry.entry_points", entry_points)
    counts = []
    for seeds in (2, 200):
        plan = plan_of(algorithms={"bc": {}, "df-div": {}}, seeds=seeds)
        pretrainers_first(trials_of(plan, seeds_per_trial=1))
        counts.append(len(looks))
        looks.clear()
    assert counts[0] == counts[1] > 0


def test_adding_seeds_and_algorithms_keeps_the_runs_there_are(plan_of: PlanOf) -> None:
    before = {run.hash for run in plan_of(seeds=2).runs}
    after = {run.hash for run in plan_of(seeds=3, algorithms={"bc": {}, "flow-bc": {}}).runs}
    assert before < after
    assert len(after) == 6


def test_seeds_of_the_command_line_replace_those_of_the_suite(plan_of: PlanOf) -> None:
    assert names(plan_of({"seeds": 3}, seeds=[7])) == [f"pointmaze/umaze/bc/{i}" for i in range(3)]


def test_acting_as_the_method_does_by_itself_changes_no_hash(plan_of: PlanOf) -> None:
    asked = {"plain": None, "same": "noise-1.0", "other": "noise-0"}
    rows = {
        label: {"algorithm": "flow-bc", "action_selection": how} for label, how in asked.items()
    }
    plan = plan_of(algorithms=rows, seeds=1)
    plain, same, other = plan.runs
    assert plain.hash == same.hash != other.hash
    infos = [(row.action_selection, row.acts_by_entry) for row in plan.suite_file("").rows]
    assert infos == [("noise-1", False), ("noise-1", False), ("noise-0", True)]


def test_what_a_trial_gets_changes_no_hash(plan_of: PlanOf) -> None:
    resources = {"cpus_per_trial": 2, "seeds_per_trial": 1}
    assert [r.hash for r in plan_of(resources=resources).runs] == [r.hash for r in plan_of().runs]


def test_a_suite_for_gpus_trains_on_the_cpu_into_results_of_its_own(
    data_home: Path, tmp_path: Path, write_suite: Callable[..., Path]
) -> None:
    path = write_suite(resources={"gpus_per_trial": 0.5}, seeds=1)
    gpu, cpu = (
        prepare(path, tmp_path, lambda *_: None, RunOptions(cpu=cpu)) for cpu in (False, True)
    )
    assert [run.device for plan in (gpu, cpu) for run in plan.runs] == ["cuda", "cpu"]
    assert gpu.directory == tmp_path / "tiny"
    assert cpu.directory == tmp_path / "tiny-cpu"
    assert cpu.suite.resources.gpus_per_trial == 0
    assert (
        prepare(write_suite(), tmp_path, lambda *_: None, RunOptions(cpu=True)).suite.name == "tiny"
    )


def test_trials_hold_the_seeds_of_one_cell(plan_of: PlanOf) -> None:
    plan = plan_of(seeds=5, **TWO_BY_TWO)
    trials = trials_of(plan, seeds_per_trial=3)
    assert [len(trial.specs) for trial in trials] == [3, 2] * 4
    assert all(len({spec.cell for spec in trial.specs}) == 1 for trial in trials)
    assert [spec for trial in trials for spec in trial.specs] == plan.runs


def test_smoke_shrinks_a_suite_into_results_of_its_own(
    data_home: Path, tmp_path: Path, write_suite: Callable[..., Path]
) -> None:
    tasks = [{"pointmaze/umaze": {"transitions": 200_000, "data_seed": 4}}]
    path = write_suite(tasks=tasks, seeds=[5, 6, 7], training={"steps": 10**6})
    plan = prepare(path, tmp_path, lambda *_: None, RunOptions(smoke=True))
    assert data_home.exists()
    assert plan.directory == tmp_path / "tiny-smoke"
    assert {run.seed for run in plan.runs} == {5, 6}
    for run in plan.runs:
        assert run.steps < 100
        assert not run.compiled
        assert len(run.evaluation_steps()) == 2
        assert run.task.dataset.params["transitions"] == 3000
        assert run.task.dataset.params["seed"] == 4
        assert run.config["hidden_dims"] == [32, 32]
    plan.suite_file("command").write(plan.directory)
    assert json.loads((plan.directory / "suite.json").read_text())["smoke"] is True


def test_smoke_puts_stand_ins_in_the_place_of_data_that_are_not_here(
    data_home: Path, tmp_path: Path, write_suite: Callable[..., Path]
) -> None:
    path = write_suite(tasks=["local/pen/expert", "local/hopper/medium-expert"], seeds=1)
    plan = prepare(path, tmp_path, lambda *_: None, RunOptions(smoke=True))
    assert all("stand-in" in run.task.title for run in plan.runs)
    for task in plan.tasks:
        rows = ensure(task, make=False).transitions
        env = make_environment(task)
        assert 3000 <= len(rows) < 3000 + task.horizon
        assert (rows.obs_dim,) == env.observation_space.shape
        ends = rows.episode_ends()
        lengths = np.diff(ends, prepend=0)
        assert lengths.max() <= task.horizon
        # Most often the pen is dropped, and the body falls, long before the horizon.
        assert rows.terminals[ends - 1].mean() > 0.9
        assert (lengths[rows.terminals[ends - 1] == 0] == task.horizon).all()


@pytest.mark.parametrize(
    ("suite", "cell"),
    [
        ("gym_mujoco", "gym/walker2d/medium-replay/bc"),
        ("adroit", "adroit/relocate/cloned/bc"),
        ("pointmaze", "maze2d/umaze/bc"),
        ("pointmaze", "minari/pointmaze/open/bc"),
    ],
)
def test_full_suites_smoke_without_their_data(
    data_home: Path, tmp_path: Path, suite: str, cell: str
) -> None:
    plan = prepare(find_suite(suite), tmp_path, lambda *_: None, RunOptions([cell], smoke=True))
    assert {run.label for run in plan.selected} == {"bc"}
    assert plan.selected[0].task.dataset.id.startswith("stand-in/")


def test_suite_json_names_every_run_and_its_folder(plan_of: PlanOf) -> None:
    plan = plan_of(seeds=2, **TWO_BY_TWO)
    plan.suite_file("python -m harness run tiny.yaml").write(plan.directory)
    content = json.loads((plan.directory / "suite.json").read_text())
    assert content["command"] == "python -m harness run tiny.yaml"
    assert content["seeds"] == [0, 1]
    assert content["steps"] == 40
    assert content["evaluation"] == {
        "every": 20,
        "first": 0,
        "episodes": 2,
        "protocol": "last",
        "action_selections": [],
    }
    assert [*content["data"]] == ["pointmaze/umaze", "pointmaze/open"]
    for task in plan.tasks:
        found, rows = content["data"][task.id], ensure(task, make=False)
        mean = rows.transitions.rewards.sum() / len(rows.transitions.episode_ends())
        assert found == {"sha256": rows.sha256, "mean_return": pytest.approx(mean, rel=1e-5)}
    assert [a["label"] for a in content["rows"]] == ["bc", "slow-bc"]
    assert content["rows"][1]["id"] == "bc"
    assert content["rows"][1]["config"]["learning_rate"] == 1e-4
    assert len(content["runs"]) == 8
    by_folder = {run["path"]: run["hash"] for run in content["runs"]}
    assert by_folder == {str(run.folder): run.hash for run in plan.runs}


def test_an_entry_s_own_steps_are_those_of_its_runs_and_of_no_smoke_test(plan_of: PlanOf) -> None:
    algorithms = {"bc": {}, "long": {"algorithm": "bc", "steps": 80}}
    plan = plan_of(algorithms=algorithms)
    assert {(run.label, run.steps) for run in plan.runs} == {("bc", 40), ("long", 80)}
    file = plan.suite_file("python -m harness run tiny.yaml")
    assert (file.steps_of("bc"), file.steps_of("long")) == (40, 80)
    smoke = plan_of({"smoke": True}, algorithms=algorithms)
    assert len({run.steps for run in smoke.runs}) == 1
