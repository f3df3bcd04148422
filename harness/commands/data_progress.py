"""Shows how the making of data goes: a bar on a terminal, a line at start and end elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

if TYPE_CHECKING:
    from harness.data import Progress


@contextmanager
def data_progress(console: Console) -> Iterator[Progress]:
    """A function that is told of progress, and shows the latest work until the context ends."""
    if not console.is_terminal:
        yield _lines(console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Bars(*columns, console=console, transient=True) as bars:
        known: dict[str, TaskID] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in known:
                for earlier in known.values():
                    bars.update(earlier, visible=False)
                known[what] = bars.add_task(what, total=total)
            bars.update(known[what], completed=done, total=total)

        yield show


def _lines(console: Console) -> Progress:
    shown: set[tuple[str, bool]] = set()

    def show(what: str, done: int, total: int) -> None:
        finished = done >= total
        if (what, finished) not in shown:
            shown.add((what, finished))
            console.print(
                f"{what}: {'done' if finished else f'{total} to do'}",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )

    return show
