"""Checks of packed rows, on what a task's own environment does."""

from __future__ import annotations

import numpy as np
import pytest

from algorithms.transitions import Transitions
from harness.data.checks.published import is_by_people
from harness.data.checks.rows import inside_maze
from harness.tasks import get_task, make_environment
from harness.tasks.spec import TaskSpec

STEPS = 400


def wandered(task: TaskSpec) -> Transitions:
    """An episode of random actions in the task's environment, along its walls."""
    environment, rng = make_environment(task), np.random.default_rng(0)
    observation, _ = environment.reset(seed=0)
    seen = [observation]
    push = rng.uniform(-1, 1, (STEPS // 40, 2)).repeat(40, 0)
    for action in push.astype(np.float32):
        seen.append(environment.step(action)[0])
    environment.close()
    zeros = np.zeros((STEPS, 1), np.float32)  # rewards, terminals, timeouts
    rows = np.hstack([seen[:-1], push, zeros, seen[1:], zeros, zeros]).astype(np.float32)
    return Transitions(rows, obs_dim=4, action_dim=2)


@pytest.mark.parametrize("task_id", ["maze2d/umaze", "maze2d/large-dense", "pointmaze/medium"])
def test_where_physics_lets_a_point_go_is_in_no_wall(task_id: str) -> None:
    task = get_task(task_id)
    rows = wandered(task)
    assert inside_maze(task, rows) == []
    rows.observations[7, :2] = 0.0 if task_id.startswith("maze2d") else 9.0  # in the outer wall
    [sentence] = inside_maze(task, rows)
    assert "step 7 of episode 0 is inside a wall" in sentence


def test_episodes_of_people_and_of_their_clones_may_be_longer_than_the_horizon() -> None:
    for level, by_people in {"human": True, "cloned": True, "expert": False}.items():
        assert is_by_people(get_task(f"adroit/door/{level}")) == by_people
    assert not is_by_people(get_task("local/door/agent-cloned"))
