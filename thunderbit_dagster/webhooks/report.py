"""The way into Dagster: a bounded queue, and a thread that reports what is in it to the event log."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final

import dagster as dg
from typing_extensions import Self

from thunderbit_dagster.ledger.asset_events import Metadata
from thunderbit_dagster.ledger.notifications import WEBHOOKS_KEY
from thunderbit_dagster.ledger.records import Notified, to_metadata

QUEUE_CALLS: Final = 1_000
_RETRY_SECONDS: Final = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Pauses before the event log is tried again."""
DRAIN_SECONDS: Final = 10.0
"""How long the end waits for what was already acknowledged."""

log = logging.getLogger("thunderbit_dagster.webhooks")

ReportNotification = Callable[[Notified], None]


def report_to(instance: dg.DagsterInstance) -> ReportNotification:
    """Reports calls to a Dagster instance, as observations on the asset ``thunderbit/webhooks``."""

    def report(call: Notified) -> None:
        metadata: Metadata = {"job": call.job, "status": call.status, **to_metadata(call)}
        instance.report_runless_asset_event(dg.AssetObservation(asset_key=WEBHOOKS_KEY, metadata=dict(metadata)))

    return report


@dataclass
class Reporter:
    """Reports calls one after another in a thread of its own, from ``with`` to its end.

    Args:
        report: Writes one call to the event log.
        capacity: How many calls may wait; more are not taken.
        pauses: Seconds before each further try of a call that could not be reported; after the last it is dropped
            and logged, and polling will find the job.
        drain_seconds: How long the end waits for calls that were taken.
    """

    report: ReportNotification
    capacity: int = QUEUE_CALLS
    pauses: Sequence[float] = _RETRY_SECONDS
    drain_seconds: float = DRAIN_SECONDS
    reported: int = 0
    dropped: int = 0
    _waiting: queue.Queue[Notified | None] = field(init=False)
    _ending: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self._waiting = queue.Queue(self.capacity)
        self._thread = threading.Thread(target=self._work, name="thunderbit-webhooks", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        stop_by = time.monotonic() + self.drain_seconds
        with suppress(queue.Full):
            self._waiting.put(None, timeout=self.drain_seconds)
        self._thread.join(max(0.0, stop_by - time.monotonic()))
        if self._thread.is_alive():
            log.error("accepted webhook calls could not be reported in time; polling will find their jobs")

    @property
    def waiting(self) -> int:
        """Calls that were taken and not begun."""
        return self._waiting.qsize()

    @property
    def room(self) -> int:
        """How many more calls would be taken now."""
        return self.capacity - self.waiting

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def offer(self, call: Notified) -> bool:
        """Take a call without waiting; False when there is no room."""
        try:
            self._waiting.put_nowait(call)
        except queue.Full:
            return False
        return True

    def _work(self) -> None:
        while (call := self._waiting.get()) is not None:
            if self._deliver(call):
                self.reported += 1
            else:
                self.dropped += 1
                log.error("%s: the event log could not be written; polling will find the job", call.job)

    def _deliver(self, call: Notified) -> bool:
        for pause in (0.0, *self.pauses):
            self._ending.wait(pause)
            try:
                self.report(call)
            except Exception:
                # Each kind of storage has errors of its own, and the next call must go on.
                log.warning("%s: the event log could not be written", call.job, exc_info=True)
            else:
                return True
        return False
