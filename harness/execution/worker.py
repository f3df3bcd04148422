"""What the local executor's processes run: `python -m harness.execution.worker PARENT`.

Reads trials from standard input, one a line as JSON, and works on each until there are no more.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
from types import FrameType

from harness.execution.work import work
from harness.runs.trial import Trial


class _Asked:
    to_stop = False


def main() -> None:
    """Work on every trial sent. A trial ends early, saved, if a stop is requested, the process that
    started this one is gone, or this one is asked to end: then it ends as it was asked to.

    The parent's number is an argument: by the time this runs, it may have died already.
    """
    parent = int(sys.argv[1])
    signal.signal(signal.SIGTERM, _remember)
    for line in sys.stdin:
        trial = Trial.model_validate_json(line)
        for _ in work(trial, functools.partial(_should_stop, trial, parent)):
            pass
        if _Asked.to_stop:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.raise_signal(signal.SIGTERM)


def _remember(_signal: int, _frame: FrameType | None) -> None:
    _Asked.to_stop = True


def _should_stop(trial: Trial, parent: int) -> bool:
    return _Asked.to_stop or os.getppid() != parent or trial.stop_requested()


if __name__ == "__main__":
    main()
