"""From the API's rows to the columns of ``succeeded`` and ``failed``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from thunderbit_dagster.api.codes import (
    CREDITS_PER_DISTILL,
    CREDITS_PER_EXTRACT,
    CREDITS_PER_LLM_FORMAT,
    INVALID_INPUT,
    JOB_CANCELLED,
    UNKNOWN_CODE,
    ErrorClass,
    JobKind,
    RowStatus,
    classify,
)
from thunderbit_dagster.api.models import JobRef, Row, RowError
from thunderbit_dagster.collection.reconcile import Fate
from thunderbit_dagster.extraction.items import Extracted
from thunderbit_dagster.ledger.records import RejectedUrl, SentUrl
from thunderbit_dagster.storage.schema import (
    FailedRow,
    Image,
    Link,
    SucceededRow,
    canonical_json,
    content_hash,
)
from thunderbit_dagster.urls import Fragments, canonical_url, url_refusal

FINAL_URL_KEYS = ("sourceURL", "sourceUrl", "source_url")
RETRYABLE = {ErrorClass.TRANSIENT, ErrorClass.BUDGET, ErrorClass.JOB}


@dataclass(frozen=True, slots=True)
class RowOrigin:
    """Where a row comes from: the same for all rows of a partition in one job."""

    ref: JobRef
    attempt: int
    submitted_at: datetime
    completed_at: datetime | None
    collected_at: datetime
    submission_id: str
    run_id: str
    fragments: Fragments = "routes"


def succeeded_row(row: Row, item: SentUrl, origin: RowOrigin, output: Extracted | None = None) -> SucceededRow:
    """A finished row as the ``succeeded`` table holds it, with what was read of its output when there is a schema."""
    text = row.markdown if row.markdown is not None else canonical_json(row.data or [])
    found = SucceededRow(
        url=item.url,
        canonical_url=_canonical(item.url, origin.fragments),
        final_url=_text(row.metadata, *FINAL_URL_KEYS),
        title=_text(row.metadata, "title"),
        description=_text(row.metadata, "description"),
        markdown=row.markdown,
        content_hash=content_hash(text),
        html=row.html,
        links=_links(row),
        images=_images(row),
        summary=row.summary,
        answer=row.answer,
        highlights=row.highlights,
        data=raw_data(row),
        metadata=canonical_json(dict(row.metadata)),
        extra=canonical_json(dict(row.extra)) if row.extra else None,
        job_kind=origin.ref.kind.value,
        job_id=origin.ref.id,
        position=item.position,
        job_position=item.job_position,
        attempt=origin.attempt,
        credits=price(origin.ref.kind, row),
        submitted_at=origin.submitted_at,
        completed_at=origin.completed_at,
        collected_at=origin.collected_at,
        submission_id=origin.submission_id,
        run_id=origin.run_id,
    )
    return found if output is None else with_output(found, output)


def with_output(row: SucceededRow, output: Extracted) -> SucceededRow:
    """A row with its typed columns."""
    row["items"] = output.items
    row["extract_outcome"] = output.outcome
    row["extract_errors"] = output.errors
    return row


def raw_data(row: Row) -> str | None:
    """The rows that were extracted from a page, as JSON text."""
    return None if row.data is None else canonical_json(row.data)


def failed_row(row: Row, item: SentUrl, origin: RowOrigin) -> FailedRow:
    """A failed or cancelled row as the ``failed`` table holds it."""
    cancelled = row.status is RowStatus.CANCELLED
    default = RowError(JOB_CANCELLED, "the job was cancelled before this URL was finished")
    error = row.error or (default if cancelled else RowError(UNKNOWN_CODE, "the API gave no reason"))
    return _failed(item, origin, Fate(row.status.value, error.code, error.message))


def absent_row(item: SentUrl, origin: RowOrigin, why: Fate) -> FailedRow:
    """A URL for which no finished row came."""
    return _failed(item, origin, why)


def rejected_row(url: RejectedUrl, collected_at: datetime, submission_id: str, run_id: str) -> FailedRow:
    """A URL that was refused before anything was paid."""
    return FailedRow(
        url=url.url,
        canonical_url=None,
        status="REJECTED",
        error_code=INVALID_INPUT,
        error_message=url.reason,
        error_class=ErrorClass.PERMANENT.value,
        retryable=False,
        position=url.position,
        collected_at=collected_at,
        submission_id=submission_id,
        run_id=run_id,
    )


def _failed(item: SentUrl, origin: RowOrigin, why: Fate) -> FailedRow:
    error_class = classify(why.code)
    return FailedRow(
        url=item.url,
        canonical_url=_canonical(item.url, origin.fragments),
        status=why.status,
        error_code=why.code,
        error_message=why.message,
        error_class=error_class.value,
        retryable=error_class in RETRYABLE,
        job_kind=origin.ref.kind.value,
        job_id=origin.ref.id,
        position=item.position,
        job_position=item.job_position,
        attempt=origin.attempt,
        submitted_at=origin.submitted_at,
        completed_at=origin.completed_at,
        collected_at=origin.collected_at,
        submission_id=origin.submission_id,
        run_id=origin.run_id,
    )


def price(kind: JobKind, row: Row) -> int:
    """A row's credits by the price list; LLM formats cost only when they return something."""
    base = CREDITS_PER_DISTILL if kind is JobKind.DISTILL else CREDITS_PER_EXTRACT
    return base + CREDITS_PER_LLM_FORMAT * sum(map(bool, (row.summary, row.answer, row.highlights)))


def _canonical(url: str, fragments: Fragments) -> str | None:
    return None if url_refusal(url, allow_private=True) else canonical_url(url, fragments)


def _text(values: Mapping[str, object], *names: str) -> str | None:
    found = (values.get(name) for name in names)
    return next((value for value in found if isinstance(value, str) and value), None)


def _links(row: Row) -> list[Link] | None:
    if row.links is None:
        return None
    return [Link(text=_text(link, "text"), href=_text(link, "href")) for link in row.links]


def _images(row: Row) -> list[Image] | None:
    if row.images is None:
        return None
    return [
        Image(
            src=_text(image, "src"),
            alt=_text(image, "alt"),
            width=_pixels(image.get("width")),
            height=_pixels(image.get("height")),
        )
        for image in row.images
    ]


def _pixels(value: object) -> int | None:
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value < 2**31 else None
