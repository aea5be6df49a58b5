"""How many requests and how much time batch jobs take at an account's limits: an estimate, from plain values."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from thunderbit_dagster.api.codes import MAX_PAGE_SIZE, JobStatus, plan_of
from thunderbit_dagster.jobs.queue import with_expectations
from thunderbit_dagster.jobs.state import JobState, next_poll
from thunderbit_dagster.ledger.records import Progress

SAMPLE = 500
"""Polls are counted for about so many jobs at most and scaled up."""
GRAIN_SECONDS = 15.0
SECONDS_PER_PAGE = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a forecast assumes of the account.

    Attributes:
        requests_per_minute: Requests of all kinds.
        concurrent_jobs: Batch jobs that run at one time; the others wait at the API.
        seconds_per_page: How long a job takes, divided by its URLs. The API promises nothing.
        tick_seconds: The least time between two polls of a job: the interval of the job sensor.
    """

    requests_per_minute: int
    concurrent_jobs: int
    seconds_per_page: float = SECONDS_PER_PAGE
    tick_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class Forecast:
    """Requests by kind, seconds until the last job has ended and was read, and the oldest that a job gets."""

    submits: int
    polls: int
    page_reads: int
    seconds: float
    oldest_job_seconds: float

    @property
    def requests(self) -> int:
        return self.submits + self.polls + self.page_reads


@dataclass(frozen=True, slots=True)
class _Run:
    """A job at the API: its URLs, and the seconds that it waits and runs."""

    size: int
    waits: float
    runs: float
    ends: float


def limits_of(
    requests_per_minute: int,
    tick_seconds: float,
    concurrent_jobs: int | None = None,
    seconds_per_page: float = SECONDS_PER_PAGE,
) -> Limits:
    """The limits of the plan that a number of requests per minute allows to assume, with other figures where given."""
    return Limits(
        requests_per_minute=requests_per_minute,
        concurrent_jobs=concurrent_jobs or plan_of(requests_per_minute).concurrent_jobs,
        seconds_per_page=seconds_per_page,
        tick_seconds=tick_seconds,
    )


def forecast(sizes: Sequence[int], limits: Limits) -> Forecast:
    """What batch jobs of these sizes take, submitted one after another as fast as the limits allow.

    Each job needs a submit, a poll that finds it ended, and its rows, 100 a request. Polls beyond that happen only
    while requests are left, so they cost no time.
    """
    runs = list(_schedule(sizes, limits))
    reads = sum(max(1, math.ceil(size / MAX_PAGE_SIZE)) for size in sizes)
    needed = 2 * len(runs) + reads
    seconds = max([needed * 60 / limits.requests_per_minute, *(run.ends for run in runs)]) if runs else 0.0
    room = int(seconds * limits.requests_per_minute / 60) - len(runs) - reads
    polls = max(len(runs), min(_polls(runs, limits.tick_seconds), room))
    return Forecast(len(runs), polls, reads, seconds, max((run.waits + run.runs for run in runs), default=0.0))


def _schedule(sizes: Iterable[int], limits: Limits) -> Iterable[_Run]:
    """First come, first served, over the account's slots."""
    free = [0.0] * limits.concurrent_jobs
    for number, size in enumerate(sizes):
        submitted = number * 60 / limits.requests_per_minute
        starts = max(submitted, heapq.heappop(free))
        runs = size * limits.seconds_per_page
        heapq.heappush(free, starts + runs)
        yield _Run(size, starts - submitted, runs, starts + runs)


def _polls(runs: Sequence[_Run], tick_seconds: float) -> int:
    sample = runs[:: max(1, len(runs) // SAMPLE)]
    counted = sum(polls_of(run.size, max(_coarse(run.runs), 1.0), tick_seconds) for run in sample)
    return round(counted * len(runs) / len(sample)) if sample else 0


def _coarse(seconds: float) -> float:
    return round(seconds / GRAIN_SECONDS) * GRAIN_SECONDS


@lru_cache(maxsize=4_096)
def polls_of(size: int, runs: float, tick_seconds: float) -> int:
    """How often the sensor asks about a job that finishes its URLs evenly in ``runs`` seconds, once it has begun."""
    state, now, polls = JobState("distill/forecast", size, 0.0), 0.0, 0
    while now < runs:
        [expected] = with_expectations([state], slots=1)
        now = max(next_poll(expected, now), now + tick_seconds)
        polls += 1
        done = int(size * now / runs)
        if state.progress is None or state.progress.done != done:
            seen = Progress(job=state.job, status=JobStatus.PROCESSING.value, done=done, total=size, at=now)
            state = replace(state, progress=seen)
    return polls
