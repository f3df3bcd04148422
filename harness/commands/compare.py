"""`harness compare`: two results of a suite beside each other, and what changed between them."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from harness.commands.console import say
from harness.commands.report import folder_of
from harness.errors import UserError
from harness.report.changes import Change, score_differences, spec_changes
from harness.report.records import read_records

_LONG = 40  # letters of a value that is shown whole


def compare_results(first: str, second: str, results: Path, console: Console) -> None:
    """Print cells, paired differences and changed specs.

    Args:
        first: a folder of results or its name in `results`, a commit, or `commit:folder`.
        second: the same; a commit alone means the other's folder as it was committed there.
        results: the folder of all suites' results.
        console: where to print.

    Raises UserError for a side that is none, or without results that can be read, and for two that
    have no run in common.
    """
    with ExitStack() as stack:
        folders = [folder_of(side, results) for side in (first, second)]
        if folders == [None, None] and ":" not in first + second:
            raise UserError(
                f"Neither {first} nor {second} is a folder of results: give one, or a commit with "
                "its folder, as in 1a2b3c4:results/adroit."
            )
        known = next((folder for folder in folders if folder is not None), None)
        sides = [
            folder or _committed(side, known, Path(into))
            for side, folder in zip((first, second), folders, strict=True)
            for into in [stack.enter_context(tempfile.TemporaryDirectory())]
        ]
        before, after = map(read_records, sides)
    cells = score_differences(before, after)
    if not (cells["paired"] > 0).any():
        raise UserError(
            f"{first} and {second} have no finished run in common (a task, a row's label and a "
            "seed): nothing can be compared."
        )
    protocol = before.suite.evaluation.protocol
    say(console, f"first: {first}; second: {second}; scores in points by '{protocol}'")
    _show_cells(cells, console)
    _show_changes(spec_changes(before, after), console)


def _committed(side: str, known: Path | None, into: Path) -> Path:
    """A folder of results as a commit has it, unpacked. Raises UserError."""
    commit, _, path = side.partition(":")
    folder = Path(path) if path else known
    if folder is None:
        raise UserError(
            f"{side} is no folder of results, and of a commit its folder must be known: write it "
            f"as {side}:results/adroit."
        )
    place = folder if folder.is_dir() else Path()
    inside = "" if folder.is_dir() else str(folder)
    done = subprocess.run(
        ["git", "-C", str(place), "archive", "--format=tar", "--end-of-options", commit]
        + ([inside] if inside else []),
        capture_output=True,
    )
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().splitlines() or ["git says nothing"]
        raise UserError(
            f"{side} is neither a folder of results nor a commit that has {folder} "
            f"({reason[0]}). Results are compared by folder, or as they were committed."
        )
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(into, filter="data")
    return into / inside


def _show_cells(cells: pd.DataFrame, console: Console) -> None:
    table = Table(box=None, header_style="bold")
    for name in ("task", "row"):
        table.add_column(name, overflow="fold")
    for name in ("first", "second", "difference", "95% interval", "seeds"):
        table.add_column(name, justify="right")
    for cell in cells.to_dict("records"):
        low, high = _number(cell["low"], sign="+"), _number(cell["high"], sign="+")
        table.add_row(
            cell["task"],
            cell["label"],
            _number(cell["first"]),
            _number(cell["second"]),
            _number(cell["difference"], sign="+"),
            "–" if pd.isna(cell["low"]) else f"{low} to {high}",
            str(cell["paired"]),
        )
    console.print(table)
    say(
        console,
        "Differences are second minus first, over the seeds that both have finished; their "
        "intervals are Student's t over those, from two seeds on.",
    )


def _number(value: float, sign: str = "") -> str:
    return "–" if pd.isna(value) else f"{value:{sign}.1f}"


def _show_changes(changes: Sequence[Change], console: Console) -> None:
    if not changes:
        say(console, "Specs: those of all cells that both have are equal.")
        return
    say(console, "Specs: what changed")
    for change in changes:
        where = ", ".join(f"{task} {label}" for task, label in change.cells[:3])
        more = f" and {len(change.cells) - 3} more cells" if len(change.cells) > 3 else ""
        values = f"{_short(change.before)} → {_short(change.after)}"
        say(console, f"  {change.field}: {values}  ({where}{more})")


def _short(value: str) -> str:
    if not value:
        return "not there"
    return value if len(value) <= _LONG else f"{value[:_LONG]}…"
