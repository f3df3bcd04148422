"""The fields of a method's config as Markdown tables, from the code that defines them."""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import takewhile
from textwrap import dedent
from typing import Any

from pydantic import BaseModel

from algorithms import registry
from harness.errors import no_algorithm
from harness.suite.configs import config_model

_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
HEADER = ("Field", "Default", "Allowed", "What it is")
Row = tuple[str, str, str, str]
_TYPES = {"integer": "whole number", "number": "number", "string": "text", "null": "`null`"}


def config_tables(algorithm_id: str) -> str:
    """A table a config class of the method, its own first, then those it inherits from.

    Raises UserError for an unknown method, and for one that cannot be loaded.
    """
    return describe(known_config(algorithm_id))


def known_config(algorithm_id: str) -> type[BaseModel]:
    """A method's config. Raises UserError: an unknown method, or one that cannot be loaded."""
    known = registry.algorithms()
    if algorithm_id not in known:
        raise no_algorithm(algorithm_id, known)
    return config_model(algorithm_id)


def describe(model: type[BaseModel]) -> str:
    """The tables of a config: name, default, allowed values and comment of every field."""
    parts = []
    for cls, summary, rows in field_rows(model):
        parts += [f"`{cls}`: {summary}", field_table(HEADER, rows)]
    return "\n\n".join(parts)


def field_table(header: Row, rows: Iterable[Row]) -> str:
    """A table of fields."""
    table = [header, ("---",) * 4, *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in row)} |" for row in table)


def field_rows(model: type[BaseModel]) -> Iterator[tuple[str, str, list[Row]]]:
    """Each of its classes, what that is, and its fields under `HEADER`, code in backticks."""
    schema = model.model_json_schema()["properties"]
    for cls, fields in _fields_by_class(model):
        comments = _comments(cls)
        rows = [
            (f"`{name}`", _default(schema[name]), _allowed(schema[name]), comments[name])
            for name in fields
        ]
        yield cls.__name__, (inspect.getdoc(cls) or "").partition("\n")[0], rows


def _fields_by_class(model: type[BaseModel]) -> Iterator[tuple[type[BaseModel], list[str]]]:
    """Classes from the most derived up, each with the fields that no class before it has."""
    seen: set[str] = set()
    for cls in model.__mro__:
        own = [name for name in inspect.get_annotations(cls) if name not in seen]
        fields = [name for name in own if name in model.model_fields]
        seen.update(fields)
        if fields and issubclass(cls, BaseModel):
            yield cls, fields


def _comments(cls: type[BaseModel]) -> Mapping[str, str]:
    """The comment at the end of every field's definition, or above it, by field."""
    source = dedent(inspect.getsource(cls))
    lines = source.splitlines()
    definition = ast.parse(source).body[0]
    assert isinstance(definition, ast.ClassDef)
    comments = {}
    for node in definition.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            assert node.end_lineno is not None
            last_line = lines[node.end_lineno - 1].encode()  # offsets count bytes
            rest = last_line[node.end_col_offset :].decode()
            beside = [rest] if rest.strip() else _comment_above(lines[: node.lineno - 1])
            comments[node.target.id] = " ".join(line.strip().lstrip("# ") for line in beside)
    return comments


def _comment_above(lines: list[str]) -> list[str]:
    """The comment that these lines end with."""
    return [*takewhile(lambda line: line.lstrip().startswith("#"), reversed(lines))][::-1]


def _allowed(schema: Mapping[str, Any]) -> str:
    """The values that a field's JSON schema allows, in words."""
    if "anyOf" in schema:
        return " or ".join(_allowed(branch) for branch in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if "$ref" in schema:
        return "section"
    if schema["type"] == "object":
        return "mapping"
    if schema["type"] == "boolean":
        return "`true`, `false`"
    if schema["type"] == "array":
        if "anyOf" in schema["items"]:
            return f"list, each {_allowed(schema['items'])}"
        kind, *bounds = _allowed(schema["items"]).split(", ")
        return ", ".join([f"list of {kind}s", *bounds])
    bounds = [f"{sign} {_number(schema[key])}" for key, sign in _BOUNDS.items() if key in schema]
    return ", ".join([_TYPES[schema["type"]], *bounds])


def _number(bound: float) -> str:
    return f"{bound:,}" if isinstance(bound, int) else f"{bound:g}"


def _default(schema: Mapping[str, Any]) -> str:
    """A default as a suite file would say it; a section has those of its own table."""
    if "default" not in schema:
        return "required"
    value = schema["default"]
    if "$ref" in schema:
        return "–"
    is_a_word = isinstance(value, str) and re.fullmatch(r"\w[\w-]*", value)
    return f"`{value if is_a_word else json.dumps(value)}`"


def _cell(text: str) -> str:
    return text.replace("|", r"\|")
