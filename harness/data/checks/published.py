"""Published sizes of public Minari datasets, and which of them a task's data should have.

D4RL's files are told by the bytes and the sha256 in their tasks' specs instead: what is made of
them leaves the steps at time limits out, as D4RL's `qlearning_dataset` does.
Only what a source that was read says; return statistics of these datasets are not published by
those who made them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import JsonValue

from harness.tasks.spec import TaskSpec

_PAGES = "Minari's documentation, minari.farama.org/main/datasets/{}"
_CARDS = "metadata.json of the Hugging Face dataset farama-minari/D4RL, pointmaze/{}"


@dataclass(frozen=True)
class PublishedSize:
    """How many steps and episodes a dataset has, and who says so."""

    steps: int
    episodes: int
    source: str


def _page(name: str, steps: int, episodes: int) -> PublishedSize:
    return PublishedSize(steps, episodes, _PAGES.format(name))


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
    "D4RL/pointmaze/medium-dense-v2": PublishedSize(
        1_000_000, 4752, _CARDS.format("medium-dense-v2")
    ),
}


def published(task: TaskSpec) -> dict[str, PublishedSize]:
    """The published datasets that the task's id or its data's parameters name whole."""
    if task.dataset.params.get("transitions") is not None:
        return {}  # a part of it was asked for
    texts = {task.dataset.id, *_texts(list(task.dataset.params.values()))}
    return {name: facts for name, facts in PUBLISHED.items() if name in texts}


def is_by_people(task: TaskSpec) -> bool:
    """Whether the data are people's or their clones', whose episodes go on after the horizon."""
    names = (*published(task), task.id)
    return any(name.split("/")[-1].startswith(("human", "cloned")) for name in names)


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
        if there != expected:
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
