"""What commands print. Light: no report, no figures."""

from __future__ import annotations

import sys

from rich.console import Console


def console_for_tables(piped: int = 200) -> Console:
    """Standard output, with `piped` columns where it has no width to wrap to."""
    return Console(width=None if sys.stdout.isatty() else piped)


def say(console: Console, message: str) -> None:
    """Print a line as it is: no colours, no wrapping, brackets kept."""
    console.print(message, markup=False, highlight=False, soft_wrap=True)
