"""Reads YAML with line numbers, so that a mistake can be shown where it was made."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.errors import UserError

KeyPath = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """The safe loader, with floats as everybody writes them: `1e-3` is a number here."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$|^[-+]?\.inf$|^\.nan$"),
    list("-+0123456789."),
)


@dataclass(frozen=True)
class Problem:
    """One mistake in a file: where it is, and a sentence about it."""

    key_path: KeyPath
    message: str


@dataclass(frozen=True)
class Document:
    """A parsed YAML file: its JSON-like data, and the line of every key."""

    path: Path
    data: Mapping[str, Any]
    lines: Mapping[KeyPath, int]

    def line(self, key_path: KeyPath) -> int:
        """The line (from 1) of `key_path`, or of the nearest key above it."""
        while key_path and key_path not in self.lines:
            key_path = key_path[:-1]
        return self.lines.get(key_path, 1)

    def error(self, problems: Sequence[Problem]) -> UserError:
        """One error that lists every problem in the order of the file."""
        shown = sorted(problems, key=lambda p: self.line(p.key_path))
        lines = [f"  line {self.line(p.key_path)}, {show(p.key_path)}: {p.message}" for p in shown]
        count = "a problem" if len(lines) == 1 else f"{len(lines)} problems"
        return UserError("\n".join([f"{self.path} has {count}:", *lines]))


def show(key_path: KeyPath) -> str:
    """`algorithms.iql.config.expectile`, `tasks[0]`."""
    text = ""
    for part in key_path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".") or "the file"


def read_yaml(path: Path) -> Document:
    """Parse one YAML mapping. Raises UserError: unreadable, malformed, or a key given twice."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        lines: dict[KeyPath, int] = {}
        repeated = _walk(node, (), lines) if node is not None else []
        data = loader.construct_document(node) if node is not None else None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid YAML: {_explain(error)}") from error
    document = Document(path, data if isinstance(data, dict) else {}, lines)
    if not isinstance(data, dict):
        raise UserError(f"{path} must hold a mapping of keys to values, found {kind(data)}.")
    if repeated:
        raise document.error([Problem(p, "this key is given twice; keep one") for p in repeated])
    return document


def _walk(node: yaml.Node, path: KeyPath, lines: dict[KeyPath, int]) -> list[KeyPath]:
    """Note the line of every key under `node`; return the keys that occur twice."""
    repeated: list[KeyPath] = []
    children: list[tuple[str | int, int, yaml.Node]]
    if isinstance(node, yaml.MappingNode):
        children = [(str(k.value), k.start_mark.line, v) for k, v in node.value]
    elif isinstance(node, yaml.SequenceNode):
        children = [(i, v.start_mark.line, v) for i, v in enumerate(node.value)]
    else:
        return repeated
    seen = set()
    for key, line, child in children:
        if key in seen:
            repeated.append((*path, key))
        seen.add(key)
        lines[*path, key] = line + 1
        repeated += _walk(child, (*path, key), lines)
    return repeated


def _explain(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}."
    return " ".join(str(error).split())


def kind(value: Any) -> str:
    """A value as a reader of the file knows it: `the text 'fast'`, `the number 3`."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"the truth value {str(value).lower()}"
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, str):
        return f"the text '{value}'"
    text = json.dumps(value, default=str)
    text = text if len(text) <= 60 else text[:57] + "..."
    return f"the {'list' if isinstance(value, list) else 'mapping'} {text}"
