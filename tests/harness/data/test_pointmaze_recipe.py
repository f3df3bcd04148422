"""The PointMaze recipe: its physics, its plan, its randomness."""

from __future__ import annotations

import itertools

import gymnasium as gym
import gymnasium_robotics
import numpy as np
import pytest
from scipy.sparse import lil_matrix
from scipy.sparse.csgraph import shortest_path as scipy_shortest_paths

from harness.data.recipes import pointmaze
from harness.data.recipes.point_physics import PointPhysics
from harness.data.recipes.waypoints import WaypointController, shortest_path
from harness.rollouts.evaluation import Evaluator
from harness.tasks import get_task
from harness.tasks.mazes import MAZES

gym.register_envs(gymnasium_robotics)


def test_physics_are_bit_identical_to_the_registered_environment() -> None:
    maze = MAZES["umaze"]
    env = gym.make("PointMaze_UMaze-v3", max_episode_steps=10_000)
    observation, _ = env.reset(seed=3)
    physics = PointPhysics(maze)
    x, y, _, _ = observation["observation"].tolist()
    state = physics.reset((x, y))
    rng = np.random.default_rng(0)
    fastest = 0.0
    for _ in range(100):
        # Long pushes: they reach the speed limit and run into walls.
        push = rng.uniform(-1.5, 1.5, 2).clip(-1, 1).astype(np.float32)
        for _ in range(20):
            expected = env.step(push)[0]["observation"]
            state = physics.step(push)
            assert state.tobytes() == expected.tobytes()
            fastest = max(fastest, np.abs(state[2:]).max())
    assert fastest > 5.0


@pytest.mark.parametrize("name", MAZES)
def test_plans_are_shortest_paths_through_free_cells(name: str) -> None:
    maze = MAZES[name]
    cells = maze.free_cells()
    graph = lil_matrix((len(cells), len(cells)))
    for i, j in itertools.product(range(len(cells)), repeat=2):
        graph[i, j] = int(np.abs(np.subtract(cells[i], cells[j])).sum() == 1)
    distances = scipy_shortest_paths(graph.tocsr(), unweighted=True)
    for i, j in itertools.product(range(len(cells)), repeat=2):
        path = shortest_path(maze, cells[i], cells[j])
        assert len(path) == distances[i, j]
        walk = [cells[i], *path]
        assert walk[-1] == cells[j]
        assert set(walk) <= set(cells)
        assert all(np.abs(np.subtract(a, b)).sum() == 1 for a, b in itertools.pairwise(walk))


def test_the_controller_is_a_clipped_pd_law() -> None:
    maze = MAZES["umaze"]
    controller = WaypointController(maze, np.random.default_rng(0))
    x, y = maze.centre((1, 1))
    controller.head_for((1, 1), (x + 0.04, y - 0.3))
    action, arrived = controller.act((x + 0.04, y - 0.3), (0.25, 0.5))
    assert action == pytest.approx((-10 * 0.04 - 0.25, 1.0))
    assert not arrived
    controller.act((x + 0.05, y), (0.0, 0.0))
    assert controller.act((x + 0.05, y), (0.0, 0.0)) == (pytest.approx((-0.5, 0.0)), True)


def test_the_controller_scores_near_the_reference_maximum() -> None:
    task, maze = get_task("pointmaze/umaze"), MAZES["umaze"]
    controllers = [WaypointController(maze, np.random.default_rng(e)) for e in range(20)]
    planned = False

    def policy(observations: np.ndarray, rewards: np.ndarray) -> np.ndarray:
        nonlocal planned
        states = observations[0].tolist()
        if not planned:
            for controller, (x, y, _, _) in zip(controllers, states, strict=True):
                controller.head_for(maze.goal, (x, y))
            planned = True
        actions = [
            controller.act((x, y), (vx, vy))[0]
            for controller, (x, y, vx, vy) in zip(controllers, states, strict=True)
        ]
        return np.array([actions], np.float32)

    episodes = Evaluator(task, [0], 20).evaluate(policy).episodes
    score = task.normalized_score(float(np.mean([e.episode_return for e in episodes])))
    assert all(episode.success for episode in episodes)
    assert 85 < score < 110


def made(name: str = "umaze", seed: int = 0, steps: int = 1500, **kwargs: int) -> bytes:
    shards = pointmaze.shards(MAZES[name], steps, seed, kwargs.get("workers", 1))
    return b"".join(
        array.tobytes()
        for shard in shards
        for episode in shard.episodes()
        for _, array in sorted(episode.items())
    )


def test_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    assert made() == made()
    assert made() != made(seed=1)


def test_the_number_of_workers_never_changes_a_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pointmaze, "SHARD_STEPS", 400)
    assert made(workers=2) == made(workers=1)


def test_a_small_dataset_is_the_start_of_a_larger_one() -> None:
    short, long = (pointmaze.drive(MAZES["open"], 0, 0, steps) for steps in (500, 900))
    np.testing.assert_array_equal(short.actions, long.actions[:500])
    np.testing.assert_array_equal(short.states, long.states[:501])


@pytest.mark.parametrize("name", ["umaze", "large"])
def test_pieces_lead_from_goal_to_goal_without_a_reset(name: str) -> None:
    maze, shard = MAZES[name], pointmaze.drive(MAZES[name], 0, 0, 5000)
    centres = [maze.centre(cell) for cell in maze.free_cells()]
    assert np.abs(shard.actions).max() == 1.0
    position = shard.states[0, :2]
    for i, episode in enumerate(shard.episodes()):
        positions, goals = episode["infos/qpos"], episode["infos/goal"]
        np.testing.assert_array_equal(positions[0], position)
        position = positions[-1]
        length = len(episode["actions"])
        assert length <= maze.horizon
        assert len(np.unique(goals, axis=0)) == 1
        assert tuple(goals[0]) in centres
        assert maze.cell(*positions[0]) != maze.cell(*goals[0])
        assert episode["truncations"].tolist() == [False] * (length - 1) + [True]
        assert not episode["terminations"].any()
        last = i == len(shard.ends) - 1
        if length < maze.horizon and not last:
            # It had arrived before the last action, and not before the one before that.
            away = np.linalg.norm(positions - goals, axis=1)
            assert away[-2] < 0.1 <= away[1:-2].min(initial=1.0)


def test_rewards_are_the_environments_for_the_commanded_goal() -> None:
    env = gym.make("PointMaze_Medium-v3").unwrapped
    for episode in pointmaze.drive(MAZES["medium"], 0, 0, 2000).episodes():
        reached = env.compute_reward(  # type: ignore[attr-defined]
            episode["observations/achieved_goal"][1:],
            episode["observations/desired_goal"][1:],
            {},
        )
        np.testing.assert_array_equal(episode["rewards"], reached)
        np.testing.assert_array_equal(episode["infos/success"][1:], reached.astype(bool))
