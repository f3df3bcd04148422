"""Tasks of one's own, a few lines each; `docs/tasks.md` shows them in use (light)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

from harness.errors import UserError
from harness.tasks.family import Family
from harness.tasks.ids import RewardRule, Scale, Semantics, Source
from harness.tasks.mazes import read_layout
from harness.tasks.options import sized_id, whole_numbers
from harness.tasks.pointmaze import DEFAULT_TRANSITIONS, play_task
from harness.tasks.spec import DatasetRef, EnvironmentSpec, ReferenceScores, TaskSpec

_AUTHOR = "given by the task's author"


@dataclass(frozen=True)
class OwnTask:
    """A task by its id, and its spec by the options that a suite gives."""

    id: str
    build: Callable[[Mapping[str, Any]], TaskSpec]


class TaskList(Family):
    """A family of the tasks listed; `recipes` as a family offers them."""

    def __init__(self, *tasks: OwnTask, recipes: Mapping[str, str] | None = None) -> None:
        self._tasks = {task.id: task for task in tasks}
        if len(self._tasks) < len(tasks):
            raise UserError(f"a task is listed twice: {[task.id for task in tasks]}")
        self.recipes = recipes or {}

    def task_ids(self) -> list[str]:
        """Every task, in the order given."""
        return list(self._tasks)

    def build(self, task_id: str, options: Mapping[str, Any]) -> TaskSpec | None:
        """The spec of one of the tasks, or None for another id."""
        return self._tasks[task_id].build(options) if task_id in self._tasks else None


def pointmaze_task(
    task_id: str,
    *,
    layout: Sequence[str],
    horizon: int,
    dense: bool = False,
    reference: tuple[float, float] | None = None,
    reference_source: str = _AUTHOR,
    title: str = "",
    description: str = "",
) -> OwnTask:
    """A maze of one's own for PointMaze, with data that the waypoint recipe makes.

    Suites may give the options `transitions` and `data_seed`.

    Args:
        task_id: such as `my-mazes/ring`; its first part groups tasks in reports.
        layout: rows from the top: `#` is a wall, a space is free, `G` is the evaluation goal.
        horizon: steps of an evaluation episode, and of the longest piece in the data.
        dense: rewards of exp(-distance to the goal) instead of 1 near it and else 0.
        reference: returns of scores 0 and 100; by default 0 and `horizon`, which are bounds.
        reference_source: where these are from, in words.
        title: for readers; by default the id.
        description: for readers, beside what is said of every PointMaze.

    Raises:
        UserError: the layout is no closed maze with one goal that all of it leads to, the horizon
            is below 1, or the reference is not (low, high).
    """
    _check_horizon(task_id, horizon)
    maze = read_layout(task_id, layout, horizon)
    scores = ReferenceScores(min=0.0, max=horizon, source=Source.BOUNDS)
    if reference is not None:
        scores = _reference(reference, reference_source)

    def build(options: Mapping[str, Any]) -> TaskSpec:
        numbers = whole_numbers(task_id, options, {"transitions": 1, "data_seed": 0})
        transitions = numbers.get("transitions", DEFAULT_TRANSITIONS)
        seed = numbers.get("data_seed", 0)
        asked = None if transitions == DEFAULT_TRANSITIONS else transitions
        params: dict[str, JsonValue] = {"maze": task_id, "layout": list(layout)}
        params |= {"horizon": horizon, "transitions": transitions, "seed": seed}
        return play_task(
            maze,
            task_id=task_id,
            title=title or task_id,
            dense=dense,
            dataset_id=sized_id(task_id, asked, seed),
            params=params,
            reference=scores,
            scale=Scale.OWN,
            description=description,
        )

    return OwnTask(task_id, build)


def minari_task(
    task_id: str,
    *,
    environment: str,
    dataset: str,
    horizon: int,
    reference: tuple[float, float],
    reference_source: str = _AUTHOR,
    arguments: Mapping[str, JsonValue] | None = None,
    title: str = "",
    description: str = "",
) -> OwnTask:
    """A gymnasium environment with a Minari dataset to learn from, as it was recorded.

    The dataset is imported from your Minari folder, or from where `data fetch` downloads public
    ones to. Suites may give the option `transitions`: the first whole episodes.

    Args:
        task_id: such as `puck/random`; its first part groups tasks in reports.
        environment: a registered id, `module:Name-v0` if importing `module` registers it. It has
            one axis of observations, and two or more actions from -1 to 1.
        dataset: its id, such as `puck/random-v0`.
        horizon: steps of an evaluation episode.
        reference: returns of scores 0 and 100.
        reference_source: where these are from, in words.
        arguments: of the environment.
        title: for readers; by default the id.
        description: for readers, such as what a score means.

    Raises UserError if the horizon is below 1, or the reference is not (low, high).
    """
    _check_horizon(task_id, horizon)
    scores = _reference(reference, reference_source)

    def build(options: Mapping[str, Any]) -> TaskSpec:
        limit = whole_numbers(task_id, options, {"transitions": 1})
        return TaskSpec(
            id=task_id,
            title=title or task_id,
            family=task_id.partition("/")[0],
            dataset=DatasetRef(
                id=sized_id(task_id, limit.get("transitions")),
                source="minari",
                recipe="minari-remote",
                params={"datasets": [dataset], **limit},
                rewards=RewardRule.AS_RECORDED,
            ),
            environment=EnvironmentSpec(
                id=environment,
                kwargs=dict(arguments or {}),
                wrappers=("float32",),
                semantics=(Semantics.OWN,),
            ),
            horizon=horizon,
            reference=scores,
            scale=Scale.OWN,
            description=description,
        )

    return OwnTask(task_id, build)


def _check_horizon(task_id: str, steps: int) -> None:
    if steps < 1:
        raise UserError(f"{task_id}: its horizon must be at least 1 step, found {steps}")


def _reference(scores: tuple[float, float], said: str) -> ReferenceScores:
    low, high = scores
    if not low < high:
        raise UserError(f"reference scores are (low, high) with low below high, found {scores}")
    return ReferenceScores(min=low, max=high, source=Source.OWN, entry=said)
