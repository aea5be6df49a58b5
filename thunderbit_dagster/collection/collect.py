"""Fetching the rows of a run's jobs, page by page, into the partitions they belong to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from logging import Logger
from typing import TYPE_CHECKING

from thunderbit_dagster.api.codes import JobStatus, RowStatus
from thunderbit_dagster.api.errors import JobNotFoundError, ThunderbitError
from thunderbit_dagster.api.models import Job, JobRef
from thunderbit_dagster.collection.partition_writer import PartitionCollector, PartitionReport, utc
from thunderbit_dagster.collection.published_rows import PublishedPlace, StaysError, SupersededError, read_earlier
from thunderbit_dagster.collection.reconcile import ConservationError, Reconciler, fate
from thunderbit_dagster.collection.rows import RowOrigin, price
from thunderbit_dagster.extraction.output import PAGE_COLUMNS, Output
from thunderbit_dagster.jobs.state import ENDED, EXPIRED, LOST, STOPPED
from thunderbit_dagster.ledger.records import SentUrl
from thunderbit_dagster.ledger.submissions import Post, Submission
from thunderbit_dagster.partitions import Partition
from thunderbit_dagster.storage.errors import StorageError
from thunderbit_dagster.storage.store import ParquetStore
from thunderbit_dagster.urls import Fragments

if TYPE_CHECKING:
    from thunderbit_dagster.api.client import ThunderbitClient

REREADS = 2
"""How often a COMPLETED job with unfinished rows is read again before those rows count as missing."""
REREAD_SECONDS = 2.0
DRIFT_SHARE = 0.1
"""A job whose bill differs from the price list by more than this share is worth a warning."""


class JobNotEndedError(Exception):
    """A job that was taken for finished is running."""


@dataclass
class SharedJob:
    """A batch job and this run's URLs in it, partition by partition."""

    ref: JobRef
    size: int
    submitted_at: float
    shares: dict[Partition, Post] = field(default_factory=dict)

    @property
    def sent(self) -> dict[int, str]:
        """This run's URLs by job position, as they were sent."""
        return {item.job_position: item.sent or item.url for post in self.shares.values() for item in post.intent.items}

    def items(self) -> dict[int, list[tuple[Partition, SentUrl]]]:
        """Who wants which job position."""
        wanted: dict[int, list[tuple[Partition, SentUrl]]] = {}
        for partition, post in self.shares.items():
            for item in post.intent.items:
                wanted.setdefault(item.job_position, []).append((partition, item))
        return wanted


def shared_jobs(submissions: Mapping[Partition, Submission]) -> list[SharedJob]:
    """The jobs of several submissions, each once, in the order in which the partitions need them."""
    jobs: dict[JobRef, SharedJob] = {}
    for partition, submission in submissions.items():
        for post in submission.running:
            if post.job and post.recorded:
                job = jobs.setdefault(post.job, SharedJob(post.job, post.intent.size, post.recorded.at))
                job.shares[partition] = post
    return list(jobs.values())


