"""Others' scripts, loaded from their checkouts without what learning does not need."""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


class _StandIn(types.ModuleType):
    """A module of which every public name exists and nothing does anything."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})

    def wrap(self) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """What stands over a script's entry: the function takes its config as it is."""
        return lambda function: function


def load_script(path: Path, name: str, absent: Sequence[str]) -> Any:
    """A script as the module `name`, with stand-ins for the modules `absent` while it loads."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    script: Any = importlib.util.module_from_spec(spec)
    here = {module: sys.modules.get(module) for module in absent}
    sys.modules |= {module: _StandIn(module) for module in absent} | {spec.name: script}
    try:
        spec.loader.exec_module(script)
    finally:
        for module, real in here.items():
            del sys.modules[module]
            if real is not None:
                sys.modules[module] = real
    return script
