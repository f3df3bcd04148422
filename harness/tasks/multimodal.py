"""One-step tasks with a chosen number of action modes, whose density and Q are known exactly.

A context turns `K` Gaussian modes of behaviour in `d` action dimensions; the modes' rewards differ
(`harness/tasks/multimodal_geometry.py` has the formulas). An id spells out whatever is not default,
`multimodal/modes-8-dim-2-separation-4-gap-0.25-noise-1`, so that tasks that differ have different
ids; the same numbers may be given as options.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.errors import UserError
from harness.tasks.family import Family
from harness.tasks.ids import RewardRule, Scale, Semantics, Source
from harness.tasks.options import parse_dataset_id, sized_id, whole_numbers
from harness.tasks.spec import DatasetRef, EnvironmentSpec, ReferenceScores, TaskSpec

if TYPE_CHECKING:
    from algorithms.networks import Network

FAMILY_NAME = "multimodal"
DEFAULT_TRANSITIONS = 100_000
LISTED_MODES, LISTED_DIMS = (1, 2, 4, 8, 16), (2, 8)
LARGEST = 64  # modes, and dimensions

# Options that are decimal numbers: word in ids, default, smallest and largest value.
_NUMBERS: dict[str, tuple[str, float, float, float]] = {
    "separation": ("separation", 6.0, 1.0, 100.0),
    "reward_gap": ("gap", 0.5, 0.0, 1.0),
    "q_noise": ("noise", 0.0, 0.0, 100.0),
    "q_bias": ("bias", 0.0, 0.0, 100.0),
}
_OF_KNOWN_Q = ("q_noise", "q_bias")
_OF_DATA = ("transitions", "data_seed")
_NAME = r"multimodal/modes-(?P<modes>[1-9]\d*)-dim-(?P<dim>[1-9]\d*)"
_ID = re.compile(
    _NAME + "".join(rf"(-{word}-(?P<{name}>\d+(\.\d+)?))?" for name, (word, *_) in _NUMBERS.items())
)
# Minari's ids have no dots: 0.25 is 0_25 there.
_DATASET = re.compile(rf"(?P<task>{_NAME}(-separation-\d+(_\d+)?)?(-gap-\d+(_\d+)?)?)(?P<rest>-.*)")

CONTEXTS = "uniform from 0 to pi / 2K"


class MultimodalTasks(Family):
    """One-step tasks with known action modes."""

    def task_ids(self) -> list[str]:
        """The listed tasks; any other number of modes and dimensions is a task too."""
        return [
            f"multimodal/modes-{modes}-dim-{dim}" for dim in LISTED_DIMS for modes in LISTED_MODES
        ]

    def build(self, task_id: str, options: Mapping[str, Any]) -> TaskSpec | None:
        """The spec of a multimodal task, whose id may gain the options given.

        Options: `separation`, `reward_gap`, `q_noise`, `q_bias`, `transitions`, `data_seed`. None
        for an id of another family. Raises UserError for numbers or options that cannot be.
        """
        match = _ID.fullmatch(task_id)
        if match is None:
            return None
        modes, dim = int(match["modes"]), int(match["dim"])
        _check_size(task_id, modes, dim)
        known = (*_NUMBERS, *_OF_DATA)
        for name in options:
            if name not in known:
                raise UserError(f"{task_id} has no option '{name}'; it takes {', '.join(known)}.")
        numbers = {}
        for name, (_, default, lowest, highest) in _NUMBERS.items():
            value = options.get(name, default if match[name] is None else float(match[name]))
            numbers[name] = _number(task_id, name, value, lowest, highest)
        whole = whole_numbers(
            task_id,
            {name: options[name] for name in _OF_DATA if name in options},
            {"transitions": 1, "data_seed": 0},
        )
        size, seed = whole.get("transitions", DEFAULT_TRANSITIONS), whole.get("data_seed", 0)
        return _spec(modes, dim, numbers, size, seed)

    def task_of_dataset(self, dataset_id: str) -> TaskSpec | None:
        """The task that learns from a dataset with this id, or None if it is not ours."""
        match = _DATASET.fullmatch(dataset_id)
        parsed = parse_dataset_id(f"multimodal{match['rest']}") if match else None
        if match is None or parsed is None:
            return None
        task = self.build(match["task"].replace("_", "."), parsed[1])
        return task if task is not None and task.dataset.id == dataset_id else None

    def known_q(self, task: TaskSpec) -> Network | None:
        """The Q that algorithms are given, exact or as wrong as the task's `values` say."""
        from harness.tasks import multimodal_value

        return multimodal_value.known_q(task) if task.family == FAMILY_NAME else None


def _spec(modes: int, dim: int, numbers: dict[str, float], transitions: int, seed: int) -> TaskSpec:
    shape = {"separation": numbers["separation"], "reward_gap": numbers["reward_gap"]}
    wrong = {name: numbers[name] for name in _OF_KNOWN_Q}
    name = f"multimodal/modes-{modes}-dim-{dim}"
    plural = "" if modes == 1 else "s"
    return TaskSpec(
        id=f"{name}{_words(numbers)}",
        title=f"{modes} mode{plural} in {dim}-D{_words(numbers).replace('-', ' ')}",
        family=FAMILY_NAME,
        dataset=DatasetRef(
            id=sized_id(
                f"{name}{_words(shape).replace('.', '_')}",
                None if transitions == DEFAULT_TRANSITIONS else transitions,
                seed,
            ),
            source="recipe",
            recipe="multimodal",
            params={
                "modes": modes,
                "dim": dim,
                **shape,
                "contexts": CONTEXTS,
                "transitions": transitions,
                "seed": seed,
            },
            rewards=RewardRule.MODE_VALUE,
        ),
        environment=EnvironmentSpec(
            id="harness.tasks.multimodal_environment:ActionModes-v0",
            kwargs={"modes": modes, "dim": dim, **shape},
            wrappers=(),
            semantics=(Semantics.MULTIMODAL, *([Semantics.WRONG_Q] if any(wrong.values()) else [])),
        ),
        horizon=1,
        reference=ReferenceScores(min=0.0, max=1.0, source=Source.CLOSED_FORM),
        scale=Scale.OWN,
        values=wrong,
        known_q=True,
    )


def _words(numbers: Mapping[str, float]) -> str:
    """The part of an id that says which numbers are not the default."""
    return "".join(
        f"-{_NUMBERS[name][0]}-{value:g}"
        for name, value in numbers.items()
        if value != _NUMBERS[name][1]
    )


def _check_size(task_id: str, modes: int, dim: int) -> None:
    if not 2 <= dim <= LARGEST or modes > LARGEST:
        raise UserError(
            f"{task_id}: there must be 2 to {LARGEST} dimensions and 1 to {LARGEST} modes."
        )
    if dim > 2 and modes > 2**dim:
        raise UserError(
            f"{task_id}: centres are corners of a cube, so {dim} dimensions have room for "
            f"{2**dim} modes. Take fewer modes or more dimensions."
        )


def _number(task_id: str, name: str, value: object, lowest: float, highest: float) -> float:
    """The option as a float; with two decimals at most, so that ids are exact."""
    number = float(value) if isinstance(value, int | float) else math.nan
    if isinstance(value, bool) or not lowest <= number <= highest or round(number, 2) != number:
        raise UserError(
            f"{task_id}: option '{name}' must be a number from {lowest:g} to {highest:g} with at "
            f"most two decimals, found {value!r}."
        )
    return number


FAMILY = MultimodalTasks()
