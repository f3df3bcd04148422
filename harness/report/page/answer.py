"""What the scores say, in a sentence for each group of tasks that is averaged.

It claims what tests paired by seed show and no more, or with fewer than five seeds the 95%
intervals: no order with a single seed, and none of methods that trust a critic that is not usable.
Tasks without a usable critic are left out where others have one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from harness.report.comparison import ALPHA, Comparison, Group
from harness.report.curves import Curves
from harness.report.gate import MARK, UNUSABLE
from harness.report.layout import points
from harness.report.origins import uncommitted
from harness.report.page.words import listed, plural
from harness.report.sections.scores.evaluations import moving_rows
from harness.tasks.words import DENOISING

ENOUGH_SEEDS = 5  # below it, intervals are said to be rough


def answers(comparison: Comparison, curves: Curves) -> list[str]:
    """A sentence for every family of tasks; families are not ranked together."""
    if not comparison.suite.runs:
        return [
            "Nothing of this suite has been run, so nothing is claimed; others' scores are below."
        ]
    said = [_answer(comparison, group) for group in comparison.ranking]
    said += [*_not_flat(comparison, curves)]
    if comparison.unranked:
        said.append(f"Not ranked: {listed(comparison.unranked)}, whose data are {DENOISING}.")
    if warning := uncommitted(comparison.suite.runs, comparison.checkouts):
        said.append(warning)
    return said


def _not_flat(comparison: Comparison, curves: Curves) -> Iterator[str]:
    """A sentence on each family with rows that more steps might move."""
    for family in comparison.ranking:
        if moving := moving_rows(family, comparison, curves):
            yield (
                f"On {_place(comparison, family)}, {listed([*moving])} still "
                f"{'moves' if len(moving) == 1 else 'move'} when training ends: more steps may "
                "change the order."
            )


def averages_in_words(comparison: Comparison) -> str:
    """Every method's average with its interval, by family, best first: a chart for the ear."""
    parts = []
    for group in comparison.charted:
        found = _by_average(comparison, group)
        numbers = [f"{label} {_with_interval(comparison, label, group)}" for label in found]
        parts.append(f"{_place(comparison, group)}: {'; '.join(numbers) or 'nothing finished'}")
    return ". ".join(parts) + "."


def _answer(comparison: Comparison, family: Group) -> str:
    group = _with_usable_critics(comparison, family)
    place, tasks = _place(comparison, group, family), _tasks(comparison, family)
    planned = [label for label in comparison.labels if comparison.applies(label, group.tasks)]
    found = _by_average(comparison, group)
    ranked = [label for label in found if not comparison.gate.mark(label, group.tasks)]
    if not planned:
        return f"No method runs on {tasks}, so none is named."
    if not found:
        return f"No method has finished on {tasks}, so nothing is claimed yet."
    without = len(family.tasks) - len(group.tasks)
    rest = _left_out(len(planned) - len(found), len(found) - len(ranked), without)
    if not ranked:
        return f"No method is named on {tasks}: {rest}."
    rest = f"; {rest}" if rest else ""
    name = comparison.protocol.name
    on = f"By online selection ('{name}'), on" if comparison.protocol.selects_online else "On"
    first, *others = ranked
    score = _with_interval(comparison, first, group)
    if not others:
        return (
            f"{on} {place}, {first} scores {score}, and there is nothing to compare it with{rest}."
        )
    seeds = [len(comparison.cells[task, label].scores) for task in group.tasks for label in ranked]
    if min(seeds) < 2:
        return (
            f"{on} {place}, {first} has the highest score, {score}, but some methods have one seed "
            f"only, so nothing tells them apart{rest}."
        )
    claims = _by_pairs(comparison, ranked, group) or _by_intervals(comparison, ranked, group)
    if min(seeds) < ENOUGH_SEEDS:
        claims.append(f"intervals of {plural(min(seeds), 'seed')} are rough")
    said = "; ".join(claims)
    return f"{on} {place}, {first} has the highest mean, {score}; {said}{rest}."


def _by_pairs(comparison: Comparison, ranked: list[str], group: Group) -> list[str]:
    """What is told apart from the best by seeds in common; nothing if these are too few."""
    first, *others = ranked
    found = comparison.against(first, others, group.tasks)
    if not found:
        return []
    parts = {
        "not told apart from it, paired by seed": [x for x in found if found[x] >= ALPHA],
        "below it": [x for x in found if found[x] < ALPHA],
        "with too few seeds in common to tell": [x for x in others if x not in found],
    }
    return [f"{what}: {listed(labels)}" for what, labels in parts.items() if labels]


def _by_intervals(comparison: Comparison, ranked: list[str], group: Group) -> list[str]:
    """What the intervals of averages tell apart from the best."""
    first, *others = ranked
    low = comparison.average_interval(first, group.tasks).low
    near = [x for x in others if comparison.average_interval(x, group.tasks).high >= low]
    parts = {
        "not told apart from it, as intervals overlap": near,
        "with intervals below its own": [x for x in others if x not in near],
    }
    return [f"{what}: {listed(labels)}" for what, labels in parts.items() if labels]


def _with_usable_critics(comparison: Comparison, family: Group) -> Group:
    """The family's tasks but those whose critic is not usable, where others' is."""
    found = {task: comparison.gate.verdicts[task].usable for task in family.tasks}
    if True not in found.values():
        return family
    return replace(family, tasks=tuple(task for task in family.tasks if found[task] is not False))


def _left_out(unfinished: int, distrusted: int, without_critic: int) -> str:
    """Which methods and tasks the sentence is not about, and why."""
    reasons = []
    if unfinished:
        reasons.append(f"{plural(unfinished, 'method')} not finished")
    if distrusted:
        reasons.append(f"{plural(distrusted, 'method')} not ranked ({MARK}: {UNUSABLE})")
    if without_critic:
        reasons.append(f"{plural(without_critic, 'task')} left out ({MARK}: {UNUSABLE})")
    return ", ".join(reasons)


def _by_average(comparison: Comparison, group: Group) -> list[str]:
    """Labels with a score on every task of the group, best average first."""
    averages = {label: comparison.average(label, group.tasks) for label in comparison.labels}
    known = {label: mean for label, mean in averages.items() if mean is not None}
    return sorted(known, key=lambda label: known[label], reverse=True)


def _with_interval(comparison: Comparison, label: str, group: Group) -> str:
    mean = points(comparison.average(label, group.tasks))
    low, high = comparison.average_interval(label, group.tasks)
    if math.isnan(low):
        return f"{mean} (no interval)"
    return f"{mean} (95% interval {points(low)} to {points(high)})"


def _place(comparison: Comparison, group: Group, family: Group | None = None) -> str:
    """Where a number is from, whose tasks may be some of a family's."""
    if len(group.tasks) == 1:
        return _tasks(comparison, group)
    of = f" of {len(family.tasks)}" if family is not None and family != group else ""
    return f"{len(group.tasks)}{of} {group.name} tasks on average"


def _tasks(comparison: Comparison, group: Group) -> str:
    """What a method runs on."""
    if len(group.tasks) == 1:
        return comparison.title(group.tasks[0])
    return f"all {len(group.tasks)} {group.name} tasks"
