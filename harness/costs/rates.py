"""How fast trials go on this machine, as it was measured and kept, or as a table says.

Measurements are kept in the user's cache folder, one file for each shape of trial: whatever decides
its speed is in the file's name, so that a rate is never taken for another's.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from harness.bench.rotation import ask, last_core
from harness.bench.trial import TrialTimes
from harness.errors import UserError
from harness.execution.machine import gpu_name, user_cache
from harness.files import short_digest, write_json
from harness.rollouts.evaluation import MOST_AT_ONCE
from harness.runs.provenance import cpu_model, package_version
from harness.runs.spec import RunSpec

Find = Callable[[RunSpec, int], TrialTimes | None]
"""What a trial takes, by any of its runs' specs and the number of its seeds; None: not known."""


def shape_key(spec: RunSpec, seeds: int) -> str:
    """Equal for trials that take equally long a step, on this machine with these packages.

    Numbers with a fraction, such as learning rates, change no shape; at 0 they may switch a part of
    a method off, and on else.
    """
    config = {
        name: value != 0 if isinstance(value, float) else value
        for name, value in spec.config.items()
    }
    return short_digest(
        {
            "method": [spec.algorithm, spec.code, spec.engine_version, config],
            "environment": spec.task.environment.model_dump(mode="json"),
            "evaluation": [
                min(spec.evaluation.episodes, MOST_AT_ONCE),
                spec.evaluation.action_selections,
                *filter(None, [spec.evaluation.action_selection]),
            ],
            "trial": [seeds, spec.precision, spec.compiled, spec.device],
            "torch": package_version("torch"),
            "processor": gpu_name() if spec.device == "cuda" else cpu_model(),
        }
    )


def _file(spec: RunSpec, seeds: int) -> Path:
    return user_cache() / "rates" / f"{shape_key(spec, seeds)}.json"


def measured(spec: RunSpec, seeds: int) -> TrialTimes | None:
    """What a trial was measured to take here; None if it was not, or the file is damaged."""
    try:
        return TrialTimes.model_validate_json(_file(spec, seeds).read_bytes())
    except (OSError, ValidationError):
        return None


def measure(spec: RunSpec, seeds: int) -> TrialTimes:
    """Measure a trial in a process of its own, and keep what was found.

    Raises UserError if it fails, or takes too long.
    """
    name = f"{spec.label} on {spec.task.id}"
    answer = ask((name, ["trial", str(seeds), spec.model_dump_json()]), last_core())
    times = TrialTimes.model_validate(answer["trial"])
    write_json(_file(spec, seeds), times.model_dump())
    return times


class _RatesRow(BaseModel):
    """A line of a table of rates; `algorithm` and `task` may be patterns."""

    model_config = ConfigDict(extra="forbid")

    algorithm: str
    task: str = "*"
    steps_per_second: float = Field(gt=0, allow_inf_nan=False)
    evaluation_seconds: float = Field(0.0, ge=0, allow_inf_nan=False)
    memory_mb: float = Field(0.0, ge=0, allow_inf_nan=False)
    checkpoint_mb: float = Field(0.0, ge=0, allow_inf_nan=False)

    def times(self, spec: RunSpec) -> TrialTimes:
        steps = -(-spec.evaluation.episodes // MOST_AT_ONCE) * spec.task.horizon
        return TrialTimes(
            steps_per_second=[self.steps_per_second],
            evaluation_seconds={"": self.evaluation_seconds / steps},
            interaction_seconds=self.evaluation_seconds / steps / spec.evaluation.episodes,
            start_seconds=0.0,
            memory_mb=self.memory_mb,
            rows=0,
            row_bytes=0,
            state_mb=self.checkpoint_mb,
        )


@dataclass(frozen=True)
class RatesTable:
    """Rates from a CSV file with a header: the first line that matches a trial counts.

    Columns: `algorithm` (id or pattern) and `steps_per_second` (of a trial: gradient steps, which
    all of its seeds take together); and, as wanted, `task` (id or pattern), `evaluation_seconds`
    (of an evaluation of all of a trial's seeds), `memory_mb` (of a trial), `checkpoint_mb` (of a
    run).
    """

    lines: list[_RatesRow]

    @classmethod
    def read(cls, path: Path) -> RatesTable:
        """Raises UserError, which names the line, for what is no such table."""
        try:
            with path.open(newline="", encoding="utf-8") as file:
                found: list[dict[str, JsonValue]] = [*csv.DictReader(file, restkey="more")]
        except (OSError, ValueError, csv.Error) as error:
            raise UserError(f"The rates cannot be read from {path}: {error}.") from error
        lines = []
        for number, row in enumerate(found, 2):
            try:
                lines.append(_RatesRow.model_validate({k: v for k, v in row.items() if v}))
            except ValidationError as error:
                first = error.errors()[0]
                raise UserError(
                    f"{path}, line {number}: {'.'.join(map(str, first['loc']))}: {first['msg']}. "
                    f"The columns are {', '.join(_RatesRow.model_fields)}."
                ) from error
        return cls(lines)

    def find(self, spec: RunSpec, seeds: int) -> TrialTimes | None:
        """What the table says of a trial."""
        for line in self.lines:
            if fnmatchcase(spec.algorithm, line.algorithm) and fnmatchcase(spec.task.id, line.task):
                return line.times(spec)
        return None
