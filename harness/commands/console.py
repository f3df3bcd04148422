"""What commands print. Light: no report, no figures."""

from __future__ import annotations

from rich.console import Console


def say(console: Console, message: str) -> None:
    """Print a line as it is: no colours, no wrapping, brackets kept."""
    console.print(message, markup=False, highlight=False, soft_wrap=True)
