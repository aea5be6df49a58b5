"""Keeping interrupts away from work that must not stop half-way, such as a paid request and the record of it."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from thunderbit_dagster.api.errors import NotSentError

SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""Dagster ends a run's processes by these."""
SLICE_SECONDS = 0.1


class _Held:
    """A signal handler that remembers in place of acting."""

    def __init__(self) -> None:
        self.arrived: list[int] = []

    def __call__(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.arrived.append(number)


@contextmanager
def hold_interrupts() -> Iterator[None]:
    """SIGINT and SIGTERM wait until the block ends, and act then.

    Outside the main thread, where Python delivers no signals, nothing happens.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held = _Held()
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        for number in SIGNALS:
            signal.signal(number, held)
        yield
    finally:
        for number, handler in before.items():
            # None: the handler is not Python's, and cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        if held.arrived:
            signal.raise_signal(held.arrived[0])


def sleep(seconds: float) -> None:
    """``time.sleep``, which gives up when an interrupt is being held.

    Raises:
        NotSentError: an interrupt waits; what the pause was for has not been sent.
    """
    held = signal.getsignal(signal.SIGINT)
    if not isinstance(held, _Held) or threading.current_thread() is not threading.main_thread():
        time.sleep(seconds)
        return
    wake = time.monotonic() + seconds
    while not held.arrived and (left := wake - time.monotonic()) > 0:
        time.sleep(min(left, SLICE_SECONDS))
    if held.arrived:
        raise NotSentError("the run was interrupted before the request was sent")
