"""An entry under a suite's `algorithms`, and what all sections of a suite file have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from algorithms.action_selection import parse_action_selection

Overrides = dict[str, JsonValue]
_MOST_SEEDS = 1000
_LARGEST_SEED = 2**31 - 1


def check_seeds(seeds: int | list[int]) -> list[int]:
    """The seeds that a count or a list stands for. Raises ValueError for what is neither."""
    count = seeds if isinstance(seeds, int) else len(seeds)
    if 1 <= count <= _MOST_SEEDS:
        chosen = list(range(seeds)) if isinstance(seeds, int) else seeds
        in_range = min(chosen) >= 0 and max(chosen) <= _LARGEST_SEED
        if in_range and len(set(chosen)) == count:
            return chosen
    raise ValueError(
        f"seeds must be a count of at least 1 and at most {_MOST_SEEDS:,}, or as many distinct "
        f"numbers from 0 to {_LARGEST_SEED:,}"
    )


def _selection(name: str) -> str:
    parse_action_selection(name)
    return name


SeedList = Annotated[list[int], AfterValidator(check_seeds)]
Selection = Annotated[str, AfterValidator(_selection)]  # `algorithms/action_selection.py`


class SuiteSection(BaseModel):
    """A part of a suite file: nothing unknown, nothing converted, nothing changed afterwards."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class AlgorithmEntry(SuiteSection):
    """One row of the comparison, or one a combination of the values in `sweep`."""

    algorithm: str | None = None  # id in the registry; the label itself when left out
    config: Overrides = {}  # of its method's fields (`harness list algorithms ID`)
    steps: int | None = Field(None, ge=1, le=10**9)  # if not training.steps; not with online_steps
    # Field -> values: a row for each combination, called LABEL.FIELD-VALUE.
    sweep: dict[str, Annotated[list[JsonValue], Field(min_length=1)]] = Field({}, max_length=10)
    per_task: dict[str, Overrides] = {}  # pattern of task ids -> config; later patterns win
    tasks: list[str] = Field(["*"], min_length=1)  # patterns of the tasks it runs on
    action_selection: Selection | None = None  # for its scores; its method's if left out
