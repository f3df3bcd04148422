"""Carries out a plan: starts the executor, shows progress, and stops cleanly on Ctrl-C."""

from __future__ import annotations

import fcntl
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from filelock import FileLock, Timeout

from harness.errors import UserError
from harness.execution.executor import Executor
from harness.execution.progress import Display, TrialView
from harness.runs.trial import LOCKS, STOP_FILE, Trial, holder_file, taken_up
from harness.suite.schema import Resources

LOCK_FILE = ".lock"  # of a suite's results folder
_POLL_SECONDS = 0.25
_ORPHAN_SECONDS = 5.0  # a worker looks up about every second, but not while it evaluates
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(Exception):  # noqa: N818  (not an error: the user asked for it)
    """A stop was asked for, and the runs have been saved."""


@contextmanager
def sole_use(suite_dir: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Hold a suite's results folder, once nobody writes in it any more.

    `say` is told of a long wait. Raises UserError if another `run` holds the folder.
    """
    suite_dir.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(suite_dir / LOCK_FILE, timeout=0):
            (suite_dir / STOP_FILE).unlink(missing_ok=True)
            _outlast_orphans(suite_dir / LOCKS, say)
            yield
    except Timeout:
        raise UserError(
            f"Another `run` is at work in {suite_dir}. Wait for it, or stop it with Ctrl-C."
        ) from None


def is_in_use(suite_dir: Path) -> bool:
    """Whether a command holds a suite's results folder just now; looks without writing."""
    try:
        with (suite_dir / LOCK_FILE).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # there is none, or it is not ours to see
        return False
    return False


def _outlast_orphans(locks: Path, say: Callable[[str], None]) -> None:
    """Wait for workers whose command was killed: they stop when they notice, with a run saved."""
    for path in sorted(locks.glob("*.lock")):
        lock = FileLock(path)
        try:
            lock.acquire(timeout=_ORPHAN_SECONDS)
        except Timeout:
            say(
                "A worker of an earlier command, which was killed, still holds a run here: waiting "
                f"until it has saved it.{_how_to_end(path)}"
            )
            lock.acquire()
        path.unlink()
        holder_file(path).unlink(missing_ok=True)
        lock.release()


def _how_to_end(lock: Path) -> str:
    """What to do about the holder of a run's lock if it hangs; nothing if it is not known."""
    with suppress(OSError):
        if pid := holder_file(lock).read_text().strip():
            return f" If it hangs, end it on the machine that it is on: kill -9 {pid}"
    return ""


def execute(
    trials: Sequence[Trial], resources: Resources, executor: Executor, display: Display
) -> None:
    """Run all trials to their end.

    Raises:
        Stopped: after the first Ctrl-C, once every worker has saved its runs.
        KeyboardInterrupt: after the second, once every worker has been killed.
    """
    views = [TrialView(trial) for trial in trials]
    display = _Steadfast(display)
    with _stop_on_signals(trials[0].suite_dir / STOP_FILE, display) as stop:
        try:
            executor.start(trials, resources)
            while executor.working():
                begun = time.perf_counter()
                known = taken_up(trials[0].suite_dir)
                _show(views, display, [view for view in views if view.trial.is_begun(known)])
                # Of thousands of trials even a look takes a while: not more than a tenth of a core.
                time.sleep(max(_POLL_SECONDS, 9 * (time.perf_counter() - begun)))
            _show(views, display, views)
        except BaseException:
            executor.kill()
            raise
        finally:
            display.close()
    if stop.requested:
        raise Stopped


class _Steadfast:
    """A display whose terminal or pipe may go away: the runs go on unseen."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self._gone = False

    def update(self, views: Sequence[TrialView]) -> None:
        self._try(lambda: self._display.update(views))

    def say(self, message: str) -> None:
        self._try(lambda: self._display.say(message))

    def close(self) -> None:
        self._try(self._display.close)

    def _try(self, show: Callable[[], None]) -> None:
        if self._gone:
            return
        try:
            show()
        except (OSError, ValueError, SystemExit):  # Rich leaves when a pipe breaks
            self._gone = True


class _Stop:
    requested = False


@contextmanager
def _stop_on_signals(stop_file: Path, display: Display) -> Iterator[_Stop]:
    """The first of these signals asks the workers to stop; the next raises KeyboardInterrupt.

    SIGHUP comes when the terminal is closed. One that is ignored, as under nohup, stays ignored.
    """
    stop = _Stop()

    def handle(_signal: int, _frame: FrameType | None) -> None:
        if stop.requested:
            raise KeyboardInterrupt
        stop.requested = True
        stop_file.touch()
        display.say("Stopping: saving every run. Press Ctrl-C again to stop at once.")

    heeded = [n for n in _STOPPING if n != signal.SIGHUP or signal.getsignal(n) != signal.SIG_IGN]
    previous = {number: signal.signal(number, handle) for number in heeded}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        stop_file.unlink(missing_ok=True)


def _show(views: Sequence[TrialView], display: Display, moving: Sequence[TrialView]) -> None:
    """Look at those of the trials that may have moved, and show all."""
    for view in moving:
        view.refresh()
    display.update(views)
