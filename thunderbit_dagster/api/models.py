"""What the API answers, as plain frozen values.

Every field that an answer may leave out is None or empty, and fields this version does not know are kept in
`extra`. Readers for the JSON of the API are in `thunderbit_dagster.api.parsing`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from thunderbit_dagster.api.codes import JobKind, JobStatus, RowStatus
from thunderbit_dagster.api.errors import ConfigurationError


@dataclass(frozen=True, slots=True, order=True)
class JobRef:
    """Names one batch job. `str(ref)` gives `distill/batch_1`, and `JobRef.parse` reads it back."""

    kind: JobKind
    id: str

    def __str__(self) -> str:
        return f"{self.kind.value}/{self.id}"

    @classmethod
    def parse(cls, text: str) -> JobRef:
        """Read what `str(ref)` wrote; ConfigurationError when it is something else."""
        kind, slash, job_id = text.partition("/")
        if not slash or not job_id or kind not in {known.value for known in JobKind}:
            raise ConfigurationError(f"{text!r} does not name a job: expected distill/<id> or extract/<id>")
        return cls(JobKind(kind), job_id)


@dataclass(frozen=True, slots=True)
class Job:
    """A batch job at one moment (Batch Job Lifecycle; endpoints of `/batch/*`).

    Attributes:
        ref: Kind and id.
        status: State, whatever spelling the service used.
        total: URLs accepted.
        completed: The service's count; successes on some accounts, all finished rows on others. Count rows
            instead.
        failed: Rows that failed, where the service says so.
        credits_used: Credits billed so far.
        created_at: Time of the submit, with a time zone.
        completed_at: Time the job became terminal, with a time zone.
        raw_status: The status word as received.
        extra: Unknown fields of the answer.
    """

    ref: JobRef
    status: JobStatus
    total: int | None = None
    completed: int | None = None
    failed: int | None = None
    credits_used: int | None = None
    created_at: datetime | None = None
    completed_at: datetime | None = None
    raw_status: str = ""
    extra: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RowError:
    """Why a row failed. `code` is one of the API's codes or `UNKNOWN`."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Row:
    """One URL's result in a batch job.

    Attributes:
        url: The URL as the service names it.
        index: Position in the submitted list, counted from 0; trust it only when it agrees with `url`.
        status: State of this row.
        markdown: Page text of a distill row.
        data: Rows of an extract row; one object becomes a list of one.
        metadata: Title, language and the like; empty when not asked for or not given.
        html, links, images, summary, answer, highlights: Only when asked for.
        error: Set when the row failed.
        extra: Unknown fields of the row.
        repaired: Whether its text held bytes that are not UTF-8, which were replaced by U+FFFD.
    """

    url: str
    index: int | None
    status: RowStatus
    markdown: str | None = None
    data: list[Mapping[str, object]] | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)
    html: str | None = None
    links: list[Mapping[str, object]] | None = None
    images: list[Mapping[str, object]] | None = None
    summary: str | None = None
    answer: str | None = None
    highlights: list[str] | None = None
    error: RowError | None = None
    extra: Mapping[str, object] = field(default_factory=dict)
    repaired: bool = False


@dataclass(frozen=True, slots=True)
class JobPage:
    """A job and one page of its rows; `page` counts from 0."""

    job: Job
    rows: tuple[Row, ...]
    page: int


@dataclass(frozen=True, slots=True)
class Document:
    """The answer of a synchronous `/distill` or `/extract`, or one hit of `/search`. Fields as in `Row`."""

    url: str
    markdown: str | None = None
    data: list[Mapping[str, object]] | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)
    html: str | None = None
    links: list[Mapping[str, object]] | None = None
    images: list[Mapping[str, object]] | None = None
    summary: str | None = None
    answer: str | None = None
    highlights: list[str] | None = None
    extra: Mapping[str, object] = field(default_factory=dict)
