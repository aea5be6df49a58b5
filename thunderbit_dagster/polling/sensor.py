"""The job sensor: one for all crawls. A tick asks about the jobs that are due and requests collect runs."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

import dagster as dg

from thunderbit_dagster.api.client import ThunderbitClient
from thunderbit_dagster.api.codes import PLANS
from thunderbit_dagster.api.errors import AuthenticationError
from thunderbit_dagster.api.retry import RetryPolicy
from thunderbit_dagster.crawl import Crawl
from thunderbit_dagster.ledger.log import LedgerReader
from thunderbit_dagster.ledger.notices import Notice, recent_notices
from thunderbit_dagster.ledger.records import KeyRefused, Progress, to_metadata
from thunderbit_dagster.liveness import is_living
from thunderbit_dagster.partitions import Partition
from thunderbit_dagster.polling.called import called_jobs, notices_since
from thunderbit_dagster.polling.cancelled import stop_cancelled
from thunderbit_dagster.polling.cursor import Cursor, Named, pack_marks, read_cursor
from thunderbit_dagster.polling.orphans import Event, Reattacher, remember
from thunderbit_dagster.polling.pace import Watched, is_due, next_poll, turn
from thunderbit_dagster.polling.poll import NAMED_PROBLEMS, Poller
from thunderbit_dagster.polling.ready import (
    CollectRequest,
    PastRuns,
    collect_requests,
    collectable,
    first_requests,
    given_up,
)
from thunderbit_dagster.polling.refusal import (
    KeyRefusedError,
    is_probe_due,
    refusal_summary,
    refusal_text,
    standing_refusal,
)
from thunderbit_dagster.polling.watch import Watch, read_watch
from thunderbit_dagster.publishing import Metadata
from thunderbit_dagster.resource import ThunderbitResource
from thunderbit_dagster.run import collect_set_job_name, collect_set_op, range_tags, set_config

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

WORKERS = 8
"""Status requests under way at once."""
MAX_POLLS = max(plan.requests_per_minute for plan in PLANS.values())
"""Jobs asked in one tick: what the largest plan allows in a minute."""
MAX_OBSERVATIONS = 300
"""Changes told in one tick: Dagster's daemon writes them one by one, some 6 ms each."""
TERSE_FROM = 500
"""With more open jobs than this only what decides something is told: the log is read whole in each tick."""
BEGIN_SHARE, END_SHARE = 0.6, 0.9
"""Up to which part of a tick requests are begun, and up to which their answers are waited for."""
ANSWER_SHARE = 0.4
"""How long an answer may take, as a part of a tick."""
LEAST_SHARE = 0.2
"""The part of a tick in which requests are begun however long reading the event log took."""
ONCE = RetryPolicy(attempts=1)
"""What fails is asked again in its turn, not within the tick."""

SENSOR_NAME = "thunderbit_jobs"
"""Collection looks for it to learn whether anyone polls."""


def collect_job_name(crawl: Crawl) -> str:
    """The job that the sensor asks to collect."""
    return f"{crawl.name}_collect"


def build_job_sensor(
    crawls: Sequence[Crawl],
    *,
    collect_set_jobs: Sequence[dg.JobDefinition] = (),
    minimum_interval_seconds: int,
    tick_seconds: float,
    executor: dg.ExecutorDefinition = dg.in_process_executor,
) -> dg.SensorDefinition:
    """The sensor that polls for all ``crawls``, and the jobs that collect them.

    ``collect_set_jobs`` are those that collect any set of partitions, one for each crawl that has partitions.
    A collect job is one step and its check, which ``executor`` runs.
    """

    @dg.sensor(
        name=SENSOR_NAME,
        jobs=[
            *collect_set_jobs,
            *(
                dg.define_asset_job(
                    collect_job_name(crawl),
                    selection=dg.AssetSelection.assets(crawl.key("succeeded"), crawl.key("failed")),
                    executor_def=executor,
                    description=f"Publish what the ended batch jobs of the crawl `{crawl.name}` brought. The sensor "
                    "launches it.",
                )
                for crawl in crawls
            ),
        ],
        minimum_interval_seconds=minimum_interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks Thunderbit how its open batch jobs stand, and launches the runs that publish `succeeded` and "
        "`failed` of those that have ended. While it is off, runs that materialize these tables wait for their jobs.",
    )
    def job_sensor(context: dg.SensorEvaluationContext, thunderbit: ThunderbitResource) -> dg.SensorResult:
        with dg.partition_loading_context(dynamic_partitions_store=context.instance):
            return Tick(context, crawls, thunderbit, tick_seconds).evaluate()

    return job_sensor


