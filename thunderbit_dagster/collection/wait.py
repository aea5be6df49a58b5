"""Jobs that are still running when a run wants their rows: left to the sensor, or waited for."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import dagster as dg

from thunderbit_dagster.api.errors import ThunderbitError
from thunderbit_dagster.jobs.poll import Poller
from thunderbit_dagster.jobs.queue import with_expectations
from thunderbit_dagster.jobs.state import EXPIRED, LONGEST, JobState, next_poll
from thunderbit_dagster.ledger.records import Progress
from thunderbit_dagster.runs.names import SENSOR_NAME

if TYPE_CHECKING:
    from thunderbit_dagster.api.client import ThunderbitClient

ALIVE_SECONDS = 120.0
"""A sensor that has not ticked for so long, or for three of its intervals, is taken to be off."""


def sensor_is_polling(instance: dg.DagsterInstance, now: float) -> bool:
    """Whether the job sensor ticks: then no run needs to wait.

    Dagster keeps the time of a sensor's last tick in its state, and the state of a stopped sensor says so. An instance
    without schedule storage, such as the one in memory that ``dg.materialize`` makes, has no sensors.
    """
    if instance.schedule_storage is None:
        return False
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
    without them. ``on_change`` is told of every change; ``slots`` are the batch jobs that the plan runs at once.
    """

    client: ThunderbitClient
    log: dg.DagsterLogManager
    deadline_seconds: float
    on_change: Callable[[Progress], None]
    cancel_late: bool = False
    explain: Callable[[ThunderbitError], str] = str
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    slots: int = 1
    _jobs: dict[str, JobState] = field(default_factory=dict)

    @property
    def progress(self) -> dict[str, Progress]:
        """The newest observation of each job that has one."""
        return {job: state.progress for job, state in self._jobs.items() if state.progress}

    def look(self, jobs: dict[str, JobState]) -> list[JobState]:
        """Ask about every job once; those that have not ended."""
        self._jobs = {job: self._bounded(state) for job, state in jobs.items()}
        return self._ask(list(self._jobs.values()))

    def wait(self, running: list[JobState]) -> None:
        """Poll at each job's own pace until none of the jobs that were looked at is running."""
        while running:
            now = self.clock()
            paced = [job for job in with_expectations(self._jobs.values(), self.slots) if not job.ended]
            times = {job.job: next_poll(job, now) for job in paced}
            wake = min(*times.values(), now + LONGEST)
            self.log.debug("%d batch job(s) are running; asking again in %.0f s", len(running), wake - now)
            self.sleep(max(0.0, wake - now))
            running = self._ask([job for job in paced if times[job.job] <= self.clock()])

    def _ask(self, due: list[JobState]) -> list[JobState]:
        poller = Poller(self.client, self.log, stop_at=float("inf"), explain=self.explain, clock=self.clock)
        poller.poll_all(due)
        before = {watched.job: watched.progress.status for watched in due if watched.progress}
        unasked = due if poller.truncated else []
        seen = {change.job for change in poller.changes}
        # A run cannot wait for an API that is out of reach, as the sensor does.
        late = [self._too_late(watched) for watched in unasked if watched.job not in seen and self._is_late(watched)]
        for change in [*poller.changes, *late]:
            self._jobs[change.job] = replace(self._jobs[change.job], progress=change)
            if change.status != before.get(change.job):
                self.log.info("%s is %s (%s of %s rows)", change.job, change.status, change.done, change.total)
            self.on_change(change)
        return [watched for watched in self._jobs.values() if not watched.ended]

    def _bounded(self, watched: JobState) -> JobState:
        deadline = watched.submitted_at + self.deadline_seconds
        return replace(watched, deadline=deadline, cancel_late=self.cancel_late)

    def _is_late(self, watched: JobState) -> bool:
        return not watched.ended and self.clock() > watched.deadline

    def _too_late(self, watched: JobState) -> Progress:
        return Progress(job=watched.job, status=EXPIRED, total=watched.size, at=self.clock())
