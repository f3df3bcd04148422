"""The full description of one run, and the hash that identifies its numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    JsonValue,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from algorithms.fields import Precision
from harness.files import digest_of
from harness.tasks.spec import TaskSpec

# What is for readers: changing it changes no number.
_UNHASHED: dict[str, Any] = {
    "label": True,
    "task": {
        "title": True,
        "family": True,
        "scale": True,
        "description": True,
        "reference": {"source": True, "entry": True},
    },
}


class EvaluationSpec(BaseModel):
    """When and how often a policy is evaluated."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    every: int  # gradient steps between evaluations; the last step is always evaluated
    first: int = 0  # gradient steps before which there is none
    episodes: int  # per seed and evaluation
    action_selection: str = ""  # how the policy acts; empty: as its method does by itself
    action_selections: tuple[str, ...] = ()  # further ones, after the last step only

    @model_serializer(mode="wrap")
    def _leave_out_what_is_unused(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Runs keep the hash they had before there were other action selections, and `first`."""
        fields: dict[str, Any] = dump(self)
        for name in ("first", "action_selection", "action_selections"):
            if not fields[name]:
                del fields[name]
        return fields


class RunSpec(BaseModel):
    """Everything that can change a run's numbers, and its label.

    Two runs with equal hashes leave the same `evaluations.csv`, byte for byte, on one machine.
    What cannot change them (executor, workers, stacking of seeds, logging) is not in here.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: TaskSpec
    dataset_sha256: str
    algorithm: str
    code: str = ""  # digest of its code (`algorithms/source.py`); not recorded in older runs
    label: str  # what the suite calls it; not hashed
    config: dict[str, JsonValue]  # after defaults and overrides
    steps: int
    online_steps: int = 0  # of interaction after them, each with a gradient step
    evaluation: EvaluationSpec
    seed: int
    precision: Precision = "fp32"  # of matrix products
    compiled: bool  # compiled and eager code round differently
    device: Literal["cpu", "cuda"]
    engine_version: int

    @model_serializer(mode="wrap")
    def _leave_out_what_is_unused(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Runs keep the hash they had before there were digests of code, and online runs."""
        fields: dict[str, Any] = dump(self)
        if not self.code:
            fields.pop("code", None)
        if not self.online_steps:
            fields.pop("online_steps", None)
        return fields

    @property
    def total_steps(self) -> int:
        """Gradient steps, offline and online."""
        return self.steps + self.online_steps

    @property
    def hash(self) -> str:
        """Sha256 of the canonical JSON of everything that can change numbers."""
        return self._digests[0]

    @property
    def cell(self) -> str:
        """The same without the seed: equal for all runs that are averaged together."""
        return self._digests[1]

    @cached_property
    def _digests(self) -> tuple[str, str]:
        """Hash and cell, made once: a suite asks for those of thousands of runs again and again."""
        fields = self.model_dump(mode="json", exclude=_UNHASHED)
        whole = digest_of(fields)
        del fields["seed"]
        return whole, digest_of(fields)

    def __copy__(self) -> Self:
        """A copy is made to be changed: it makes its own digests."""
        copied = super().__copy__()
        copied.__dict__.pop("_digests", None)
        return copied

    @property
    def folder(self) -> PurePosixPath:
        """Where the run lives, relative to its suite's results."""
        task = self.task.id.replace("/", "_")
        return PurePosixPath("runs", task, f"{self.label}-{self.cell[:8]}", f"seed-{self.seed}")

    def to_json(self) -> dict[str, Any]:
        """What `spec.json` holds: every field, the hash and the cell."""
        return {**self.model_dump(mode="json"), "hash": self.hash, "cell": self.cell}

    @classmethod
    def of_json(cls, found: Mapping[str, Any]) -> Self:
        """What `to_json` gave. Raises ValueError for what is not of this version."""
        fields = {key: value for key, value in found.items() if key not in {"hash", "cell"}}
        return cls.model_validate_json(json.dumps(fields))

    def evaluation_steps(self) -> list[int]:
        """The steps after which the policy is evaluated, ascending.

        The last offline step and the last of all are among them.
        """
        plan = self.evaluation
        regular = range(plan.every, self.total_steps, plan.every)
        wanted = {step for step in regular if step >= plan.first}
        return sorted({*wanted, self.steps, self.total_steps})
