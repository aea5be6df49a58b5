"""The life of a batch job as plain values: which step may follow which, and what is counted and billed.

States and rules: sections 3 and 4 of the API reference. Nothing here reads a clock or a disk.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from thunderbit_dagster.api.codes import JobKind, JobStatus, RowStatus


class IllegalStepError(Exception):
    """A step that the state of the job does not allow."""


@dataclass(frozen=True, slots=True)
class EmulatedJob:
    """One job. Times are Unix seconds.

    `completed` counts succeeded rows and `failed` failed ones (ambiguity A4: the webhook page's reading).
    `route` is the path below the API's root at which the job may be read, such as `batch/distill`. `price` is the
    most a row can cost.
    """

    id: str
    route: str
    account: str
    kind: JobKind
    total: int
    created_at: float
    status: JobStatus = JobStatus.PENDING
    completed: int = 0
    failed: int = 0
    credits_used: int = 0
    price: int = 0
    completed_at: float | None = None

    @property
    def reserved(self) -> int:
        """Credits that the rows still open may cost."""
        return 0 if self.status.is_terminal else self.price * (self.total - self.completed - self.failed)


@dataclass(frozen=True, slots=True)
class EmulatedRow:
    """One URL of a job. `payload` is what the API shows of a success; `error` is `{code, message}` of a failure."""

    index: int
    url: str
    status: RowStatus = RowStatus.PENDING
    credits: int = 0
    payload: Mapping[str, object] = field(default_factory=dict)
    error: Mapping[str, object] | None = None


def start(job: EmulatedJob) -> EmulatedJob:
    """The job has its slot. A job that was running before a restart stays as it is."""
    _must_be_open(job)
    return replace(job, status=JobStatus.PROCESSING)


def finish_row(job: EmulatedJob, row: EmulatedRow, now: float) -> EmulatedJob:
    """Count and bill one finished row; the last one completes the job, even when every row failed."""
    _must_be_open(job)
    if row.status not in (RowStatus.SUCCEEDED, RowStatus.FAILED):
        raise IllegalStepError(f"row {row.index} of {job.id} is {row.status.value}, not finished")
    job = replace(
        job,
        completed=job.completed + (row.status is RowStatus.SUCCEEDED),
        failed=job.failed + (row.status is RowStatus.FAILED),
        credits_used=job.credits_used + row.credits,
    )
    return _end(job, JobStatus.COMPLETED, now) if job.completed + job.failed == job.total else job


def cancel(job: EmulatedJob, now: float) -> EmulatedJob:
    """Stop the job: what is finished stays counted and billed, the rest is neither."""
    _must_be_open(job)
    return _end(job, JobStatus.CANCELLED, now)


def fail(job: EmulatedJob, now: float) -> EmulatedJob:
    """A fault of the whole job, which the reference calls rare."""
    _must_be_open(job)
    return _end(job, JobStatus.FAILED, now)


def _end(job: EmulatedJob, status: JobStatus, now: float) -> EmulatedJob:
    return replace(job, status=status, completed_at=max(now, job.created_at))


def _must_be_open(job: EmulatedJob) -> None:
    if job.status.is_terminal:
        raise IllegalStepError(f"{job.id} is {job.status.value} already")