@dataclass
class Tick:
    """One evaluation of the sensor.

    ``tick_seconds`` bounds it: requests are begun in its first three fifths and answers waited for until just before
    its end. Reading the event log counts, but always leaves a fifth to begin requests in.
    """

    context: dg.SensorEvaluationContext
    crawls: Sequence[Crawl]
    thunderbit: ThunderbitResource
    tick_seconds: float
    now: float = field(default_factory=time.time)
    began: float = field(default_factory=time.monotonic)

    def evaluate(self) -> dg.SensorResult:
        """Read what is open, poll what is due, request what is ready.

        Raises:
            KeyRefusedError: the API does not accept the key; said once.
        """
        before = read_cursor(self.context.cursor)
        watches = {crawl.name: self._watch(crawl, before) for crawl in self.crawls}
        self._stop_cancelled(watches)
        with self._open_client() as client:
            refusals = [one for watch in watches.values() for one in watch.refusals]
            refusal = standing_refusal(refusals, client.account_fingerprint, before.accepted)
            if refusal:
                return self._try_key(client, refusal, before, watches)
            cursor = before.window(self.now)
            terse = _open_jobs(watches) > TERSE_FROM
            first = self._poller(client, last=None, terse=terse)
            poller = self._poller(client, last=cursor.after, terse=terse)
            try:
                notices = self._notices(watches, before.end)
                called = called_jobs(watches.values(), notices, before.end)
                first.poll_all(called)
                done = set() if first.truncated else {one.job for one in called}
                poller.most_changes = MAX_OBSERVATIONS - len(first.changes)
                poller.poll_all(one for one in _due(watches, cursor) if one.job not in done)
                named, found = self._reattach(client, before.named, notices, watches)
            except AuthenticationError as error:
                raise self._refused(client, error, watches) from error
        self._warn_of_slow_answers(poller)
        poller.changes = [*first.changes, *poller.changes]
        return self._result(cursor.model_copy(update={"named": named}), watches, poller, found)

    def _stop_cancelled(self, watches: dict[str, Watch]) -> None:
        for run_id in stop_cancelled(self.context.instance, watches.values()):
            self.context.log.info("Run %s was cancelled: its open batch jobs are cancelled", run_id)

    def _reattach(
        self, client: ThunderbitClient, before: Sequence[Named], notices: Sequence[Notice], watches: dict[str, Watch]
    ) -> tuple[list[Named], list[Event]]:
        """Calls to look after in a later tick, and the events that give jobs back to their submissions."""
        known = {job for watch in watches.values() for job in watch.jobs()}
        stop_at = self.began + self.tick_seconds * END_SHARE
        reattacher = Reattacher(self.context.instance, self.crawls, client, self.context.log, self.now, stop_at)
        return reattacher.settle(remember(before, notices, known, self.now)), reattacher.events

    def _warn_of_slow_answers(self, poller: Poller) -> None:
        if poller.broken > max(poller.answered, NAMED_PROBLEMS):
            self.context.log.warning(
                "Most jobs could not be read. If the API is slow to answer, raise `sensor_tick_seconds`: an answer is "
                "waited for %.1f s",
                self.tick_seconds * ANSWER_SHARE,
            )

    def _notices(self, watches: dict[str, Watch], last_tick: float) -> list[Notice]:
        """What the API has said by itself: the jobs it names are asked before all others."""
        since = notices_since(watches.values(), last_tick)
        return recent_notices(self.context.instance, self.now, since=since)

    def _result(
        self, cursor: Cursor, watches: dict[str, Watch], poller: Poller, found: Sequence[Event]
    ) -> dg.SensorResult:
        seen = [one for crawl in self.crawls for one in self._progress(crawl, watches[crawl.name], poller)]
        events = [*seen, *found]
        chosen = first_requests((crawl, one) for crawl in self.crawls for one in self._runs(crawl, watches[crawl.name]))
        requests = [run_request(crawl, request) for crawl, request in chosen]
        after = (poller.last or "") if poller.truncated else None
        self._remember(cursor.model_copy(update={"after": after}), watches)
        if requests:
            return dg.SensorResult(run_requests=requests, asset_events=events)
        return dg.SensorResult(skip_reason=self._summary(watches), asset_events=events)

    def _open_client(self) -> ThunderbitClient:
        """A client whose calls end with the tick, whatever the API does."""
        patience = self.tick_seconds * ANSWER_SHARE
        timeout = min(self.thunderbit.request_timeout, patience)
        return self.thunderbit.open_client(max_wait=patience / 2, request_timeout=timeout, retry=ONCE)

    def _poller(self, client: ThunderbitClient, *, last: str | None, terse: bool, most: int = MAX_POLLS) -> Poller:
        now = time.monotonic()
        stop_at = max(self.began + self.tick_seconds * BEGIN_SHARE, now + self.tick_seconds * LEAST_SHARE)
        end_at = max(self.began + self.tick_seconds * END_SHARE, stop_at + self.tick_seconds * (1 - END_SHARE))
        if end_at > self.began + self.tick_seconds:
            self.context.log.warning(
                "Reading the event log took %.1f s of `sensor_tick_seconds`, which is %.1f: raise it",
                now - self.began,
                self.tick_seconds,
            )
        return Poller(
            client,
            self.context.log,
            stop_at,
            self.thunderbit.explain,
            clock=lambda: self.now,
            last=last,
            end_at=end_at,
            workers=WORKERS,
            most=most,
            most_changes=MAX_OBSERVATIONS,
            terse=terse,
        )

    def _watch(self, crawl: Crawl, cursor: Cursor) -> Watch:
        reader = LedgerReader(self.context.instance, crawl)
        low = cursor.mark(crawl.name, [one.name for one in self.crawls])
        watch = read_watch(reader, low, self.now)
        if watch.unknown:
            self.context.log.warning(
                "%s: open submissions of partitions that no longer exist are ignored: %s",
                crawl.name,
                ", ".join(watch.unknown[:20]),
            )
        for partition, reason in list(watch.unreadable.items())[:20]:
            self.context.log.error("%s, %s is left alone: %s", crawl.name, partition, reason)
        return watch

    def _try_key(
        self, client: ThunderbitClient, refusal: KeyRefused, before: Cursor, watches: dict[str, Watch]
    ) -> dg.SensorResult:
        """Ask one job, now and then, whether the key is accepted again."""
        cursor = before.closed(self.now)
        reason = refusal_summary(self.now)
        if is_probe_due(before.end, self.now):
            poller = self._poller(client, last=None, terse=True, most=1)
            try:
                poller.poll_all(_due(watches, Cursor(end=self.now)))
            except AuthenticationError as error:
                self.context.log.info("The key was tried again: %s", error)
            if poller.answered:
                cursor = cursor.model_copy(update={"accepted": max(self.now, refusal.at)})
                reason = "The API accepts the key again; polling goes on with the next tick."
        self._remember(cursor, watches)
        return dg.SensorResult(skip_reason=reason)

    def _refused(
        self, client: ThunderbitClient, error: AuthenticationError, watches: dict[str, Watch]
    ) -> KeyRefusedError:
        """The refusal as an event, since a tick that fails keeps no cursor, and as the failure itself."""
        text = refusal_text(str(error))
        record = KeyRefused(account=client.account_fingerprint, message=str(error)[:500], at=self.now)
        crawl, one = next((crawl, one) for crawl in self.crawls for one in watches[crawl.name].open if one.sealed.jobs)
        self.context.instance.report_runless_asset_event(
            dg.AssetObservation(
                crawl.key("succeeded"),
                partition=one.partition.key,
                metadata={"event": "the API key was not accepted", **to_metadata(record)},
            )
        )
        return KeyRefusedError(text)

    def _progress(self, crawl: Crawl, watch: Watch, poller: Poller) -> Iterator[dg.AssetObservation]:
        """Bring the watch up to date with what was seen, and tell it to the event log."""
        homes = watch.homes()
        for progress in poller.changes:
            if partition := homes.get(progress.job):
                watch.progress[progress.job] = progress
                self.context.log.info(
                    "%s is %s (%s of %s rows)", progress.job, progress.status, progress.done, progress.total
                )
                yield progress_observation(crawl, partition, progress)

    def _runs(self, crawl: Crawl, watch: Watch) -> list[CollectRequest]:
        if not watch.ready():
            return []
        # A submission may be sealed again while a run is collecting it, and with jobs that it had not before.
        since = min(one.known_since for one in watch.open)
        runs = past_runs(self.context.instance, crawl, since, self.now)
        hopeless = given_up(watch, runs)
        for one in hopeless:
            self.context.log.error(
                "%s, %s: collecting failed %d times; materialize `%s` by hand once the cause is mended",
                crawl.name,
                one.partition,
                len(runs.failures[one.sealed.submission_id]),
                crawl.key("succeeded").to_user_string(),
            )
        watch.let_go(hopeless, self.now)
        return collect_requests(crawl, collectable(watch, runs, self.now), runs)

    def _remember(self, cursor: Cursor, watches: dict[str, Watch]) -> None:
        low = {name: watch.low for name, watch in watches.items()}
        marks = pack_marks(low, [name for name, watch in watches.items() if watch.blocked])
        self.context.update_cursor(cursor.model_copy(update={"low": marks}).model_dump_json())

    def _summary(self, watches: dict[str, Watch]) -> str:
        waiting = [job for watch in watches.values() for job in watch.jobs().values() if not job.ended]
        if not waiting:
            return "No batch job is open."
        seconds = max(0.0, min(next_poll(job, self.now) for job in waiting) - self.now)
        return f"{len(waiting)} batch job(s) are open; the next is asked in {timedelta(seconds=round(seconds))}."


