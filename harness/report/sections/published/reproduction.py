"""Reported against reproduced: the difference in a cell, its interval, and a verdict by facts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.published import PublishedCell, PublishedScore
from harness.published.literature import other_data
from harness.report.sections.published.beside import Beside, ComparedMethod
from harness.statistics.intervals import Interval, Scores, t_bounds, t_interval, welch
from harness.tasks import get_task
from harness.tasks.spec import TaskSpec

MARGIN = 5.0  # points: how far apart two scores may be that count as the same


class Verdict(StrEnum):
    """What a cell says of a published score."""

    REPRODUCED = "reproduced"
    BETTER = "better"
    WORSE = "worse"
    UNDECIDED = "undecided"
    NOT_COMPARABLE = "not comparable"


@dataclass(frozen=True)
class Reproduction:
    """A cell that both the literature and the suite have.

    Attributes:
        task: of the suite; `label` its row.
        published: the number that it is compared with.
        scores: ours by seed, `[seeds]`, by the action selection `action_selection`.
        interval: 95%, of our mean minus the published score; NaN bounds below two seeds.
        is_point: whether the published spread or its seeds are not known, so that the interval
            is that of our mean alone.
        differs: in which facts the two differ that make them incomparable.
        unstated: which facts the source does not state.
    """

    task: str
    label: str
    method: str
    published: PublishedScore
    scores: NDArray[np.float64]
    action_selection: str
    interval: Interval
    is_point: bool
    differs: tuple[str, ...]
    unstated: tuple[str, ...]

    @property
    def difference(self) -> float:
        assert self.published.score is not None
        return float(self.scores.mean()) - self.published.score

    @property
    def verdict(self) -> Verdict:
        low, high = self.interval
        if self.differs:
            return Verdict.NOT_COMPARABLE
        if low >= -MARGIN and high <= MARGIN:
            return Verdict.REPRODUCED
        if low > 0:
            return Verdict.BETTER
        if high < 0:
            return Verdict.WORSE
        return Verdict.UNDECIDED


def reproductions(beside: Beside) -> list[Reproduction]:
    """Every cell with both a published score and a finished run, task by task."""
    lines = [ComparedMethod(beside.method_of(row), row.label) for row in beside.suite.rows]
    found = []
    for task in beside.suite.tasks:
        counterpart = beside.counterpart(task)
        if counterpart is None:
            continue
        for line in lines:
            cell = _published(beside, counterpart, line)
            if cell is not None and beside.ours(task.id, line) is not None:
                found.append(_reproduction(beside, task, line, cell.shown))
    return found


def interval_to_published(ours: Scores, published: PublishedScore) -> tuple[Interval, bool]:
    """95% interval of our mean minus a published score, and whether that is taken as a point.

    Welch's t where the published spread and its seeds are known, else Student's t of our mean.
    """
    assert published.score is not None
    theirs = _squared_error(published)
    if len(ours) < 2:
        return Interval(math.nan, math.nan), theirs is None
    if theirs is None:
        low, high = t_interval(ours)
        return Interval(low - published.score, high - published.score), True
    own = float(ours.var(ddof=1)) / len(ours)
    assert published.seeds is not None
    error, dof = welch([(own, len(ours) - 1), (theirs, published.seeds - 1)])
    return t_bounds(float(ours.mean()) - published.score, error, dof), False


def reproduction_csv(found: Iterable[Reproduction], protocol: str) -> pd.DataFrame:
    """One line per cell, with more digits than tables show, for other programs.

    protocol: that our scores are by.
    """
    lines = []
    for cell in found:
        published, seeds = cell.published, len(cell.scores)
        lines.append(
            {
                "task": cell.task,
                "algorithm": cell.label,
                "method": cell.method,
                "verdict": str(cell.verdict),
                "differs": "; ".join(cell.differs),
                "unstated": "; ".join(cell.unstated),
                "difference": cell.difference,
                "ci95_low": cell.interval.low,
                "ci95_high": cell.interval.high,
                "margin": MARGIN,
                "mean": float(cell.scores.mean()),
                "sd": float(cell.scores.std(ddof=1)) if seeds > 1 else math.nan,
                "seeds": seeds,
                "protocol": protocol,
                "action_selection": cell.action_selection,
                "published": published.score,
                "published_spread": published.spread,
                "published_spread_kind": published.spread_kind,
                "published_seeds": published.seeds,
                "published_as_point": cell.is_point,
                "published_protocol": published.protocol,
                "published_task": published.task,
                "source": published.source,
            }
        )
    return pd.DataFrame(lines).astype({"published_seeds": "Int64"})


def reproduction_notes(found: Sequence[Reproduction]) -> tuple[str, ...]:
    """How verdicts are reached, and how many there are of each."""
    if not found:
        return ()
    counts = Counter(cell.verdict for cell in found)
    tally = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict])
    return (
        f"Reported against reproduced ({tally}): our mean minus the published score, with its 95% "
        "interval (Welch's t over both sides' seeds; where the published spread or its seeds are "
        "not stated, the published score is taken as a point and the interval is that of our mean "
        f"alone). Reproduced: the interval is inside ±{MARGIN:g} points. Better, worse: it is not, "
        "and excludes 0. Undecided: anything else, so too few seeds never count as reproduced. Not "
        "comparable: data, environment, budget (gradient steps), protocol, acting (action "
        "selection) or setting (tuned here) differ, as far as the source states them; what it does "
        "not state is in reproduction.csv. Verdicts are not corrected for their number: of 20 "
        "equal cells one is expected to miss 0.",
    )


def _published(beside: Beside, task: str, line: ComparedMethod) -> PublishedCell | None:
    """What there is of the protocol that ours is by, else of the suite's choice, else of any."""
    found = beside.literature.protocols(task, line.method)
    preferred = (beside.comparison.protocol.name, *beside.suite.published.protocols, *found)
    protocol = next((name for name in preferred if name in found), "")
    return beside.literature.cell(task, line.method, protocol)


