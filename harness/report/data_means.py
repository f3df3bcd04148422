"""What the data of a task score on average: a line to measure policies by."""

from __future__ import annotations

from functools import lru_cache

from harness.data.cache import find_rows
from harness.data.facts import facts_of
from harness.errors import UserError
from harness.report.records import Records, trained_on
from harness.tasks.spec import TaskSpec


def data_score(records: Records, task: TaskSpec) -> float | None:
    """The mean score of the episodes that the task's runs were trained on, in points.

    None where these rows are not on this machine, are damaged, or differ between runs.
    """
    hashes = trained_on(records, task.id)
    mean = _mean_return(hashes[0]) if len(hashes) == 1 else None
    return None if mean is None else task.normalized_score(mean)


@lru_cache
def _mean_return(sha256: str) -> float | None:
    try:
        loaded = find_rows(sha256)
    except UserError:
        return None
    return None if loaded is None else float(facts_of(loaded.transitions).returns.mean())
