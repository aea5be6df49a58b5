"""A tick of the job sensor: it reads what is open, polls the jobs that are due, and requests collect runs."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

import dagster as dg

from thunderbit_dagster.api.codes import PLANS
from thunderbit_dagster.api.errors import AuthenticationError
from thunderbit_dagster.api.retry import RetryPolicy
from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.jobs.poll import NAMED_PROBLEMS, Poller
from thunderbit_dagster.jobs.queue import sampled, with_expectations
from thunderbit_dagster.jobs.state import JobState, is_due, next_poll, poll_order
from thunderbit_dagster.ledger.asset_events import progress_observation
from thunderbit_dagster.ledger.event_log import Entry, LedgerReader, not_wiped, read_asset_states, shared_outcomes
from thunderbit_dagster.ledger.notifications import WebhookCall, recent_webhook_calls
from thunderbit_dagster.ledger.owner import Owner
from thunderbit_dagster.ledger.records import KeyRefused, Progress, to_metadata
from thunderbit_dagster.polling.cancelled_runs import jobs_of_cancelled_runs
from thunderbit_dagster.polling.collect_requests import (
    CollectRequest,
    PastRuns,
    collect_requests,
    collectable,
    first_requests,
    given_up,
    retries,
)
from thunderbit_dagster.polling.collect_runs import collect_run_request, past_runs
from thunderbit_dagster.polling.cursor import Cursor, pack_marks, read_cursor
from thunderbit_dagster.polling.lost_replies import LostReplyFinder, SubmissionEvent, intents_to_remember
from thunderbit_dagster.polling.open_submissions import SETTLE_SECONDS, CrawlJobs, OpenSubmission, read_crawl_jobs
from thunderbit_dagster.polling.refused_key import (
    KeyRefusedError,
    is_probe_due,
    refusal_summary,
    refusal_text,
    standing_refusal,
)
from thunderbit_dagster.polling.webhook_calls import (
    grace_seconds,
    jobs_with_webhook_calls,
    webhook_calls_since,
)
from thunderbit_dagster.resource import ThunderbitResource

if TYPE_CHECKING:
    from thunderbit_dagster.api.client import ThunderbitClient

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
LEAST_TIME_SHARE = 0.2
"""The part of a tick in which requests are begun however long reading the event log took."""
ONCE = RetryPolicy(attempts=1)
"""What fails is asked again in its turn, not within the tick."""


@dataclass(frozen=True)
class OpenCrawls:
    """What the crawls have open, by name.

    Attributes:
        by_name: What each has open.
        settled: The newest event, of whatever crawl, that is old enough for all before it to be visible.
        slots: Batch jobs that the plan runs at once.
        has_webhook: Whether the API calls when a job has ended.
    """

    by_name: Mapping[str, CrawlJobs]
    settled: int = 0
    slots: int = 1
    has_webhook: bool = False

    @property
    def crawls(self) -> list[CrawlJobs]:
        return list(self.by_name.values())

    @property
    def submissions(self) -> list[OpenSubmission]:
        return [submission for crawl_jobs in self.crawls for submission in crawl_jobs.open]

    @cached_property
    def jobs(self) -> list[JobState]:
        """The jobs of all crawls, ended ones included."""
        return [job for crawl_jobs in self.crawls for job in crawl_jobs.jobs.values()]

    @property
    def number_running(self) -> int:
        return sum(not job.ended for job in self.jobs)

    @cached_property
    def expected_jobs(self) -> list[JobState]:
        """The jobs as the account works on them, and how long the API's call is waited for."""
        jobs = with_expectations(self.jobs, self.slots)
        grace = grace_seconds(jobs) if self.has_webhook else 0.0
        return [replace(job, grace=grace) for job in jobs] if grace else jobs

    def with_progress(self, changes: Sequence[Progress]) -> "OpenCrawls":
        """The same with newer observations of the jobs."""
        if not changes:
            return self
        return replace(self, by_name={name: jobs.with_progress(changes) for name, jobs in self.by_name.items()})


@dataclass(frozen=True)
class Polled:
    """What polling brought: observations, events that give jobs back to submissions, and where the tick stopped."""

    changes: Sequence[Progress]
    cursor: Cursor
    found: Sequence[SubmissionEvent] = ()


