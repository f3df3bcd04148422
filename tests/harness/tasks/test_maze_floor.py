"""Where the point of a maze is, against the simulation itself."""

from __future__ import annotations

import numpy as np
import pytest

from harness.tasks import get_task, make_environment
from harness.tasks.maze_floor import MazeFloor


@pytest.mark.parametrize("task_id", ["pointmaze/large", "maze2d/large"])
def test_places_are_the_simulations_own(task_id: str) -> None:
    task = get_task(task_id)
    floor = MazeFloor.of(task)
    assert floor is not None
    environment = make_environment(task)
    rng = np.random.default_rng(0)
    observation, _ = environment.reset(seed=3)
    for _ in range(20):
        robotics = environment.unwrapped
        simulated = robotics.point_env.data.qpos  # type: ignore[attr-defined]
        assert floor.places(np.asarray(observation, np.float32)) == pytest.approx(
            simulated, abs=1e-5
        )
        observation, *_ = environment.step(rng.uniform(-1, 1, 2).astype(np.float32))
    environment.close()


@pytest.mark.parametrize("task_id", ["pointmaze/medium", "maze2d/medium"])
def test_a_point_at_rest_is_seen_where_it_is_and_in_no_wall(task_id: str) -> None:
    floor = MazeFloor.of(get_task(task_id))
    assert floor is not None
    places, observations = floor.at_rest(2)
    assert floor.places(observations) == pytest.approx(places, abs=1e-6)
    assert not observations[:, 2:].any()
    width, height = floor.size
    columns = np.floor(places[:, 0] + width / 2).astype(int)
    rows = np.floor(height / 2 - places[:, 1]).astype(int)
    assert all(floor.grid[row, column] != 1 for row, column in zip(rows, columns, strict=True))
    assert len(places) == 4 * (floor.grid != 1).sum()


def test_other_tasks_have_none() -> None:
    assert MazeFloor.of(get_task("multimodal/modes-8-dim-2")) is None
