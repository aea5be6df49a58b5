"""Batch jobs on an account with a number of slots, as plain values: when each begins and ends. Reads no clock."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from benchmarks.pages import FAILURE_CODE, Site
from thunderbit_dagster.api.codes import JobKind, JobStatus, RowStatus
from thunderbit_dagster.emulator.jobs import EmulatedJob, EmulatedRow


@dataclass(eq=False)
class SimulatedJob:
    """One job. Times are Unix seconds; `offsets` are seconds from its start to the end of each page."""

    id: str
    urls: Sequence[str]
    failing: Sequence[bool]
    offsets: Sequence[float]
    submitted_at: float
    webhook: tuple[str, str | None] | None = None
    """URL and secret."""
    started_at: float | None = None
    ended_at: float | None = None
    cancelled: bool = False

    @property
    def duration(self) -> float:
        return max(self.offsets)

    def finished(self, now: float) -> list[bool]:
        """Whether each page has ended."""
        if self.started_at is None:
            return [False] * len(self.urls)
        until = min(now, self.ended_at) if self.ended_at is not None and self.cancelled else now
        return [self.started_at + offset <= until for offset in self.offsets]

    def view(self, now: float) -> EmulatedJob:
        """The job as the emulator's code shows it."""
        done = self.finished(now)
        succeeded = sum(one and not fails for one, fails in zip(done, self.failing, strict=True))
        return EmulatedJob(
            id=self.id,
            route=JobKind.DISTILL.path.strip("/"),
            account="",
            kind=JobKind.DISTILL,
            total=len(self.urls),
            created_at=self.submitted_at,
            status=self.status,
            completed=succeeded,
            failed=sum(done) - succeeded,
            credits_used=succeeded,
            completed_at=self.ended_at,
        )

    @property
    def status(self) -> JobStatus:
        if self.ended_at is not None:
            return JobStatus.CANCELLED if self.cancelled else JobStatus.COMPLETED
        return JobStatus.PENDING if self.started_at is None else JobStatus.PROCESSING

    def rows(self, now: float, start: int, stop: int) -> list[EmulatedRow]:
        """Some rows, without their text."""
        done = self.finished(now)
        return [self._row(place, done[place]) for place in range(start, min(stop, len(self.urls)))]

    def _row(self, place: int, done: bool) -> EmulatedRow:
        if not done:
            status = RowStatus.PENDING if self.started_at is None else RowStatus.PROCESSING
            return EmulatedRow(place, self.urls[place], status)
        if self.failing[place]:
            error = {"code": FAILURE_CODE, "message": "The page does not exist."}
            return EmulatedRow(place, self.urls[place], RowStatus.FAILED, error=error)
        return EmulatedRow(place, self.urls[place], RowStatus.SUCCEEDED)


@dataclass
class JobQueue:
    """The jobs of an account: a number of slots, first come, first served."""

    site: Site
    slots: int
    jobs: dict[str, SimulatedJob] = field(default_factory=dict)
    newly_ended: deque[SimulatedJob] = field(default_factory=deque)
    _waiting: deque[SimulatedJob] = field(default_factory=deque)
    _running: list[tuple[float, str, SimulatedJob]] = field(default_factory=list)
    _free: int = field(init=False)

    def __post_init__(self) -> None:
        self._free = self.slots

    def submit(self, urls: Sequence[str], now: float, webhook: tuple[str, str | None] | None = None) -> SimulatedJob:
        self.advance(now)
        job = SimulatedJob(
            id=f"batch_{len(self.jobs) + 1:06d}",
            urls=tuple(urls),
            failing=tuple(map(self.site.fails, urls)),
            offsets=self.site.finish_offsets(urls),
            submitted_at=now,
            webhook=webhook,
        )
        self.jobs[job.id] = job
        self._waiting.append(job)
        self._start_waiting(now)
        return job

    def advance(self, now: float) -> None:
        """Let everything happen that is due, each at its own time."""
        while self._running and self._running[0][0] <= now:
            ended_at, _, job = heapq.heappop(self._running)
            if job.cancelled:
                continue
            self._end(job, ended_at)

    def cancel(self, job: SimulatedJob, now: float) -> None:
        """Stop a job that has not ended; its slot is free at once."""
        self.advance(now)
        if job.ended_at is not None:
            return
        job.cancelled = True
        if job.started_at is None:
            self._waiting.remove(job)
            job.ended_at = now
            self.newly_ended.append(job)
        else:
            self._end(job, now)

    def _end(self, job: SimulatedJob, now: float) -> None:
        job.ended_at = now
        self.newly_ended.append(job)
        self._free += 1
        self._start_waiting(now)

    def _start_waiting(self, now: float) -> None:
        while self._waiting and self._free:
            job = self._waiting.popleft()
            job.started_at = now
            self._free -= 1
            heapq.heappush(self._running, (now + job.duration, job.id, job))


def shortest_seconds(site: Site, batches: Iterable[Sequence[str]], slots: int) -> float:
    """How long the jobs take on the account alone, when all are submitted at once."""
    queue = JobQueue(site, slots)
    for batch in batches:
        queue.submit(batch, 0.0)
    queue.advance(float("inf"))
    return max(job.ended_at or 0.0 for job in queue.jobs.values())
