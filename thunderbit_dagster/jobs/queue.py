"""Which open jobs can end next. Pure functions.

An account is taken to work on its jobs in order, as many at once as its plan allows. When the jobs that have ended show
that it runs more of them, or in another order, that counts instead.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Sequence
from dataclasses import replace
from statistics import median

from thunderbit_dagster.api.codes import JobStatus
from thunderbit_dagster.jobs.state import NOT_FOUND, JobState

SAMPLE_SECONDS = 60.0
"""Once in this time a job that should not have begun yet is polled as well."""
GUESSED_SECONDS_PER_URL = 2.0
"""The account's speed, as assumed until a job has ended."""
CONTRADICTION = 2
"""Late observations can make it seem that a few more jobs ran at once than the plan allows, but not so many."""
_WAITING = (JobStatus.PENDING.value, NOT_FOUND)
MEASURED_JOBS = 50
"""The newest ended jobs from which the account's speed is taken."""


def with_expectations(jobs: Iterable[JobState], slots: int) -> list[JobState]:
    """The jobs of an account, in the order of their submits, with ``starts`` and ``ends`` of those that are open.

    Args:
        jobs: Open and ended ones.
        slots: Batch jobs that the plan runs at once.
    """
    in_order = sorted(jobs, key=lambda job: (job.submitted_at, job.job))
    seconds_per_url = _seconds_per_url(in_order, _starts(in_order, slots, None))
    if (concurrency := _concurrency(in_order, seconds_per_url)) > CONTRADICTION * slots:
        slots = concurrency
        seconds_per_url = _seconds_per_url(in_order, _starts(in_order, slots, None))
    if _most_overtaken(in_order) > CONTRADICTION * slots:
        starts = [max(job.submitted_at, job.not_begun_at or 0.0) for job in in_order]
    else:
        starts = _starts(in_order, slots, seconds_per_url)
    return [
        job if job.ended else replace(job, starts=start, ends=expected_end(job, start, seconds_per_url))
        for job, start in zip(in_order, starts, strict=True)
    ]


def expected_end(job: JobState, start: float, seconds_per_url: float | None) -> float | None:
    """When an open job that starts at a time is expected to have ended; None when nothing is known of its speed.

    Its speed is the account's, or the one that its own rows show if that ends it sooner.
    """
    seen = job.progress
    usual = None if seconds_per_url is None else seconds_per_url * job.size
    if seen is None or not seen.done:
        return None if usual is None else start + usual
    share = min(seen.done / max(job.size, 1), 1.0)
    left = [(seen.at - start) * (1 - share) / share] if seen.at > start else []
    if usual is not None:
        left.append(usual * (1 - share))
    return seen.at + min(left) if left else None


def sampled(jobs: Sequence[JobState], slots: int, start: float, end: float) -> list[JobState]:
    """The job to poll in the window (start, end] although it should not have begun by then, if any.

    It shows whether the account works as assumed. It is by turns one just behind those that run, and one from anywhere.
    """
    turn = math.floor(end / SAMPLE_SECONDS)
    if turn == math.floor(start / SAMPLE_SECONDS):
        return []
    waiting = [job for job in jobs if not job.ended and job.starts is not None and job.starts >= end]
    if not waiting:
        return []
    return [waiting[min(slots, len(waiting) - 1) if turn % 2 else turn * 7919 % len(waiting)]]


def _starts(jobs: Sequence[JobState], slots: int, seconds_per_url: float | None) -> list[float]:
    """When each job starts, first come, first served."""
    free = [0.0] * slots
    found = []
    for job in jobs:
        start = max(job.submitted_at, heapq.heappop(free), job.not_begun_at or 0.0)
        ends = expected_end(job, start, seconds_per_url) if job.ended_at is None else job.ended_at
        heapq.heappush(free, start + GUESSED_SECONDS_PER_URL * job.size if ends is None else ends)
        found.append(start)
    return found


def _seconds_per_url(jobs: Sequence[JobState], starts: Sequence[float]) -> float | None:
    """The median of the newest jobs that ended well, None before the first."""
    took = [
        (job.ended_at - start) / max(job.size, 1)
        for job, start in zip(jobs, starts, strict=True)
        if job.progress
        and job.ended_at is not None
        and job.ended_at > start
        and job.progress.status == JobStatus.COMPLETED.value
    ]
    return median(took[-MEASURED_JOBS:]) if took else None


def _concurrency(jobs: Sequence[JobState], seconds_per_url: float | None) -> int:
    """The most jobs that ended within the time that one takes: so many ran at once."""
    if seconds_per_url is None:
        return 0
    ends = sorted(job.ended_at for job in jobs if job.ended_at is not None)
    seconds = seconds_per_url * max(job.size for job in jobs)
    return max((bisect_left(ends, end + seconds) - number for number, end in enumerate(ends)), default=0)


def _most_overtaken(jobs: Sequence[JobState]) -> int:
    """The most earlier jobs that had not ended when a job ran or ended, and the job itself: 1 if all is in order."""
    before: list[float] = []
    most = 0
    for job in jobs:
        if job.progress and job.progress.status not in _WAITING:
            at = job.progress.at if job.ended_at is None else job.ended_at
            most = max(most, len(before) - bisect_right(before, at) + 1)
        insort(before, math.inf if job.ended_at is None else job.ended_at)
    return most
