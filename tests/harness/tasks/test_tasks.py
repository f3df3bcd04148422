"""Task specs: what they say must be what gymnasium-robotics has."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import gymnasium as gym
import gymnasium_robotics
import numpy as np
import pytest
from gymnasium_robotics.envs.maze import maps
from pydantic import ValidationError

from harness.errors import UserError
from harness.tasks import get_task, make_environment, task_ids, task_of_dataset
from harness.tasks.ids import Source
from harness.tasks.mazes import MAZES
from harness.tasks.spec import ReferenceScores, TaskSpec

gym.register_envs(gymnasium_robotics)

SHIPPED_MAPS = {
    "umaze": maps.U_MAZE,
    "medium": maps.MEDIUM_MAZE,
    "large": maps.LARGE_MAZE,
    "open": maps.OPEN,
}


@pytest.mark.parametrize("name", MAZES)
def test_mazes_are_those_of_gymnasium_robotics(name: str) -> None:
    maze = MAZES[name]
    assert maze.gymnasium_map() == SHIPPED_MAPS[name]
    shipped = gym.spec(f"PointMaze_{maze.title}-v3")
    assert shipped.max_episode_steps == maze.horizon


@pytest.mark.parametrize("name", MAZES)
def test_cells_and_positions_agree_with_the_environment(name: str) -> None:
    maze, env = MAZES[name], make_environment(get_task(f"pointmaze/{name}"))
    theirs = env.unwrapped.maze  # type: ignore[attr-defined]
    assert [maze.goal] == [
        tuple(theirs.cell_xy_to_rowcol(xy)) for xy in theirs.unique_goal_locations
    ]
    for cell in maze.free_cells():
        assert maze.centre(cell) == tuple(theirs.cell_rowcol_to_xy(np.array(cell)))
        x, y = maze.centre(cell)
        assert maze.cell(x + 0.4, y - 0.4) == cell


def test_scores_normalise_to_the_reference_points() -> None:
    task = get_task("pointmaze/umaze").model_copy(
        update={"reference": ReferenceScores(min=10.0, max=60.0, source=Source.OWN)}
    )
    assert task.normalized_score(10.0) == 0.0
    assert task.normalized_score(60.0) == 100.0
    assert task.normalized_score(0.0) == -20.0


def test_specs_survive_json() -> None:
    for task_id in task_ids():
        task = get_task(task_id, {"transitions": 150_000})
        assert type(task).model_validate_json(task.model_dump_json()) == task


@pytest.mark.parametrize(
    ("transitions", "seed", "dataset_id"),
    [
        (1_000_000, 0, "pointmaze/umaze-v0"),
        (150_000, 0, "pointmaze/umaze-150k-v0"),
        (150_000, 1, "pointmaze/umaze-150k-seed1-v0"),
        (1_000_000, 2, "pointmaze/umaze-seed2-v0"),
        (1234, 0, "pointmaze/umaze-1234-v0"),
    ],
)
def test_a_dataset_id_says_how_to_make_it(transitions: int, seed: int, dataset_id: str) -> None:
    task = get_task("pointmaze/umaze", {"transitions": transitions, "data_seed": seed})
    assert task.dataset.id == dataset_id
    assert task_of_dataset(dataset_id) == task


@pytest.mark.parametrize(
    "dataset_id",
    [
        "pointmaze/umaze",
        "pointmaze/cave-v0",
        "pointmaze/umaze-0k-v0",
        "pointmaze/umaze-dense-v0",
        "local/pen/expert-seed1-v0",
        "d4rl/x-v0",
    ],
)
def test_other_ids_are_nobodys_dataset(dataset_id: str) -> None:
    assert task_of_dataset(dataset_id) is None


@pytest.mark.parametrize("horizon", [0, -5])
def test_an_episode_without_a_step_is_no_tasks(horizon: int) -> None:
    spec = get_task("gym/hopper/medium").model_dump() | {"horizon": horizon}
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        TaskSpec.model_validate(spec)


def test_an_unknown_task_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"Did you mean 'pointmaze/umaze'\?"):
        get_task("pointmaze/umase")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"size": 3}, "no option 'size'.*transitions and data_seed"),
        ({"transitions": 0}, "'transitions' must be a whole number of at least 1, found 0"),
        ({"transitions": True}, "found True"),
        ({"data_seed": "one"}, "'data_seed' must be a whole number of at least 0, found 'one'"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, object], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        get_task("pointmaze/umaze", options)


@pytest.mark.parametrize("task_id", ["pointmaze/umaze", "pointmaze/open-dense"])
def test_our_environment_steps_like_the_registered_one(task_id: str) -> None:
    task = get_task(task_id)
    ours = make_environment(task)
    theirs = gym.make(
        task.environment.id, max_episode_steps=task.horizon, **task.environment.kwargs
    )
    assert ours.observation_space == gym.spaces.Box(-np.inf, np.inf, (4,), np.float32)
    assert ours.action_space == gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
    rng = np.random.default_rng(0)
    state, _ = ours.reset(seed=5)
    expected, _ = theirs.reset(seed=5)
    for step in range(task.horizon):
        np.testing.assert_array_equal(state, expected["observation"].astype(np.float32))
        action = rng.uniform(-1, 1, 2).astype(np.float32)
        state, reward, terminated, truncated, info = ours.step(action)
        expected, their_reward, *_, their_info = theirs.step(action)
        assert reward == their_reward
        assert info["success"] == their_info["success"]
        assert not terminated
        assert truncated == (step == task.horizon - 1)


def test_environments_that_share_a_model_do_not_share_a_state() -> None:
    task = get_task("pointmaze/umaze")
    alone, first, second = (make_environment(task) for _ in range(3))
    push = np.ones(2, np.float32)
    alone.reset(seed=1)
    expected = [alone.step(push)[0] for _ in range(20)]
    first.reset(seed=1)
    second.reset(seed=2)
    for state in expected:
        np.testing.assert_array_equal(first.step(push)[0], state)
        second.step(-push)


def test_goals_are_drawn_around_the_fixed_cell() -> None:
    env = make_environment(get_task("pointmaze/umaze"))
    goals = []
    for seed in range(50):
        env.reset(seed=seed)
        goals.append(env.unwrapped.goal.copy())  # type: ignore[attr-defined]
    offsets = np.abs(np.array(goals) - MAZES["umaze"].centre((1, 1)))
    assert 0.15 < offsets.max() <= 0.25


def test_no_model_files_are_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    make_environment(get_task("pointmaze/umaze"))
    assert list(tmp_path.iterdir()) == []
    assert tempfile.tempdir == str(tmp_path)


@pytest.mark.parametrize(
    "module", ["harness.tasks", "harness.commands.data", "harness.data.catalog"]
)
def test_naming_tasks_and_datasets_imports_nothing_heavy(module: str) -> None:
    heavy = "{'torch', 'ray', 'mujoco', 'gymnasium', 'gymnasium_robotics', 'minari'}"
    code = f"import sys, {module}; sys.exit(str({heavy} & set(sys.modules) or ''))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stderr.strip() == ""
