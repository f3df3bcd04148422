"""Which number to show where the literature has several: never of another protocol."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.published.names import d4rl_version
from harness.published.scores import STANDINGS, ProtocolName, PublishedScore


@dataclass(frozen=True)
class PublishedCell:
    """What is published of a method on a task under one protocol.

    Attributes:
        shown: the number to show: the method's own paper's if there is one, else a library's.
        scores: all of them, `shown` first.
    """

    scores: tuple[PublishedScore, ...]

    @property
    def shown(self) -> PublishedScore:
        return self.scores[0]

    @property
    def value(self) -> float:
        """The score to show, in points."""
        return _value(self.shown)

    @property
    def lowest(self) -> PublishedScore:
        return min(self.scores, key=_value)

    @property
    def highest(self) -> PublishedScore:
        return max(self.scores, key=_value)

    @property
    def width(self) -> float:
        """How far sources are apart, in points."""
        return _value(self.highest) - _value(self.lowest)


class Literature:
    """Published scores by task, method and protocol.

    Attributes:
        not_at_hand: the (task, method) of which it is only known that a source has a score.
    """

    def __init__(self, first: Iterable[PublishedScore], others: Iterable[PublishedScore]) -> None:
        """`first` are shown before all `others`, whatever their standing."""
        ranked = [*first, *sorted(others, key=_rank)]
        cells: dict[tuple[str, str, ProtocolName], list[PublishedScore]] = {}
        for score in ranked:
            if score.score is not None:
                cells.setdefault((score.task, score.method, score.protocol), []).append(score)
        self._cells = {key: PublishedCell(tuple(scores)) for key, scores in cells.items()}
        self._methods = {score.method for score in ranked}
        with_scores = {(task, method) for task, method, _ in cells}
        self.not_at_hand = {(s.task, s.method) for s in ranked} - with_scores

    def cell(self, task: str, method: str, protocol: ProtocolName) -> PublishedCell | None:
        """What is published there, or None."""
        return self._cells.get((task, method, protocol))

    def protocols(self, task: str, method: str) -> list[ProtocolName]:
        """Those under which there is anything of a method on a task, sorted."""
        return sorted(protocol for t, m, protocol in self._cells if (t, m) == (task, method))

    def tasks(self) -> set[str]:
        """The tasks of which anything is known."""
        return {task for task, _, _ in self._cells} | {task for task, _ in self.not_at_hand}

    def method_of(self, entry: str, algorithm: str) -> str:
        """The method that a suite's row is known by: its entry's name, or else its algorithm."""
        return entry if entry in self._methods else algorithm

    def methods(self, protocol: ProtocolName) -> dict[str, set[str]]:
        """By method, the tasks that it has a score on; the method with most of them first."""
        found: dict[str, set[str]] = {}
        for task, method, its_protocol in self._cells:
            if its_protocol == protocol:
                found.setdefault(method, set()).add(task)
        return dict(sorted(found.items(), key=lambda item: (-len(item[1]), item[0])))


def _value(score: PublishedScore) -> float:
    assert score.score is not None  # cells hold no others
    return score.score


def other_data(score: PublishedScore) -> bool:
    """Whether the source says that its data are another version than D4RL's current one."""
    return score.data not in {"", d4rl_version(score.task)}


def _rank(score: PublishedScore) -> tuple[bool, int, bool, bool, int, str]:
    """Better known numbers first: by whose they are, how they were read, what is said of them."""
    return (
        other_data(score),
        STANDINGS.index(score.standing),
        score.second_hand,
        score.spread is None,
        -(score.also_in.count(";") + bool(score.also_in)),
        score.source,
    )
