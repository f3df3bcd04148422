"""Modules of a checkout of somebody else's packages; nothing of them is part of this project."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import UserError


def load(folder: Path, names: Sequence[str], absent: Mapping[str, Any]) -> list[Any]:
    """Import these modules of JAX code, to run on CPUs.

    Args:
        folder: of the checkout.
        names: such as `agents.fql`.
        absent: stand-ins of what the modules import but learning does not need, by name.

    Raises UserError if the folder has no such module, or something is not installed.
    """
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    before = {name: sys.modules.get(name) for name in absent}
    sys.modules |= absent
    sys.path.insert(0, str(folder))
    try:
        return [importlib.import_module(name) for name in names]
    except ModuleNotFoundError as error:
        if any(name.split(".")[0] == str(error.name).split(".")[0] for name in names):
            fault = f"{folder} has no {error.name}; give the folder of a checkout"
        else:
            fault = f"{error.name} is not installed; {folder} needs jax, flax, optax and chex"
        raise UserError(f"{fault}.") from error
    finally:
        sys.path.remove(str(folder))
        for name, module in before.items():
            del sys.modules[name]
            if module is not None:
                sys.modules[name] = module
