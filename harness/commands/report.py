"""Prints a suite's report. Light: neither torch nor Ray."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from harness.errors import UserError
from harness.files import write_bytes
from harness.report import build_report, render_terminal
from harness.report.page import SuiteEntry, entry_of, index_page, is_ours
from harness.suite.schema import find_suite, load_suite


def say(console: Console, message: str) -> None:
    """Print a line as it is: no colours, no wrapping, brackets kept."""
    console.print(message, markup=False, highlight=False, soft_wrap=True)


def show_report(suite_dir: Path, console: Console) -> bool:
    """Make the report from the files of a suite, print its table and where everything is.

    Returns whether all of it could be made, of runs none of which is damaged.
    """
    report = build_report(suite_dir)
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


def show_all_reports(results: Path, console: Console) -> bool:
    """Make the report of every suite that has results below `results`, and an index over them.

    Returns whether all of it could be made, of runs none of which is damaged.
    Raises UserError if there are no results, or an index.html that this did not write.
    """
    folders = sorted(path.parent for path in results.rglob("suite.json"))
    if not folders:
        raise UserError(
            f"There are no results in {results}. Make some with: python -m harness run SUITE"
        )
    index = results / "index.html"
    if index.exists() and not is_ours(index.read_text(errors="replace")):
        raise UserError(f"{index} was not written by this command: move it away, then try again.")
    entries = []
    for folder in folders:
        try:
            report = build_report(folder)
        except UserError as error:
            name = folder.relative_to(results).as_posix()
            entries.append(SuiteEntry(folder=name, title=name, problem=str(error)))
        else:
            problem = " ".join(report.notes.failures)
            entries.append(entry_of(report.records, report.comparison, results, problem))
        say(console, f"page    {folder / 'report.html'}  {entries[-1].problem}".rstrip())
    write_bytes(index, index_page(entries).encode())
    say(console, f"index   {index}")
    return not any(entry.problem for entry in entries)


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
