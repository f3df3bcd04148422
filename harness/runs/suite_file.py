"""`suite.json`: what a suite's results folder says was planned, beside the runs.

Fields that came later have defaults for older results.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, Field, JsonValue, ValidationError, model_validator

from algorithms.action_selection import parse_action_selection
from harness.errors import UserError
from harness.files import parse_object, write_json
from harness.published import ProtocolName, PublishedScore
from harness.suite.figures import Figure, parse_figures
from harness.suite.tuning import Per
from harness.tasks.spec import TaskSpec

FILE_NAME = "suite.json"
_WRITES_IT = "Give the suite's `harness run` again: it writes it, and trains nothing that is done."
Count = Annotated[int, Field(ge=0, le=10**12)]


def _inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or PurePosixPath(path).is_absolute() or ".." in parts:
        raise ValueError(f"'{path}' is no path inside the results folder")
    return path


class RowInfo(BaseModel, frozen=True):
    """One column of the comparison; `label` names it, `id` is the registered method.

    Attributes:
        base: the suite's entry it comes from; `variant` holds the fields and values by which the
            rows of an entry, or the settings that tuning tries for it, differ.
        action_selection: how it acts where nothing else is said; empty if not recorded.
        acts_by_entry: whether its entry says so, and not its method.
        trusts_critic: whether a bad critic spoils it.
        tasks: ids of the tasks it runs on; None for all.
        steps: gradient steps on the data; None: the suite's.
    """

    label: str
    base: str
    variant: dict[str, JsonValue] = {}
    id: str
    title: str
    paper: str
    family: str
    action_selection: str = ""
    acts_by_entry: bool = False
    trusts_critic: bool = True
    tasks: list[str] | None = None
    config: dict[str, Any]
    steps: Count | None = None

    @model_validator(mode="before")
    @classmethod
    def _is_its_own_base(cls, fields: Any) -> Any:
        if isinstance(fields, dict) and "label" in fields:
            return {"base": fields["label"], **fields}
        return fields

    def runs_on(self, task_id: str) -> bool:
        return self.tasks is None or task_id in self.tasks

    @property
    def learns_critic(self) -> bool:
        """Whether it acts on a critic that it learned, and not on a closed form."""
        return self.trusts_critic and not self.config.get("known_q", False)


class PlannedEvaluation(BaseModel, frozen=True):
    """Evaluate every `every` gradient steps over `episodes` episodes; score by `protocol`.

    Attributes:
        first: gradient steps before which nothing is evaluated.
    """

    every: Count
    first: Count = 0
    episodes: Count
    protocol: str
    action_selections: list[str] = []


class PlannedRun(BaseModel, frozen=True):
    """One (task, label, seed); `path` is relative to the suite's folder.

    Attributes:
        kept: whether it was made by earlier code of its method, and counts all the same.
    """

    task: str
    label: str
    seed: Count
    path: Annotated[str, AfterValidator(_inside)]
    hash: str
    kept: bool = False


class PlannedData(BaseModel, frozen=True):
    """The rows that a task's runs learn from.

    Attributes:
        sha256: of the packed rows.
        mean_return: of their episodes.
    """

    sha256: str
    mean_return: Annotated[float, Field(allow_inf_nan=False)]


class PlannedTuning(BaseModel, frozen=True):
    """What chooses the setting of every row, on seeds that its final runs do not have.

    Attributes:
        per: what a setting is chosen for.
        tasks: ids of those that choose for all of their family; None: every task is tried on.
        rows: the settings, as rows whose `base` is the row that they are of; its own comes first.
        runs: one for each setting, task and seed.
    """

    per: Per
    tasks: list[str] | None = None
    seeds: Annotated[list[Count], Field(min_length=1)]
    rows: Annotated[list[RowInfo], Field(min_length=1)]
    runs: list[PlannedRun]


class PlannedPublished(BaseModel, frozen=True):
    """Which published scores the suite's tables show, and those of the suite's own file."""

    methods: list[str] = []
    protocols: list[ProtocolName] = ["last", "unknown"]
    scores: list[PublishedScore] = []


def _check_runs(
    tasks: list[str], labels: list[str], seeds: list[int], runs: list[PlannedRun]
) -> None:
    """Raises ValueError if anything is listed twice, or a run is of what is not listed."""
    keys = [(run.task, run.label, run.seed) for run in runs]
    for what, names in (("task", tasks), ("row", labels), ("seed", seeds), ("run", keys)):
        if len({*names}) < len(names):
            raise ValueError(f"it has a {what} twice")
    for run in runs:
        if run.task not in tasks or run.label not in labels or run.seed not in seeds:
            raise ValueError(f"{run.path} is of a task, row or seed that it does not list")


class SuiteFile(BaseModel, frozen=True):
    """What `suite.json` says was planned."""

    name: str
    file: str = ""  # of the suite, without its folder
    title: str
    question: str
    command: str
    tasks: Annotated[list[TaskSpec], Field(min_length=1)]
    data: dict[str, PlannedData] = {}  # by task id, of those whose data were there
    rows: Annotated[list[RowInfo], Field(min_length=1)]
    compare_to: str = ""  # label of the reference
    seeds: Annotated[list[Count], Field(min_length=1)]
    steps: Count
    online_steps: Count = 0
    evaluation: PlannedEvaluation
    figures: list[dict[str, JsonValue]] = []
    published: PlannedPublished = PlannedPublished()
    tuning: PlannedTuning | None = None
    runs: list[PlannedRun]
    smoke: bool

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        """Raises ValueError for what no suite plans: names given twice or known nowhere."""
        tasks, labels = [task.id for task in self.tasks], [row.label for row in self.rows]
        _check_runs(tasks, labels, self.seeds, self.runs)
        if self.tuning is not None:
            settings = [row.label for row in self.tuning.rows]
            tried_on = tasks if self.tuning.tasks is None else self.tuning.tasks
            _check_runs(tried_on, settings, self.tuning.seeds, self.tuning.runs)
            if not {*tried_on} <= {*tasks}:
                raise ValueError("it tunes on other tasks than it has")
            if {row.base for row in self.tuning.rows} != {*labels}:
                raise ValueError("it tunes other rows than it has")
            if {*self.tuning.seeds} & {*self.seeds}:
                raise ValueError("it tunes on seeds of its final runs")
        if self.compare_to and self.compare_to not in labels:
            raise ValueError(f"it compares to '{self.compare_to}', which is none of its rows")
        for name in [*(row.action_selection for row in self.rows if row.action_selection)]:
            parse_action_selection(name)
        return self

    @cached_property
    def kept_cells(self) -> frozenset[tuple[str, str]]:
        """Task and label of the cells with runs that earlier code of their method made."""
        return frozenset((run.task, run.label) for run in self.runs if run.kept)

    def steps_of(self, label: str) -> int:
        """Gradient steps of a row's runs on the data."""
        return next(row.steps or self.steps for row in self.rows if row.label == label)

    @property
    def requested_figures(self) -> list[Figure]:
        """What the suite asks to be drawn beside the report's own figures."""
        return parse_figures(self.figures)[0]

    @classmethod
    def read(cls, directory: Path) -> Self:
        """What a results folder says was planned. Raises UserError if it cannot be used."""
        path = directory / FILE_NAME
        if not directory.is_dir():
            raise UserError(
                f"There is no results folder {directory}. To make one: python -m harness run SUITE"
            )
        if not path.is_file():
            raise UserError(f"{directory} holds no results: it has no {FILE_NAME}. {_WRITES_IT}")
        try:
            return cls.model_validate_json(path.read_bytes())
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            key = f" at '{where}'" if where else ""
            raise UserError(f"{path} is malformed{key}: {first['msg']}. {_WRITES_IT}") from error

    def write(self, directory: Path) -> None:
        """Leave it in the suite's results folder.

        Raises UserError if the folder holds the results of another suite, which has the same name.
        """
        self._check_owner(directory / FILE_NAME)
        write_json(directory / FILE_NAME, self.model_dump(mode="json"))

    def _check_owner(self, path: Path) -> None:
        try:
            found = parse_object(path.read_bytes())
        except (OSError, ValueError):
            return  # nobody's, or damaged: it is written anew
        other_file = found.get("file") or self.file
        if (other_file, found.get("title")) != (self.file, self.title):
            raise UserError(
                f"{path.parent} holds the results of another suite called '{self.name}': "
                f"{other_file}, '{found.get('title')}'. Give this one ({self.file}, "
                f"'{self.title}') another `name`, or other results with --results. If it is the "
                f"same suite under a new title or file name, delete {path} first."
            )
