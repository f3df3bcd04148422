"""Tasks of public Minari data: environments of the tasks beside them, with the goal in sight."""

from __future__ import annotations

import numpy as np
import pytest

from harness.errors import UserError
from harness.tasks import get_task, make_environment, task_ids, task_of_dataset, words
from harness.tasks.environment import make_unwrapped

MINARI = [task_id for task_id in task_ids() if task_id.startswith("minari/")]


def test_there_are_eight_mazes_and_twelve_hands_each_with_its_own_dataset() -> None:
    assert len(MINARI) == 8 + 12
    public = set()
    for task_id in MINARI:
        for options in ({}, {"transitions": 3000}):
            task = get_task(task_id, options)
            assert task.dataset.id == f"{task_id}{'-3k' if options else ''}-v2"
            assert task_of_dataset(task.dataset.id) == task
            public.add(str(task.dataset.params["datasets"]))
    assert len(public) == 20
    assert {"['D4RL/pointmaze/large-dense-v2']", "['D4RL/relocate/cloned-v2']"} < public
    with pytest.raises(UserError, match="no option 'data_seed'"):
        get_task("minari/pointmaze/open", {"data_seed": 1})


@pytest.mark.parametrize("task_id", MINARI)
def test_scores_mean_what_those_of_the_task_beside_it_mean(task_id: str) -> None:
    task = get_task(task_id)
    beside = get_task(task_id.removeprefix("minari/"))
    for name in ("id", "kwargs"):
        assert getattr(task.environment, name) == getattr(beside.environment, name)
    assert task.horizon == beside.horizon
    assert (task.reference.min, task.reference.max) == (beside.reference.min, beside.reference.max)
    kind, _, _ = words.semantics(task).partition(". ")
    assert kind == ("d4rl" if "adroit" in task_id else "as-shipped")
    if "adroit" in task_id:
        assert task.environment.wrappers == beside.environment.wrappers


def test_the_policy_sees_the_state_and_the_goal_of_the_episode() -> None:
    task = get_task("minari/pointmaze/umaze-dense")
    ours, theirs = make_environment(task), make_unwrapped(task.environment, task.horizon)
    goals = []
    for seed in range(3):
        mine, other = ours.reset(seed=seed)[0], theirs.reset(seed=seed)[0]
        for _ in range(5):
            expected = [*other["observation"], *other["desired_goal"]]
            np.testing.assert_array_equal(mine, np.array(expected, np.float32))
            assert mine in ours.observation_space
            mine, reward, *_ = ours.step(np.ones(2, np.float32))
            other, *_ = theirs.step(np.ones(2, np.float32))
            assert reward == pytest.approx(np.exp(-np.hypot(*(mine[:2] - mine[4:]))), abs=1e-6)
        goals.append(mine[4:])
    # The goal cell's centre is (-1, 1); the goal is drawn within 0.25 of it.
    assert (np.abs(np.array(goals) - [-1, 1]) <= 0.25).all()
    assert len(np.unique(goals, axis=0)) == 3
