"""Reads YAML with line numbers, so that a mistake can be shown where it was made."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.errors import UserError

KeyPath = tuple[str | int, ...]


_MOST_BYTES = 1_000_000  # of a file
_MOST_NODES = 100_000  # of a file with its aliases written out
_INDENTED = "this line is indented as no other above it that it could stand beside"
_SAID = (  # of the parser's words for the commonest mistakes
    ("but found '<block mapping start>'", _INDENTED),
    ("but found '<block sequence start>'", _INDENTED),
    (
        "mapping values are not allowed here",
        "no key can stand here: the line is indented further than the one above it, or its value "
        "has a colon and needs quotes",
    ),
)
_TAG = "tag:yaml.org,2002:"
_KINDS = {f"{_TAG}{kind}" for kind in ("null", "bool", "int", "float", "str", "seq", "map")}


class _Loader(yaml.SafeLoader):
    """The safe loader, with scalars as everybody reads them.

    YAML 1.1 has `010` for 8, `1:30` for 90, `no` for false, and `1e-3` for a text.
    """

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        return int(self.construct_scalar(node))

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """As the safe loader, which does not say where a value is that its tag does not allow."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError) as error:
            kind = node.tag.removeprefix(_TAG)
            sentence = f"'{node.value}' is no {kind}"
            raise yaml.constructor.ConstructorError(
                problem=sentence, problem_mark=node.start_mark
            ) from error


_Loader.yaml_implicit_resolvers = {}
for _kind, _pattern, _first in (
    ("null", r"~|null|", ["~", "n", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?\d[\d_]*", list("-+0123456789")),
    (
        "float",
        r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|[-+]?\.inf|\.nan",
        list("-+0123456789."),
    ),
):
    _Loader.add_implicit_resolver(f"{_TAG}{_kind}", re.compile(f"^({_pattern})$"), _first)
_Loader.add_constructor(f"{_TAG}int", _Loader.construct_yaml_int)


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
        with path.open(encoding="utf-8") as file:
            text = file.read(_MOST_BYTES + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    if len(text) > _MOST_BYTES:
        raise UserError(f"{path} is no suite file: it has more than {_MOST_BYTES:,} letters.")
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        lines: dict[KeyPath, int] = {}
        problems = [*_walk(node, (), lines)] if node is not None else []
        if problems:
            raise Document(path, {}, lines).error(problems)
        data = loader.construct_document(node) if node is not None else None
    except (yaml.YAMLError, ValueError, LookupError, RecursionError) as error:
        raise UserError(f"{path} is not valid YAML: {_explain(error)}") from error
    if not isinstance(data, dict):
        raise UserError(f"{path} must hold a mapping of keys to values, found {kind(data)}.")
    return Document(path, data, lines)


def _walk(node: yaml.Node, path: KeyPath, lines: dict[KeyPath, int]) -> Iterator[Problem]:
    """Note the line of every key under `node`; what no suite file can mean.

    Raises ValueError if the file is too large with its aliases written out.
    """
    if len(lines) > _MOST_NODES:
        raise ValueError(f"its aliases stand for more than {_MOST_NODES:,} values")
    if node.tag not in _KINDS:
        yield Problem(path, f"'{node.tag.replace(_TAG, '!!')}' is no kind of value in a suite file")
    children: list[tuple[str | int, int, yaml.Node]] = []
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag != f"{_TAG}str":
                lines[*path, str(key.value)] = key.start_mark.line + 1
                message = "keys are texts: write it in quotes if it is meant to be one"
                yield Problem((*path, str(key.value)), message)
            else:
                children.append((str(key.value), key.start_mark.line, value))
    elif isinstance(node, yaml.SequenceNode):
        children = [(i, v.start_mark.line, v) for i, v in enumerate(node.value)]
    seen = set()
    for name, line, child in children:
        lines[*path, name] = line + 1
        if name in seen:
            yield Problem((*path, name), "this key is given twice; keep one")
        seen.add(name)
        yield from _walk(child, (*path, name), lines)


def _explain(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        problem = next((said for words, said in _SAID if words in (error.problem or "")), "")
        return f"line {mark.line + 1}, column {mark.column + 1}: {problem or error.problem}."
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
