"""Every algorithm's config on every task: its own defaults, then the suite's layers in order."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from pydantic import BaseModel, ValidationError

from algorithms import registry
from harness.errors import UserError
from harness.problems import explain, unknown
from harness.suite import Overrides, Suite
from harness.yaml_file import Document, KeyPath, Problem

Layers = list[tuple[KeyPath, Mapping[str, Any]]]
Configs = dict[tuple[str, str], Overrides]  # (task id, label) -> every field of the config


def resolve_configs(
    suite: Suite, document: Document, task_ids: Sequence[str], final: Mapping[str, Any]
) -> Configs:
    """The full config of every cell of the suite.

    Args:
        suite: what the file says.
        document: the file, for its line numbers.
        task_ids: ids of the suite's tasks.
        final: overrides on top of all others, where an algorithm has such a field.

    Raises:
        UserError: lists every key that no algorithm has and every value of a wrong type.
    """
    models = {label: _config_model(suite.algorithm_id(label)) for label in suite.algorithms}
    problems = {p.key_path: p for p in _misplaced(suite, task_ids, models)}
    configs: Configs = {}
    for label, model in models.items():
        for task_id in task_ids:
            layers = _layers(suite, label, task_id, model)
            layers.append(((), _having(final, model)))
            merged = {key: value for _, layer in layers for key, value in layer.items()}
            origin = {key: path for path, layer in layers for key in layer}
            try:
                config = model.model_validate_json(json.dumps(merged), strict=True)
            except ValidationError as error:
                for problem in explain(error, merged, model):
                    path = origin.get(str(problem.key_path[0]), ()) if problem.key_path else ()
                    path = (*(path or ("algorithms", label)), *problem.key_path)
                    problems.setdefault(path, Problem(path, problem.message))
            else:
                configs[task_id, label] = config.model_dump(mode="json")
    if problems:
        raise document.error(list(problems.values()))
    return configs


def _layers(suite: Suite, label: str, task_id: str, model: type[BaseModel]) -> Layers:
    entry = suite.algorithms[label]
    return [
        (("defaults",), _having(suite.defaults, model)),
        (("algorithms", label, "config"), entry.config),
        *(
            (("algorithms", label, "per_task", pattern), overrides)
            for pattern, overrides in entry.per_task.items()
            if fnmatchcase(task_id, pattern)
        ),
    ]


def _having(overrides: Mapping[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    return {key: value for key, value in overrides.items() if key in model.model_fields}


def _misplaced(
    suite: Suite, task_ids: Sequence[str], models: Mapping[str, type[BaseModel]]
) -> Iterator[Problem]:
    """Defaults that no algorithm takes, and patterns that no task matches."""
    fields = sorted({field for model in models.values() for field in model.model_fields})
    for key in suite.defaults:
        if key not in fields:
            yield Problem(
                ("defaults", key), f"no algorithm here has it: {unknown('key', key, fields)}"
            )
    for label, entry in suite.algorithms.items():
        for pattern in entry.per_task:
            if not any(fnmatchcase(task_id, pattern) for task_id in task_ids):
                message = f"no task of this suite matches; its tasks are {', '.join(task_ids)}"
                yield Problem(("algorithms", label, "per_task", pattern), message)


def _config_model(algorithm_id: str) -> type[BaseModel]:
    try:
        return registry.load(algorithm_id).Config
    except ImportError as error:
        package = f" (pip install {error.name})" if error.name else ""
        raise UserError(
            f"The algorithm '{algorithm_id}' cannot be imported: {error}{package}. Install what "
            "is missing, or remove the algorithm from the suite."
        ) from error
