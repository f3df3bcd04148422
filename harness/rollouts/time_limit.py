"""A limit on how long something may take: an environment that hangs would hold its run for ever."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raises TimeoutError in what is inside once `seconds` have passed, and again if it is caught.

    Signals reach the main thread alone, in which runs are trained; in others there is no limit.
    Python code and system calls are interrupted. A loop in C ends with its whole process, by
    SIGVTALRM, once it has computed for twice the limit; one that waits in C for ever goes on.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def expire(_signal: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"no answer within {seconds:g} seconds")

    handler = signal.signal(signal.SIGALRM, expire)
    timer = signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
    signal.setitimer(signal.ITIMER_VIRTUAL, 2 * seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.setitimer(signal.ITIMER_REAL, *timer)  # somebody else's goes on
        signal.signal(signal.SIGALRM, handler)
