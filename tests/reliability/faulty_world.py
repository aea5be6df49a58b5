"""A crawl in a world that breaks on request, and what must hold of it at any time."""

from __future__ import annotations

import fcntl
import gc
import io
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial, wraps
from pathlib import Path
from typing import ParamSpec, TypeVar
from unittest import mock

import dagster as dg
from crash_points import CURSOR, Crash
from crawl_world import QUIET, RUN_KEY, Line, Pages, crawl, new_emulator, new_instance, resource
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run

from thunderbit_dagster.api.client import ThunderbitClient
from thunderbit_dagster.api.models import JobRef
from thunderbit_dagster.collection import asset as collection_asset
from thunderbit_dagster.collection.wait import Waiter
from thunderbit_dagster.emulator import DEMO_KEY, ApiKey, EmulatedJob, Rule
from thunderbit_dagster.emulator.faults import FaultPlan
from thunderbit_dagster.ledger.event_log import Entry, LedgerReader
from thunderbit_dagster.ledger.notifications import WEBHOOKS_KEY
from thunderbit_dagster.ledger.records import (
    Intent,
    Notified,
    Opened,
    Recorded,
    Sealed,
    SubmissionRecord,
    to_metadata,
)
from thunderbit_dagster.ledger.submissions import Submission, fold
from thunderbit_dagster.polling.collect_runs import SUBMISSIONS_TAG
from thunderbit_dagster.runs import lock
from thunderbit_dagster.runs.names import collect_job_name, submit_job_name
from thunderbit_dagster.runs.partitions import range_tags
from thunderbit_dagster.urls import canonical_url, url_refusal

KEYS = ("a", "b", "c")
SECOND_KEY = "tb_" + "2" * 32
STALE = 2_000.0
"""Longer than a dead run is taken for living, and than the longest pause between two tries."""
LIVING = {dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED}


class CrashError(Exception):
    """Stands for whatever ends a process."""


violations: list[str] = []
"""What went wrong that should not have, kept aside: a world that cannot be repeated is not reported by Hypothesis."""

Config = Mapping[str, object]
P = ParamSpec("P")
T = TypeVar("T")


def noted(step: Callable[P, T]) -> Callable[P, T]:
    """A step whose failures are kept."""

    @wraps(step)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return step(*args, **kwargs)
        except Exception as error:
            violations.append(f"{step.__name__}: {error!r}")
            raise

    return wrapped


@dataclass(frozen=True)
class Seen:
    """A published partition as it was read."""

    submission: str | None
    submitted_at: str
    """When its last job was accepted; empty without a job."""
    consistent: bool
    succeeded: Counter[str]
    failed: Counter[str]
    positions: list[int]

    @property
    def rows(self) -> Counter[str]:
        return self.succeeded + self.failed


