"""The job sensor: one for all crawls. A tick asks about the jobs that are due and requests collect runs."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import dagster as dg

from thunderbit_dagster.crawl import Crawl
from thunderbit_dagster.ledger.log import LedgerReader
from thunderbit_dagster.ledger.records import Progress, to_metadata
from thunderbit_dagster.partitions import Partition
from thunderbit_dagster.polling.cursor import Cursor, read_cursor
from thunderbit_dagster.polling.pace import is_due, next_poll
from thunderbit_dagster.polling.poll import Poller, expired
from thunderbit_dagster.polling.ready import (
    CollectRequest,
    PastRuns,
    collect_requests,
    collectable,
    given_up,
)
from thunderbit_dagster.polling.watch import Watch, read_watch
from thunderbit_dagster.publishing import Metadata
from thunderbit_dagster.resource import ThunderbitResource
from thunderbit_dagster.run import range_tags

CRAWL_TAG = "thunderbit/crawl"
SUBMISSIONS_TAG = "thunderbit/submissions"

ACTIVE = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
IDS_PER_TAG = 100
STALE_SECONDS = 1_800.0
"""An active run without a sign of life for so long is taken for dead."""


SENSOR_NAME = "thunderbit_jobs"
"""Collection looks for it to learn whether anyone polls."""


def collect_job_name(crawl: Crawl) -> str:
    """The job that the sensor asks to collect."""
    return f"{crawl.name}_collect"


def build_job_sensor(
    crawls: Sequence[Crawl], *, minimum_interval_seconds: int, tick_seconds: float
) -> dg.SensorDefinition:
    """The sensor that polls for all ``crawls``, and the jobs that collect them.

    A collect job runs in one process: it is one step and its check.
    """

    @dg.sensor(
        name=SENSOR_NAME,
        jobs=[
            dg.define_asset_job(
                collect_job_name(crawl),
                selection=dg.AssetSelection.assets(crawl.key("succeeded"), crawl.key("failed")),
                executor_def=dg.in_process_executor,
                description=f"Publish the finished batch jobs of the crawl `{crawl.name}`.",
            )
            for crawl in crawls
        ],
        minimum_interval_seconds=minimum_interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks Thunderbit about open batch jobs and has finished ones collected.",
    )
    def job_sensor(context: dg.SensorEvaluationContext, thunderbit: ThunderbitResource) -> dg.SensorResult:
        return Tick(context, crawls, thunderbit, tick_seconds).evaluate()

    return job_sensor


@dataclass
class Tick:
    """One evaluation of the sensor."""

    context: dg.SensorEvaluationContext
    crawls: Sequence[Crawl]
    thunderbit: ThunderbitResource
    tick_seconds: float
    now: float = field(default_factory=time.time)
    stop_at: float = field(init=False)

    def __post_init__(self) -> None:
        self.stop_at = time.monotonic() + self.tick_seconds

    def evaluate(self) -> dg.SensorResult:
        """Read what is open, poll what is due, request what is ready."""
        cursor = read_cursor(self.context.cursor).window(self.now)
        watches = {crawl.name: self._watch(crawl, cursor) for crawl in self.crawls}
        poller = self._poll(watches, cursor)
        observations = [
            observation for crawl in self.crawls for observation in self._progress(crawl, watches[crawl.name], poller)
        ]
        requests = [request for crawl in self.crawls for request in self._runs(crawl, watches[crawl.name])]
        self._remember(cursor, watches, poller)
        if requests:
            return dg.SensorResult(run_requests=requests, asset_events=observations)
        return dg.SensorResult(skip_reason=self._summary(watches), asset_events=observations)

    def _watch(self, crawl: Crawl, cursor: Cursor) -> Watch:
        reader = LedgerReader(self.context.instance, crawl)
        watch = read_watch(reader, cursor.low.get(crawl.name, 0), self.now)
        if watch.unknown:
            self.context.log.warning(
                "%s: open submissions of partitions that no longer exist are ignored: %s",
                crawl.name,
                ", ".join(watch.unknown[:20]),
            )
        return watch

    def _poll(self, watches: dict[str, Watch], cursor: Cursor) -> Poller:
        due = sorted(
            (
                watched
                for watch in watches.values()
                for watched in watch.jobs().values()
                if not watched.ended and is_due(watched, cursor.start, cursor.end)
            ),
            key=lambda watched: watched.job,
        )
        left = [watched for watched in due if cursor.after is None or watched.job > cursor.after]
        with self.thunderbit.open_client(max_wait=self.tick_seconds / 2) as client:
            poller = Poller(client, self.context.log, self.stop_at, self.thunderbit.explain, last=cursor.after)
            poller.poll_all(left)
        return poller

    def _progress(self, crawl: Crawl, watch: Watch, poller: Poller) -> Iterator[dg.AssetObservation]:
        """Bring the watch up to date with what was seen, and tell it to the event log."""
        jobs = watch.jobs()
        seen = [change for change in poller.changes if change.job in jobs]
        seen_jobs = {change.job for change in seen}
        overdue = expired(jobs.values(), crawl.job_deadline.total_seconds(), self.now)
        for progress in [*seen, *(late for late in overdue if late.job not in seen_jobs)]:
            watch.progress[progress.job] = progress
            yield self._observation(crawl, watch, progress)

    def _observation(self, crawl: Crawl, watch: Watch, progress: Progress) -> dg.AssetObservation:
        partition = next(one.partition for one in watch.open if any(s.job == progress.job for s in one.sealed.jobs))
        self.context.log.info("%s is %s (%s of %s rows)", progress.job, progress.status, progress.done, progress.total)
        return progress_observation(crawl, partition, progress)

    def _runs(self, crawl: Crawl, watch: Watch) -> list[dg.RunRequest]:
        if not watch.ready():
            return []
        runs = past_runs(self.context.instance, crawl, min(one.at for one in watch.open), self.now)
        for one in given_up(watch, runs):
            self.context.log.error(
                "%s, %s: collecting failed %d times; materialize `%s` by hand once the cause is mended",
                crawl.name,
                one.partition,
                len(runs.failures[one.sealed.submission_id]),
                crawl.key("succeeded").to_user_string(),
            )
        chosen = collectable(watch, runs, self.now)
        return [run_request(crawl, request) for request in collect_requests(crawl, chosen, runs)]

    def _remember(self, cursor: Cursor, watches: dict[str, Watch], poller: Poller) -> None:
        low = {name: watch.low for name, watch in watches.items()}
        after = (poller.last or "") if poller.truncated else None
        self.context.update_cursor(cursor.model_copy(update={"after": after, "low": low}).model_dump_json())

    def _summary(self, watches: dict[str, Watch]) -> str:
        waiting = [job for watch in watches.values() for job in watch.jobs().values() if not job.ended]
        if not waiting:
            return "No batch job is open."
        seconds = max(0.0, min(next_poll(job, self.now) for job in waiting) - self.now)
        return f"{len(waiting)} batch job(s) are open; the next is asked in {timedelta(seconds=round(seconds))}."


def progress_observation(crawl: Crawl, partition: Partition, progress: Progress) -> dg.AssetObservation:
    """What a poll saw of a job, as an event on ``succeeded`` whose numbers the UI plots."""
    return dg.AssetObservation(crawl.key("succeeded"), partition=partition.key, metadata=dict(_view(progress)))


def _view(progress: Progress) -> Metadata:
    numbers = {
        "rows done": progress.done,
        "rows in the job": progress.total,
        "polls": progress.polls,
        "credits used": progress.credits_used,
    }
    known = {name: number for name, number in numbers.items() if number is not None}
    return {"job": progress.job, "status": progress.status, **known, **to_metadata(progress)}


def run_request(crawl: Crawl, request: CollectRequest) -> dg.RunRequest:
    """A collect run over one partition, a range of them, or the whole crawl."""
    tags = {CRAWL_TAG: crawl.name, **submission_tags(request.submission_ids)}
    single = request.start if request.start == request.end else None
    if request.start and request.end and not single:
        tags |= range_tags(request.start, request.end)
    return dg.RunRequest(run_key=request.run_key, job_name=collect_job_name(crawl), partition_key=single, tags=tags)


def submission_tags(ids: Sequence[str]) -> dict[str, str]:
    """The submissions that a run is to collect, in tags short enough for a database's index."""
    groups = [ids[start : start + IDS_PER_TAG] for start in range(0, len(ids), IDS_PER_TAG)]
    names = [SUBMISSIONS_TAG, *(f"{SUBMISSIONS_TAG}_{number}" for number in range(2, len(groups) + 1))]
    return {name: ",".join(group) for name, group in zip(names, groups, strict=True)}


