"""What `data info` shows: a card of numbers and a map of where the data go."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from harness.data.cache import LoadedData
from harness.data.store import DatasetFolder
from harness.tasks.mazes import MAZES, Maze
from harness.tasks.spec import TaskSpec


def card(task: TaskSpec, loaded: LoadedData) -> RenderableType:
    """The dataset as the task sees it: sizes, rewards, actions, origin, and visits of each cell."""
    data, made = loaded.transitions, loaded.manifest["dataset"]
    ends = data.episode_ends()
    lengths = np.diff(ends, prepend=0)
    returns = np.add.reduceat(data.rewards, ends - lengths)
    table = Table(title=f"{task.dataset.id} as {task.id} sees it", show_header=False)
    rows = {
        "transitions": f"{len(data):,}",
        "episodes": f"{len(ends):,}, each {_spread(lengths)} steps",
        "rewards": task.dataset.rewards,
        "reward of a step": f"mean {data.rewards.mean():.4f}",
        "return of an episode": _spread(returns),
        "terminals": f"{int(data.terminals.sum()):,}",
        "actions": f"{data.action_dim} in [-1, 1]; {_saturation(data.actions):.1%} at a limit",
        "observations": f"{data.obs_dim}: x, y, vx, vy",
        "made by": f"recipe {task.dataset.recipe}, {_pairs(task.dataset.params)}",
        "constants": _pairs(made["constants"]),
        "versions": _pairs(made["versions"]),
        "rows sha256": loaded.sha256,
        "folder": str(DatasetFolder.of(task).path),
    }
    for name, value in rows.items():
        table.add_row(name, value)
    maze = MAZES[str(task.dataset.params["maze"])]
    title = Text("\npercent of steps in each cell (the goal's in brackets)\n")
    return Group(table, title, Text(visit_map(maze, data.observations[:, :2])))


def visit_map(maze: Maze, positions: np.ndarray[Any, np.dtype[np.float32]]) -> str:
    """The maze in text: walls as ####, and in every other cell its share of steps in percent.

    positions [N, 2] of x and y.
    """
    cells = [maze.cell(x, y) for x, y in positions.tolist()]
    visited, counts = np.unique(np.asarray(cells), axis=0, return_counts=True)
    share = {tuple(cell): count / len(cells) for cell, count in zip(visited, counts, strict=True)}
    lines = []
    for row, line in enumerate(maze.grid):
        marks = []
        for column, mark in enumerate(line):
            percent = f"{100 * share.get((row, column), 0):.0f}"
            if (row, column) == maze.goal:
                percent = f"[{percent}]"
            marks.append("####" if mark == "#" else f"{percent:^4}")
        lines.append("".join(marks))
    return "\n".join(lines)


def _spread(values: np.ndarray[Any, Any]) -> str:
    return f"{values.mean():.1f} ± {values.std():.1f} (from {values.min():g} to {values.max():g})"


def _saturation(actions: np.ndarray[Any, np.dtype[np.float32]]) -> float:
    return float((np.abs(actions) >= 1.0).mean())


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
