"""What `data info` shows: a card of numbers, and what the recipe has to add."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from harness.data.cache import LoadedData
from harness.data.recipe import recipe_of
from harness.data.store import DatasetFolder
from harness.tasks.spec import TaskSpec


def card(task: TaskSpec, loaded: LoadedData) -> RenderableType:
    """The dataset as the task sees it: sizes, rewards, actions, origin, recipe's details."""
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
        "observations": f"{data.obs_dim} numbers",
        "made by": f"recipe {task.dataset.recipe}, {_pairs(task.dataset.params)}",
        "constants": _pairs(made["constants"]),
        "versions": _pairs(made["versions"]),
        "rows sha256": loaded.sha256,
        "folder": str(DatasetFolder.of(task).path),
    }
    for name, value in rows.items():
        table.add_row(name, value)
    details = recipe_of(task).details(task, data)
    return Group(table, Text(f"\n{details}")) if details else table


def _spread(values: np.ndarray[Any, Any]) -> str:
    return f"{values.mean():.1f} ± {values.std():.1f} (from {values.min():g} to {values.max():g})"


def _saturation(actions: np.ndarray[Any, np.dtype[np.float32]]) -> float:
    return float((np.abs(actions) >= 1.0).mean())


def _pairs(values: dict[str, Any]) -> str:
    texts = {k: " + ".join(v) if isinstance(v, list) else v for k, v in values.items()}
    return ", ".join(f"{name} {text}" for name, text in texts.items())
