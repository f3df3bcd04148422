"""Minari's PointMaze v2: of its dict observations, policies learn from state and goal."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import JsonValue

from algorithms.transitions import Transitions
from harness.data.minari_format import EpisodeArrays
from harness.data.recipes.minari_remote import MinariRemote
from harness.data.recipes.visit_map import visit_map
from harness.tasks.mazes import MAZES
from harness.tasks.spec import TaskSpec

_STATE, _GOAL = "observations/observation", "observations/desired_goal"


class MinariPointMaze(MinariRemote):
    """Observations are (x, y, vx, vy, goal x, goal y), with the goal that rewards are for.

    The environment draws the next goal after it has made the observation of the step that reaches
    one, and the next episode starts with that observation: its goal is stale (Minari issue 265).
    """

    inputs: ClassVar[tuple[str, ...]] = (
        _STATE,
        _GOAL,
        "actions",
        "rewards",
        "terminations",
        "truncations",
    )
    kept: ClassVar[tuple[str, ...]] = ("observations/achieved_goal",)

    def seen(self, task: TaskSpec, episode: EpisodeArrays) -> EpisodeArrays:
        """State and goal side by side, [T + 1, 6]; the first goal is the second's."""
        goals = episode[_GOAL].copy()
        goals[0] = goals[1]
        return episode | {_STATE: np.concatenate([episode[_STATE], goals], axis=1)}

    def constants(self, task: TaskSpec) -> dict[str, JsonValue]:
        """In how many of the dataset's episodes the first observation has another goal, too."""
        goals = [episode[_GOAL] for file in self.files(task) for episode in self._read(file)]
        stale = sum(bool((goal[0] != goal[1]).any()) for goal in goals)
        told = f"{stale} of {len(goals)} episodes"
        return super().constants(task) | {"stale first goals": told}

    def details(self, task: TaskSpec, data: Transitions) -> str:
        """A map of where the steps are."""
        name = task.id.removeprefix("minari/pointmaze/").removesuffix("-dense")
        title = "percent of steps in each cell (the evaluation goal's in brackets)"
        return f"{title}\n{visit_map(MAZES[name], data.observations[:, :2])}"


RECIPE = MinariPointMaze()
