"""The ``succeeded`` and ``failed`` assets: one step collects both and publishes them together."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import dagster as dg

from thunderbit_dagster.api.codes import JobKind
from thunderbit_dagster.cancellation.interrupted import stopping_jobs
from thunderbit_dagster.catalog import table_spec
from thunderbit_dagster.collection.collect import Collection
from thunderbit_dagster.collection.partition import PartitionReport
from thunderbit_dagster.collection.quality import check_partitions
from thunderbit_dagster.collection.view import Written, failed_metadata, succeeded_metadata
from thunderbit_dagster.collection.wait import Waiter, sensor_is_polling
from thunderbit_dagster.crawl import Crawl
from thunderbit_dagster.extraction.output import Output, output_of
from thunderbit_dagster.ledger.credits import credit_observation
from thunderbit_dagster.ledger.fold import Submission
from thunderbit_dagster.ledger.log import LedgerReader
from thunderbit_dagster.ledger.records import Collected, Progress, Sealed, Settled, to_metadata
from thunderbit_dagster.partitions import Partition
from thunderbit_dagster.polling.pace import Watched
from thunderbit_dagster.polling.sensor import progress_observation
from thunderbit_dagster.publishing import Published, lateness_metadata, publish
from thunderbit_dagster.resource import ThunderbitResource
from thunderbit_dagster.run import COLLECT_POOL, Step, collect_step, is_backfill, run_partitions
from thunderbit_dagster.storage.store import ParquetStore

PAGES = {
    JobKind.DISTILL: "Pages that were fetched, one row for each URL: Markdown and metadata.",
    JobKind.EXTRACT: "Pages that were fetched, one row for each URL: the typed items, and the data as it came.",
}
CLOCK_SLACK_SECONDS = 3_600.0
"""How far the clocks of two machines that write to one event log may differ."""


def build_collection(crawl: Crawl, store: ParquetStore) -> dg.AssetsDefinition:
    """The crawl's ``succeeded`` and ``failed`` assets."""
    keys = [crawl.key("succeeded"), crawl.key("failed")]

    @dg.multi_asset(
        name=collect_step(crawl),
        specs=_specs(crawl, store),
        partitions_def=crawl.partitions_def,
        backfill_policy=crawl.backfill_policy,
        pool=COLLECT_POOL,
    )
    def collect(
        context: dg.AssetExecutionContext, thunderbit: ThunderbitResource
    ) -> Iterator[dg.MaterializeResult[None]]:
        run = CollectionRun(context, crawl, store, thunderbit)
        yield from publish(context, keys, run.guarded(), run.problems, complete=not run.handed_over)

    return collect


def collect_partitions(
    context: dg.OpExecutionContext, crawl: Crawl, store: ParquetStore, thunderbit: ThunderbitResource
) -> list[Partition]:
    """Collect the partitions of an op's run, and mark those that were published; which they are.

    Raises:
        dagster.Failure: some could not be collected; the others are marked all the same.
    """
    run = CollectionRun(context, crawl, store, thunderbit)
    published = run.guarded()
    publish(context, [crawl.key("succeeded"), crawl.key("failed")], published, run.problems)
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
    publish(context, [crawl.key("succeeded"), crawl.key("failed")], published, {}, complete=False)
    for evaluated in check_partitions(context.instance, crawl, store, [one.partition for one in published]):
        context.log_event(evaluated)  # type: ignore[arg-type] # Dagster takes it, though its annotation leaves it out
    return run.problems


def _specs(crawl: Crawl, store: ParquetStore) -> list[dg.AssetSpec]:
    schemas = output_of(crawl.request).schemas
    files = "one file" if crawl.partitions_def is None else "one file for each partition"
    return [
        table_spec(
            crawl,
            store,
            "succeeded",
            schemas["succeeded"],
            f"{PAGES[crawl.request.kind]} Parquet, {files}."
            + (" A page is as of `completed_at`, not of its partition's date." if crawl.cadence else ""),
        ),
        table_spec(
            crawl,
            store,
            "failed",
            schemas["failed"],
            f"URLs that gave no page, one row each, with the reason and whether a retry can help. Parquet, {files}, "
            "published together with `succeeded`.",
        ),
    ]


