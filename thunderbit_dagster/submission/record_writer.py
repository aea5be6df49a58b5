"""The open submissions of one run: every change is written to the event log before it counts."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from typing import TypeVar

import dagster as dg

from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.ledger.owner import ANYBODY, Owner
from thunderbit_dagster.ledger.records import (
    Amended,
    DuplicateUrl,
    Intent,
    Lost,
    Moved,
    Opened,
    Recorded,
    Refused,
    RejectedUrl,
    SentUrl,
    SubmissionRecord,
    to_metadata,
)
from thunderbit_dagster.ledger.submissions import Submission, apply
from thunderbit_dagster.partitions import Partition
from thunderbit_dagster.urls import CheckedUrls

EVENT_BYTES = 100_000
"""The most that the URLs in one event may take: Dagster reads events whole, and its UI shows them."""
UrlT = TypeVar("UrlT", RejectedUrl, DuplicateUrl, SentUrl)

ReportEvent = Callable[[dg.AssetObservation], None]


def portions(urls: Sequence[UrlT]) -> list[tuple[UrlT, ...]]:
    """The URLs in lists that fit an event each; a single URL may be larger than that."""
    found: list[tuple[UrlT, ...]] = []
    portion: list[UrlT] = []
    size = 0
    for url in urls:
        length = len(url.model_dump_json())
        if portion and size + length > EVENT_BYTES:
            found.append(tuple(portion))
            portion, size = [], 0
        portion.append(url)
        size += length
    if portion:
        found.append(tuple(portion))
    return found


def new_id() -> str:
    """An id for a submission or an intent: 16 hex digits, random."""
    return uuid.uuid4().hex[:16]


class SubmissionRecords:
    """Writes a run's records as observations on ``submissions`` and keeps each partition's state with them.

    ``report`` writes an event that belongs to no run, so that it outlives the run ``run_id``.
    """

    def __init__(
        self,
        crawl: Crawl,
        report: ReportEvent,
        submissions: Mapping[Partition, Submission],
        run_id: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._crawl = crawl
        self._report = report
        self._run_id = run_id
        self._clock = clock
        self.submissions = dict(submissions)

    def open(
        self,
        partition: Partition,
        checked: CheckedUrls,
        request: str,
        account: str,
        owner: Owner = ANYBODY,
    ) -> Submission:
        """Begin a submission."""
        first, *others = portions(_rejected(checked)) or [()]
        opened = Opened(
            submission_id=new_id(),
            request=request,
            account=account,
            total=checked.total,
            location=owner.location,
            store=owner.store,
            origin=owner.origin,
            at=self._clock(),
            rejected=first,
        )
        self.write(partition, opened)
        self.submissions[partition] = Submission(opened)
        for rejected in others:
            self.note(partition, Amended(submission_id=opened.submission_id, rejected=rejected))
        return self.submissions[partition]

    def amend(self, partition: Partition, checked: CheckedUrls) -> None:
        """Add URLs that need no request to an open submission, when there are any."""
        submission_id = self.submissions[partition].id
        parts = zip_longest(portions(_rejected(checked)), portions(_duplicates(checked)), fillvalue=())
        for rejected, duplicates in parts:
            self.note(partition, Amended(submission_id=submission_id, rejected=rejected, duplicates=duplicates))

    def note(self, partition: Partition, record: SubmissionRecord) -> None:
        """Write a record of an open submission, then let it count."""
        self.write(partition, record)
        if not isinstance(record, Opened):
            apply(self.submissions[partition], record)

    def write(self, partition: Partition, record: SubmissionRecord) -> None:
        """Write a record; it is durable when this returns."""
        written = record.model_copy(update={"run": self._run_id})
        self._report(
            dg.AssetObservation(
                asset_key=self._crawl.key("submissions"),
                partition=partition.key,
                metadata={"event": record_text(record), **to_metadata(written)},
            ),
        )


def record_text(record: SubmissionRecord) -> str:
    """The record in a few words, for the list of events in the UI."""
    match record:
        case Opened():
            words = f"started a submission of {record.total:,} URL(s)"
        case Moved():
            words = "continued with another key" if record.account else f"taken over for {record.store}"
        case Amended():
            refused = len(record.rejected)
            words = f"no request needed for {len(record.duplicates):,} repeated and {refused:,} refused URL(s)"
        case Intent():
            words = f"a job of {record.size:,} URL(s) is about to be submitted"
        case Recorded():
            words = f"submitted as job {record.job}"
        case Refused():
            words = f"the API did not accept a job: {record.code}"
        case Lost():
            words = "the reply to a submit was lost" + ("; submitted again" if record.resubmitted else "")
    return words


def _rejected(checked: CheckedUrls) -> tuple[RejectedUrl, ...]:
    return tuple(RejectedUrl(position=r.position, url=r.url, reason=r.reason) for r in checked.rejected)


def _duplicates(checked: CheckedUrls) -> tuple[DuplicateUrl, ...]:
    return tuple(DuplicateUrl(position=d.position, url=d.url, first=d.first) for d in checked.duplicates)