def _open_jobs(watches: dict[str, Watch]) -> int:
    return sum(not job.ended for watch in watches.values() for job in watch.jobs().values())


def _due(watches: dict[str, Watch], cursor: Cursor) -> list[Watched]:
    """The jobs to ask in the cursor's window, in the order of their turns, from where the last tick stopped."""
    due = {
        turn(watched): watched
        for watch in watches.values()
        for watched in watch.jobs().values()
        if not watched.ended and is_due(watched, cursor.start, cursor.end)
    }
    return [due[place] for place in sorted(due) if cursor.after is None or place > cursor.after]


def progress_observation(crawl: Crawl, partition: Partition, progress: Progress) -> dg.AssetObservation:
    """What a poll saw of a job, as an event on ``succeeded`` whose numbers the UI plots."""
    return dg.AssetObservation(crawl.key("succeeded"), partition=partition.key, metadata=dict(_view(progress)))


def _view(progress: Progress) -> Metadata:
    numbers = {
        "rows done": progress.done,
        "rows in the job": progress.total,
        "credits used by the job": progress.credits_used,
        "polls": progress.polls,
    }
    known = {name: number for name, number in numbers.items() if number is not None}
    return {"job": progress.job, "status": progress.status, **known, **to_metadata(progress)}


def run_request(crawl: Crawl, request: CollectRequest) -> dg.RunRequest:
    """A collect run over one partition, a range or any set of them, or the whole crawl."""
    tags = {CRAWL_TAG: crawl.name, **submission_tags(request.submission_ids)}
    if request.is_set:
        config = set_config(collect_set_op(crawl), request.keys)
        return dg.RunRequest(
            run_key=request.run_key, job_name=collect_set_job_name(crawl), run_config=config, tags=tags
        )
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
        if is_living(instance, record, now):
            active.update(_submission_ids(record))
        else:
            for submission_id in _submission_ids(record):
                failures.setdefault(submission_id, []).append(record.update_timestamp.timestamp())
    return PastRuns(active, failures)


def _run_records(instance: dg.DagsterInstance, crawl: Crawl, since: float) -> Iterable[dg.RunRecord]:
    # Some databases keep whole seconds.
    after = datetime.fromtimestamp(since, timezone.utc) - timedelta(seconds=2)
    return instance.get_run_records(dg.RunsFilter(tags={CRAWL_TAG: crawl.name}, created_after=after))


def _submission_ids(record: dg.RunRecord) -> list[str]:
    tags = record.dagster_run.tags
    return [one for name, ids in tags.items() if name.startswith(SUBMISSIONS_TAG) for one in ids.split(",")]
