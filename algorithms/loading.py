"""Imports the class that an entry point names, and says what is wrong with it if it cannot."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from algorithms.action_selection import parse_action_selection
from algorithms.errors import (
    AlgorithmError,
    lacks_memory,
    line_in,
    nearest,
    sentence_of,
)

if TYPE_CHECKING:
    from algorithms.base import Algorithm


def load_class(target: str, named: str) -> type[Algorithm[Any]]:
    """The algorithm class at `package.module:Class`.

    named: what the target is, for messages.

    Raises AlgorithmError if there is none, or if it is not complete.
    """
    module_name, _, name = target.partition(":")
    if not module_name or not name.isidentifier():
        raise AlgorithmError(f"{named}: write it as package.module:Class")
    module = _import(module_name, named)
    if not hasattr(module, name):
        if getattr(module, "__file__", None) is None:  # a namespace package
            folder = next(iter(module.__path__), "")
            raise AlgorithmError(
                f"{named}: Python takes the folder {folder} for the module {module_name}, as it is "
                "found first: run the command from elsewhere, or rename the folder"
            )
        near = nearest(name, vars(module))
        raise AlgorithmError(f"{named}: module {module_name} has no '{name}'.{near}")
    return _complete(getattr(module, name), named)


def _import(name: str, named: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:
        if lacks_memory(error):
            raise
        raise AlgorithmError(f"{named}: {_why_not(name, error)}", line_in(name, error)) from error


def _why_not(name: str, error: Exception) -> str:
    """What is wrong with a module that cannot be imported."""
    if isinstance(error, ModuleNotFoundError):
        missing = error.name or ""
        package = missing.partition(".")[0]
        if f"{name}.".startswith(f"{missing}.") or package == name.partition(".")[0]:
            near = nearest(missing, _modules_beside(missing))
            return f"there is no module '{missing}'.{near}"
        if find_spec(package) is None:
            return f"it needs the package '{package}', which is not installed"
    return f"importing it fails with {sentence_of(error)}"


def _complete(cls: Any, named: str) -> type[Algorithm[Any]]:
    """The class, if it is an algorithm with a config and without anything left to write."""
    from algorithms.base import Algorithm, Config
    from algorithms.declared import declared_at

    if not isinstance(cls, type) or not issubclass(cls, Algorithm):
        raise AlgorithmError(f"{named}: it is no subclass of algorithms.base.Algorithm")
    config = getattr(cls, "Config", None)
    if config is None:
        raise AlgorithmError(f"{named}: it has no config; write `Config = …` in the class")
    if not isinstance(config, type) or not issubclass(config, Config):
        raise AlgorithmError(f"{named}: its Config is no subclass of algorithms.base.Config")
    if cls.__abstractmethods__:
        missing = " and ".join(sorted(cls.__abstractmethods__))
        raise AlgorithmError(f"{named}: it does not define {missing}")
    try:
        parse_action_selection(str(cls.action_selection))
    except ValueError as error:
        where = declared_at(cls, "action_selection")
        raise AlgorithmError(f"{named}: its action_selection {error}", where) from error
    return cls


def _modules_beside(name: str) -> Iterable[str]:
    """Full names of the modules that could have been meant."""
    parent, dot, _ = name.rpartition(".")
    if not dot:
        return [module.name for module in pkgutil.iter_modules()]
    package = sys.modules.get(parent)
    paths = getattr(package, "__path__", [])
    return [f"{parent}.{module.name}" for module in pkgutil.iter_modules(paths)]
