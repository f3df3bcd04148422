"""What takes too long is interrupted, and nothing else is."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from harness.rollouts.time_limit import time_limit
from tests.harness.conftest import REPOSITORY


def sleep() -> None:
    time.sleep(600)


def spin() -> None:
    while True:
        pass


def sleep_again() -> None:
    with suppress(TimeoutError):
        sleep()
    sleep()


@pytest.mark.parametrize("hang", [sleep, spin, sleep_again])
def test_what_hangs_is_interrupted_also_if_it_catches_that(hang: Callable[[], None]) -> None:
    begun = time.monotonic()
    with pytest.raises(TimeoutError, match=r"^no answer within 0\.05 seconds$"), time_limit(0.05):
        hang()
    assert time.monotonic() - begun < 60


LOOP_IN_C = """
import itertools
from harness.rollouts.time_limit import time_limit
with time_limit(0.05):
    sum(itertools.repeat(0))
"""


def test_a_loop_in_c_ends_with_its_process() -> None:
    """Python runs no handler of a signal before it returns."""
    ended = subprocess.run([sys.executable, "-c", LOOP_IN_C], cwd=REPOSITORY, timeout=60)
    assert ended.returncode == -signal.SIGVTALRM


def test_what_is_in_time_is_left_alone_and_so_are_others_alarms() -> None:
    def ring(*_: object) -> None: ...

    handler = signal.signal(signal.SIGALRM, ring)
    timer = signal.setitimer(signal.ITIMER_REAL, 100.0)
    try:
        with time_limit(50.0):
            assert signal.getsignal(signal.SIGALRM) is not ring
        assert signal.getsignal(signal.SIGALRM) is ring
        assert signal.getitimer(signal.ITIMER_VIRTUAL)[0] == 0
        assert 50.0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 100.0
    finally:
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, *timer)


def test_in_another_thread_there_is_no_limit() -> None:
    ended: list[int] = []

    def work() -> None:
        with time_limit(0.01):
            time.sleep(0.05)
        ended.append(1)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ended == [1]