def _reproduction(
    beside: Beside, task: TaskSpec, line: ComparedMethod, published: PublishedScore
) -> Reproduction:
    assert line.label is not None
    row = next(row for row in beside.suite.rows if row.label == line.label)
    scores = beside.comparison.cells[task.id, line.label].scores
    selection = row.action_selection
    asked = published.action_selection
    if asked not in {"", selection}:
        measured = beside.comparison.selection_scores
        of_cell = (measured["task"] == task.id) & (measured["label"] == line.label)
        by_it = measured.loc[of_cell & (measured["action_selection"] == asked), "score"]
        if len(by_it):
            scores, selection = by_it.to_numpy(np.float64), asked
    interval, is_point = interval_to_published(scores, published)
    return Reproduction(
        task=task.id,
        label=line.label,
        method=line.method,
        published=published,
        scores=scores,
        action_selection=selection,
        interval=interval,
        is_point=is_point,
        differs=tuple(_differences(beside, task, line.label, published, selection)),
        unstated=tuple(_unstated(published)),
    )


def _differences(
    beside: Beside, task: TaskSpec, label: str, published: PublishedScore, selection: str
) -> Iterator[str]:
    """The facts in which a cell is not what the source measured."""
    suite, theirs = beside.suite, get_task(published.task)
    if task.dataset != theirs.dataset or other_data(published):
        yield "data"
    if _environment(task) != _environment(theirs):
        yield "environment"
    steps = suite.steps_of(label)
    if suite.online_steps or suite.smoke or published.steps not in {None, steps}:
        yield "budget"
    if published.protocol != beside.comparison.protocol.name:
        yield "protocol"
    row = next(row for row in suite.rows if row.label == label)
    if published.action_selection != selection and (
        published.action_selection or row.acts_by_entry
    ):
        yield "acting"
    if suite.tuning is not None:
        yield "setting"


def _unstated(published: PublishedScore) -> Iterator[str]:
    for fact, stated in (
        ("data", published.data),
        ("budget", published.steps),
        ("acting", published.action_selection),
    ):
        if not stated:
            yield fact


def _environment(task: TaskSpec) -> tuple[object, ...]:
    """What a score is measured in and by; not the words about it."""
    environment, reference = task.environment, task.reference
    made = (environment.id, environment.kwargs, environment.wrappers, task.horizon)
    return (*made, reference.min, reference.max)


def _squared_error(published: PublishedScore) -> float | None:
    """Squared standard error of a published mean over seeds; None if it is not known."""
    seeds, spread = published.seeds, published.spread
    if seeds is None or seeds < 2 or spread is None:
        return None
    match published.spread_kind:
        case "sd":
            return spread**2 / seeds
        case "sd-population":
            return spread**2 / (seeds - 1)
        case "se":
            return spread**2
        case _:
            return None
