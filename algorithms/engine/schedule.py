"""Which stage of an algorithm takes which gradient step."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from algorithms.base import Stage


class Position(NamedTuple):
    """Where one gradient step lies."""

    number: int  # of its stage, from 0
    stage: Stage
    local: int  # the step within the stage, from 1
    online: bool


def check_shares(stages: Sequence[Stage]) -> None:
    """Raise ValueError unless every stage has a share of the budget, and all of them are it."""
    shares = [stage.share for stage in stages]
    if any(share <= 0 for share in shares):
        raise ValueError(f"the stages' shares of the budget must be above 0, found {shares}")
    if abs(sum(shares) - 1) > 1e-9:
        raise ValueError(f"the stages' shares of the budget must sum to 1, found {shares}")


class Schedule:
    """The offline stages, each its share of the budget, and the online one after them, if any.

    Raises ValueError unless the shares sum to one and every stage gets a step; with an online one,
    there may be no offline step at all.

    Attributes:
        ends: the step after the last of each offline stage.
    """

    def __init__(self, stages: Sequence[Stage], steps: int, online: Stage | None) -> None:
        check_shares(stages)
        shares = [stage.share for stage in stages]
        ends = [round(steps * sum(shares[: i + 1])) for i in range(len(shares))]
        self.ends = [*ends[:-1], steps]
        online_alone = steps == 0 and online is not None
        if not online_alone and any(end <= start for start, end in pairwise([0, *self.ends])):
            raise ValueError(f"{steps} steps are too few for stages with the shares {shares}")
        self._offline = tuple(stages)
        self.stages = (*stages, online) if online is not None else self._offline

    def position(self, done: int) -> Position:
        """Of the gradient step that follows `done` finished ones."""
        number = next((i for i, end in enumerate(self.ends) if done < end), len(self.ends))
        start = self.ends[number - 1] if number else 0
        return Position(number, self.stages[number], done - start + 1, number == len(self.ends))

    def stage_end(self, done: int) -> int | None:
        """The step after the last of the stage that trains next; None in the online stage."""
        return next((end for end in self.ends if done < end), None)

    def last_trained(self, done: int) -> Stage:
        """The stage of the latest of `done` finished steps; the first before any."""
        return self.position(max(0, done - 1)).stage

    def updates(self, network: str) -> int:
        """How many updates a network gets offline; at least 1, for schedules to divide by."""
        count = 0
        for stage, (start, end) in zip(self._offline, pairwise([0, *self.ends]), strict=True):
            for phase in stage.phases:
                count += (end - start) // phase.every * phase.trains.count(network)
        return max(1, count)
