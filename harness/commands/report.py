"""Prints a suite's report. Light: neither torch nor Ray."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from harness.errors import UserError
from harness.report import build_report, render_terminal
from harness.suite.schema import find_suite, load_suite


def say(console: Console, message: str) -> None:
    """Print a line as it is: no colours, no wrapping, brackets kept."""
    console.print(message, markup=False, highlight=False, soft_wrap=True)


def show_report(suite_dir: Path, console: Console, protocol: str | None = None) -> bool:
    """Make the report from the files of a suite, print its table and where everything is.

    Scores are by `protocol`, the suite's if none is named.
    Returns whether all of it could be made, of runs none of which is damaged.
    """
    report = build_report(suite_dir, protocol)
    paths = report.paths
    console.print()
    console.print(render_terminal(report))
    say(console, f"tables  {paths.markdown} (also .csv, .tex), scores of every run {paths.scores}")
    say(console, f"figures {', '.join(str(p) for p in paths.figures if p.suffix == '.png')}")
    if paths.left:
        left = ", ".join(path.name for path in paths.left)
        say(console, f"left as they were in {paths.left[0].parent}: {left}")
    say(console, f"page    {paths.html}")
    return not report.notes.failures


def results_of(name: str, results: Path) -> Path:
    """The results folder of a suite given by folder, name or file. Raises UserError."""
    for folder in (Path(name), results / name):
        if (folder / "suite.json").is_file():
            return folder
    suite, _ = load_suite(find_suite(name))
    folder = results / suite.name
    if not (folder / "suite.json").is_file():
        raise UserError(
            f"There are no results of '{suite.name}' in {results}. Make them with: "
            f"python -m harness run {name}"
        )
    return folder
