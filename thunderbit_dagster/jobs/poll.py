"""Asking the API about jobs: one small request each, within a time limit, one broken job at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from http import HTTPStatus
from logging import Logger
from typing import TYPE_CHECKING

from thunderbit_dagster.api.codes import JobStatus
from thunderbit_dagster.api.errors import (
    AuthenticationError,
    BudgetExceededError,
    JobNotFoundError,
    NotSentError,
    RateLimitedError,
    ThunderbitError,
)
from thunderbit_dagster.api.models import Job, JobRef
from thunderbit_dagster.jobs.state import ENDED, EXPIRED, LOST, NOT_FOUND, SHORTEST, STOPPED, JobState, poll_order
from thunderbit_dagster.ledger.records import Progress

if TYPE_CHECKING:
    from thunderbit_dagster.api.client import ThunderbitClient

CONFIRM_LOST = 2
"""How often a job must be unknown to the API before it is given up as lost."""
ENOUGH_REFUSALS = 20
"""So many 403 without an answer are about the key."""
OLD_SECONDS = 3_600.0
NAMED_PROBLEMS = 10
"""Jobs that could not be read are named in the log up to this number, and counted beyond."""


@dataclass
class Poller:
    """Polls jobs, and remembers where it stopped.

    Args:
        client: Asks.
        log: Is told of what cannot be read.
        stop_at: No request is begun after this time of the monotonic clock.
        end_at: Answers are not waited for after this time; with more than one worker only.
        workers: Requests under way at once. One: in the calling thread.
        most: Jobs asked at most.
        most_changes: Changes to come back with at most.
        terse: Only ends, and jobs that the API does not know, are changes.
    """

    client: ThunderbitClient
    log: Logger
    stop_at: float
    explain: Callable[[ThunderbitError], str] = str
    monotonic: Callable[[], float] = time.monotonic
    clock: Callable[[], float] = time.time
    last: str | None = None
    end_at: float = float("inf")
    workers: int = 1
    most: int | None = None
    most_changes: int | None = None
    terse: bool = False
    truncated: bool = False
    asked: int = 0
    answered: int = 0
    broken: int = 0
    changes: list[Progress] = field(default_factory=list)
    refusals: list[AuthenticationError] = field(default_factory=list)
    _jobs: list[JobState] = field(default_factory=list)
    _next: int = 0
    _busy: int = 0
    _closed: bool = False
    _unasked: list[int] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def poll_all(self, jobs: Iterable[JobState]) -> None:
        """Ask about each job in turn; what changed is in ``changes``.

        ``truncated`` says that jobs are left; the next ones come after ``last``.

        Raises:
            AuthenticationError: the key is not accepted; no job would fare better.
        """
        self._jobs = list(jobs)
        if self.workers == 1:
            self._work()
        else:
            self._work_together()
        self._close()
        if self.broken > NAMED_PROBLEMS:
            self.log.warning("%d jobs in all could not be read and are asked again later", self.broken)
        if self.refusals and (self._key_is_refused or not self.answered):
            raise self.refusals[0]

    def _work_together(self) -> None:
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="thunderbit-poll")
        working = [pool.submit(self._work) for _ in range(min(self.workers, len(self._jobs)))]
        done, _ = wait(working, timeout=max(0.0, self.end_at - self.monotonic()))
        # A request that hangs on is left to its own time limit; its job is asked again in a later tick.
        pool.shutdown(wait=False)
        for work in done:
            work.result()

    def _work(self) -> None:
        while (number := self._take()) is not None:
            seen: Progress | None = None
            try:
                seen = self._poll(self._jobs[number], number)
            finally:
                self._put(self._jobs[number], seen)

    def _take(self) -> int | None:
        """The number of the next job, None when it is not to be asked now."""
        with self._lock:
            if self._next >= len(self._jobs) or self._is_over():
                return None
            self._next += 1
            self._busy += 1
            return self._next - 1

    def _is_over(self) -> bool:
        return (
            self.monotonic() >= self.stop_at
            or bool(self._unasked)
            or self._key_is_refused
            or (self.most is not None and self._next >= self.most)
            or (self.most_changes is not None and len(self.changes) + self._busy >= self.most_changes)
        )

    @property
    def _key_is_refused(self) -> bool:
        """401 is about the key. 403 may be about one job, as long as the API answers for others."""
        certain = any(refusal.status == HTTPStatus.UNAUTHORIZED for refusal in self.refusals)
        return certain or (len(self.refusals) >= ENOUGH_REFUSALS and not self.answered)

    def _put(self, watched: JobState, seen: Progress | None) -> None:
        with self._lock:
            self._busy -= 1
            # What comes in after the tick is over is seen again by a later one.
            if seen and not self._closed and has_changed(watched.progress, seen, terse=self.terse):
                self.changes.append(seen)

    def _poll(self, watched: JobState, number: int) -> Progress | None:
        """Ask about one job; None when nothing is known of it now."""
        seen: Progress | None = None
        try:
            seen = poll_job(self.client, watched, self.clock())
            self.answered += 1
        except AuthenticationError as error:
            self.refusals.append(error)
            if self._key_is_refused:
                return None
            self._complain(watched, error)
        except (BudgetExceededError, RateLimitedError, NotSentError) as error:
            # About no job in particular: the next tick begins with this one.
            self.log.info("No request can be made for now: %s", self.explain(error))
            self._unasked.append(number)
            return None
        except ThunderbitError as error:
            self._complain(watched, error)
        return self._judge(watched, seen)

    def _complain(self, watched: JobState, error: ThunderbitError) -> None:
        self.broken += 1
        if self.broken <= NAMED_PROBLEMS:
            self.log.warning("%s could not be read and is asked again later: %s", watched.job, self.explain(error))

    def _judge(self, watched: JobState, seen: Progress | None) -> Progress | None:
        """What is known of a job: past its deadline, one that has not ended is given up."""
        now = self.clock()
        if (seen and (seen.status in ENDED or seen.status == NOT_FOUND)) or now <= watched.deadline:
            return seen
        known = seen or Progress(job=watched.job, status=EXPIRED, total=watched.size, at=now)
        return known.model_copy(update={"status": self._give_up(watched)})

    def _give_up(self, watched: JobState) -> str:
        if not watched.cancel_late:
            return EXPIRED
        try:
            status = self.client.cancel_job(JobRef.parse(watched.job)).status
        except ThunderbitError as error:
            self.log.warning("%s is past its deadline and could not be cancelled: %s", watched.job, self.explain(error))
            return EXPIRED
        ended_otherwise = status.is_terminal and status is not JobStatus.CANCELLED
        return status.value if ended_otherwise else STOPPED

    def _close(self) -> None:
        """Where the next tick begins: before the first job that was not asked."""
        with self._lock:
            self._closed = True
            reached = min([self._next, *self._unasked])
        self.asked = self._next - len(self._unasked)
        self.truncated = reached < len(self._jobs)
        if reached:
            self.last = poll_order(self._jobs[reached - 1])


def poll_job(client: ThunderbitClient, watched: JobState, now: float) -> Progress:
    """One status request of one row, or a request to cancel the job if it is to be stopped."""
    polls = watched.progress.polls + 1 if watched.progress else 1
    ref = JobRef.parse(watched.job)
    try:
        job = client.cancel_job(ref) if watched.to_stop else _status(client, ref, now - watched.submitted_at)
    except JobNotFoundError:
        missed = watched.progress.missed + 1 if watched.progress else 1
        status = LOST if missed >= CONFIRM_LOST else NOT_FOUND
        return Progress(job=watched.job, status=status, missed=missed, polls=polls, at=now)
    return progress_of(job, watched, polls, now)


def _status(client: ThunderbitClient, ref: JobRef, age: float) -> Job:
    """The job by one request; an old one, which a row may keep from being read, by a second one without rows."""
    return client.get_status(ref) if age > OLD_SECONDS else client.get_job(ref, page_size=1).job


def progress_of(job: Job, watched: JobState, polls: int, now: float) -> Progress:
    """A status answer as a progress record.

    ``completed`` counts successes on some accounts and all finished rows on others, so ``done`` is only good
    for pacing and progress bars.
    """
    total = job.total or watched.size
    done = None if job.completed is None else min(job.completed + (job.failed or 0), total)
    return Progress(
        job=watched.job,
        status=job.status.value,
        done=done,
        total=total,
        credits_used=job.credits_used,
        polls=polls,
        asked_to_stop=watched.to_stop or (watched.progress is not None and watched.progress.asked_to_stop),
        at=now,
        ended_at=_ended_at(job, watched, now),
        not_begun_at=now if job.status is JobStatus.PENDING or done == 0 else watched.not_begun_at,
    )


def _ended_at(job: Job, watched: JobState, now: float) -> float | None:
    """When a job ended, by the API's clock within what was seen by this one; about, when the API does not say."""
    if not job.status.is_terminal:
        return None
    running = watched.progress.at if watched.progress else watched.submitted_at
    ended = job.completed_at.timestamp() if job.completed_at else now - SHORTEST / 2
    return min(max(ended, running), now)


def has_changed(before: Progress | None, after: Progress, *, terse: bool = False) -> bool:
    """Whether an observation is worth an event: the status or the count of rows moved.

    ``terse`` leaves out what decides nothing: only ends count, whether the API knows the job, and that it was asked to
    stop.
    """
    if terse:
        return after.status in ENDED or _deciding(after) != (_deciding(before) if before else (0, False))
    if before is None:
        return True
    return (before.status, before.done, *_deciding(before)) != (after.status, after.done, *_deciding(after))


def _deciding(seen: Progress) -> tuple[int, bool]:
    return seen.missed, seen.asked_to_stop
