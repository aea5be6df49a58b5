"""One partition being collected: its writer, its counts, and the check before it is published."""

from __future__ import annotations

import json
import re
from bisect import insort
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import cast

from thunderbit_dagster.api.codes import JobStatus, RowStatus
from thunderbit_dagster.api.models import Job, Row
from thunderbit_dagster.collection.published_rows import SUBMISSION_TIME, Earlier, sizes_of, submission_time
from thunderbit_dagster.collection.reconcile import Fate, check_conservation
from thunderbit_dagster.collection.rows import (
    RowOrigin,
    absent_row,
    failed_row,
    raw_data,
    rejected_row,
    succeeded_row,
    with_output,
)
from thunderbit_dagster.extraction.items import Extracted, ItemReader
from thunderbit_dagster.ledger.records import RejectedUrl, SentUrl
from thunderbit_dagster.ledger.submissions import Submission
from thunderbit_dagster.partitions import Partition
from thunderbit_dagster.storage.schema import SCHEMAS, FailedRow, SucceededRow
from thunderbit_dagster.storage.writer import PartitionWriter, PublishedPair
from thunderbit_dagster.urls import host_of

PREVIEW_ROWS = 5
LESS_CONTENT = "SUCCEEDED with less content"
"""What the API brings of a page of which more is published."""
FIRST_FAILED = 20
"""How many failed rows a report keeps: those that stand first in the partition's list."""

BLANK_COUNT = "blank_documents"
"""Key of the footer of ``succeeded``: how many of its pages are blank."""
MOST_FIELDS = 100
"""How many fields a footer names."""
FIELD_PLACES = re.compile(r"\[\d+\]")
ITEM_COUNT = "items"
INVALID_ITEM_COUNT = "invalid_items"
INVALID_PAGE_COUNT = "invalid_pages"
FAULT_COUNTS = "invalid_output"
UNNAMED_COUNTS = "unnamed_fields"
"""Keys of the Parquet footers of a crawl that extracts."""


@dataclass(frozen=True, slots=True)
class JobReport:
    """A finished job as seen by one partition: its last state and the partition's share of its URLs."""

    job: str
    status: str
    rows: int
    size: int
    credits_used: int | None
    created_at: datetime | None
    completed_at: datetime | None

    @property
    def has_ended(self) -> bool:
        """Whether the API says so; a job that was given up may go on billing."""
        return self.status in {status.value for status in JobStatus if status.is_terminal}

    @property
    def seconds(self) -> float | None:
        """How long the job took, by the API's clock."""
        if self.created_at is None or self.completed_at is None:
            return None
        return (self.completed_at - self.created_at).total_seconds()

    @property
    def credits_share(self) -> float | None:
        """The bill in proportion to the partition's URLs; jobs may be shared by partitions."""
        return None if self.credits_used is None else self.credits_used * self.rows / self.size


@dataclass
class OutputReport:
    """How the extracted rows of a partition fit the schema.

    ``faults`` counts them by field and rule, ``unnamed`` the values of fields that the schema does not name.
    """

    items: int = 0
    invalid_items: int = 0
    invalid_pages: int = 0
    faults: Counter[tuple[str, str]] = field(default_factory=Counter)
    unnamed: Counter[str] = field(default_factory=Counter)

    def add(self, output: Extracted) -> None:
        """Count one page's output."""
        self.items += len(output.items)
        self.invalid_items += output.invalid
        self.invalid_pages += bool(output.errors)
        self.faults.update((FIELD_PLACES.sub("[]", fault["field"]), fault["rule"]) for fault in output.errors)
        self.unnamed.update(output.unnamed)

    @property
    def footer(self) -> dict[str, str]:
        """The counts as the Parquet footers hold them."""
        return {
            ITEM_COUNT: str(self.items),
            INVALID_ITEM_COUNT: str(self.invalid_items),
            INVALID_PAGE_COUNT: str(self.invalid_pages),
            FAULT_COUNTS: json.dumps([[*key, count] for key, count in self.faults.most_common(MOST_FIELDS)]),
            UNNAMED_COUNTS: json.dumps(dict(self.unnamed.most_common(MOST_FIELDS))),
        }


