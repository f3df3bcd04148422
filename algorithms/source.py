"""The code of a method, as a digest: code that computes something else has another one.

Nothing is imported for it, neither the method nor torch. What all methods share (the engine, the
blocks, the networks) is not in a digest: `ENGINE_VERSION` stands for it.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Iterable, Iterator
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

DIGITS = 16
_OURS = {"algorithms", "baselines"}  # whose methods others may build on
_INSTALLED = {"site-packages", "dist-packages"}


def code_digest(*modules: str) -> str:
    """A digest of modules and of all methods' code that they import, in turn.

    Methods' code is what the module's own top-level package holds, what stands beside that in its
    folder (but for packages installed in site-packages), and ours, but for what all methods share.
    Comments, docstrings, formatting and type annotations are left out, and so is what only a type
    checker reads. Only import statements are followed.

    Raises ModuleNotFoundError if one of `modules` does not exist.
    """
    parts = [f"{name}\n{code}" for name, code in sorted(_methods_code(modules).items())]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:DIGITS]


def is_shared(module: str) -> bool:
    """Whether a module belongs to what all methods share."""
    package, _, inner = module.partition(".")
    return package == "algorithms" and not f"{inner}.".startswith("decision_flow.")


def module_file(module: str) -> Path | None:
    """Where a module is; None for a folder without code. Raises ModuleNotFoundError."""
    spec = _find(module)
    if spec is None:
        raise ModuleNotFoundError(f"there is no module '{module}'", name=module)
    return Path(spec.origin) if spec.origin and spec.has_location else None


def _methods_code(modules: Iterable[str]) -> dict[str, str]:
    """The canonical code of every module that counts, by name."""
    found: dict[str, str] = {}
    waiting = [(module, _package(module)) for module in modules]
    while waiting:
        module, own = waiting.pop()
        if module in found:
            continue
        file = module_file(module)
        if file is None:
            found[module] = ""
        elif file.suffix != ".py":  # compiled
            found[module] = hashlib.sha256(file.read_bytes()).hexdigest()
        else:
            tree = ast.parse(file.read_bytes())
            found[module] = canonical_code(tree)
            parent = module if file.name == "__init__.py" else module.rpartition(".")[0]
            for name in _imports(tree, parent):
                if _belongs(_package(name), own) and not is_shared(name):
                    # `from a import b` names a.b, which is a module or in the module a.
                    known = next(filter(_find, (name, name.rpartition(".")[0])), None)
                    waiting += [(known, own)] if known else []
    return found


def _belongs(package: str, own: str) -> bool:
    """Whether a top-level package is code of methods, for a method whose package is `own`."""
    if package in _OURS or package == own:
        return True
    folder = None if own in _OURS else _folder(own)
    return folder is not None and folder == _folder(package)


def _folder(package: str) -> Path | None:
    """The folder with a top-level package; None for those that were installed or built in."""
    spec = _find(package)
    if spec is None:
        return None
    places = [*(spec.submodule_search_locations or []), *([spec.origin] * spec.has_location)]
    folder = Path(places[0]).parent if places and places[0] else None
    return None if folder is None or folder.name in _INSTALLED else folder


def _package(module: str) -> str:
    """The top-level package of a module."""
    return module.partition(".")[0]


def _find(module: str) -> ModuleSpec | None:
    """As `importlib.util.find_spec`, which would import the packages that the module is in."""
    top, *inner = module.split(".")
    spec = importlib.util.find_spec(top) if top else None
    for name in inner:
        if spec is None or spec.submodule_search_locations is None:
            return None
        spec = PathFinder.find_spec(f"{spec.name}.{name}", spec.submodule_search_locations)
    return spec


def _imports(tree: ast.Module, package: str) -> Iterator[str]:
    """What a file in `package` imports, as full names: modules, or names in modules."""
    for node in _computing(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def _computing(node: ast.AST) -> Iterator[ast.AST]:
    """The node and all below it, but for what only a type checker reads."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and _is_for_types(child):
            children: list[ast.stmt] = child.orelse
            for statement in children:
                yield from _computing(statement)
        else:
            yield from _computing(child)


def _is_for_types(node: ast.If) -> bool:
    """Whether it is `if TYPE_CHECKING:`."""
    test = node.test
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", "")
    return name == "TYPE_CHECKING"


# --- one spelling of a syntax tree, the same in every version of Python --------------------------

_LEFT_OUT = {"ctx", "kind", "annotation", "returns", "type_comment", "type_params"}


def canonical_code(tree: ast.Module) -> str:
    """What the code computes, as text: `ast.dump` differs between versions of Python."""
    return "\n".join(_statements(tree.body))


def _statements(body: Iterable[ast.stmt], *, of_class: bool = False) -> Iterator[str]:
    """The statements that do something, one text each."""
    for node in body:
        if isinstance(node, ast.If) and _is_for_types(node):
            yield from _statements(node.orelse, of_class=of_class)
        elif isinstance(node, ast.AnnAssign) and not of_class:
            if node.value is not None:  # as without the annotation, which in a class makes a field
                yield f"(Assign targets=[{_spell(node.target)}] value={_spell(node.value)})"
        elif not _does_nothing(node):
            yield _spell(node)


def _does_nothing(node: ast.stmt) -> bool:
    """`pass`, `...`, docstrings, and names of types."""
    constant = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return constant or isinstance(node, ast.Pass) or type(node).__name__ == "TypeAlias"


def _spell(value: object) -> str:
    """A node, a list of them, or a plain value. Fields that are empty are left out."""
    if isinstance(value, ast.JoinedStr):
        return f"(JoinedStr values=[{' '.join(_string_parts(value))}])"
    if isinstance(value, ast.AST):
        fields = [
            f" {name}={text}"
            for name, field in ast.iter_fields(value)
            if name not in _LEFT_OUT and (text := _spell_field(value, field))
        ]
        return f"({type(value).__name__}{''.join(fields)})"
    return ascii(value)


def _spell_field(node: ast.AST, field: object) -> str:
    """A field of a node; nothing if it is empty."""
    if isinstance(node, ast.Constant):
        return ascii(field)
    if field is None or field == []:
        return ""
    if isinstance(field, list):
        of_class = isinstance(node, ast.ClassDef)
        if isinstance(field[0], ast.stmt):
            return f"[{' '.join(_statements(field, of_class=of_class))}]"
        return f"[{' '.join(map(_spell, field))}]"
    return _spell(field)


def _string_parts(node: ast.JoinedStr) -> Iterator[str]:
    """An f-string's parts; versions of Python split its text in different places."""
    text = ""
    for part in node.values:
        if isinstance(part, ast.Constant):
            text += str(part.value)
            continue
        if text:
            yield ascii(text)
        text = ""
        yield _spell(part)
    if text:
        yield ascii(text)
