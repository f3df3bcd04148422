"""Prints a suite's report. Light: neither torch nor Ray."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from harness.commands.console import say
from harness.errors import UserError
from harness.files import write_bytes
from harness.published import Literature, shipped
from harness.report import build_report, render_terminal
from harness.report.build import PAGE
from harness.report.page import SuiteEntry, entry_of, index_page, is_ours
from harness.runs.outline import outline, planned_published
from harness.runs.suite_file import FILE_NAME, SuiteFile
from harness.suite.schema import Suite, find_suite, load_suite


def report_suite(name: str, results: Path, console: Console, protocol: str | None = None) -> bool:
    """`harness report`: of what was run, or of what others published if nothing was.

    `name` is a suite's name or file, or a results folder. A file says anew which published scores
    to show and which row to compare to, for later reports too; of all else `suite.json` tells what
    was run. Returns and raises as `show_report`.
    """
    if not Path(name).is_file() and (folder := folder_of(name, results)):
        return show_report(folder, console, protocol=protocol)
    path = find_suite(name)
    suite, _ = load_suite(path)
    folder = results / suite.name
    if not (folder / FILE_NAME).is_file():
        planned = outline(suite, path, name)
        published = Literature(planned.published.scores, shipped()).tasks()
        if not any(task.id in published for task in planned.tasks):
            raise _no_results(name, suite, results)
        return show_report(folder, console, planned, protocol)
    found = SuiteFile.read(folder)
    reference = suite.compare_to
    if reference and reference not in {row.label for row in found.rows}:
        kept = found.compare_to or "no row"
        what = f"{reference}, which {path} compares to, was not run"
        say(console, f"{what}: as before, differences are to {kept}.")
        reference = found.compare_to
    update = {"published": planned_published(suite, path), "compare_to": reference}
    planned = found.model_copy(update=update)
    if planned != found:
        planned.write(folder)
    return show_report(folder, console, protocol=protocol)


def show_report(
    suite_dir: Path,
    console: Console,
    suite: SuiteFile | None = None,
    protocol: str | None = None,
) -> bool:
    """Make the report from the files of a suite, print its table and where everything is.

    Returns whether all of it could be made, of runs none of which is damaged. `suite`, `protocol`
    and errors are as in `build_report`.
    """
    report = build_report(suite_dir, suite, protocol)
    paths = report.paths
    console.print()
    console.print(render_terminal(report))
    scores = f", scores of every run {paths.scores}" if paths.scores else ""
    say(console, f"tables  {paths.markdown} (also .tex, {paths.csv.name}){scores}")
    if paths.figures:
        say(console, f"figures {', '.join(str(p) for p in paths.figures if p.suffix == '.png')}")
    if paths.left:
        left = ", ".join(path.relative_to(suite_dir).as_posix() for path in paths.left)
        say(console, f"left as they were in {suite_dir}: {left}")
    say(console, f"page    {paths.html}")
    return not report.notes.failures


def show_all_reports(results: Path, console: Console, protocol: str | None = None) -> bool:
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
            report = build_report(folder, protocol=protocol)
        except UserError as error:
            name = folder.relative_to(results).as_posix()
            entries.append(SuiteEntry(folder=name, title=name, problem=str(error)))
        else:
            problem = " ".join(report.notes.failures)
            entries.append(entry_of(report.records, report.comparison, results, problem))
        say(console, f"page    {folder / PAGE}  {entries[-1].problem}".rstrip())
    write_bytes(index, index_page(entries).encode())
    say(console, f"index   {index}")
    return not any(entry.problem for entry in entries)


def results_of(name: str, results: Path) -> Path:
    """The results folder of a suite given by folder, name or file. Raises UserError."""
    if folder := folder_of(name, results):
        return folder
    suite, _ = load_suite(find_suite(name))
    folder = results / suite.name
    if not (folder / FILE_NAME).is_file():
        raise _no_results(name, suite, results)
    return folder


def _no_results(name: str, suite: Suite, results: Path) -> UserError:
    """That a suite given by `name` was not run, and where committed results of it are, if any."""
    committed = results / "local" / suite.name
    here = (committed / FILE_NAME).is_file()
    look = (
        f", or look at those of {committed}: python -m harness report {committed}" if here else ""
    )
    return UserError(
        f"There are no results of '{suite.name}' in {results}. Make them with: "
        f"python -m harness run {name}{look}"
    )


def folder_of(name: str, results: Path) -> Path | None:
    """The results folder given by its path, or by its name under `results`."""
    folders = (Path(name), results / name)
    return next((folder for folder in folders if (folder / FILE_NAME).is_file()), None)
