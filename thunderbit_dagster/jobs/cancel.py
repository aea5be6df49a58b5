"""Asking the API to stop jobs: each once, within a time limit, and an honest word on each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from logging import Logger
from typing import TYPE_CHECKING

import dagster as dg

from thunderbit_dagster.api.codes import JobStatus
from thunderbit_dagster.api.errors import (
    AuthenticationError,
    JobNotFoundError,
    ProtocolError,
    ServerError,
    ThunderbitError,
    TransportError,
)
from thunderbit_dagster.api.models import Job
from thunderbit_dagster.jobs.open_jobs import KnownJob
from thunderbit_dagster.jobs.poll import CONFIRM_LOST, progress_of
from thunderbit_dagster.jobs.state import LOST, NOT_FOUND, JobState
from thunderbit_dagster.ledger.asset_events import progress_observation
from thunderbit_dagster.ledger.records import Progress
from thunderbit_dagster.metadata.tables import table

if TYPE_CHECKING:
    from thunderbit_dagster.api.client import ThunderbitClient

MAY_STILL_BILL = "it may still bill"
NO_TIME = f"there was no time left to ask; {MAY_STILL_BILL}"


@dataclass(frozen=True, slots=True)
class CancelVerdict:
    """What became of a job that was to be cancelled.

    ``progress`` is what the API said last, None when it said nothing. ``may_still_bill`` is false only when
    the job is known to have ended.
    """

    job: KnownJob
    progress: Progress | None
    text: str
    may_still_bill: bool

    @property
    def was_cancelled(self) -> bool:
        return self.progress is not None and self.progress.status == JobStatus.CANCELLED.value

    def __str__(self) -> str:
        return f"{self.job.watched.job}: {self.text}"


def judge_cancel(
    known: KnownJob, answer: Job | ThunderbitError, explain: Callable[[ThunderbitError], str]
) -> CancelVerdict:
    """What a job's state after the request to stop it means, or the error in place of it."""
    if isinstance(answer, JobNotFoundError):
        gone = f"the API does not know it any more; {MAY_STILL_BILL}"
        return CancelVerdict(known, _not_found(known.watched), gone, may_still_bill=True)
    if isinstance(answer, ThunderbitError):
        return CancelVerdict(known, None, f"it could not be cancelled ({explain(answer)}); {MAY_STILL_BILL}", True)
    polls = known.watched.progress.polls + 1 if known.watched.progress else 1
    progress = progress_of(answer, replace(known.watched, to_stop=True), polls, time.time())
    return CancelVerdict(known, progress, _word(answer, progress), not answer.status.is_terminal)


def _not_found(watched: JobState) -> Progress:
    seen = watched.progress
    missed = seen.missed + 1 if seen else 1
    status = LOST if missed >= CONFIRM_LOST else NOT_FOUND
    return Progress(job=watched.job, status=status, missed=missed, polls=seen.polls + 1 if seen else 1, at=time.time())


def _word(job: Job, progress: Progress) -> str:
    rows = f"{progress.done if progress.done is not None else '?'} of {progress.total} rows"
    if job.status is JobStatus.CANCELLED:
        return f"cancelled; {rows} were finished, are billed and are kept"
    if job.status.is_terminal:
        return f"it had ended before, {job.status.value}, with {rows}"
    status = job.raw_status or job.status.value
    return f"asked to stop, and still {status} with {rows} finished; {MAY_STILL_BILL}"


@dataclass
class Canceller:
    """Sends one DELETE for each job until ``stop_at`` on the monotonic clock."""

    client: ThunderbitClient
    explain: Callable[[ThunderbitError], str]
    stop_at: float
    monotonic: Callable[[], float] = time.monotonic

    def cancel_all(self, jobs: Iterable[KnownJob]) -> Iterator[CancelVerdict]:
        """A verdict on each job, in turn; no error of one stops the others."""
        refused: AuthenticationError | None = None
        for job in jobs:
            if refused:
                yield judge_cancel(job, refused, self.explain)
            elif self.monotonic() >= self.stop_at:
                yield CancelVerdict(job, None, NO_TIME, may_still_bill=True)
            else:
                answer = self._cancel(job)
                refused = answer if isinstance(answer, AuthenticationError) else None
                yield judge_cancel(job, answer, self.explain)

    def _cancel(self, job: KnownJob) -> Job | ThunderbitError:
        try:
            try:
                return self.client.cancel_job(job.ref)
            except (TransportError, ServerError, ProtocolError):
                # The request may have arrived all the same: the job itself tells.
                return self.client.get_job(job.ref).job
        except ThunderbitError as error:
            return error


def cancel_observation(verdict: CancelVerdict, by: str) -> dg.AssetObservation | None:
    """The verdict as an event for the sensor and for people; None when nothing new is known of the job."""
    if verdict.progress is None:
        return None
    seen = progress_observation(verdict.job.crawl, verdict.job.home, verdict.progress)
    return dg.AssetObservation(
        seen.asset_key,
        partition=seen.partition,
        metadata={"outcome": verdict.text, "cancelled by": by, **seen.metadata},
    )


def log_verdicts(log: Logger, verdicts: Iterable[CancelVerdict]) -> None:
    """One line a job, as a warning where money may still go."""
    for verdict in verdicts:
        if verdict.may_still_bill:
            log.warning("%s", verdict)
        else:
            log.info("%s", verdict)


def verdict_table(verdicts: Iterable[CancelVerdict]) -> dg.TableMetadataValue:
    """Jobs, whose URLs they hold, and what became of them."""
    columns = {"job": "string", "partitions": "string", "outcome": "string", "may still bill": "bool"}
    rows = ((v.job.watched.job, ", ".join(map(str, v.job.partitions)), v.text, v.may_still_bill) for v in verdicts)
    return table(columns, rows)
