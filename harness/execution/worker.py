"""What the local executor's processes run: `python -m harness.execution.worker`.

Reads trials from standard input, one a line as JSON, and works on each until there are no more.
"""

from __future__ import annotations

import functools
import os
import sys

from harness.execution.work import work
from harness.runs.trial import Trial


def main() -> None:
    """Work on every trial sent. A trial ends early if a stop is requested or the parent dies."""
    parent = os.getppid()
    for line in sys.stdin:
        trial = Trial.model_validate_json(line)
        stop = functools.partial(_should_stop, trial, parent)
        for _ in work(trial, stop):
            pass


def _should_stop(trial: Trial, parent: int) -> bool:
    return trial.stop_requested() or os.getppid() != parent


if __name__ == "__main__":
    main()