@dataclass
class Collection:
    """One run's collection: partitions open with their first job and are published after their last.

    A job or a store that fails takes only its own partitions with it. ``known`` tells what polling already
    learned of jobs that the API no longer knows or that never ended; ``output`` is what a page is read into, and
    ``fragments`` those of the crawl. ``last`` is the submission that was published last of each partition, as the event
    log tells. ``superseded`` holds those of the problems for which trying again is of no use: a newer submission is
    published.
    """

    client: ThunderbitClient
    store: ParquetStore
    crawl_name: str
    run_id: str
    log: Logger
    known: Mapping[str, str] = field(default_factory=dict)
    explain: Callable[[ThunderbitError], str] = str
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    output: Output = PAGE_COLUMNS
    fragments: Fragments = "routes"
    last: Mapping[Partition, str] = field(default_factory=dict)
    problems: dict[Partition, str] = field(default_factory=dict)
    superseded: list[Partition] = field(default_factory=list)
    reports: dict[Partition, PartitionReport] = field(default_factory=dict)
    _open: dict[Partition, PartitionCollector] = field(default_factory=dict)

    def collect(self, submissions: Mapping[Partition, Submission]) -> dict[Partition, PartitionReport]:
        """Publish what can be published; ``problems`` names the rest."""
        jobs = shared_jobs(submissions)
        left = {partition: sum(partition in job.shares for job in jobs) for partition in submissions}
        try:
            for job in jobs:
                self._collect_job(job, submissions)
                for partition in job.shares:
                    left[partition] -= 1
                    self._finish_if_done(partition, left[partition])
            for partition in [p for p, count in left.items() if count == 0 and p not in self.reports]:
                self._opened(partition, submissions)
                self._finish_if_done(partition, 0)
        finally:
            for collector in self._open.values():
                collector.abort()
        return self.reports

    def _collect_job(self, job: SharedJob, submissions: Mapping[Partition, Submission]) -> None:
        wanted = [p for p in job.shares if p not in self.problems and self._opened(p, submissions)]
        if not wanted:
            return
        try:
            JobCollector(self, job, {p: self._open[p] for p in wanted}).run()
        except (ThunderbitError, JobNotEndedError) as error:
            reason = self.explain(error) if isinstance(error, ThunderbitError) else str(error)
            self.give_up(
                wanted,
                f"the rows of {job.ref} could not be fetched: {reason}. The job is kept; run this again",
            )
        except StorageError as error:
            self.give_up(wanted, str(error))

    def _opened(self, partition: Partition, submissions: Mapping[Partition, Submission]) -> bool:
        if partition in self._open:
            return True
        if partition in self.problems or partition in self.reports:
            return False
        submission = submissions[partition]
        try:
            earlier = read_earlier(
                PublishedPlace(self.store, self.crawl_name, partition, submission, self.last.get(partition))
            )
            for reason in earlier.files.damaged.values():
                self.log.warning("%s: %s It will be replaced", partition, reason)
            writer = self.store.open_partition(self.crawl_name, partition.dimensions, schemas=self.output.schemas)
        except (StaysError, StorageError) as error:
            self._give_up_for(partition, error)
            return False
        self._open[partition] = PartitionCollector(
            partition, submission, writer, self.run_id, reader=self.output.reader, earlier=earlier
        )
        return True

    def _finish_if_done(self, partition: Partition, left: int) -> None:
        if left or partition not in self._open:
            return
        try:
            report = self._open[partition].finish(utc(self.clock()))
        except (ConservationError, StaysError, StorageError) as error:
            self._give_up_for(partition, error)
            return
        del self._open[partition]
        self.reports[partition] = report
        if report.kept:
            reasons = ", ".join(f"{count} {reason}" for reason, count in report.kept.most_common())
            self.log.warning(
                "%s: %d row(s) that this submission published before are kept, because the API now returns less: %s",
                partition,
                report.kept.total(),
                reasons,
            )

    def _give_up_for(self, partition: Partition, error: Exception) -> None:
        self.give_up([partition], str(error))
        if isinstance(error, SupersededError):
            self.superseded.append(partition)
            self.log.warning("%s is not published: %s", partition, error)

    def give_up(self, partitions: list[Partition], reason: str) -> None:
        """Publish nothing of some partitions; what is published of them stays."""
        for partition in partitions:
            self.problems[partition] = reason
            if collector := self._open.pop(partition, None):
                collector.abort()


