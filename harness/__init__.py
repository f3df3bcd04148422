"""Runs suites of offline-RL experiments and turns their results into tables and figures.

For programs and notebooks: `harness.run`, `harness.results`, `harness.load_policy` (docs/api.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.api import Policy, Results, UserError, load_policy, results, run

__version__ = "0.2.0.dev0"
__all__ = ["Policy", "Results", "UserError", "load_policy", "results", "run"]


def __getattr__(name: str) -> Any:
    """Of the names above, imported when first asked for: the package itself imports nothing."""
    if name not in __all__:
        raise AttributeError(f"module 'harness' has no attribute '{name}'")
    from harness import api

    return getattr(api, name)


def __dir__() -> list[str]:
    """What there is for users, before it is asked for, and what every module has."""
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
