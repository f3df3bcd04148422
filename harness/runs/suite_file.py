"""`suite.json`: what a suite's results folder says was planned, beside the runs.

Fields that came later have defaults for older results.
"""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, JsonValue, model_validator

from harness.errors import UserError
from harness.files import write_json
from harness.suite.figures import Figure, parse_figures
from harness.tasks.spec import TaskSpec

FILE_NAME = "suite.json"


def _inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or PurePosixPath(path).is_absolute() or ".." in parts:
        raise ValueError(f"'{path}' is no path inside the results folder")
    return path


class RowInfo(BaseModel, frozen=True):
    """One column of the comparison; `label` names it, `id` is the registered method.

    Attributes:
        base: the suite's entry it comes from; `variant` holds the swept fields and their values.
        action_selection: how it acts where nothing else is said; empty if not recorded.
        trusts_critic: whether a bad critic spoils it.
        tasks: ids of the tasks it runs on; None for all.
    """

    label: str
    base: str
    variant: dict[str, JsonValue] = {}
    id: str
    title: str
    paper: str
    family: str
    action_selection: str = ""
    trusts_critic: bool = True
    tasks: list[str] | None = None
    config: dict[str, Any]

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
    """Evaluate every `every` gradient steps over `episodes` episodes; score by `protocol`."""

    every: int
    episodes: int
    protocol: str
    action_selections: list[str] = []


class PlannedRun(BaseModel, frozen=True):
    """One (task, label, seed); `path` is relative to the suite's folder.

    Attributes:
        kept: whether it was made by earlier code of its method, and counts all the same.
    """

    task: str
    label: str
    seed: int
    path: Annotated[str, AfterValidator(_inside)]
    hash: str
    kept: bool = False


class SuiteFile(BaseModel, frozen=True):
    """What `suite.json` says was planned."""

    name: str
    file: str = ""  # of the suite, without its folder
    title: str
    question: str
    command: str
    tasks: list[TaskSpec]
    rows: list[RowInfo]
    seeds: list[int]
    steps: int
    online_steps: int = 0
    evaluation: PlannedEvaluation
    figures: list[dict[str, JsonValue]] = []
    runs: list[PlannedRun]
    smoke: bool

    @property
    def requested_figures(self) -> list[Figure]:
        """What the suite asks to be drawn beside the report's own figures."""
        return parse_figures(self.figures)[0]

    def write(self, directory: Path) -> None:
        """Leave it in the suite's results folder.

        Raises UserError if the folder holds the results of another suite, which has the same name.
        """
        self._check_owner(directory / FILE_NAME)
        write_json(directory / FILE_NAME, self.model_dump(mode="json"))

    def _check_owner(self, path: Path) -> None:
        try:
            found = json.loads(path.read_bytes())
        except (OSError, ValueError):
            return  # nobody's, or damaged: it is written anew
        if not isinstance(found, dict):
            return
        other_file = found.get("file") or self.file
        if (other_file, found.get("title")) != (self.file, self.title):
            raise UserError(
                f"{path.parent} holds the results of another suite called '{self.name}': "
                f"{other_file}, '{found.get('title')}'. Give this one ({self.file}, "
                f"'{self.title}') another `name`, or other results with --results. If it is the "
                f"same suite under a new title or file name, delete {path} first."
            )
