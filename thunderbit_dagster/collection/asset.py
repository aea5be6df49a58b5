"""What a run of ``succeeded`` and ``failed`` does: one step collects both and publishes them together."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import dagster as dg

from thunderbit_dagster.collection.collect import Collection
from thunderbit_dagster.collection.metadata import Written, failed_metadata, succeeded_metadata
from thunderbit_dagster.collection.partition_writer import PartitionReport
from thunderbit_dagster.collection.quality import check_partitions
from thunderbit_dagster.collection.wait import Waiter, sensor_is_polling
from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.extraction.output import Output, output_of
from thunderbit_dagster.jobs.interrupted_steps import stopping_jobs
from thunderbit_dagster.jobs.state import JobState
from thunderbit_dagster.ledger.asset_events import PublishedPartitions, lateness_metadata, progress_observation, publish
from thunderbit_dagster.ledger.credits import bill_observations
from thunderbit_dagster.ledger.event_log import CLOCK_SLACK_SECONDS, LedgerReader, outcome_observation
from thunderbit_dagster.ledger.owner import owner_of
from thunderbit_dagster.ledger.records import Bill, Collected, Progress, Sealed, to_metadata
from thunderbit_dagster.ledger.submissions import Submission
from thunderbit_dagster.partitions import Partition
from thunderbit_dagster.resource import ThunderbitResource
from thunderbit_dagster.runs.partitions import Step, is_backfill, run_partitions
from thunderbit_dagster.storage.store import ParquetStore


def collect_assets(
    context: dg.AssetExecutionContext, crawl: Crawl, store: ParquetStore, thunderbit: ThunderbitResource
) -> Iterator[dg.MaterializeResult[None]]:
    """Collect the partitions of a run of the assets, and mark those that were published.

    Raises:
        dagster.Failure: some could not be collected; the others are marked all the same.
    """
    run = CollectionRun(context, crawl, store, thunderbit)
    yield from run.mark(run.guarded(), run.problems, complete=not run.handed_over)


def collect_partitions(
    context: dg.OpExecutionContext, crawl: Crawl, store: ParquetStore, thunderbit: ThunderbitResource
) -> list[Partition]:
    """Collect the partitions of an op's run, and mark those that were published; which they are.

    Raises:
        dagster.Failure: some could not be collected; the others are marked all the same.
    """
    run = CollectionRun(context, crawl, store, thunderbit)
    published = run.guarded()
    list(run.mark(published, run.problems))
    return [one.partition for one in published]


def collect_sent(
    crawl: Crawl,
    store: ParquetStore,
    context: Step,
    thunderbit: ThunderbitResource,
    partitions: Sequence[Partition],
) -> Mapping[Partition, str]:
    """Collect, mark and check partitions within the step that sent them; what could not be published, and why."""
    run = CollectionRun(context, crawl, store, thunderbit, partitions)
    published = run.guarded()
    list(run.mark(published, {}, complete=False))
    for evaluated in check_partitions(context.instance, crawl, store, [one.partition for one in published]):
        context.log_event(evaluated)  # type: ignore[arg-type] # Dagster takes it, though its annotation leaves it out
    return run.problems


@dataclass
class CollectionRun:
    """One run of the collection over its partitions, or over ``wanted`` alone.

    ``handed_over`` holds the partitions that the sensor will have collected once their jobs have ended, ``last`` the
    submission of each partition that was collected last.
    """

    context: Step
    crawl: Crawl
    store: ParquetStore
    thunderbit: ThunderbitResource
    wanted: Sequence[Partition] | None = None
    problems: dict[Partition, str] = field(default_factory=dict)
    last: dict[Partition, str] = field(default_factory=dict)
    handed_over: list[Partition] = field(default_factory=list)
    awaited: set[str] = field(default_factory=set)
    collected: dict[Partition, Collected] = field(default_factory=dict)

    def guarded(self) -> list[PublishedPartitions]:
        """``execute``, with the jobs stopped or left alone when the run is told to end."""
        with (
            dg.partition_loading_context(dynamic_partitions_store=self.context.instance),
            stopping_jobs(self.context, self.crawl, self.thunderbit, waiting_for=self.waiting_for),
        ):
            return self.execute()

    def mark(
        self, published: Sequence[PublishedPartitions], problems: Mapping[Partition, str], *, complete: bool = True
    ) -> Iterator[dg.MaterializeResult[None]]:
        """``publish``; once Dagster has marked the partitions, their submissions count as collected without this run.

        Raises:
            dagster.Failure: there are problems; the published partitions are marked all the same.
        """
        keys = [self.crawl.key("succeeded"), self.crawl.key("failed")]
        try:
            yield from publish(self.context, keys, published, problems, complete=complete)
        except dg.Failure:
            self._report_collected(published)
            raise
        self._report_collected(published)

    def _report_collected(self, published: Sequence[PublishedPartitions]) -> None:
        for one in published:
            record = self.collected[one.partition]
            words = f"collected: {record.succeeded:,} row(s) succeeded, {record.failed:,} failed"
            self._report(outcome_observation(self.crawl, one.partition.key, record, words))

    def _report_superseded(self, partition: Partition, submission: Submission) -> None:
        """Close a submission that is never published; the partition could not be crawled anew otherwise."""
        record = Collected(submission_id=submission.id, run=self.context.run.run_id, succeeded=0, failed=0)
        words = "not published: a newer submission is in the store"
        self._report(outcome_observation(self.crawl, partition.key, record, words))

    @cached_property
    def output(self) -> Output:
        """What the crawl's pages are read into."""
        return output_of(self.crawl.request)

    def execute(self) -> list[PublishedPartitions]:
        """Collect the newest submission of each partition, waiting for its jobs only if nobody else does."""
        partitions = run_partitions(self.context, self.crawl) if self.wanted is None else self.wanted
        submissions = self._submissions(partitions)
        known = self._settle(submissions)
        running = {job for job, progress in known.items() if progress is None}
        ready = {p: s for p, s in submissions.items() if not running & {share.job for share in s.jobs}}
        self.handed_over = [partition for partition in submissions if partition not in ready]
        collection = Collection(
            client=self.thunderbit.client,
            store=self.store,
            crawl_name=self.crawl.name,
            fragments=self.crawl.fragments,
            run_id=self.context.run.run_id,
            log=self.context.log,
            explain=self.thunderbit.explain,
            output=self.output,
            known={job: progress.status for job, progress in known.items() if progress},
            last=self.last,
        )
        reports = collection.collect(ready)
        self.problems |= collection.problems
        for partition in collection.superseded:
            self._report_superseded(partition, ready[partition])
        self._settle_bills(ready, reports)
        return [self._published(p, ready[p], report) for p, report in reports.items()]

    def waiting_for(self) -> set[str]:
        """The jobs for whose end the run waits."""
        return self.awaited

    def _submissions(self, partitions: Sequence[Partition]) -> dict[Partition, Submission]:
        past = LedgerReader(self.context.instance, self.crawl).past([partition.key for partition in partitions])
        for partition in partitions:
            unsealed = self._unsealed(past.submissions.get(partition.key), past.sealed.get(partition.key))
            stranger = self._stranger(past.submissions.get(partition.key))
            if problem := past.unreadable.get(partition.key) or stranger or unsealed:
                self.problems[partition] = problem
        submissions = {p: past.submissions[p.key] for p in partitions if p not in self.problems}
        self.last = {p: past.collected[p.key].submission_id for p in submissions if p.key in past.collected}
        return submissions

    def _stranger(self, submission: Submission | None) -> str | None:
        owner = owner_of(self.context.run, self.store.base_uri)
        if submission is None or owner.owns(submission.opened):
            return None
        return f"nothing was collected: {owner.refusal(submission.opened, self.crawl.name)}"

    def _unsealed(self, submission: Submission | None, sealed: Sealed | None) -> str | None:
        name = self.crawl.key("submissions").to_user_string()
        if submission is None:
            return f"nothing was ever submitted; materialize `{name}` of this partition first"
        if sealed is None or sealed.submission_id != submission.id:
            return f"its submission {submission.id} is incomplete; materialize `{name}` again to continue there"
        return None

    def _settle(self, submissions: Mapping[Partition, Submission]) -> dict[str, Progress | None]:
        """What is known of each job; None for those that are running and left to the sensor."""
        jobs = {share.job: JobState(share.job, share.size, share.at) for s in submissions.values() for share in s.jobs}
        if not jobs:
            return {}
        since = min(watched.submitted_at for watched in jobs.values()) - CLOCK_SLACK_SECONDS
        seen = LedgerReader(self.context.instance, self.crawl).progress(since)
        watched = {job: JobState(one.job, one.size, one.submitted_at, seen.get(job)) for job, one in jobs.items()}
        ended: dict[str, Progress | None] = {job: one.progress for job, one in watched.items() if one.ended}
        return ended | self._look({job: one for job, one in watched.items() if not one.ended}, submissions)

    def _look(
        self, jobs: dict[str, JobState], submissions: Mapping[Partition, Submission]
    ) -> dict[str, Progress | None]:
        homes = {share.job: partition for partition, s in submissions.items() for share in s.jobs}
        waiter = Waiter(
            self.thunderbit.client,
            self.context.log,
            self.crawl.job_deadline.total_seconds(),
            lambda progress: self._report(progress_observation(self.crawl, homes[progress.job], progress)),
            cancel_late=self.crawl.cancel_on_deadline,
            explain=self.thunderbit.explain,
            slots=self.thunderbit.concurrent_jobs,
        )
        running = waiter.look(jobs) if jobs else []
        if running and self._sensor_takes_over():
            self.context.log.info(
                "%d batch job(s) are running; the job sensor will have them collected when they end", len(running)
            )
        else:
            self.awaited = {watched.job for watched in running}
            if running:
                self.context.log.info("Waiting for %d running batch job(s)", len(running))
            waiter.wait(running)
            running = []
        left, seen = {watched.job for watched in running}, waiter.progress
        return {job: None if job in left else seen.get(job) for job in jobs}

    def _sensor_takes_over(self) -> bool:
        # Dagster marks the partitions of a backfill failed when its runs end without them.
        return not is_backfill(self.context) and sensor_is_polling(self.context.instance, time.time())

    def _settle_bills(
        self, submissions: Mapping[Partition, Submission], reports: Mapping[Partition, PartitionReport]
    ) -> None:
        """Tell the event log what each ended job cost, in place of what was set aside for it.

        An answer that brings less than is published is no word on the bill, either.
        """
        bills = {
            job.job: job.credits_used
            for report in reports.values()
            for job in report.jobs
            if job.has_ended and job.credits_used is not None and not report.kept
        }
        posts = {str(post.job): post.intent.intent_id for p in reports for post in submissions[p].running}
        settled = [Bill(intent_id=posts[job], credits=used, job=job) for job, used in bills.items()]
        for observation in bill_observations(settled, self.crawl.name):
            self._report(observation)

    def _report(self, seen: dg.AssetObservation) -> None:
        self.context.instance.report_runless_asset_event(seen)

    def _published(self, partition: Partition, submission: Submission, report: PartitionReport) -> PublishedPartitions:
        pair = report.pair
        if pair is None:
            raise dg.DagsterInvariantViolationError(f"{partition} was reported without being published")
        record = Collected(
            submission_id=submission.id,
            run=self.context.run.run_id,
            succeeded=pair.succeeded.rows,
            failed=pair.failed.rows,
        )
        self.collected[partition] = record
        collected = to_metadata(record)
        schemas, partitioned = self.output.schemas, partition.key is not None
        late = lateness_metadata(self.crawl, partition, submission.jobs)
        succeeded = Written(pair.succeeded, schemas["succeeded"], partitioned)
        failed = Written(pair.failed, schemas["failed"], partitioned)
        return PublishedPartitions(
            partition,
            {
                self.crawl.key("succeeded"): {**succeeded_metadata(report, succeeded, late), **collected},
                self.crawl.key("failed"): {**failed_metadata(report, failed, late), **collected},
            },
        )
