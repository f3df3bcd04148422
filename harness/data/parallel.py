"""Work spread over processes, its results in order."""

from __future__ import annotations

import itertools
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, TypeVar

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
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _leave_interrupts_to_the_parent)
    try:
        ahead = itertools.chain(first, remaining)
        pending = deque(pool.submit(function, *a) for a in itertools.islice(ahead, 2 * workers))
        while pending:
            yield pending.popleft().result()
            pending.extend(pool.submit(function, *a) for a in itertools.islice(ahead, 1))
    finally:
        pool.shutdown(cancel_futures=True)


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
