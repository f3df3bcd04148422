"""The index over all suites' results: what each asks, how far it is, what it says, its page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from harness.report.comparison import Comparison
from harness.report.curves import read_curves
from harness.report.notes import SMOKE
from harness.report.page.answer import answers
from harness.report.page.render import render
from harness.report.page.runs import in_words
from harness.report.records import Records


@dataclass(frozen=True)
class SuiteEntry:
    """A suite on the index; `problem` says why there is no page, or what is not in it."""

    folder: str  # relative to the index
    title: str
    link: str = ""
    question: str = ""
    tasks: int = 0
    methods: int = 0
    seeds: int = 0
    runs: str = ""
    answers: tuple[str, ...] = ()
    problem: str = ""


def entry_of(
    records: Records, comparison: Comparison, results: Path, problem: str = ""
) -> SuiteEntry:
    """What the index says of a suite whose results are below the folder `results`."""
    suite = records.suite
    folder = records.folder.relative_to(results).as_posix()
    return SuiteEntry(
        folder=folder,
        title=suite.title,
        link=f"{quote(folder)}/report.html",
        question=suite.question,
        tasks=len(suite.tasks),
        methods=len(suite.rows),
        seeds=len(suite.seeds),
        runs=in_words(Counter(records.runs["state"])),
        answers=(f"{SMOKE}.",) if suite.smoke else tuple(answers(comparison, read_curves(records))),
        problem=problem,
    )


def index_page(entries: Sequence[SuiteEntry]) -> str:
    """The index as HTML text; its links are relative, so that the folder can be served as it is."""
    return render("index.html", entries=entries)
