"""Marks scores that earlier code of their method made, and says so."""

from __future__ import annotations

from collections.abc import Iterable

from harness.runs.suite_file import SuiteFile

MARK = "¶"
MEANING = "made by earlier code of this method"


def earlier_mark(suite: SuiteFile, label: str, tasks: Iterable[str]) -> str:
    """The mark, if runs of the label on one of the tasks were kept from earlier code."""
    among = set(tasks)
    kept = any(run.kept and run.label == label and run.task in among for run in suite.runs)
    return MARK if kept else ""


def earlier_note(suite: SuiteFile) -> tuple[str, ...]:
    """What the mark says and of which methods, if there is any."""
    ids = {row.label: row.id for row in suite.rows}
    methods = dict.fromkeys(ids[run.label] for run in suite.runs if run.kept)
    if not methods:
        return ()
    return (f"{MARK}: {MEANING}, all or some of the runs: {', '.join(methods)}.",)
