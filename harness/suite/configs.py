"""Every algorithm's config on every task: its own defaults, then the suite's layers in order."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from pydantic import ValidationError

from algorithms import registry
from algorithms.base import Config, raw_data_problems
from algorithms.errors import AlgorithmError
from harness.errors import UserError
from harness.suite.entry import Overrides
from harness.suite.problems import explain, unknown
from harness.suite.rows import Row
from harness.suite.schema import Suite
from harness.suite.yaml_file import Document, KeyPath, Problem
from harness.tasks.spec import TaskSpec

Configs = dict[tuple[str, str], Overrides]  # (task id, label) -> every field of the config
Models = Mapping[str, type[Config]]  # by label


@dataclass(frozen=True)
class _Setting:
    """A config field's value, and where in the file it is given."""

    path: KeyPath
    value: Any


def resolve_configs(
    suite: Suite, document: Document, tasks: Sequence[TaskSpec], final: Mapping[str, Any]
) -> Configs:
    """The full config of every cell of the suite, and of every setting that its tuning tries.

    Args:
        suite: what the file says.
        document: the file, for its line numbers.
        tasks: the suite's tasks.
        final: overrides on top of all others, where an algorithm has such a field.

    Raises:
        UserError: lists every key that no algorithm has, every value of a wrong type, and every
            closed-form critic asked for where there is none.
    """
    rows = suite.settings
    by_id = {algorithm: config_model(algorithm) for algorithm in {row.algorithm for row in rows}}
    models = {row.label: by_id[row.algorithm] for row in rows}
    problems = {p.key_path: p for p in _misplaced(suite, [task.id for task in tasks], models)}
    configs: Configs = {}
    for row in rows:
        model = models[row.label]
        for task in tasks:
            if not row.runs_on(task.id):
                continue
            settings = _settings(suite, row, task.id, model)
            settings |= {k: _Setting((), v) for k, v in final.items() if k in model.model_fields}
            merged = {key: setting.value for key, setting in settings.items()}
            try:
                config = model.model_validate_json(json.dumps(merged), strict=True)
            except ValidationError as error:
                found = [
                    _place(problem, row, settings) for problem in explain(error, merged, model)
                ]
            else:
                configs[task.id, row.label] = config.model_dump(mode="json")
                found = [
                    _place(problem, row, settings)
                    for problem in _closed_form_problems(config, task)
                ]
            for problem in found:
                problems.setdefault(problem.key_path, problem)
    if problems:
        raise document.error(list(problems.values()))
    return configs


def _settings(suite: Suite, row: Row, task_id: str, model: type[Config]) -> dict[str, _Setting]:
    """What the suite says of a cell's config: later layers over earlier ones."""
    fields, entry, here = model.model_fields, row.entry, ("algorithms", row.base)
    settings = {
        key: _Setting(("defaults", key), value)
        for key, value in suite.defaults.items()
        if key in fields
    }
    settings |= {k: _Setting((*here, "config", k), v) for k, v in entry.config.items()}
    for key, value in row.variant.items():
        path: KeyPath = (*here, "sweep", key)
        settings[key] = _Setting(
            (*path, entry.sweep[key].index(value)) if key in fields else path, value
        )
    for pattern, overrides in entry.per_task.items():
        if fnmatchcase(task_id, pattern):
            path = (*here, "per_task", pattern)
            settings |= {k: _Setting((*path, k), v) for k, v in overrides.items()}
    if suite.tuning is not None and row.setting:
        path = ("tuning", "settings", row.base, suite.tuning.settings[row.base].index(row.setting))
        settings |= {k: _Setting((*path, k), v) for k, v in row.setting.items()}
    return settings


def _place(problem: Problem, row: Row, settings: Mapping[str, _Setting]) -> Problem:
    """A problem of a merged config, moved to where the file gives the value."""
    if not problem.key_path:
        return Problem(("algorithms", row.base), problem.message)
    field, *rest = problem.key_path
    setting = settings.get(str(field))
    path = setting.path if setting and setting.path else ("algorithms", row.base, field)
    return Problem((*path, *rest), problem.message)


def _closed_form_problems(config: Config, task: TaskSpec) -> Iterator[Problem]:
    """Why a cell cannot have the closed-form critic that it asks for."""
    if not config.known_q:
        return
    path: KeyPath = ("known_q",)
    if not task.known_q:
        message = f"{task.id} has no closed-form Q. Leave it out there"
        yield Problem(path, f"{message} (see `tasks` and `per_task`)")
    for advice in raw_data_problems(config):
        yield Problem(path, f"the closed-form Q sees raw data: {advice}")


def _misplaced(suite: Suite, task_ids: Sequence[str], models: Models) -> Iterator[Problem]:
    """Defaults that no algorithm takes, patterns that no task matches, fields set twice."""
    fields = sorted({field for model in models.values() for field in model.model_fields})
    for key in suite.defaults:
        if key not in fields:
            yield Problem(
                ("defaults", key), f"no algorithm here has it: {unknown('key', key, fields)}"
            )
    for label, entry in suite.algorithms.items():
        here = ("algorithms", label)
        patterns: list[tuple[KeyPath, str]] = [(("per_task", key), key) for key in entry.per_task]
        patterns += [(("tasks", i), pattern) for i, pattern in enumerate(entry.tasks)]
        for place, pattern in patterns:
            if not any(fnmatchcase(task_id, pattern) for task_id in task_ids):
                message = f"no task of this suite matches; its tasks are {', '.join(task_ids)}"
                yield Problem((*here, *place), message)
        layers: list[tuple[KeyPath, Overrides]] = [(("config",), entry.config)]
        layers += [(("per_task", pattern), layer) for pattern, layer in entry.per_task.items()]
        for place, layer in layers:
            for key in layer.keys() & entry.sweep.keys():
                yield Problem((*here, *place, key), "`sweep` gives this field too; keep one")


def config_model(algorithm_id: str) -> type[Config]:
    """An algorithm's config class. Raises UserError if it cannot be loaded."""
    try:
        return registry.load(algorithm_id).Config
    except AlgorithmError as error:
        said = str(error).rstrip(".")
        stop = "" if said.endswith("?") else "."
        raise UserError(f"{said}{stop} Mend it, or remove it from the suite.") from error
