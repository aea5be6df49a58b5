"""Jobs that are still running when a run wants their rows: left to the sensor, or waited for."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import dagster as dg

from thunderbit_dagster.api.client import ThunderbitClient
from thunderbit_dagster.api.errors import ThunderbitError
from thunderbit_dagster.ledger.records import Progress
from thunderbit_dagster.polling.pace import EXPIRED, Watched, next_poll
from thunderbit_dagster.polling.poll import Poller
from thunderbit_dagster.polling.sensor import SENSOR_NAME

ALIVE_SECONDS = 120.0
"""A sensor that has not ticked for so long, or for three of its intervals, is taken to be off."""


def sensor_is_polling(instance: dg.DagsterInstance, now: float) -> bool:
    """Whether the job sensor ticks: then no run needs to wait.

    Dagster keeps the time of a sensor's last tick in its state, and the state of a stopped sensor says so.
    """
    for state in instance.all_instigator_state():
        data = state.instigator_data
        if state.instigator_name != SENSOR_NAME or data is None or state.status.value == "STOPPED":
            continue
        ticked = getattr(data, "last_tick_timestamp", None) or 0.0
        interval = getattr(data, "min_interval", None) or 0
        if now - ticked < max(ALIVE_SECONDS, 3 * interval):
            return True
    return False


@dataclass
class Waiter:
    """Polls jobs in a run until all have ended or are past their deadline.

    Used with the sensor off and in backfills, whose partitions Dagster would mark failed when their run ends
    without them. ``on_change`` is told of every change.
    """

    client: ThunderbitClient
    log: dg.DagsterLogManager
    deadline_seconds: float
    on_change: Callable[[Progress], None]
    cancel_late: bool = False
    explain: Callable[[ThunderbitError], str] = str
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    progress: dict[str, Progress] = field(default_factory=dict)

    def look(self, jobs: dict[str, Watched]) -> list[Watched]:
        """Ask about every job once; those that have not ended."""
        return self._ask(jobs, list(jobs.values()))

    def wait(self, running: list[Watched]) -> None:
        """Poll at each job's own pace until none is running."""
        while running:
            now = self.clock()
            wake = min(next_poll(watched, now) for watched in running)
            self.log.debug("%d batch job(s) are running; asking again in %.0f s", len(running), wake - now)
            self.sleep(max(0.0, wake - now))
            due = [watched for watched in running if next_poll(watched, now) <= self.clock()]
            running = self._ask({watched.job: watched for watched in running}, due)

    def _ask(self, jobs: dict[str, Watched], due: list[Watched]) -> list[Watched]:
        poller = Poller(self.client, self.log, stop_at=float("inf"), explain=self.explain, clock=self.clock)
        bounded = [self._bounded(watched) for watched in due]
        poller.poll_all(bounded)
        before = {watched.job: watched.progress.status for watched in due if watched.progress}
        unasked = bounded if poller.truncated else []
        seen = {change.job for change in poller.changes}
        # A run cannot wait for an API that is out of reach, as the sensor does.
        late = [self._too_late(watched) for watched in unasked if watched.job not in seen and self._is_late(watched)]
        for change in [*poller.changes, *late]:
            self.progress[change.job] = change
            if change.status != before.get(change.job):
                self.log.info("%s is %s (%s of %s rows)", change.job, change.status, change.done, change.total)
            self.on_change(change)
        updated = [self._updated(watched) for watched in jobs.values()]
        return [watched for watched in updated if not watched.ended]

    def _bounded(self, watched: Watched) -> Watched:
        deadline = watched.submitted_at + self.deadline_seconds
        return replace(watched, deadline=deadline, cancel_late=self.cancel_late)

    def _is_late(self, watched: Watched) -> bool:
        return not watched.ended and self.clock() > watched.deadline

    def _too_late(self, watched: Watched) -> Progress:
        return Progress(job=watched.job, status=EXPIRED, total=watched.size, at=self.clock())

    def _updated(self, watched: Watched) -> Watched:
        return replace(watched, progress=self.progress.get(watched.job, watched.progress))
