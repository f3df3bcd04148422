"""Where in an author's file a class declares something."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

from algorithms.base import Algorithm, Phase, Stage
from algorithms.errors import definition, name_of, shown

_SECOND = {"trains": "Phase", "share": "Stage"}  # arguments that need no keyword, and whose


def declared_at(
    method: type[Algorithm[Any]], field: str, name: str = "", phase: Phase | None = None
) -> str:
    """`file:line` of where a class says `name` of its `field` or of the phase's `field`.

    The nearest that can be found: else the field, else the name anywhere, else the stages that a
    stage's field is of, else `create`.
    """
    loss = name_of(phase.loss) if phase else ""
    trees = class_trees(method)
    looks = [_within(field, name, loss), _within(field, name), _within(field), _constants(name)]
    looks += [_within("stages")] if field in Stage.__dataclass_fields__ else []
    for look in looks:
        for cls, tree, before in trees:
            line = next((node.lineno for node in look(tree)), None)
            if line is not None:
                return shown(Path(inspect.getfile(cls)), before + line, method)
    return definition(method.create, method)


def class_trees(method: type[Algorithm[Any]]) -> list[tuple[type, ast.AST, int]]:
    """The classes that a method is made of with their source, and the lines before it."""
    classes = [cls for cls in method.__mro__ if issubclass(cls, Algorithm) and cls is not Algorithm]
    return [(cls, *found) for cls in classes if (found := _tree(cls)) is not None]


def _tree(cls: type) -> tuple[ast.AST, int] | None:
    """A class's source, and the lines before it; None where there is none."""
    try:
        lines, first = inspect.getsourcelines(cls)
        return ast.parse(dedent("".join(lines))), first - 1
    except (OSError, TypeError, SyntaxError):
        return None


def _constants(name: str) -> Any:
    def look(tree: ast.AST) -> Iterator[Any]:
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and node.value == name:
                yield node

    return look


def _within(field: str, name: str = "", loss: str = "") -> Any:
    """Nodes that say `name` in `field = …` or `self.field = …`, or of a phase that has this loss.

    All of the field for no name, and all phases for no loss.
    """

    def look(tree: ast.AST) -> Iterator[Any]:
        for node in ast.walk(tree):
            if loss and loss not in ast.unparse(node):
                continue
            for part in _says(node, field):
                yield from _constants(name)(part) if name else [part]

    return look


def _says(node: ast.AST, field: str) -> Iterator[ast.AST]:
    """The parts of a statement or call that give a field its value."""
    if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in targets:
            owner = target.value if isinstance(target, ast.Subscript) else target
            of_class = isinstance(owner, ast.Name) and owner.id == field
            if of_class or (isinstance(owner, ast.Attribute) and owner.attr == field):
                yield node
    elif isinstance(node, ast.Call):
        yield from (keyword.value for keyword in node.keywords if keyword.arg == field)
        of = _SECOND.get(field)
        if of and ast.unparse(node.func).endswith(of) and len(node.args) > 1:
            yield node.args[1]