@dataclass(frozen=True)
class Tick:
    """One evaluation of the sensor.

    ``tick_seconds`` bounds it: requests are begun in its first three fifths and answers waited for until just before
    its end. Reading the event log counts, but always leaves a fifth to begin requests in.
    """

    context: dg.SensorEvaluationContext
    crawls: Sequence[Crawl]
    thunderbit: ThunderbitResource
    tick_seconds: float
    store_uri: str = ""
    now: float = field(default_factory=time.time)
    began: float = field(default_factory=time.monotonic)

    def evaluate(self) -> dg.SensorResult:
        """Read what is open, poll what is due, request what is ready.

        Raises:
            KeyRefusedError: the API does not accept the key; said once.
        """
        cursor = read_cursor(self.context.cursor)
        found = self._read(cursor)
        notices = self._notices(found, cursor.end)
        if not (found.number_running or notices or cursor.named):
            return self._result(found, Polled([], cursor.window(self.now).polled(None, truncated=False)))
        with self._open_client() as client:
            refusals = [refusal for crawl_jobs in found.crawls for refusal in crawl_jobs.refusals]
            refusal = standing_refusal(refusals, client.account_fingerprint, cursor.accepted)
            if refusal:
                return self._try_key(client, refusal, cursor, found)
            try:
                polled = self._poll(client, cursor, found, notices)
            except AuthenticationError as error:
                raise self._refused(client, error, found) from error
        return self._result(found.with_progress(polled.changes), polled)

    # Read

    def _read(self, cursor: Cursor) -> OpenCrawls:
        names = [crawl.name for crawl in self.crawls]
        by_crawl = shared_outcomes(
            self.context.instance, after_storage_id=min(cursor.mark(name, names) for name in names)
        )
        old = self.now - SETTLE_SECONDS
        settled = max((one.storage_id for all_ in by_crawl.values() for one in all_ if one.at <= old), default=0)
        assets = read_asset_states(self.context.instance, self.crawls)
        found = {}
        for crawl in self.crawls:
            state, low = assets[crawl.name], cursor.mark(crawl.name, names)
            outcomes = not_wiped(by_crawl.get(crawl.name, []), state.wiped_at)
            is_quiet = not outcomes and state.newest <= low
            found[crawl.name] = CrawlJobs(low=low) if is_quiet else self._read_crawl(crawl, low, outcomes)
        return OpenCrawls(
            self._with_jobs_to_stop(found),
            settled,
            self.thunderbit.concurrent_jobs,
            has_webhook=self.thunderbit.webhook_url is not None,
        )

    def _read_crawl(self, crawl: Crawl, low: int, outcomes: Sequence[Entry]) -> CrawlJobs:
        reader = LedgerReader(self.context.instance, crawl)
        found = read_crawl_jobs(reader, low, self.now, outcomes, self.owner)
        if found.unknown:
            self.context.log.warning(
                "%s: open submissions of partitions that no longer exist are ignored: %s. Materialize `submissions` "
                "of the partitions that list their URLs now, or see `thunderbit-dagster jobs list`",
                crawl.name,
                ", ".join(found.unknown[:20]),
            )
        for partition, reason in list(found.strangers.items())[:20]:
            self.context.log.warning("%s, %s is left alone: %s", crawl.name, partition, reason)
        for partition, reason in list(found.unreadable.items())[:20]:
            self.context.log.error("%s, %s is left alone: %s", crawl.name, partition, reason)
        return found

    @property
    def owner(self) -> Owner:
        """Whose submissions the sensor looks after."""
        origin = self.context.code_location_origin
        return Owner(origin.location_name if origin else "", self.store_uri)

    def _with_jobs_to_stop(self, found: dict[str, CrawlJobs]) -> dict[str, CrawlJobs]:
        cancelled = jobs_of_cancelled_runs(self.context.instance, OpenCrawls(found).submissions)
        for run_id in sorted(cancelled):
            self.context.log.info("Run %s was cancelled: its open batch jobs are cancelled", run_id)
        to_stop = set[str]().union(*cancelled.values())
        return {name: crawl_jobs.stopping(to_stop & crawl_jobs.jobs.keys()) for name, crawl_jobs in found.items()}

    # Poll

    def _poll(
        self, client: "ThunderbitClient", cursor: Cursor, found: OpenCrawls, notices: Sequence[WebhookCall]
    ) -> Polled:
        """Ask the jobs that the API has named, then those that are due.

        Raises:
            AuthenticationError: the API does not accept the key.
        """
        window = cursor.window(self.now)
        called = jobs_with_webhook_calls(found.crawls, notices, cursor.end)
        terse = found.number_running > TERSE_FROM
        first = self._poller(client, last=None, terse=terse)
        first.poll_all(called)
        poller = self._poller(client, last=window.after, terse=terse)
        poller.most_changes = MAX_OBSERVATIONS - len(first.changes)
        done = set() if first.truncated else {job.job for job in called}
        poller.poll_all(job for job in self._due(found, window) if job.job not in done)
        self._warn_of_slow_answers(poller)
        known = {job.job for job in found.jobs}
        stop_at = self.began + self.tick_seconds * END_SHARE
        finder = LostReplyFinder(self.context.instance, self.crawls, client, self.context.log, self.now, stop_at)
        named = finder.settle(intents_to_remember(cursor.named, notices, known, self.now))
        changes = [*first.changes, *poller.changes]
        after = window.polled(poller.last, truncated=poller.truncated)
        return Polled(changes, after.model_copy(update={"named": named}), finder.events)

    def _notices(self, found: OpenCrawls, last_tick: float) -> list[WebhookCall]:
        """What the API has said by itself: the jobs it names are asked before all others."""
        since = webhook_calls_since(found.submissions, last_tick)
        return recent_webhook_calls(self.context.instance, self.now, since=since)

    def _due(self, found: OpenCrawls, window: Cursor) -> list[JobState]:
        """The jobs to ask in the window, in the order of their turns, from where the last tick stopped."""
        jobs = found.expected_jobs
        due = [job for job in jobs if not job.ended and is_due(job, window.start, window.end)]
        in_turn = {poll_order(job): job for job in [*sampled(jobs, found.slots, window.start, window.end), *due]}
        return [in_turn[turn] for turn in sorted(in_turn) if window.after is None or turn > window.after]

    def _open_client(self) -> "ThunderbitClient":
        """A client whose calls end with the tick, whatever the API does."""
        patience = self.tick_seconds * ANSWER_SHARE
        timeout = min(self.thunderbit.request_timeout, patience)
        return self.thunderbit.open_client(max_wait=patience / 2, request_timeout=timeout, retry=ONCE)

    def _poller(self, client: "ThunderbitClient", *, last: str | None, terse: bool, most: int = MAX_POLLS) -> Poller:
        now = time.monotonic()
        stop_at = max(self.began + self.tick_seconds * BEGIN_SHARE, now + self.tick_seconds * LEAST_TIME_SHARE)
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

    def _warn_of_slow_answers(self, poller: Poller) -> None:
        if poller.broken > max(poller.answered, NAMED_PROBLEMS):
            self.context.log.warning(
                "Most jobs could not be read. If the API is slow to answer, raise `sensor_tick_seconds`: an answer is "
                "waited for %.1f s",
                self.tick_seconds * ANSWER_SHARE,
            )

    # A key that is not accepted

    def _try_key(
        self, client: "ThunderbitClient", refusal: KeyRefused, before: Cursor, found: OpenCrawls
    ) -> dg.SensorResult:
        """Ask one job, now and then, whether the key is accepted again."""
        cursor = before.closed(self.now)
        reason = refusal_summary(self.now)
        if is_probe_due(before.end, self.now):
            poller = self._poller(client, last=None, terse=True, most=1)
            try:
                poller.poll_all(sorted((job for job in found.jobs if not job.ended), key=poll_order))
            except AuthenticationError as error:
                self.context.log.info("The key was tried again: %s", error)
            if poller.answered:
                cursor = cursor.model_copy(update={"accepted": max(self.now, refusal.at)})
                reason = "The API accepts the key again; polling goes on with the next tick."
        self._remember(cursor, found)
        return dg.SensorResult(skip_reason=reason)

    def _refused(self, client: "ThunderbitClient", error: AuthenticationError, found: OpenCrawls) -> KeyRefusedError:
        """The refusal as an event, since a tick that fails keeps no cursor, and as the failure itself."""
        record = KeyRefused(account=client.account_fingerprint, message=str(error)[:500], at=self.now)
        crawl, one = next(
            (crawl, one) for crawl in self.crawls for one in found.by_name[crawl.name].open if one.sealed.jobs
        )
        self.context.instance.report_runless_asset_event(
            dg.AssetObservation(
                crawl.key("succeeded"),
                partition=one.partition.key,
                metadata={"event": "the API key was not accepted", **to_metadata(record)},
            )
        )
        return KeyRefusedError(refusal_text(str(error)))

    # Request runs

    def _result(self, found: OpenCrawls, polled: Polled) -> dg.SensorResult:
        events = [*self._observations(found, polled.changes), *polled.found]
        requests: list[tuple[Crawl, CollectRequest]] = []
        retries_at: list[float] = []
        left = dict(found.by_name)
        for crawl in self.crawls:
            crawl_jobs = found.by_name[crawl.name]
            if crawl_jobs.ready:
                # A submission may be sealed again while a run is collecting it, and with jobs that it had not before.
                since = min(one.known_since for one in crawl_jobs.open)
                runs = past_runs(self.context.instance, crawl, since, self.now)
                left[crawl.name] = self._without_hopeless(crawl, crawl_jobs, runs)
                wanted = collect_requests(crawl, collectable(crawl_jobs, runs, self.now), runs)
                requests += [(crawl, request) for request in wanted]
                retries_at += retries(crawl_jobs, runs, self.now)
        self._remember(polled.cursor, replace(found, by_name=left))
        if requested := [collect_run_request(crawl, request) for crawl, request in first_requests(requests)]:
            return dg.SensorResult(run_requests=requested, asset_events=events)
        return dg.SensorResult(skip_reason=self._summary(found, retries_at), asset_events=events)

    def _observations(self, found: OpenCrawls, changes: Sequence[Progress]) -> Iterator[dg.AssetObservation]:
        for crawl in self.crawls:
            homes = found.by_name[crawl.name].homes if changes else {}
            for progress in changes:
                if partition := homes.get(progress.job):
                    self.context.log.info(
                        "%s is %s (%s of %s rows)", progress.job, progress.status, progress.done, progress.total
                    )
                    yield progress_observation(crawl, partition, progress)

    def _without_hopeless(self, crawl: Crawl, crawl_jobs: CrawlJobs, runs: PastRuns) -> CrawlJobs:
        """What is left to look after when the submissions are given up whose collection failed too often."""
        hopeless = given_up(crawl_jobs, runs)
        for one in hopeless:
            self.context.log.error(
                "%s, %s: collecting failed %d times; materialize `%s` by hand once the cause is mended",
                crawl.name,
                one.partition,
                len(runs.failures[one.sealed.submission_id]),
                crawl.key("succeeded").to_user_string(),
            )
        return crawl_jobs.without(hopeless, self.now)

    def _remember(self, cursor: Cursor, found: OpenCrawls) -> None:
        # Storage ids are those of one log: what is settled need not be read again for crawls that hold nothing back.
        settled = max([found.settled, *(crawl_jobs.low for crawl_jobs in found.crawls)])
        low = {name: jobs.low if jobs.blocked else max(jobs.low, settled) for name, jobs in found.by_name.items()}
        marks = pack_marks(low, [name for name, jobs in found.by_name.items() if jobs.blocked])
        self.context.update_cursor(cursor.model_copy(update={"low": marks}).model_dump_json())

    def _summary(self, found: OpenCrawls, retries_at: Sequence[float]) -> str:
        waiting = [job for job in found.expected_jobs if not job.ended]
        jobs = "No batch job is open."
        if waiting:
            soonest = self._in(min(next_poll(job, self.now) for job in waiting))
            jobs = f"{len(waiting)} batch job(s) are open; the next is asked in {soonest}."
        if not retries_at:
            return jobs
        failed = f"Collecting {len(retries_at)} partition(s) failed (see the collect runs)"
        return f"{jobs} {failed}; the next try is in {self._in(min(retries_at))}."

    def _in(self, at: float) -> timedelta:
        return timedelta(seconds=round(max(0.0, at - self.now)))