@dataclass
class CollectionRun:
    """One run of the collection over its partitions, or over ``wanted`` alone.

    ``handed_over`` holds the partitions that the sensor will have collected once their jobs have ended, ``published``
    those whose newest submission was collected before.
    """

    context: Step
    crawl: Crawl
    store: ParquetStore
    thunderbit: ThunderbitResource
    wanted: Sequence[Partition] | None = None
    problems: dict[Partition, str] = field(default_factory=dict)
    published: frozenset[Partition] = frozenset()
    handed_over: list[Partition] = field(default_factory=list)
    awaited: set[str] = field(default_factory=set)

    def guarded(self) -> list[Published]:
        """``execute``, with the jobs stopped or left alone when the run is told to end."""
        with (
            dg.partition_loading_context(dynamic_partitions_store=self.context.instance),
            stopping_jobs(self.context, self.crawl, self.thunderbit, waiting_for=self.waiting_for),
        ):
            return self.execute()

    @cached_property
    def output(self) -> Output:
        """What the crawl's pages are read into."""
        return output_of(self.crawl.request)

    def execute(self) -> list[Published]:
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
            run_id=self.context.run.run_id,
            log=self.context.log,
            explain=self.thunderbit.explain,
            output=self.output,
            known={job: progress.status for job, progress in known.items() if progress},
            published=self.published,
        )
        reports = collection.collect(ready)
        self.problems |= collection.problems
        self._settle_bills(ready, reports)
        return [self._published(p, ready[p], report) for p, report in reports.items()]

    def waiting_for(self) -> set[str]:
        """The jobs for whose end the run waits."""
        return self.awaited

    def _submissions(self, partitions: Sequence[Partition]) -> dict[Partition, Submission]:
        past = LedgerReader(self.context.instance, self.crawl).past([partition.key for partition in partitions])
        for partition in partitions:
            unsealed = self._unsealed(past.submissions.get(partition.key), past.sealed.get(partition.key))
            if problem := past.unreadable.get(partition.key) or unsealed:
                self.problems[partition] = problem
        submissions = {p: past.submissions[p.key] for p in partitions if p not in self.problems}
        ids = {collected.submission_id for collected in past.collected.values()}
        self.published = frozenset(partition for partition, one in submissions.items() if one.id in ids)
        return submissions

    def _unsealed(self, submission: Submission | None, sealed: Sealed | None) -> str | None:
        name = self.crawl.key("submissions").to_user_string()
        if submission is None:
            return f"nothing was ever submitted; materialize `{name}` of this partition first"
        if sealed is None or sealed.submission_id != submission.id:
            return f"its submission {submission.id} is incomplete; materialize `{name}` again, it continues there"
        return None

    def _settle(self, submissions: Mapping[Partition, Submission]) -> dict[str, Progress | None]:
        """What is known of each job; None for those that are running and left to the sensor."""
        jobs = {share.job: Watched(share.job, share.size, share.at) for s in submissions.values() for share in s.jobs}
        if not jobs:
            return {}
        since = min(watched.submitted_at for watched in jobs.values()) - CLOCK_SLACK_SECONDS
        seen = LedgerReader(self.context.instance, self.crawl).progress(since)
        watched = {job: Watched(one.job, one.size, one.submitted_at, seen.get(job)) for job, one in jobs.items()}
        ended: dict[str, Progress | None] = {job: one.progress for job, one in watched.items() if one.ended}
        return ended | self._look({job: one for job, one in watched.items() if not one.ended}, submissions)

    def _look(
        self, jobs: dict[str, Watched], submissions: Mapping[Partition, Submission]
    ) -> dict[str, Progress | None]:
        homes = {share.job: partition for partition, s in submissions.items() for share in s.jobs}
        waiter = Waiter(
            self.thunderbit.client,
            self.context.log,
            self.crawl.job_deadline.total_seconds(),
            lambda progress: self.context.log_event(progress_observation(self.crawl, homes[progress.job], progress)),
            cancel_late=self.crawl.cancel_on_deadline,
            explain=self.thunderbit.explain,
        )
        running = waiter.look(jobs) if jobs else []
        if running and self._sensor_takes_over():
            self.context.log.info(
                "%d batch job(s) are running; the job sensor collects them when they end", len(running)
            )
        else:
            self.awaited = {watched.job for watched in running}
            if running:
                self.context.log.info("Waiting for %d running batch job(s)", len(running))
            waiter.wait(running)
            running = []
        left = {watched.job for watched in running}
        return {job: None if job in left else waiter.progress.get(job) for job in jobs}

    def _sensor_takes_over(self) -> bool:
        # Dagster marks the partitions of a backfill failed when its runs end without them.
        return not is_backfill(self.context) and sensor_is_polling(self.context.instance, time.time())

    def _settle_bills(
        self, submissions: Mapping[Partition, Submission], reports: Mapping[Partition, PartitionReport]
    ) -> None:
        """Tell the event log what each ended job cost, in place of what was set aside for it."""
        bills = {
            job.job: job.credits_used
            for report in reports.values()
            for job in report.jobs
            if job.has_ended and job.credits_used is not None
        }
        posts = {str(post.job): post.intent.intent_id for p in reports for post in submissions[p].running}
        for job, used in bills.items():
            self.context.log_event(credit_observation(Settled(intent_id=posts[job], credits=used, job=job)))

    def _published(self, partition: Partition, submission: Submission, report: PartitionReport) -> Published:
        pair = report.pair
        if pair is None:
            raise dg.DagsterInvariantViolationError(f"{partition} was reported without being published")
        collected = to_metadata(
            Collected(submission_id=submission.id, succeeded=pair.succeeded.rows, failed=pair.failed.rows)
        )
        schemas, partitioned = self.output.schemas, partition.key is not None
        late = lateness_metadata(self.crawl, partition, submission.jobs)
        succeeded = Written(pair.succeeded, schemas["succeeded"], partitioned)
        failed = Written(pair.failed, schemas["failed"], partitioned)
        return Published(
            partition,
            {
                self.crawl.key("succeeded"): {**succeeded_metadata(report, succeeded, late), **collected},
                self.crawl.key("failed"): {**failed_metadata(report, failed, late), **collected},
            },
        )
