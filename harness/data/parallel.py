"""Work spread over processes, its results in order."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, TypeVar

_POLL_SECONDS = 0.5

Result = TypeVar("Result")


def in_order(
    function: Callable[..., Result], arguments: Iterable[tuple[Any, ...]], workers: int | None
) -> Iterator[Result]:
    """`function(*a)` for every `a` in order, made by `workers` processes (None: one a core).

    Works only a little ahead of its reader, so `arguments` may be endless.
    """
    workers = workers or os.cpu_count() or 1
    remaining = iter(arguments)
    first = list(itertools.islice(remaining, 2))
    if workers == 1 or len(first) < 2:
        yield from (function(*each) for each in itertools.chain(first, remaining))
        return
    # Spawned, not forked: the parent may hold threads (torch, Ray) that a fork would break.
    pool = ProcessPoolExecutor(
        workers, get_context("spawn"), _depend_on_the_parent, initargs=(os.getpid(),)
    )
    try:
        ahead = itertools.chain(first, remaining)
        pending = deque(pool.submit(function, *a) for a in itertools.islice(ahead, 2 * workers))
        while pending:
            yield pending.popleft().result()
            pending.extend(pool.submit(function, *a) for a in itertools.islice(ahead, 1))
    finally:
        pool.shutdown(cancel_futures=True)


def _depend_on_the_parent(parent: int) -> None:
    """Leave interrupts to it, and end when it is gone, however it ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_POLL_SECONDS)
    os._exit(1)
