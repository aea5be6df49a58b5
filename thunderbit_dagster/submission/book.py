"""The open submissions of one run: every change is written to the event log before it counts."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping

import dagster as dg

from thunderbit_dagster.crawl import Crawl
from thunderbit_dagster.ledger.fold import Submission, apply
from thunderbit_dagster.ledger.records import (
    Amended,
    DuplicateUrl,
    Intent,
    Opened,
    Recorded,
    Refused,
    RejectedUrl,
    SubmissionRecord,
    to_metadata,
)
from thunderbit_dagster.partitions import Partition
from thunderbit_dagster.urls import CheckedUrls

LogEvent = Callable[[dg.AssetObservation], None]


def new_id() -> str:
    """An id for a submission or an intent: 16 hex digits, random."""
    return uuid.uuid4().hex[:16]


class Book:
    """Writes records as observations on ``submissions`` and keeps each partition's state with them."""

    def __init__(self, crawl: Crawl, log_event: LogEvent, submissions: Mapping[Partition, Submission]) -> None:
        self._crawl = crawl
        self._log_event = log_event
        self.submissions = dict(submissions)

    def open(self, partition: Partition, checked: CheckedUrls, request: str, account: str) -> Submission:
        """Begin a submission."""
        opened = Opened(
            submission_id=new_id(),
            request=request,
            account=account,
            total=checked.total,
            rejected=_rejected(checked),
        )
        self.write(partition, opened)
        self.submissions[partition] = Submission(opened)
        return self.submissions[partition]

    def amend(self, partition: Partition, checked: CheckedUrls) -> None:
        """Add URLs that need no request to an open submission, when there are any."""
        if checked.rejected or checked.duplicates:
            amended = Amended(
                submission_id=self.submissions[partition].id,
                rejected=_rejected(checked),
                duplicates=_duplicates(checked),
            )
            self.note(partition, amended)

    def note(self, partition: Partition, record: SubmissionRecord) -> None:
        """Write a record of an open submission, then let it count."""
        self.write(partition, record)
        if not isinstance(record, Opened):
            apply(self.submissions[partition], record)

    def write(self, partition: Partition, record: SubmissionRecord) -> None:
        """Write a record; it is durable when this returns."""
        self._log_event(
            dg.AssetObservation(
                asset_key=self._crawl.key("submissions"),
                partition=partition.key,
                metadata={"event": describe(record), **to_metadata(record)},
            ),
        )


def describe(record: SubmissionRecord) -> str:
    """The record in a few words, for the list of events in the UI."""
    if isinstance(record, Opened):
        return f"a submission of {record.total:,} URL(s) begins"
    if isinstance(record, Amended):
        return f"no request needed for {len(record.duplicates):,} repeated and {len(record.rejected):,} refused URL(s)"
    if isinstance(record, Intent):
        return f"a job of {record.size:,} URL(s) is about to be submitted"
    if isinstance(record, Recorded):
        return f"submitted as job {record.job}"
    if isinstance(record, Refused):
        return f"the API did not accept a job: {record.code}"
    return "the reply to a submit was lost" + ("; submitted again" if record.resubmitted else "")


def _rejected(checked: CheckedUrls) -> tuple[RejectedUrl, ...]:
    return tuple(RejectedUrl(position=r.position, url=r.url, reason=r.reason) for r in checked.rejected)


def _duplicates(checked: CheckedUrls) -> tuple[DuplicateUrl, ...]:
    return tuple(DuplicateUrl(position=d.position, url=d.url, first=d.first) for d in checked.duplicates)
