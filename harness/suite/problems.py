"""Turns pydantic's findings into sentences about a YAML file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from harness.errors import nearest
from harness.suite.yaml_file import KeyPath, Problem, kind

# By pydantic's error type; others keep pydantic's own words.
_WANTED = {
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "finite_number": "a finite number",
    "float_type": "a number",
    "int_from_float": "a whole number",
    "int_type": "a whole number",
    "list_type": "a list",
    "literal_error": "{expected}",
    "model_type": "a mapping",
    "string_pattern_mismatch": "letters, digits, dots, dashes, underscores and plus signs",
    "string_too_long": "at most {max_length} letters",
    "string_type": "a text",
    "too_long": "at most {max_length}",
    "too_short": "at least {min_length}",
    "tuple_type": "a list",
}

_OUT_OF_RANGE = {"greater_than", "greater_than_equal", "less_than", "less_than_equal"}
_LIMITS = {  # words by JSON schema's
    "exclusiveMinimum": "above",
    "minimum": "of at least",
    "exclusiveMaximum": "below",
    "maximum": "of at most",
}


def unknown(what: str, found: str, allowed: Iterable[str]) -> str:
    """`unknown key 'x'. Did you mean 'y'? Allowed: …`."""
    names = list(allowed)
    return (
        f"unknown {what} '{found}'.{nearest(found, names)} Allowed: {', '.join(names) or 'none'}."
    )


def explain(
    error: ValidationError, data: Mapping[str, Any], model: type[BaseModel]
) -> list[Problem]:
    """Turn pydantic's findings about `data` into problems of the file, without repetition."""
    problems: list[Problem] = []
    expected: dict[KeyPath, list[str]] = {}  # a union is reported once a branch
    for item in error.errors():
        path, found = _locate(item["loc"], data)
        if item["type"] == "extra_forbidden":
            problems.append(Problem(path, unknown("key", str(path[-1]), _fields(model, path[:-1]))))
        elif item["type"] == "missing":
            problems.append(Problem(path, "this key is missing"))
        elif item["type"] == "value_error":
            problems.append(Problem(path, f"{item['ctx']['error']}; found {kind(found)}"))
        else:
            out_of_range = item["type"] in _OUT_OF_RANGE
            expected.setdefault(path, []).append(
                _range(model, path) if out_of_range else _wanted(item)
            )
            wanted = " or ".join(expected[path])
            empty = found is None and wanted == "a mapping" and path
            more = f"; write `{path[-1]}: {{}}` for an empty one" if empty else ""
            problems = [p for p in problems if p.key_path != path]
            problems.append(Problem(path, f"expected {wanted}, found {kind(found)}{more}"))
    return problems


def _wanted(item: ErrorDetails) -> str:
    """What should have been there, in the words of a YAML file."""
    template = _WANTED.get(item["type"])
    return template.format(**item.get("ctx", {})) if template else item["msg"]


def _range(model: type[BaseModel], path: KeyPath) -> str:
    """`a number above 0 and below 1`: what is allowed at `path` under `model`."""
    schema = model.model_json_schema()
    nodes: list[Mapping[str, Any]] = [schema]
    for part in path:
        nodes = [branch for node in nodes for branch in _branches(_below(node, part), schema)]
    limits = [[f"{word} {n[key]:,}" for key, word in _LIMITS.items() if key in n] for n in nodes]
    return f"a number {' and '.join(next(filter(None, limits)))}"


def _below(node: Mapping[str, Any], part: str | int) -> Mapping[str, Any]:
    """The JSON schema of an item or a key."""
    found = node.get("items") if isinstance(part, int) else node.get("properties", {}).get(part)
    return found or node.get("additionalProperties") or {}


def _branches(node: Mapping[str, Any], root: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The alternatives of a JSON schema."""
    if "$ref" in node:
        yield root["$defs"][node["$ref"].rpartition("/")[2]]
    elif "anyOf" in node:
        for branch in node["anyOf"]:
            yield from _branches(branch, root)
    else:
        yield node


def _locate(loc: Sequence[str | int], data: Any) -> tuple[KeyPath, Any]:
    """The part of pydantic's location that exists in the file, and the value there.

    Pydantic adds steps of its own, such as the branch of a union it tried.
    """
    if loc and loc[-1] == "[key]":  # the key itself is wrong
        return tuple(loc[:-1]), loc[-2]
    path: KeyPath = ()
    for part in loc:
        keys = range(len(data)) if isinstance(data, list) else data
        if not isinstance(keys, Mapping | range):
            break
        if part in keys:
            data = data[part]
        elif part == loc[-1] and isinstance(keys, Mapping):
            data = None  # a missing key
        else:
            break
        path = (*path, part)
    return path, data


def _fields(model: type[BaseModel], path: KeyPath) -> list[str]:
    """The keys allowed at `path` under `model`."""
    for part in path:
        if part in model.model_fields:
            annotation = model.model_fields[str(part)].annotation
            inner = getattr(annotation, "__args__", ())
            candidates = [annotation, *inner]
            models = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
            model = models[0] if models else model
    return list(model.model_fields)
