"""Where links on the page lead: ids of its parts, and which numbers they are of."""

from __future__ import annotations

from urllib.parse import quote

from harness.report.layout import Text
from harness.runs.suite_file import SuiteFile


class Anchors:
    """Ids of the methods, tasks and cells of a suite, as a link's fragment spells them."""

    def __init__(self, suite: SuiteFile) -> None:
        self.methods = {row.label: f"method/{_spelled(row.label)}" for row in suite.rows}
        self.tasks = {task.id: f"task/{_spelled(task.id)}" for task in suite.tasks}
        # A label has no slash once it is spelled, so that no two cells share an id.
        self.cells = {
            (run.task, run.label): f"runs/{_spelled(run.task)}/{_spelled(run.label)}"
            for run in suite.runs
        }

    def of(self, text: Text) -> str:
        """The id of what a number is of: a cell's runs, a method, a task, or nothing."""
        if text.task and text.label:
            return self.cells.get((text.task, text.label), "")
        return self.methods.get(text.label, "") or self.tasks.get(text.task, "")

    def of_all(self, name: str, texts: list[Text]) -> str:
        """The id of the method or task that a line or column of numbers is named after.

        Where `name` is not theirs in full, since a task's is cut at its beginning and both have
        marks at their end, it is of what the numbers have in common.
        """
        if found := self.methods.get(name, "") or self.tasks.get(name, ""):
            return found
        labels, tasks = {text.label for text in texts}, {text.task for text in texts}
        label = labels.pop() if len(labels) == 1 else ""
        task = tasks.pop() if len(tasks) == 1 else ""
        if label and name.startswith(label):
            return self.methods.get(label, "")
        short = task.rpartition("/")[2]
        return self.tasks.get(task, "") if short and short in name else ""


def _spelled(name: str) -> str:
    return quote(name, safe="")
