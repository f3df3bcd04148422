"""Published sizes of public datasets, and which of them a task's data should have.

Only what a source that was read says; return statistics of these datasets are not published by
those who made them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import JsonValue

from harness.tasks.spec import TaskSpec

_PAGES = "Minari's documentation, minari.farama.org/main/datasets/{}"
_CARDS = "metadata.json of the Hugging Face dataset farama-minari/D4RL, pointmaze/{}"
_D4RL = "D4RL's wiki (1M samples), quoted in Farama-Foundation/D4RL issue 119"
_REPLAY = "episodes of 1000 steps in the viewer of edbeeching/decision_transformer_gym_replay"


@dataclass(frozen=True)
class Published:
    """How many steps and episodes (None: no source) a dataset has, and who says so."""

    steps: int
    episodes: int | None
    source: str


def _page(name: str, steps: int, episodes: int) -> Published:
    return Published(steps, episodes, _PAGES.format(name))


# Adroit's by Minari's name without its version: v1 and v2 have the same episodes.
_ADROIT = {
    name: _page(name, steps, episodes)
    for name, steps, episodes in (
        ("pen/cloned", 500_000, 3736),
        ("pen/expert", 499_206, 4958),
        ("door/human", 6729, 25),
        ("door/cloned", 1_000_000, 4358),
        ("door/expert", 1_000_000, 5000),
        ("hammer/human", 11_310, 25),
        ("hammer/cloned", 1_000_000, 3606),
        ("hammer/expert", 1_000_000, 5000),
        ("relocate/cloned", 1_000_000, 3758),
        ("relocate/expert", 1_000_000, 5000),
    )
}
PUBLISHED = {
    **{f"D4RL/{name}-v2": found for name, found in _ADROIT.items()},
    "D4RL/pointmaze/medium-dense-v2": Published(1_000_000, 4752, _CARDS.format("medium-dense-v2")),
    "halfcheetah-medium-v2": Published(1_000_000, None, _D4RL),
    "halfcheetah-medium-replay-v2": Published(202_000, 202, _REPLAY),
}


def published(task: TaskSpec) -> dict[str, Published]:
    """The published datasets that the task's id or its data's parameters name whole."""
    if task.dataset.params.get("transitions") is not None:
        return {}  # a part of it was asked for
    texts = {
        _plain(text) for text in [task.dataset.id, *_texts(list(task.dataset.params.values()))]
    }
    return {name: facts for name, facts in PUBLISHED.items() if _plain(name) in texts}


def published_counts(task: TaskSpec, steps: int, episodes: int) -> list[str]:
    """The dataset has as many steps and episodes as published."""
    found = published(task)
    if len(found) != 1:
        return []  # several in one have no published size of their own
    ((name, facts),) = found.items()
    problems = []
    for what, there, expected in (
        ("steps", steps, facts.steps),
        ("episodes", episodes, facts.episodes),
    ):
        if expected is not None and there != expected:
            problems.append(
                f"{task.dataset.id}: it has {there:,} {what}, and {name} is published with "
                f"{expected:,} ({facts.source}), so this is another version or a part of it."
            )
    return problems


def _texts(values: list[JsonValue]) -> Iterator[str]:
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            yield from _texts(value)


def _plain(name: str) -> str:
    """The name without what differs between a file's and an environment's."""
    return re.sub(r"\.hdf5$", "", name.rsplit("://", 1)[-1]).replace("_", "-").lower()
