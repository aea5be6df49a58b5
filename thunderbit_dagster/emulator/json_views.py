"""Jobs, rows and errors as the API shows them, in the dialect that is set. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from typing import Final

from thunderbit_dagster.api.codes import JobStatus, RowStatus
from thunderbit_dagster.emulator.dialect import Dialect
from thunderbit_dagster.emulator.errors import EmulatorError
from thunderbit_dagster.emulator.jobs import EmulatedJob, EmulatedRow

_LOWER_ROWS: Final = {RowStatus.SUCCEEDED: "completed"}


def iso_moment(at: float) -> str:
    """Unix seconds as ISO 8601 in UTC: `2026-01-05T08:00:00.000Z`."""
    return datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def job_view(job: EmulatedJob, dialect: Dialect) -> dict[str, object]:
    """The job object of section 3.2, without rows."""
    view: dict[str, object] = {
        "id": job.id,
        "status": job.status.value.lower() if dialect.lower_case else job.status.value,
        "total": job.total,
        "completed": job.completed + (job.failed if dialect.completed_counts_all else 0),
        "failed": job.failed,
        "creditsUsed": job.credits_used,
        "createdAt": iso_moment(job.created_at),
    }
    return {**view, "completedAt": iso_moment(job.completed_at)} if job.completed_at is not None else view


def row_view(row: EmulatedRow, job: EmulatedJob, dialect: Dialect) -> dict[str, object]:
    """A row of section 3.3."""
    view: dict[str, object] = {"index": row.index} if dialect.index else {}
    view["url"] = row.url
    if dialect.row_success:
        view["success"] = row.status is RowStatus.SUCCEEDED
    else:
        view["status"] = _row_status(row, job, dialect)
    payload = with_source_url(row.payload, dialect)
    if dialect.nested_data and payload and "markdown" in payload:
        view["data"] = payload
    else:
        view.update(payload)
    return {**view, **_row_error(row, dialect)}


def lists_unfinished(job: EmulatedJob, dialect: Dialect) -> bool:
    """Whether the rows that have not finished are shown."""
    if job.status is JobStatus.CANCELLED:
        return dialect.cancelled_rows != "missing"
    return dialect.unfinished_listed or job.status.is_terminal


def submitted_async_view(job: EmulatedJob, dialect: Dialect) -> dict[str, object]:
    """The job object of `/async/*` without its page.

    Its states are in lower case: the vendor's own client waits for exactly `completed` or `failed`.
    """
    return job_view(job, replace(dialect, lower_case=True))


def async_view(job: EmulatedJob, row: EmulatedRow, dialect: Dialect) -> dict[str, object]:
    """The job object of `/async/*`: one page, so its result lies flat in it."""
    view = {**submitted_async_view(job, dialect), "url": row.url, **with_source_url(row.payload, dialect)}
    # The job is its one row, so a failed page is a failed job.
    if row.status is RowStatus.FAILED:
        view["status"] = "failed"
    return {**view, **_row_error(row, dialect)}


def webhook_payload(job: EmulatedJob) -> dict[str, object]:
    """The body of a webhook of section 8."""
    return {**job_view(job, Dialect()), "jobType": job.kind.job_type}


def error_view(error: EmulatorError, dialect: Dialect) -> dict[str, object]:
    """The error envelope of section 5."""
    if dialect.error_envelope == "string":
        return {"success": False, "error": error.message}
    code, status = error.code, error.status
    words: dict[str, object] = {"code": code, "status": status}
    if dialect.error_envelope == "swapped":
        words = {"code": status, "status": code}
    return {"success": False, "error": {**words, "message": error.message, "details": error.details}}


def with_source_url(payload: Mapping[str, object], dialect: Dialect) -> dict[str, object]:
    """The payload with the page's address spelled as the dialect has it."""
    metadata = payload.get("metadata")
    if not isinstance(metadata, dict) or dialect.source_url == "sourceURL":
        return dict(payload)
    renamed = {dialect.source_url if name == "sourceURL" else name: value for name, value in metadata.items()}
    return {**payload, "metadata": renamed}


def _row_status(row: EmulatedRow, job: EmulatedJob, dialect: Dialect) -> str:
    if job.status is JobStatus.CANCELLED and not row.status.is_terminal and dialect.cancelled_rows == "CANCELLED":
        return "cancelled" if dialect.lower_case else "CANCELLED"
    if dialect.lower_case:
        return _LOWER_ROWS.get(row.status, row.status.value.lower())
    return row.status.value


def _row_error(row: EmulatedRow, dialect: Dialect) -> dict[str, object]:
    if row.error is None or dialect.row_error == "absent":
        return {}
    return {"error": row.error["message"] if dialect.row_error == "string" else dict(row.error)}
