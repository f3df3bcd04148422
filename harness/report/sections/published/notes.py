"""What stands under the tables of published scores."""

from __future__ import annotations

from harness.published import UNKNOWN
from harness.report.layout import MISSING
from harness.report.sections.published.beside import Beside
from harness.report.sections.published.reproduction import MARGIN

_MEANINGS = {
    "last": "'last': the final evaluation",
    "best": "'best': the best evaluation seen, a choice by online returns",
    UNKNOWN: "'not stated': the source does not say; not to be ranked against others",
}


def published_notes(beside: Beside) -> tuple[str, ...]:
    """What published numbers are, and which there are none of."""
    if not beside.tasks:
        return ()
    meanings = [_MEANINGS[name] for name in beside.suite.published.protocols if name in _MEANINGS]
    notes = [
        "Published: the number of the method's own paper, else CORL's, else another source's; "
        "published.csv names every source. '(a to b)': sources print from a to b, more than "
        f"{MARGIN:g} points apart. '(v0)': of D4RL's older data. Published scores of a table are "
        f"by one protocol ({'; '.join(meanings)}), ours by '{beside.comparison.protocol.name}'. "
        "Averages are of methods with a score on every task, whatever their sources. Ours: mean ± "
        "sd over seeds (ddof = 1); "
        f"'{MISSING}': not run. Sorted by the published average."
    ]
    absent = {method for task, method in beside.literature.not_at_hand if task in beside.tasks}
    rows = [row.label for row in beside.suite.rows if beside.method_of(row) in absent]
    if rows:
        notes.append(
            f"Not at hand: the published scores of {', '.join(rows)} (arXiv:2505.20350). Whoever "
            "has the paper can enter them in a CSV file that the suite names under `published`."
        )
    if without := _without(beside):
        notes.append(
            "Nothing published under these protocols and nothing run: " + ", ".join(without) + "."
        )
    if others := [task for task in beside.comparison.tasks if task not in beside.tasks]:
        notes.append(f"No published scores are collected of {', '.join(others)}.")
    return tuple(notes)


def _without(beside: Beside) -> list[str]:
    """The suite's rows that are in no table."""
    protocols = beside.suite.published.protocols
    lines = beside.lines(protocols[0])
    return [
        line.name
        for line in lines
        if line.label and not any(beside.has_any(line, protocol) for protocol in protocols)
    ]
