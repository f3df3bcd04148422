"""How a method is written: its head, its settings, and the first try that every run begins with."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

from pydantic import ValidationError

from algorithms.base import Config
from algorithms.contract.findings import Finding
from algorithms.contract.subject import ACTION_DIM, OBS_DIM, Subject
from algorithms.declared import names_in_use
from algorithms.engine.preflight import check
from algorithms.errors import shown

_HEAD = {
    "Paper:": "which paper it is from",
    "Code:": "which code it follows, at which commit, or none",
    "Deviations": "what differs from either, with why",
}


def provenance(subject: Subject) -> list[Finding]:
    """The module's docstring says where the method is from."""
    method = subject.method
    text = sys.modules[method.__module__].__doc__ or ""
    where = shown(Path(inspect.getfile(method)), 1, method)
    return [
        Finding(f"the file's docstring has no '{word}': say {what}", where, advice=True)
        for word, what in _HEAD.items()
        if word not in text
    ]


def settings(subject: Subject) -> list[Finding]:
    """Every field of its config has a comment and is read, and what is no field is refused."""
    method, config = subject.method, subject.method.Config
    used, found = names_in_use(method), []
    for name, line, where in _fields_written(config, method):
        if "  # " not in line:
            sentence = f"say in a comment behind '{name}' what it is, with its symbol"
            found.append(Finding(sentence, where, advice=True))
        if name in config.model_fields and name not in {*used, *Config.model_fields}:
            sentence = f"nothing reads the setting '{name}': use it, or leave it out"
            found.append(Finding(sentence, where, advice=True))
    found += [
        Finding(f"the default of {sentence}", line_of_class(config, method))
        for sentence in invalid_defaults(config)
    ]
    if config.model_config.get("extra") != "forbid":
        sentence = 'a misspelt setting would be ignored: its model_config needs extra="forbid"'
        found.append(Finding(sentence, line_of_class(config, method)))
    return found


def _fields_written(config: type[Config], method: type) -> Iterator[tuple[str, str, str]]:
    """The fields that a config and its bases declare, each with its last line and `file:line`."""
    for cls in config.__mro__:
        if not issubclass(cls, Config) or cls is Config:
            continue
        try:
            lines, first = inspect.getsourcelines(cls)
        except (OSError, TypeError):  # made by code, which has no comments
            continue
        [body] = ast.parse(dedent("".join(lines))).body
        assert isinstance(body, ast.ClassDef)
        for node in body.body:
            if isinstance(node, ast.AnnAssign):
                end = node.end_lineno or 0
                where = shown(Path(inspect.getfile(cls)), first + end - 1, method)
                yield ast.unparse(node.target), lines[end - 1], where


def invalid_defaults(config: type[Config]) -> list[str]:
    """`'flow_steps' cannot be: …` of every default that a suite could not give either."""
    defaults = {
        name: field.get_default(call_default_factory=True)
        for name, field in config.model_fields.items()
        if not field.is_required()
    }
    try:
        config.model_validate(defaults)
    except ValidationError as error:
        return [
            f"'{found['loc'][0]}' cannot be: {found['msg']}"
            for found in error.errors()
            if found["loc"] and found["loc"][0] in defaults
        ]
    return []


def line_of_class(cls: type, method: type) -> str:
    """`file:line` of where a class begins, or nothing for one that was made by code."""
    try:
        return shown(Path(inspect.getfile(cls)), inspect.getsourcelines(cls)[1], method)
    except (OSError, TypeError):
        return ""


def first_try(subject: Subject) -> list[Finding]:
    """What every run tries before its first step, also as it would go on online and rank."""
    method = subject.method
    ranks = method.supports(subject.algorithm, "best-of-4")
    remarks = check(
        method,
        subject.config(),
        OBS_DIM,
        ACTION_DIM,
        online=method.learns_online(),
        selections=("best-of-4",) if ranks else (),
    )
    return [Finding(remark, advice=True) for remark in remarks]
