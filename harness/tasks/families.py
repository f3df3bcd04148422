"""Every family of tasks: ours, then those that installed packages offer.

A package offers its own through the entry point group `harness.tasks`; the value is
`package.module:FAMILY`. Only entry points are imported, and only when none of ours has the task.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points

from harness.errors import UserError, line_in, sentence_of
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


def installed() -> tuple[Family, ...]:
    """The families of installed packages; of one that cannot be used, a warning says why."""
    return _import_installed()[0]


def left_out() -> frozenset[str]:
    """The names of installed families that cannot be used, of which a warning has told."""
    return _import_installed()[1]


@functools.cache
def _import_installed() -> tuple[tuple[Family, ...], frozenset[str]]:
    found, unusable = [], set()
    for point in entry_points(group="harness.tasks"):
        try:
            found.append(_usable(point))
        except (Exception, SystemExit) as error:  # whatever other people's code does
            unusable.add(point.name)
            package = point.dist.name if point.dist else point.module
            print(
                f"warning: the tasks '{point.name}' of the package {package} are left out: "
                f"{_reason(error, point.module)}",
                file=sys.stderr,
            )
    return tuple(found), frozenset(unusable)


def _reason(error: BaseException, module: str) -> str:
    """What an error says, on one line, with the line of the module's package that it is from."""
    words = " ".join(str(error).split()) if isinstance(error, UserError) else sentence_of(error)
    where = line_in(module, error)
    return f"{words} ({where})" if where else words


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
