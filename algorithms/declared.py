"""Where in an author's file a class declares something."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

from algorithms.base import Algorithm, Config, Phase, Stage
from algorithms.errors import definition, name_of, shown

_OURS = {"algorithms", "baselines"}  # packages of many methods
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


def method_at(method: type[Algorithm[Any]], name: str) -> str:
    """`file:line` of where a class defines a function of this name, else of `create`."""
    for cls, tree, before in class_trees(method):
        for node in own_methods(tree):
            if node.name == name:
                return shown(Path(inspect.getfile(cls)), before + node.lineno, method)
    return definition(method.create, method)


def own_methods(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    """The functions in the body of the class that a source is of."""
    for cls in tree.body:
        if isinstance(cls, ast.ClassDef):
            yield from (node for node in cls.body if isinstance(node, ast.FunctionDef))


def names_in_use(method: type[Algorithm[Any]]) -> set[str]:
    """What a method's modules read as an attribute, or have as a text.

    They are those of its class, of its config and of their bases, and all that is loaded of an
    author's own package.
    """
    classes = {*method.__mro__, *method.Config.__mro__} - {Algorithm, Config}
    own = {cls.__module__ for cls in classes if issubclass(cls, Algorithm | Config)}
    tops = {name.partition(".")[0] for name in own} - _OURS
    own |= {name for name in sys.modules if name.partition(".")[0] in tops}
    used: set[str] = set()
    for name in own:
        try:
            tree = ast.parse(inspect.getsource(sys.modules[name]))
        except (OSError, TypeError, SyntaxError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                used.add(node.attr)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                used.add(node.value)
    return used


def class_trees(method: type[Algorithm[Any]]) -> list[tuple[type, ast.Module, int]]:
    """The classes that a method is made of with their source, and the lines before it."""
    classes = [cls for cls in method.__mro__ if issubclass(cls, Algorithm) and cls is not Algorithm]
    return [(cls, *found) for cls in classes if (found := _tree(cls)) is not None]


def _tree(cls: type) -> tuple[ast.Module, int] | None:
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
