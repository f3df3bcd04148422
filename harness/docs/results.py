"""What a suite's results folder has to show: its tables, notes and figures, and how it was made."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from harness.docs.place import Place
from harness.errors import UserError
from harness.report.notes import SMOKE
from harness.runs.checkout import Checkout
from harness.runs.folder import RunFolder, read_json
from harness.runs.suite_file import FILE_NAME, SuiteFile
from harness.suite.figures import slug
from harness.suite.problems import unknown
from harness.suite.schema import suite_names

_SCORES = ("normalized-score", "summary-of", "average-over")  # titles of tables that rank


def suite_results(place: Place, suite: str, what: str = "table") -> str:
    """How a suite was run, and the part of its tables that is asked for.

    Args:
        place: where the text is to stand.
        suite: its folder under that of all results.
        what: `table`, `notes`, `run`, or the beginning of the slugs of some titles.

    Raises:
        UserError: the suite was run, but has nothing of that name.
    """
    folder = place.results / suite
    if not was_run(folder):
        return not_run(folder, place)
    tables, notes = _parts((folder / "table.md").read_text("utf-8"))
    if what == "run":
        chosen = []
    elif what == "notes":
        chosen = [notes]
    else:
        shown = [
            (title, table)
            for title, table in tables
            if what == "table" or slug(title).startswith(what)
        ]
        chosen = [f"{title}\n\n{table}" for title, table in shown]
        if not chosen:
            names = [slug(title) for title, _ in tables]
            raise UserError(unknown("table", what, ["table", "notes", "run", *names]))
        if any(slug(title).startswith(_SCORES) for title, _ in shown):
            chosen += _unsettled(notes)
    return "\n\n".join([_origin(folder, place), *chosen])


def suite_figure(place: Place, file: str, caption: str) -> str:
    """A figure of a suite with its caption.

    Args:
        place: where the text is to stand.
        file: under the folder of all results. `*` in its name stands for anything, as the pages of
            a large figure are files of their own.
        caption: stands under the figure, and for it where it cannot be seen.

    Raises:
        UserError: the suite was run, but has no such figure.
    """
    path = place.results / file
    if not was_run(path.parent.parent):
        return not_run(path.parent.parent, place)
    found = sorted(path.parent.glob(path.name), key=lambda f: (len(f.name), f.name))  # 2 before 10
    if not found:
        names = sorted(figure.name for figure in path.parent.glob("*.png"))
        raise UserError(unknown("figure", path.name, names))
    images = [f"![{caption}]({place.link(figure)})" for figure in found]
    return "\n\n".join([*images, f"*{caption}*"])


def was_run(folder: Path) -> bool:
    """Whether there is a report of runs: it is written when a run of the suite has ended."""
    return all((folder / name).is_file() for name in ("table.md", FILE_NAME))


def not_run(folder: Path, place: Place) -> str:
    """What stands in the place of results that are not there."""
    suite = folder.relative_to(place.results).as_posix()
    command = f"python -m harness run {suite if suite in suite_names() else folder.name}"
    return f"*Not run yet. `{command}` makes these results.*"


def _parts(text: str) -> tuple[list[tuple[str, str]], str]:
    """The titled tables of a `table.md`, and its notes."""
    paragraphs = text.strip().split("\n\n")
    tables = [(title, table) for title, table in pairwise(paragraphs) if table.startswith("|")]
    return tables, paragraphs[-1]


def _unsettled(notes: str) -> list[str]:
    """The notes that say which rows were still moving when they were scored."""
    return [note.removeprefix("- ") for note in notes.splitlines() if note.startswith("- NOT FLAT")]


def _origin(folder: Path, place: Place) -> str:
    """Command, date, commits, seeds and budget, with a link to everything else."""
    suite = SuiteFile.read(folder)
    statuses = {run.path: RunFolder(folder / run.path).status() for run in suite.runs}
    done = {path: found for path, found in statuses.items() if found and found.state == "done"}
    when = max((f" on {status.finished[:10]}" for status in done.values()), default="")
    cells = sum(row.runs_on(task.id) for row in suite.rows for task in suite.tasks)
    wanted = cells * len(suite.seeds)  # runs have no folder before their setting is chosen
    some_left = 0 < len(done) < wanted
    unfinished = f" {len(done):,} of {wanted:,} runs are done." if some_left else ""
    count = f"{len(suite.seeds)} seed{'s' if len(suite.seeds) > 1 else ''}"
    seeds = f"{count} ({', '.join(map(str, suite.seeds))})"
    warning = f"**{SMOKE}.** " if suite.smoke else ""
    return (
        f"{warning}Made by `{suite.command}`{when}{_commits(folder, done)}: {seeds}, "
        f"{suite.steps:,} gradient steps a run{_other_steps(suite)}, "
        f"{suite.evaluation.episodes:,} episodes an evaluation."
        f"{unfinished} [All tables and notes]({place.link(folder / 'table.md')})."
    )


def _other_steps(suite: SuiteFile) -> str:
    """The rows that train for another number of steps than the suite's."""
    others = [row for row in suite.rows if row.steps and row.steps != suite.steps]
    said = ", ".join(f"{row.label}: {row.steps:,}" for row in others)
    return f" ({said})" if said else ""


def _commits(folder: Path, paths: Iterable[str]) -> str:
    """Of which commits the runs are, and whether of no commit alone."""
    found = [read_json(folder / path / "provenance.json") or {} for path in paths]
    states = [Checkout.of(provenance) for provenance in found]
    names = sorted({state.short for state in states if state.commit})
    changed = sum(state.dirty for state in states)
    changes = f", {changed:,} of the runs with uncommitted changes" if changed else ""
    return f" at {', '.join(names)}{changes}" if names else ""
