"""Marks scores by how their runs came about: with a setting that tuning chose, by earlier code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from harness.runs.suite_file import SuiteFile

TUNED, EARLIER = "ᵗ", "¶"
MEANING = "made by earlier code of this method"


def origin_mark(suite: SuiteFile, label: str, tasks: Iterable[str]) -> str:
    """What a score of the label on the tasks carries: notes say what it means."""
    tuned = TUNED if suite.tuning is not None else ""
    kept = any((task, label) in suite.kept_cells for task in tasks)
    return tuned + (EARLIER if kept else "")


def origin_notes(suite: SuiteFile) -> Iterator[str]:
    """What the marks say and of which methods, if there are any."""
    if suite.tuning is not None:
        tried = sum(row.base == suite.rows[0].label for row in suite.tuning.rows)
        seeds = ", ".join(map(str, suite.tuning.seeds))
        meaning = suite.evaluation.protocol
        yield (
            f"{TUNED}: TUNED ONLINE. Every method tried {tried} settings, its own among them, on "
            f"seeds of their own ({seeds}); its scores are of the one that the rule chose for each "
            f"{suite.tuning.per}: the highest mean over these seeds{_places(suite)} of the score "
            f"by '{meaning}', the method's own setting among equals. Returns in the environment "
            "chose it, which nobody who has only the data can do."
        )
    ids = {row.label: row.id for row in suite.rows}
    if methods := dict.fromkeys(ids[run.label] for run in suite.runs if run.kept):
        yield f"{EARLIER}: {MEANING}, all or some of the runs: {', '.join(methods)}."


def _places(suite: SuiteFile) -> str:
    """Which tasks chose for the others of their family, where not all did."""
    if suite.tuning is None or suite.tuning.tasks is None:
        return ""
    return f" on {', '.join(suite.tuning.tasks)}"