def past_runs(instance: dg.DagsterInstance, crawl: Crawl, since: float, now: float) -> PastRuns:
    """Collect runs that the sensor asked for since a Unix time: those under way, and those that are over.

    A run that ended well counts as failed for a submission that is open all the same; so does one that has
    given no sign of life for long.
    """
    active: set[str] = set()
    failures: dict[str, list[float]] = {}
    for record in reversed(list(_run_records(instance, crawl, since))):
        updated = record.update_timestamp.timestamp()
        if record.dagster_run.is_finished or now - updated >= STALE_SECONDS:
            for submission_id in _submission_ids(record):
                failures.setdefault(submission_id, []).append(updated)
        else:
            active.update(_submission_ids(record))
    return PastRuns(active, failures)


def _run_records(instance: dg.DagsterInstance, crawl: Crawl, since: float) -> Iterable[dg.RunRecord]:
    for record in instance.get_run_records(dg.RunsFilter(tags={CRAWL_TAG: crawl.name})):
        if record.create_timestamp.timestamp() < since:
            return
        yield record


def _submission_ids(record: dg.RunRecord) -> list[str]:
    tags = record.dagster_run.tags
    return [one for name, ids in tags.items() if name.startswith(SUBMISSIONS_TAG) for one in ids.split(",")]
