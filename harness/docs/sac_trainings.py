"""The trainings of SAC whose policies come with this package, beside published ones, as a table.

The published returns are in a data file beside this one, with their source.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ValidationError

from harness.data.recipes.sac_checkpoint import SacEvaluation, read_curve
from harness.data.recipes.shipped_policies import FOLDER
from harness.errors import UserError
from harness.tasks.made import EVALUATION_EVERY

_FILE = Path(__file__).with_name("sac_published.json")


class PublishedReturns(BaseModel):
    """Returns of other trainings: mean and standard deviation over seeds, by body and step."""

    source: str
    policy: str  # that they evaluate
    seeds: int
    returns: dict[str, dict[int, tuple[float, float]]]


def sac_trainings_table() -> str:
    """A line for each body with policies in this package, a column for each published step.

    Raises UserError: the published returns or a curve cannot be read.
    """
    try:
        published = PublishedReturns.model_validate_json(_FILE.read_bytes())
    except (OSError, ValidationError) as error:
        raise UserError(f"{_FILE} cannot be read: {error}") from error
    steps = sorted({step for curve in published.returns.values() for step in curve})
    lines = [
        f"| Return after | {' | '.join(f'{step:,}' for step in steps)} |",
        f"| --- |{' ---: |' * len(steps)}",
    ]
    for body, curve in sorted(published.returns.items()):
        if not (FOLDER / body).is_dir():
            continue
        ours = read_curve(FOLDER / body)
        here = [f"{_around(ours, step):,.0f}" for step in steps]
        theirs = ["{:,.0f} ± {:,.0f}".format(*curve[step]) for step in steps]
        lines.append(f"| {body}, here | {' | '.join(here)} |")
        lines.append(f"| {body}, published | {' | '.join(theirs)} |")
    note = (
        "Here: one seed, the stochastic policy, the mean of the last three evaluations up to there "
        f"(10 episodes each). Published: the {published.policy} policy, mean ± standard deviation "
        f"over {published.seeds} seeds, from {published.source}."
    )
    return "\n".join([*lines, "", note])


def _around(evaluations: Sequence[SacEvaluation], step: int) -> float:
    """The mean return of the last three evaluations that were due by a step."""
    due = [
        each for each in evaluations if each.step // EVALUATION_EVERY <= step // EVALUATION_EVERY
    ]
    return statistics.mean(each.mean_return for each in due[-3:])
