"""Every family of tasks: ours, then those that installed packages offer.

A package offers its own through the entry point group `harness.tasks`; the value is
`package.module:FAMILY`. Only entry points are imported, and only when none of ours has the task.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points

from harness.errors import UserError
from harness.tasks import (
    adroit,
    d4rl,
    gym_mujoco,
    made,
    maze2d,
    minari_public,
    multimodal,
    pointmaze,
    rollouts,
)
from harness.tasks.family import Family

OURS: tuple[Family, ...] = (
    pointmaze.FAMILY,
    adroit.FAMILY,
    gym_mujoco.FAMILY,
    d4rl.FAMILY,
    maze2d.FAMILY,
    minari_public.FAMILY,
    made.FAMILY,
    rollouts.FAMILY,
    multimodal.FAMILY,
)


def families() -> Iterator[Family]:
    """Ours first; installed ones are imported only if the iteration gets to them."""
    yield from OURS
    yield from installed()


@functools.cache
def installed() -> tuple[Family, ...]:
    """The families of installed packages; of one that cannot be used, a warning says why."""
    found = []
    for point in entry_points(group="harness.tasks"):
        try:
            found.append(_usable(point))
        except (Exception, SystemExit) as error:  # whatever other people's code does
            reason = next(iter(str(error).splitlines()), "") or type(error).__name__
            package = point.dist.name if point.dist else point.module
            print(
                f"warning: the tasks '{point.name}' of the package {package} are left out: "
                f"{type(error).__name__}: {reason}",
                file=sys.stderr,
            )
    return tuple(found)


def _usable(point: EntryPoint) -> Family:
    """The family, whose listed tasks can be made and are nobody else's."""
    family = point.load()
    if not isinstance(family, Family):
        raise UserError(f"{point.value} is not a Family but {type(family).__name__}")
    for task_id in family.task_ids():
        task = family.build(task_id, {})
        if task is None or task.id != task_id:
            raise UserError(f"it lists '{task_id}' and does not build it")
        if family.task_of_dataset(task.dataset.id) is None:
            raise UserError(
                f"'{task.dataset.id}' does not lead back to '{task_id}'; ids of tasks must not "
                "end like a size, a seed or a version"
            )
        for ours in OURS:
            if task_id in ours.task_ids() or ours.task_of_dataset(task.dataset.id):
                raise UserError(f"the id '{task_id}' or its dataset's is one of the harness's own")
    return family