@dataclass
class World:
    """One crawl of three partitions, its account, and a Dagster instance, all of its own."""

    root: Path
    pages: Pages
    policy: str
    lists: dict[str, list[str]] = field(default_factory=lambda: {key: [] for key in KEYS})
    keys: tuple[str, ...] = KEYS
    """Of the crawl as it is defined now."""
    post_faults: deque[Rule] = field(default_factory=deque)
    read_faults: deque[Rule] = field(default_factory=deque)
    crash: Crash | None = None
    queue: list[dg.DagsterRun] = field(default_factory=list)
    dead: set[str] = field(default_factory=set)
    jobs_of: dict[str, str] = field(default_factory=dict)
    """Intent to the job that the API made of it, known to the client or not."""
    ever_listed: dict[tuple[str, str], int] = field(default_factory=dict)
    promised: dict[str, Counter[str]] = field(default_factory=dict)
    """Submission to the list that its last seal stands for."""
    seen: dict[str, Seen] = field(default_factory=dict)
    torn: set[str] = field(default_factory=set)
    observed: list[Entry] = field(default_factory=list)
    folded: dict[str, list[Submission]] = field(default_factory=dict)
    last_seal: Entry | None = None
    foreign: set[str] = field(default_factory=set)
    """Submissions of the second deployment."""
    is_second: bool = False
    """Whether the second deployment is at work: nothing breaks for it, and its jobs are not ours."""

    @contextmanager
    def running(self) -> Iterator[World]:
        home = self.root / "dagster"
        home.mkdir(parents=True)
        with ExitStack() as stack:
            self.instance = stack.enter_context(new_instance(home, spare=True))
            second = ApiKey(SECOND_KEY, account=ApiKey(DEMO_KEY).account_name)
            self.emulator = stack.enter_context(new_emulator(self.pages, keys=[second]))
            thunderbit = resource(self.emulator, on_lost_reply=self.policy)
            crawls = [crawl(self._sources(), batch_size=2)]
            self.line = Line(self.instance, self.emulator, self.root, crawls, thunderbit)
            self.reader = LedgerReader(self.instance, self.line.crawl)
            elsewhere = self.root / "second"
            elsewhere.mkdir()
            instance = stack.enter_context(new_instance(elsewhere, spare=True))
            self.second = Line(instance, self.emulator, self.root, crawls, thunderbit)
            stack.enter_context(mock.patch.object(FaultPlan, "for_request", self._faults_for))
            stack.enter_context(mock.patch.object(ThunderbitClient, "submit", self._watched(ThunderbitClient.submit)))
            stack.enter_context(mock.patch.object(collection_asset, "Waiter", self._quick_waiter()))
            stack.enter_context(mock.patch.object(lock, "WAIT_SECONDS", 0.0))
            yield self

    def _sources(self) -> dict[str, Callable[[], list[str]]]:
        return {key: (lambda key=key: list(self.lists[key])) for key in self.keys}

    # What may go wrong

    def _faults_for(self, method: str, route: str) -> list[Rule]:
        if self.is_second or not route.startswith("/batch"):
            return []
        faults = {"POST": self.post_faults, "GET": self.read_faults}.get(method)
        return [faults.popleft()] if faults else []

    def _watched(self, submit):
        """Notes which job the API made of which intent, whatever the client learns of it."""

        def watched(client, *arguments, **options):
            if self.is_second:
                return submit(client, *arguments, **options)
            before = len(self.emulator.jobs)
            intent = self._newest_intent()
            self._check_moved(intent)
            try:
                return submit(client, *arguments, **options)
            finally:
                made = self.emulator.jobs[before:]
                assert len(made) <= 1, "one submit made two jobs"
                for job in made:
                    assert intent not in self.jobs_of, "one intent was sent twice"
                    self.jobs_of[intent] = job.id

        return watched

    def _newest_intent(self) -> str:
        wanted = dg.AssetRecordsFilter(asset_key=self.line.crawl.key("submissions"))
        for event in self.instance.fetch_observations(wanted, limit=20).records:
            record = event.asset_observation.metadata["thunderbit/record"].value
            if record["event"] == "intent":
                return record["intent_id"]
        raise AssertionError("a submit without an intent before it")

    @staticmethod
    def _quick_waiter():
        """A waiter that never really sleeps for long."""
        slept = [0.0]

        def sleep(seconds: float) -> None:
            slept[0] += seconds
            time.sleep(0.01)

        return partial(Waiter, clock=lambda: time.time() + slept[0], sleep=sleep)

    # What happens

    def execute(self, job: str, keys: tuple[str, ...], tags: dict[str, str] | None = None, **parents: str) -> bool:
        """A run in this process; whether it succeeded."""
        ends = {"dagster/partition": keys[0]} if len(keys) == 1 else range_tags(keys[0], keys[-1])
        run = self._create(job, {**ends, **(tags or {})}, **parents)
        return self.work_on(run)

    def _create(self, job: str, tags: dict[str, str], config: Config | None = None, **parents: str) -> dg.DagsterRun:
        definition = self.line.repository.get_job(job)
        settings = {**QUIET, **(config or {})}
        return self.instance.create_run_for_job(definition, tags=tags, run_config=settings, **parents)

    @noted
    def work_on(self, run: dg.DagsterRun) -> bool:
        """Execute a run that was created; a crash that it meets leaves it as it is."""
        job = InMemoryJob(self.line.repository.get_job(run.job_name))
        self._note_lists()
        crash, self.crash = self.crash, None
        try:
            if crash is None:
                return execute_run(job, run, self.instance, raise_on_error=False).success
            with crash.armed(self.instance):
                return execute_run(job, run, self.instance, raise_on_error=False).success
        except CrashError:
            self.dead.add(run.run_id)
            return False
        finally:
            if crash and crash.fired and crash.point in ("after publish failed", "before publish succeeded"):
                self.torn |= set(KEYS)
            self._note_seals()

    def change_shards(self, number: int) -> None:
        """The same URLs in so many partitions from now on; what waits for one that is gone cannot begin."""
        listed = [url for key in KEYS for url in self.lists[key]]
        self.keys = KEYS[:number]
        for at, key in enumerate(KEYS):
            self.lists[key][:] = [url for url in listed if sum(map(ord, url)) % number == at]
        self.line.crawls = self.second.crawls = [crawl(self._sources(), batch_size=2, name=self.line.crawl.name)]
        for run in [run for run in self.queue if not set(_keys(run)) <= set(self.keys)]:
            self.queue.remove(run)
            self.instance.report_run_failed(run)

    @noted
    def second_deployment(self, *keys: str) -> None:
        """Another instance with the same crawl and the same store crawls, without a fault, to its end."""
        self._note_lists()
        self.is_second, second = True, self.second
        try:
            assert second.submit(*self.defined(keys)).success
            second.until_jobs_end()
            assert all(run.success for run in second.tick_and_launch())
        finally:
            self.is_second = False
        for key in self.keys:
            pair = self.line.store.pair(self.line.crawl.name, {"urls": key})
            ours = {submission.id for submission in self.histories()[key]}
            if pair.submission_id and pair.submission_id not in ours | self.foreign:
                self.foreign.add(pair.submission_id)
                self.promised[pair.submission_id] = Counter(self.lists[key])

    def defined(self, keys: tuple[str, ...]) -> tuple[str, ...]:
        """Those of the keys that the crawl has now, or its first."""
        return tuple(key for key in keys if key in self.keys) or self.keys[:1]

    def rotate_the_key(self) -> None:
        """The account's other key from now on."""
        key = SECOND_KEY if self.line.thunderbit.api_key == DEMO_KEY else DEMO_KEY
        self.line.thunderbit = resource(self.emulator, api_key=key, on_lost_reply=self.policy)

    def delete(self, run: dg.DagsterRun) -> None:
        """What cleaning up does to a run, whether or not it ever ran."""
        self.queue = [one for one in self.queue if one.run_id != run.run_id]
        self.instance.delete_run(run.run_id)

    def find_the_dead(self) -> None:
        """What Dagster does about a run whose process is gone."""
        for run_id in self.dead:
            run = self.instance.get_run_by_id(run_id)
            if run and not run.is_finished:
                self.instance.report_run_failed(run)
        self.dead.clear()

    def submit(self, *keys: str) -> bool:
        return self.execute(submit_job_name(self.line.crawl), self.defined(keys))

    def collect(self, *keys: str) -> bool:
        return self.execute(collect_job_name(self.line.crawl), self.defined(keys))

    @noted
    def backfill(self, *keys: str) -> None:
        """Submission and collection of a range in one run of a backfill, which waits for its jobs."""
        self._note_lists()
        crash, self.crash = self.crash, None
        try:
            with crash.armed(self.instance) if crash else ExitStack():
                self.line.materialize_all(*self.defined(keys), tags={"dagster/backfill": "backfill-1"})
        except CrashError:
            living = [run for run in self.instance.get_runs() if run.status in LIVING]
            self.dead |= {run.run_id for run in living} - {run.run_id for run in self.queue}
        finally:
            if crash and crash.fired and crash.point in ("after publish failed", "before publish succeeded"):
                self.torn |= set(KEYS)
            self._note_seals()

    @noted
    def tick(self, after: float) -> None:
        """A tick, and the runs that it asks for created as the daemon does, one for each new key."""
        crash, self.crash = self.crash, None
        cursor, made = self.line.cursor, len(self.line.ticks)
        try:
            if crash is None:
                result = self.line.tick(after)
            else:
                with crash.armed(self.instance):
                    result = self.line.tick(after)
                    crash.at("before", CURSOR)
                    crash.at("after", CURSOR)
        except CrashError:
            if crash.point != f"after {CURSOR}":
                self.line.cursor = cursor
            self.check_requests(self.line.ticks[made:])
            return
        self.check_requests([result])
        for request in result.run_requests or []:
            if self.instance.get_run_records(dg.RunsFilter(tags={RUN_KEY: request.run_key})):
                continue
            tags = {**request.tags, RUN_KEY: request.run_key}
            if request.partition_key:
                tags["dagster/partition"] = request.partition_key
            self.queue.append(self._create(request.job_name, tags, request.run_config))

    @noted
    def notify(self, job: EmulatedJob, *, intent: bool) -> None:
        """What the webhook receiver reports of a job."""
        intents = {made: name for name, made in self.jobs_of.items()}
        call = Notified(
            job=f"{job.kind.value}/{job.id}",
            status=job.status.value,
            intent_id=intents.get(job.id) if intent else None,
            at=time.time(),
        )
        self.instance.report_runless_asset_event(dg.AssetObservation(WEBHOOKS_KEY, metadata=to_metadata(call)))

    @noted
    def cancel(self, job: EmulatedJob) -> None:
        self.read_faults.clear()
        with self.line.client() as client:
            client.cancel_job(JobRef(job.kind, job.id))

    # What is known

    def _note_lists(self) -> None:
        for key, urls in self.lists.items():
            for url, count in Counter(urls).items():
                self.ever_listed[key, url] = max(count, self.ever_listed.get((key, url), 0))

    def _note_seals(self) -> None:
        after = self.last_seal.storage_id if self.last_seal else 0
        for entry in self.reader.since("submissions", after):
            self.last_seal = entry
            newest, sealed = self.histories()[entry.partition_key][-1], entry.record
            if newest.id == sealed.submission_id and sealed.submission_id not in self.promised:
                self.promised[sealed.submission_id] = Counter(self.lists[entry.partition_key])

    def entries(self) -> list[Entry]:
        """Everything that was observed of submissions, oldest first; read once, for nobody writes but at the end."""
        after = self.observed[-1].storage_id if self.observed else 0
        new = list(self.reader.since("submissions", after, observations=True))
        self.observed += new
        for key in {entry.partition_key for entry in new}:
            self.folded.pop(key, None)
        return self.observed

    def records(self, key: str) -> list[SubmissionRecord]:
        found = (entry.record for entry in self.entries() if entry.partition_key == key)
        return [record for record in found if isinstance(record, SubmissionRecord)]

    def histories(self) -> dict[str, list[Submission]]:
        """Every submission of each partition, oldest first."""
        self.entries()
        for key in KEYS:
            if key not in self.folded:
                groups: dict[str, list[SubmissionRecord]] = {}
                for record in self.records(key):
                    groups.setdefault(record.submission_id, []).append(record)
                self.folded[key] = [one for one in map(fold, groups.values()) if one]
        return {key: self.folded[key] for key in KEYS}

    def read(self, key: str) -> Seen | None:
        """A partition as a reader finds it now; None when one of its tables is not there."""
        store, name = self.line.store, self.line.crawl.name
        pair = store.pair(name, {"urls": key})
        if pair.succeeded is None or pair.failed is None:
            return None
        rows = {table: store.read(name, table, {"urls": key}).to_pylist() for table in ("succeeded", "failed")}
        return Seen(
            submission=pair.submission_id,
            submitted_at=pair.succeeded.metadata.get("submission_time", ""),
            consistent=pair.consistent,
            succeeded=Counter(row["url"] for row in rows["succeeded"]),
            failed=Counter(row["url"] for row in rows["failed"]),
            positions=[row["position"] for table in rows.values() for row in table],
        )

    # What must hold

    def check_requests(self, ticks: list[object]) -> None:
        """No submission is asked for twice at once: within a tick, or while a run for it lives."""
        now = time.time() + self.line.ahead
        asked = Counter(one for tick in ticks for request in tick.run_requests or [] for one in _ids(request.tags))
        assert set(asked.values()) <= {1}
        for record in self.instance.get_run_records():
            living = record.dagster_run.status in LIVING and now - record.update_timestamp.timestamp() < STALE - 200
            if living:
                assert not set(_ids(record.dagster_run.tags)) & asked.keys(), "asked for while a run is collecting it"

    @noted
    def check(self) -> None:
        """All that must hold at any time."""
        histories = self.histories()
        for key, submissions in histories.items():
            self._check_payments(key, submissions)
            self._check_published(key, submissions)

    def _check_payments(self, key: str, submissions: list[Submission]) -> None:
        held: set[str] = set()
        for record in self.records(key):
            if isinstance(record, Opened):
                held, intents = set(), {}
            elif isinstance(record, Intent):
                urls = {page(item.url) for item in record.items}
                intents[record.intent_id] = urls
                assert not urls & held, f"{key}: sent again although a job holds it"
            elif isinstance(record, Recorded) and record.intent_id in intents:
                held |= intents[record.intent_id]
        if self.policy != "resubmit":
            for submission in submissions:
                paid = Counter(
                    page(item.url)
                    for intent, post in submission.posts.items()
                    if intent in self.jobs_of
                    for item in post.intent.items
                )
                assert set(paid.values()) <= {1}, f"{key}: paid twice in submission {submission.id}"

    def _check_moved(self, intent_id: str) -> None:
        """No URL is sent that an open job holds for a key which lists it no more."""
        sent = {
            entry.partition_key: {page(item.url) for item in entry.record.items}
            for entry in self.entries()
            if isinstance(entry.record, Intent) and entry.record.intent_id == intent_id
        }
        for holder, submissions in self.histories().items():
            if not submissions or holder in sent or self.is_collected(holder):
                continue
            listed = {page(url) for url in self.lists[holder]}
            posts = [post for post in submissions[-1].running if not post.lost]
            held = {page(item.url) for post in posts for item in post.intent.items} - listed
            for key, urls in sent.items():
                assert not urls & held, f"{key}: sent again although a job of {holder} holds it"

    def _check_published(self, key: str, submissions: list[Submission]) -> None:
        now = self.read(key)
        before = self.seen.get(key)
        if now is None:
            assert before is None, f"{key}: a published partition is gone"
            return
        if not now.consistent:
            assert key in self.torn, f"{key}: half of a pair was published without a crash between the halves"
            return
        ids = [submission.id for submission in submissions]
        assert now.submission in {*ids, *self.foreign}, f"{key}: rows of no submission"
        promised = self.promised.get(now.submission, Counter())
        assert len(set(now.positions)) == len(now.positions), f"{key}: a position has two rows"
        assert promised <= now.rows, f"{key}: rows are missing: {promised - now.rows}"
        known = {key_url: count for key_url, count in self.ever_listed.items() if key_url[0] == key}
        foreign = {url: count for url, count in now.rows.items() if count > known.get((key, url), 0)}
        assert not foreign, f"{key}: rows that nobody listed: {foreign}"
        if before:
            if before.submission in ids and now.submission in ids:
                assert ids.index(before.submission) <= ids.index(now.submission), f"{key}: an older submission returned"
            elif before.submitted_at and now.submitted_at:
                assert before.submitted_at <= now.submitted_at, f"{key}: an older submission returned"
            if before.submission == now.submission:
                assert before.rows <= now.rows, f"{key}: rows were lost: {before.rows - now.rows}"
                assert before.succeeded <= now.succeeded, f"{key}: pages were lost: {before.succeeded - now.succeeded}"
        self.seen[key] = now

    # The end

    @noted
    def heal(self) -> None:
        """Nothing breaks any more, and whoever must decide decides; everything must then come to its end."""
        self.crash = None
        self.post_faults.clear()
        self.read_faults.clear()
        self.find_the_dead()
        self._unlock_files_of_the_dead()
        self.emulator.release()
        self.line.until_jobs_end()
        self.check()
        for job in self.line.jobs:
            self.notify(job, intent=True)
        if not self.submit(*self.keys):
            self.policy = "resubmit"
            self.line.thunderbit = resource(self.emulator, on_lost_reply="resubmit")
            assert self.submit(*self.keys), "a run without faults does not submit"
        self.line.until_jobs_end()
        for _ in range(6):
            self.tick(STALE)
            self.work()
        for key in self.keys:
            if not self.is_collected(key):
                assert self.collect(key) or self.is_superseded(key), f"{key} cannot be collected"
        for key in [key for key in self.keys if self.read(key).submission in self.foreign]:
            assert self.submit(key), f"{key} cannot be crawled anew"
            self.line.until_jobs_end()
            assert self.collect(key), f"{key} cannot be collected"
        self.torn.clear()
        self.check()
        for key in self.keys:
            assert self.is_collected(key)
            now = self.read(key)
            assert now.submission == self.histories()[key][-1].id, f"{key}: the newest submission is not published"
            assert Counter(self.lists[key]) <= now.rows
        assert self.entries() == list(self.reader.since("submissions", 0, observations=True)), "the past has changed"
        assert not list(self.root.rglob("*.part")), "temporary files are left"
        self.tick(STALE)
        assert not self.queue, "something is asked for although everything is collected"

    def _unlock_files_of_the_dead(self) -> None:
        """What the system does when a process ends: a crash here leaves the files of its frames open, and locked."""
        if not list(self.root.rglob("*.part")):
            return
        for one in gc.get_objects():
            if isinstance(one, io.BufferedWriter) and not one.closed and str(one.name).startswith(str(self.root)):
                fcntl.flock(one, fcntl.LOCK_UN)

    def work(self) -> None:
        """Execute everything that waits."""
        while self.queue:
            self.work_on(self.queue.pop(0))

    def is_superseded(self, key: str) -> bool:
        """Whether the second deployment published something newer, and our submission was closed for it."""
        return self.read(key).submission in self.foreign and self.is_collected(key)

    def is_collected(self, key: str) -> bool:
        collected = self.reader.collected([key]).get(key)
        return collected is not None and collected.submission_id == self.histories()[key][-1].id


def page(url: str) -> str:
    return url if url_refusal(url, allow_private=True) else canonical_url(url)


def _keys(run: dg.DagsterRun) -> list[str]:
    ends = (run.tags.get(f"dagster/asset_partition_range_{end}") for end in ("start", "end"))
    return [key for key in (run.tags.get("dagster/partition"), *ends) if key]


def _ids(tags: dict[str, str]) -> list[str]:
    return [one for name, ids in tags.items() if name.startswith(SUBMISSIONS_TAG) for one in ids.split(",")]


__all__ = ["KEYS", "CrashError", "EmulatedJob", "Rule", "Sealed", "World", "page"]
