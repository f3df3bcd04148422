"""What `data info` shows: a card of numbers, histograms, and what the recipe has to add."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from harness.data.cache import LoadedData
from harness.data.checks.rewards import palm_term
from harness.data.facts import RowFacts, facts_of, spread
from harness.data.recipe import recipe_of
from harness.data.remarks import remarks
from harness.data.store import DatasetFolder
from harness.tasks import words
from harness.tasks.spec import TaskSpec

_BINS = 10
_BAR = 40  # characters of the longest bar
_BLOCKS = " ▏▎▍▌▋▊▉█"  # eighths of a character


def card(task: TaskSpec, loaded: LoadedData) -> RenderableType:
    """The dataset as the task sees it: sizes, rewards, actions, origin, histograms, details."""
    data, made = loaded.transitions, loaded.manifest["dataset"]
    facts = facts_of(data)
    table = Table(title=f"{task.dataset.id} as {task.id} sees it", show_header=False)
    rows = {
        "transitions": f"{len(data):,}",
        "episodes": f"{len(facts.lengths):,}, each {spread(facts.lengths)} steps",
        "rewards": words.rewards(task),
        "palm's distance": palm_term(task, data),
        "reward of a step": f"mean {facts.mean_reward:.4f}",
        "return of an episode": spread(facts.returns),
        "terminals": f"{facts.terminals:,}",
        "actions": f"{data.action_dim} in [-1, 1]; {facts.saturation:.1%} at a limit",
        "observations": f"{data.obs_dim} numbers",
        "made by": f"recipe {task.dataset.recipe}, {_pairs(task.dataset.params)}",
        "constants": _pairs(made["constants"]),
        "versions": _pairs(made["versions"]),
        "sha256 of sources": _pairs(made.get("sources", {})),
        "rows sha256": loaded.sha256,
        "folder": str(DatasetFolder.of(task).path),
    }
    rows |= {f"warning: {name}": sentence for name, sentence in remarks(made).items()}
    for name, value in rows.items():
        if value:
            table.add_row(name, value)
    details = recipe_of(task).details(task, data)
    texts = [*_histograms(facts), *([details] if details else [])]
    return Group(table, *(Text(f"\n{text}") for text in texts))


def histogram(values: NDArray[Any]) -> str:
    """Text bars of how many values are in each of ten equal ranges; one line if all are equal."""
    low, high = float(values.min()), float(values.max())
    if low == high:
        return f"{low:g}: all {len(values):,}"
    counts, edges = np.histogram(values, _BINS)
    labels = [f"{a:,.6g} to {b:,.6g}" for a, b in itertools.pairwise(edges.tolist())]
    return _bars(labels, counts / counts.max(), [f"{count:,}" for count in counts.tolist()])


def _histograms(facts: RowFacts) -> list[str]:
    limits = facts.at_low + facts.at_high
    shares = zip(facts.at_low.tolist(), facts.at_high.tolist(), strict=True)
    labels = [f"action {index}" for index in range(len(limits))]
    ends = [f"{low:.1%} at -1, {high:.1%} at 1" for low, high in shares]
    return [
        f"return of an episode, and how many have it\n{histogram(facts.returns)}",
        f"steps of an episode, and how many have it\n{histogram(facts.lengths)}",
        f"share of steps with an action at a limit (a full bar is 100%)\n"
        f"{_bars(labels, limits, ends)}",
    ]


def _bars(labels: list[str], shares: NDArray[np.float64], ends: list[str]) -> str:
    width = max(map(len, labels))
    lines = []
    for label, share, end in zip(labels, shares.tolist(), ends, strict=True):
        # Something that is there is seen, however little: at least an eighth.
        eighths = max(round(8 * _BAR * share), 1 if share else 0)
        bar = "█" * (eighths // 8) + _BLOCKS[eighths % 8].strip()
        lines.append(f"{label:>{width}}  {bar} {end}")
    return "\n".join(lines)


def _pairs(values: dict[str, Any]) -> str:
    texts = {k: " + ".join(v) if isinstance(v, list) else v for k, v in values.items()}
    return ", ".join(f"{name} {text}" for name, text in texts.items())