@dataclass
class PartitionReport:
    """What was found and published of one partition.

    ``kept`` counts the rows that stay as this submission published them before, by what the API brings now.
    """

    submitted: int = 0
    succeeded: int = 0
    failures: Counter[tuple[str, str]] = field(default_factory=Counter)
    failures_by_host: Counter[tuple[str, str]] = field(default_factory=Counter)
    first_failed: list[FailedRow] = field(default_factory=list)
    credits_estimated: int = 0
    markdown_bytes: int = 0
    blank: int = 0
    duplicated: int = 0
    foreign: int = 0
    repaired: int = 0
    kept: Counter[str] = field(default_factory=Counter)
    jobs: list[JobReport] = field(default_factory=list)
    preview: list[SucceededRow] = field(default_factory=list)
    output: OutputReport | None = None
    pair: PublishedPair | None = None

    @property
    def failed(self) -> int:
        return self.failures.total()


class PartitionCollector:
    """Takes a partition's rows as they come; writes each position once, repeats for duplicates included."""

    def __init__(
        self,
        partition: Partition,
        submission: Submission,
        writer: PartitionWriter,
        run_id: str,
        *,
        reader: ItemReader | None = None,
        earlier: Earlier | None = None,
    ) -> None:
        self.partition = partition
        self.submission = submission
        output = None if reader is None else OutputReport()
        self.report = PartitionReport(submitted=len(submission.known), output=output)
        self._reader = reader
        self._writer = writer
        self._run_id = run_id
        self._earlier = earlier
        self._kept: set[int] = set()
        self._full: set[int] = set()
        self._written: list[int] = []
        self._resubmitted = submission.resubmitted
        self._repeats: dict[int, list[SentUrl]] = {}
        for url in submission.duplicates:
            self._repeats.setdefault(url.first, []).append(SentUrl(job_position=-1, position=url.position, url=url.url))

    def attempt_of(self, item: SentUrl) -> int:
        """How often the URL was submitted for this partition, from 1."""
        return 1 + self._resubmitted[item.position]

    def take(self, row: Row, item: SentUrl, origin: RowOrigin) -> None:
        """A finished row of one of the partition's URLs."""
        if row.status is not RowStatus.SUCCEEDED:
            for place in self._places(item):
                self._fail(failed_row(row, place, origin))
            return
        output = self._read_output(raw_data(row))
        for place in self._places(item):
            page = succeeded_row(row, place, origin, output)
            if place is not item:
                page["credits"] = 0
            self._succeed(page, output)

    def miss(self, item: SentUrl, origin: RowOrigin, why: Fate) -> None:
        """No finished row came for one of the partition's URLs."""
        for place in self._places(item):
            self._fail(absent_row(place, origin, why))

    def finish(self, collected_at: datetime) -> PartitionReport:
        """Check that every submitted URL has its row, then publish both tables.

        Raises:
            ConservationError: the rows are not the submitted URLs; nothing is published.
            StaysError: what is published meanwhile is newer, or more.
            StorageError: the store refused; the old partition is intact.
        """
        for url in self.submission.rejected:
            repeats = [url.model_copy(update={"position": r.position, "url": r.url}) for r in self._repeats_of(url)]
            for place in (url, *repeats):
                self._fail(rejected_row(place, collected_at, self.submission.id, self._run_id))
        if self._earlier:
            self._write_kept(self._earlier)
        check_conservation(self.submission.known, self._written)
        if self._earlier:
            self._earlier.require_unchanged(self._kept, self._full)
        self.report.pair = self._writer.commit(self._footer())
        return self.report

    def _footer(self) -> dict[str, str]:
        time = submission_time(self.submission)
        return {
            "submission_id": self.submission.id,
            **({SUBMISSION_TIME: time.isoformat()} if time else {}),
            "run_id": self._run_id,
            "submitted": str(self.report.submitted),
            BLANK_COUNT: str(self.report.blank),
            **(self.report.output.footer if self.report.output else {}),
        }

    def abort(self) -> None:
        """Leave the partition as it was."""
        self._writer.abort()

    def job_ended(self, job: Job, status: str, rows: int, size: int) -> None:
        """Keep a job's last state for the report."""
        self.report.jobs.append(
            JobReport(str(job.ref), status, rows, size, job.credits_used, job.created_at, job.completed_at)
        )

    def _read_output(self, data: str | None) -> Extracted | None:
        return self._reader.read(data) if self._reader else None

    def _repeats_of(self, url: SentUrl | RejectedUrl) -> Sequence[SentUrl]:
        return self._repeats.get(url.position, ())

    def _places(self, item: SentUrl) -> list[SentUrl]:
        repeats = self._repeats_of(item)
        return [item, *(one.model_copy(update={"job_position": item.job_position}) for one in repeats)]

    def _succeed(self, row: SucceededRow, output: Extracted | None) -> None:
        if self._earlier and self._earlier.outlasts_page(row):
            self._keep(row["position"], LESS_CONTENT)
        else:
            self._write_page(row, output)

    def _fail(self, row: FailedRow) -> None:
        if self._earlier and self._earlier.outlasts_failure(row):
            self._keep(row["position"], f"{row['status']} ({row['error_code']})")
        else:
            self._write_failure(row)

    def _keep(self, position: int, instead_of: str) -> None:
        self._kept.add(position)
        self.report.kept[instead_of] += 1

    def _write_kept(self, earlier: Earlier) -> None:
        """Take over the published rows that the API now brings less of; typed columns are read from their data."""
        for row in earlier.rows("succeeded", self._kept & earlier.pages.keys(), SCHEMAS["succeeded"].names):
            page = cast("SucceededRow", row)
            output = self._read_output(page.get("data"))
            self._write_page(page if output is None else with_output(page, output), output)
        for row in earlier.rows("failed", self._kept - earlier.pages.keys(), SCHEMAS["failed"].names):
            self._write_failure(cast("FailedRow", row))

    def _write_page(self, row: SucceededRow, output: Extracted | None) -> None:
        self._writer.write_succeeded(row)
        self._written.append(row["position"])
        if any(sizes_of(row)):
            self._full.add(row["position"])
        self.report.succeeded += 1
        self.report.credits_estimated += row.get("credits") or 0
        self.report.markdown_bytes += len(row.get("markdown") or "")
        self.report.blank += is_blank(row.get("markdown"), row.get("data"))
        # A repeated URL, which costs nothing, is of a page that is counted already.
        if output and self.report.output and row.get("credits"):
            self.report.output.add(output)
        if len(self.report.preview) < PREVIEW_ROWS:
            self.report.preview.append(row)

    def _write_failure(self, row: FailedRow) -> None:
        self._writer.write_failed(row)
        self._written.append(row["position"])
        self.report.failures[row["error_code"], row["error_class"]] += 1
        self.report.failures_by_host[host_of(row["url"]), row["error_code"]] += 1
        insort(self.report.first_failed, row, key=lambda failed: failed["position"])
        del self.report.first_failed[FIRST_FAILED:]


def is_blank(markdown: str | None, data: str | None) -> bool:
    """Whether a page that succeeded has neither text nor extracted rows."""
    # A zero-width space is no space, and a page of nothing else still has no text.
    has_text = any(char.isprintable() and not char.isspace() for char in markdown or "")
    return not has_text and (data or "[]") == "[]"


def utc(timestamp: float) -> datetime:
    """A Unix time as an aware datetime."""
    return datetime.fromtimestamp(timestamp, timezone.utc)
