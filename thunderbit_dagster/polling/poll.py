"""Asking the API about jobs: one small request each, within a time limit, one broken job at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from logging import Logger

from thunderbit_dagster.api.client import ThunderbitClient
from thunderbit_dagster.api.errors import (
    AuthenticationError,
    BudgetExceededError,
    JobNotFoundError,
    RateLimitedError,
    ThunderbitError,
)
from thunderbit_dagster.api.models import Job, JobRef
from thunderbit_dagster.ledger.records import Progress
from thunderbit_dagster.polling.pace import EXPIRED, LOST, NOT_FOUND, Watched

CONFIRM_LOST = 2
"""How often a job must be unknown to the API before it is given up as lost."""


@dataclass
class Poller:
    """Polls jobs until a deadline on the monotonic clock; remembers where it stopped."""

    client: ThunderbitClient
    log: Logger
    stop_at: float
    explain: Callable[[ThunderbitError], str] = str
    monotonic: Callable[[], float] = time.monotonic
    clock: Callable[[], float] = time.time
    last: str | None = None
    truncated: bool = False
    asked: int = 0
    changes: list[Progress] = field(default_factory=list)

    def poll_all(self, jobs: Iterable[Watched]) -> None:
        """Ask about each job in turn; what changed is in ``changes``.

        Raises:
            AuthenticationError: the key is not accepted; no other job would fare better.
        """
        for watched in jobs:
            if self.monotonic() >= self.stop_at or not self._poll(watched):
                self.truncated = True
                return
            self.last = watched.job

    def _poll(self, watched: Watched) -> bool:
        """Ask about one job; False when the account has no request left for now."""
        try:
            self.asked += 1
            seen = poll_job(self.client, watched, self.clock())
        except AuthenticationError:
            raise
        except (BudgetExceededError, RateLimitedError) as error:
            self.log.info("No request is left for now: %s", error)
            return False
        except ThunderbitError as error:
            self.log.warning("%s could not be read and is asked again later: %s", watched.job, self.explain(error))
            return True
        if seen != watched.progress and has_changed(watched.progress, seen):
            self.changes.append(seen)
        return True


def poll_job(client: ThunderbitClient, watched: Watched, now: float) -> Progress:
    """One status request of one row."""
    polls = watched.progress.polls + 1 if watched.progress else 1
    try:
        job = client.get_job(JobRef.parse(watched.job), page_size=1).job
    except JobNotFoundError:
        missed = watched.progress.missed + 1 if watched.progress else 1
        status = LOST if missed >= CONFIRM_LOST else NOT_FOUND
        return Progress(job=watched.job, status=status, missed=missed, polls=polls, at=now)
    return progress_of(job, watched, polls, now)


def progress_of(job: Job, watched: Watched, polls: int, now: float) -> Progress:
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
        at=now,
    )


def has_changed(before: Progress | None, after: Progress) -> bool:
    """Whether an observation is worth an event: the status or the count of rows moved."""
    if before is None:
        return True
    return (before.status, before.done, before.missed) != (after.status, after.done, after.missed)


def expired(jobs: Iterable[Watched], deadline_seconds: float, now: float) -> Iterator[Progress]:
    """Jobs that are given up because they never ended."""
    for watched in jobs:
        if not watched.ended and now - watched.submitted_at > deadline_seconds:
            polls = watched.progress.polls if watched.progress else 0
            done = watched.progress.done if watched.progress else None
            yield Progress(job=watched.job, status=EXPIRED, done=done, total=watched.size, polls=polls, at=now)