@dataclass
class JobCollector:
    """Reads one job's pages and hands every row to the partitions that want it."""

    run_of: Collection
    job: SharedJob
    collectors: Mapping[Partition, PartitionCollector]
    _prices: dict[tuple[int | None, str], int] = field(default_factory=dict)

    def run(self) -> None:
        """Read until every row is there or nothing more can come.

        Raises:
            ThunderbitError: the job cannot be read now.
        """
        rows = Reconciler(self.job.size, self.job.sent)
        items = self.job.items()
        job = self._read(rows, items)
        for _ in range(REREADS):
            if self._is_settled(job, rows):
                break
            self.run_of.sleep(REREAD_SECONDS)
            job = self._read(rows, items)
        self._close(rows, items, job)

    def _is_settled(self, job: Job | None, rows: Reconciler) -> bool:
        """Whether reading again could bring nothing more."""
        if self._known in (LOST, EXPIRED, STOPPED):
            return True
        if job is None or not job.status.is_terminal:
            return False
        return job.status is not JobStatus.COMPLETED or not (rows.unfinished or not rows.taken)

    @property
    def _known(self) -> str | None:
        return self.run_of.known.get(str(self.job.ref))

    def _read(self, rows: Reconciler, items: Mapping[int, list[tuple[Partition, SentUrl]]]) -> Job | None:
        """Hand over what is new; the job as the last page shows it, None when the API does not know it."""
        job: Job | None = None
        rows.begin_reading()
        try:
            for page in self.run_of.client.iter_pages(self.job.ref, is_ours=rows.is_ours):
                job = page.job
                for row in page.rows:
                    if row.status is RowStatus.SUCCEEDED:
                        self._prices[row.index, row.url] = price(self.job.ref.kind, row)
                    if (position := rows.take(row)) is not None:
                        for collector, item, origin in self._wanting(items[position], job):
                            collector.take(row, item, origin)
        except JobNotFoundError:
            self.run_of.log.warning("%s is not known to the API", self.job.ref)
        return job

    def _wanting(
        self, places: list[tuple[Partition, SentUrl]], job: Job | None
    ) -> Iterator[tuple[PartitionCollector, SentUrl, RowOrigin]]:
        """Those who want a job position and are still being collected."""
        for partition, item in places:
            if collector := self.collectors.get(partition):
                yield collector, item, self._origin(collector, item, job)

    def _origin(self, collector: PartitionCollector, item: SentUrl, job: Job | None) -> RowOrigin:
        return RowOrigin(
            ref=self.job.ref,
            attempt=collector.attempt_of(item),
            submitted_at=utc(self.job.submitted_at),
            completed_at=job.completed_at if job else None,
            collected_at=utc(self.run_of.clock()),
            submission_id=collector.submission.id,
            run_id=self.run_of.run_id,
            fragments=self.run_of.fragments,
        )

    def _close(self, rows: Reconciler, items: Mapping[int, list[tuple[Partition, SentUrl]]], job: Job | None) -> None:
        status = self._final_status(job, rows)
        for position, row in rows.take_late():
            for collector, item, origin in self._wanting(items[position], job):
                collector.take(row, item, origin)
        why = fate(str(self.job.ref), status)
        for position in rows.missing:
            for collector, item, origin in self._wanting(items[position], job):
                collector.miss(item, origin, why)
        for partition, collector in self.collectors.items():
            collector.report.duplicated += rows.duplicated
            collector.report.foreign += rows.foreign
            collector.report.repaired += rows.repaired
            collector.job_ended(
                job or Job(self.job.ref, JobStatus.UNKNOWN),
                status,
                len(self.job.shares[partition].intent.items),
                self.job.size,
            )
        self._compare_bill(job)
        self._warn_of_strange_rows(rows)
        self.run_of.log.info(
            "%s: %d of %d rows read, %d missing",
            self.job.ref,
            len(rows.taken),
            self.job.size,
            len(rows.missing),
        )

    def _warn_of_strange_rows(self, rows: Reconciler) -> None:
        partitions = ", ".join(map(str, self.job.shares))
        strange = {
            "fewer finished row(s) than URLs": len(rows.missing),
            "row(s) of URLs that are not in the job, which were dropped": rows.foreign,
            "row(s) that cannot be read, which are in `failed` as UNREADABLE_ROW": rows.unreadable,
            "row(s) with bytes that are not UTF-8, which were replaced": rows.repaired,
        }
        for what, count in strange.items():
            if count:
                self.run_of.log.warning("%s (%s): the API sent %d %s", self.job.ref, partitions, count, what)

    def _compare_bill(self, job: Job | None) -> None:
        """Warn of a bill that the price list does not explain. All rows of the job count, whoever wants them."""
        if job is None or not job.status.is_terminal or job.credits_used is None:
            return
        listed = sum(self._prices.values())
        if abs(job.credits_used - listed) > DRIFT_SHARE * listed:
            self.run_of.log.warning(
                "%s used %d credits according to the API, but %d according to the price list for its %d finished rows",
                job.ref,
                job.credits_used,
                listed,
                len(self._prices),
            )

    def _final_status(self, job: Job | None, rows: Reconciler) -> str:
        """How the job ended: by the API's word, else lost to it, else past its deadline.

        A job that had ended before and runs again by the API's word stays ended when all of its rows are finished.

        Raises:
            JobNotEndedError: the job is running; there is nothing final to publish yet.
        """
        if job is None:
            return LOST
        if self._known == STOPPED and job.status in (JobStatus.CANCELLED, JobStatus.PENDING, JobStatus.PROCESSING):
            return STOPPED
        if job.status.is_terminal:
            return job.status.value
        if self._known == EXPIRED:
            return EXPIRED
        if self._known in ENDED and rows.is_complete:
            return str(self._known)
        raise JobNotEndedError(f"{self.job.ref} is still {job.raw_status or job.status.value}")
