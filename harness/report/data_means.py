"""What the data of a task score on average: a line to measure policies by."""

from __future__ import annotations

from harness.data.returns import mean_return
from harness.report.records import Records, trained_on
from harness.tasks.spec import TaskSpec


def data_score(records: Records, task: TaskSpec) -> float | None:
    """The mean score of the episodes that the task's runs were trained on, in points.

    As the suite's file says, or else by the rows on this machine. None where neither knows these
    rows, or they differ between runs.
    """
    hashes = trained_on(records, task.id)
    if len(hashes) != 1:
        return None
    recorded = records.suite.data.get(task.id)
    if recorded is not None and recorded.sha256 == hashes[0]:
        return task.normalized_score(recorded.mean_return)
    mean = mean_return(hashes[0])
    return None if mean is None else task.normalized_score(mean)
