"""Methods side by side over several suites: one column for each family of their tasks."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from harness.docs.place import Place
from harness.docs.results import not_run, was_run
from harness.errors import UserError
from harness.report.gate import MARK
from harness.report.layout import points
from harness.report.notes import SMOKE
from harness.report.origins import EARLIER, MEANING, TUNED
from harness.runs.suite_file import SuiteFile

CsvRow = dict[str, str]  # of a table.csv
_MISSING = "–"
_MARKS = {  # what they say of a mean
    TUNED: "each had the best of as many settings",
    EARLIER: f"{MEANING}, all or some of the runs",
    MARK: "on some of them it trusts a critic that is not usable",
}


@dataclass(frozen=True)
class _Family:
    """The tasks of one family in a suite, and what its rows score on them."""

    heading: str
    lines: dict[str, CsvRow]  # by label
    earlier: frozenset[str]  # labels with runs that earlier code made

    @classmethod
    def all_of(cls, folder: Path, place: Place) -> list[Self]:
        """Those of a suite whose tasks rank methods."""
        suite = SuiteFile.read(folder)
        lines = _lines(folder / "table.csv")
        runs = _lines(folder / "scores.csv")
        tasks: dict[str, list[str]] = {}
        for task in suite.tasks:
            if task.ranks:
                tasks.setdefault(task.family, []).append(task.id)
        found = []
        for family, members in tasks.items():
            several = len(members) > 1
            place_in_table = f"average ({family})" if several else members[0]
            here = {line["algorithm"]: line for line in lines if line["task"] == place_in_table}
            name = f"{family}, {len(members)} tasks" if several else members[0]
            heading = f"[{name}]({place.link(folder / 'table.md')})"
            chosen = {
                line["protocol"] for line in here.values() if line["online_selection"] == "True"
            }
            heading += "".join(f" ({protocol}: ONLINE SELECTION)" for protocol in chosen)
            kept = {run["label"] for run in runs if run["task"] in members and run.get("code")}
            found.append(cls(heading, here, frozenset(kept)))
        return found

    def mean(self, label: str) -> float:
        """What to sort by: rows without a score come last."""
        found = self.lines.get(label, {}).get("mean")
        return float(found) if found else float("-inf")

    def has_mean(self, label: str) -> bool:
        return self.mean(label) > float("-inf")

    def cell(self, label: str) -> str:
        line = self.lines.get(label)
        if line is None or not line["mean"]:
            return _MISSING
        mean = points(float(line["mean"]))
        mean = f"**{mean}**" if line["best"] == "True" else mean
        mean += TUNED if line.get("tuned_online") == "True" else ""
        mean += EARLIER if label in self.earlier else ""
        mean += MARK if line["critic_usable"] == "False" else ""
        if not line["ci95_low"]:
            return mean
        low, high = (points(float(line[name])) for name in ("ci95_low", "ci95_high"))
        return f"{mean} [{low}, {high}]"


def averages_table(place: Place, *suites: str) -> str:
    """The average of every row over each family of tasks, best first by the first that was run.

    Args:
        place: where the text is to stand.
        suites: their folders under that of all results; tasks that rank no methods are left out.

    Raises UserError for a suite without its table.
    """
    folders = [place.results / suite for suite in suites]
    run = [folder for folder in folders if was_run(folder)]
    found = [family for folder in run for family in _Family.all_of(folder, place)]
    families = [family for family in found if any(map(family.has_mean, family.lines))]
    labels = dict.fromkeys(label for family in families for label in family.lines)
    order = sorted(labels, key=lambda label: [-family.mean(label) for family in families])
    table = [
        ["Algorithm", *(family.heading for family in families)],
        ["---", *("---:" for _ in families)],
        *([label, *(family.cell(label) for family in families)] for label in order),
    ]
    lines = "\n".join(f"| {' | '.join(row)} |" for row in table)
    written = [lines, _legend(lines)] if families else []
    written += [
        f"{other.heading}: no row is finished on all of them."
        for other in found
        if other not in families
    ]
    smoke = [f"**{SMOKE}.**" for folder in run if SuiteFile.read(folder).smoke]
    return "\n\n".join(
        [*smoke[:1], *written, *(not_run(f, place) for f in folders if f not in run)]
    )


def _legend(table: str) -> str:
    """What the table's numbers and marks mean."""
    marks = "".join(f" {mark}: {words}." for mark, words in _MARKS.items() if mark in table)
    return (
        "Averages over the tasks' means, [95% intervals]; '–': not finished on all of them. Bold: "
        f"the best and what is not told apart from it.{marks} The linked tables have seeds, "
        "budgets and protocol."
    )


def _lines(table: Path) -> list[CsvRow]:
    try:
        with table.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise UserError(
            f"{table} cannot be read: {error}; make it with `harness report`"
        ) from error
