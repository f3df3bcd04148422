"""Which runs show whether a task's critic is good enough to rank the methods that trust it."""

from __future__ import annotations

from collections.abc import Iterator

from harness.runs.suite_file import SuiteFile

PROBE = "ifql"  # id of the algorithm whose runs are the gate
CLONING, PICKING = "noise-1", "best-of-4"


def unmeasured_critics(suite: SuiteFile) -> Iterator[str]:
    """A sentence on the action selections that the suite lacks for its critics to be judged."""
    probe = next((row for row in suite.rows if row.id == PROBE and row.learns_critic), None)
    if probe is None:
        return
    evaluated = {probe.action_selection, *suite.evaluation.action_selections}
    if lacking := [each for each in (CLONING, PICKING) if each not in evaluated]:
        yield (
            f"The report will not know whether a critic is good enough to rank by, as "
            f"{probe.label} is to act by {CLONING} and {PICKING} for that. Before training, "
            f"add to evaluation.action_selections: {', '.join(lacking)}."
        )
