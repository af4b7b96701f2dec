"""A time limit for code that may never end, where the operating system offers one."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

# An answer that catches everything gets the same again, this many seconds later.
_AGAIN = 0.5


class OutOfTime(BaseException):
    """The time is over. No Exception, so that an answer's own ``except Exception`` lets it pass."""


def available() -> bool:
    """Whether a limit can be kept: on Linux and macOS, in the thread that cells run in.

    Windows has no such timer, and Python lets only the main thread be interrupted.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    return hasattr(signal, "setitimer") and in_main_thread


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise OutOfTime in the block after so many seconds; without a limit where there is none.

    It comes between two steps of Python: a single call into torch ends first. A timer that was
    running before goes on afterwards.
    """
    if not available():
        yield
        return

    def over(number: int, frame: Any) -> None:
        raise OutOfTime

    started = time.monotonic()
    handler = signal.signal(signal.SIGALRM, over)
    remaining, interval = signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL if handler is None else handler)
        if remaining:
            left = max(remaining - (time.monotonic() - started), 1e-3)
            signal.setitimer(signal.ITIMER_REAL, left, interval)
