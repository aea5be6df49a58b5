"""Reading the event log: no more than is open, nothing skipped that shows late, one bad record for one partition."""

import random
import time

import dagster as dg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polling_world import Ledger, Sensor, crawl, job_name, keys

from thunderbit_dagster.jobs.state import LONGEST
from thunderbit_dagster.ledger.event_log import SUBMISSIONS_KEY, Entry, LedgerReader, newest_progress
from thunderbit_dagster.ledger.records import RECORD_KEY, Collected, JobShare, Progress, Sealed
from thunderbit_dagster.polling.collect_requests import MAX_ATTEMPTS
from thunderbit_dagster.polling.cursor import MARKS, Cursor, pack_marks, read_cursor
from thunderbit_dagster.polling.open_submissions import SETTLE_SECONDS, UNREADABLE_SECONDS, read_crawl_jobs

NOW = 1_780_000_000.0
LATER = 2 * SETTLE_SECONDS


def events_read(monkeypatch):
    """How many events each page of each read held."""
    read = []
    for name in ("fetch_materializations", "fetch_observations"):
        fetch = getattr(dg.DagsterInstance, name)

        def counting(self, *args, fetch=fetch, **kwargs):
            page = fetch(self, *args, **kwargs)
            read.append(len(page.records))
            return page

        monkeypatch.setattr(dg.DagsterInstance, name, counting)
    return read


def test_what_a_tick_reads_does_not_grow_with_what_was_collected(instance, api, monkeypatch):
    docs, now = crawl(keys(15)), time.time()
    ledger = Ledger(instance, docs)
    ticker = Sensor(instance, [docs], api.base_url, now=now)
    read = events_read(monkeypatch)
    totals = []
    for round_ in range(3):
        for number, key in enumerate(keys(15)[:14]):
            ledger.seal(key, [job_name(number)], at=now, submission=f"{round_}-{key}")
            ledger.progress(key, job_name(number), at=now)
            ledger.collect(key, submission=f"{round_}-{key}")
        ticker.tick(after=LATER)
        read.clear()
        ticker.tick(after=LATER)
        totals.append(sum(read))
    assert totals == [0, 0, 0]


def test_a_job_that_runs_for_long_does_not_have_the_progress_of_others_read_again_and_again(instance, api, monkeypatch):
    docs, now = crawl(keys(2)), time.time()
    ledger = Ledger(instance, docs)
    ledger.seal("p00000", [job_name(0)], at=now)
    for number in range(1, 60):
        ledger.seal("p00001", [job_name(number)], at=now, submission=f"s{number}")
        ledger.progress("p00001", job_name(number), at=now, status="COMPLETED")
        ledger.collect("p00001", submission=f"s{number}")
    of_others = len(instance.fetch_observations(dg.AssetRecordsFilter(SUBMISSIONS_KEY), limit=1_000).records)
    read = events_read(monkeypatch)
    Sensor(instance, [docs], api.base_url, now=now).tick(after=LATER)
    # What all crawls share (this one wrote none of it), seals, what was collected, and none of the observations.
    assert read[:4] == [of_others, 60, 59, 0]


def place_of(instance, docs, asset):
    """The storage id of the newest materialization of an asset."""
    return instance.fetch_materializations(docs.key(asset), limit=1).records[0].storage_id


def test_a_submission_whose_collection_failed_too_often_does_not_hold_the_log(instance, api):
    docs, now = crawl(keys(1)), time.time()
    Ledger(instance, docs).seal("p00000", [], at=now)
    sealed = place_of(instance, docs, "submissions")
    ticker = Sensor(instance, [docs], api.base_url, now=now)
    for _ in range(MAX_ATTEMPTS):
        assert read_cursor(ticker.cursor).low.get(docs.name, 0) < sealed
        [request] = ticker.tick(after=86_400.0).run_requests
        run = dg.DagsterRun(job_name=request.job_name, status=dg.DagsterRunStatus.FAILURE, tags=request.tags)
        instance.add_run(run)
    assert not ticker.tick(after=86_400.0).run_requests
    assert read_cursor(ticker.cursor).low[docs.name] == sealed


# Events that show late.


class LateLog:
    """A log whose events show some time after they have got their ids."""

    def __init__(self, docs, events):
        self.crawl = docs
        self.events = events
        """Asset, entry, and when it shows."""
        self.now = 0.0

    def since(self, asset, after, *, observations=False, keys=None):
        del observations, keys
        shown = (e for name, e, shows in self.events if name == asset and shows <= self.now and e.storage_id > after)
        return iter(sorted(shown, key=lambda entry: entry.storage_id))


def late_events(draw, names):
    """Each partition sealed, and most collected; ids and times grow, but each event shows after a while of its own."""
    storage_id, at = 0, 0.0
    for key in names:
        sealed, collected = Sealed(submission_id=key, total=0), Collected(submission_id=key, succeeded=0, failed=0)
        for asset, record in [("submissions", sealed), *([("failed", collected)] if draw.random() < 0.7 else [])]:
            storage_id += draw.randint(1, 3)
            at += draw.choice([0.0, draw.uniform(0, 100)])
            late = draw.choice([0.0, draw.uniform(0, SETTLE_SECONDS)])
            yield asset, Entry(storage_id, at, key, "", record), at + late


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 2**32))
def test_no_submission_is_skipped_however_late_its_events_show(seed):
    draw, names = random.Random(seed), keys(6)
    events = list(late_events(draw, names))
    log, low = LateLog(crawl(names), events), 0
    while log.now < events[-1][2] + 3 * SETTLE_SECONDS:
        log.now += draw.uniform(1, 80)
        watch = read_crawl_jobs(log, low, log.now)
        assert watch.low >= low
        low = watch.low
        sealed = {e.partition_key for name, e, shows in events if name == "submissions" and shows <= log.now}
        collected = {e.partition_key for name, e, shows in events if name == "failed" and shows <= log.now}
        assert {one.partition.key for one in watch.open} == sealed - collected


# A record of a newer version.


def spoil(instance, docs, asset, key, *, observation=False):
    """An event of a version to come."""
    kind = dg.AssetObservation if observation else dg.AssetMaterialization
    metadata = {RECORD_KEY: dg.MetadataValue.json({"v": 9, "event": "sealed", "parcels": []})}
    instance.report_runless_asset_event(kind(docs.key(asset), partition=key, metadata=metadata))


@pytest.mark.parametrize(
    ("asset", "observation"), [("submissions", False), ("failed", False), ("succeeded", True)], ids=str
)
def test_a_record_that_cannot_be_read_concerns_its_partition_alone(instance, api, capfd, asset, observation):
    docs, now = crawl(keys(2)), time.time()
    ledger = Ledger(instance, docs)
    ledger.seal("p00000", [job_name(0, "done")], at=now)
    ledger.seal("p00001", [job_name(1, "done")], at=now)
    spoil(instance, docs, asset, "p00000", observation=observation)
    api.asked()
    ticker = Sensor(instance, [docs], api.base_url, now=now)
    [request] = ticker.tick(after=LATER).run_requests
    assert request.partition_key == "p00001"
    assert api.asked() == [1]
    said = capfd.readouterr().err
    assert f"{docs.name}, p00000 is left alone" in said
    assert "reads version 1" in said
    ledger.collect("p00001")
    ticker.tick(after=LATER)
    low = read_cursor(ticker.cursor).low[docs.name]
    assert low < place_of(instance, docs, "failed"), "the version that can read it must find it"
    ledger.seal("p00000", [job_name(2, "done")], at=now, submission="again")
    assert [one.partition_key for one in ticker.tick(after=LATER).run_requests] == ["p00000"]


def test_a_record_that_cannot_be_read_holds_the_log_for_a_week_and_no_longer(instance):
    docs = crawl(keys(1))
    spoil(instance, docs, "submissions", "p00000")
    reader, place = LedgerReader(instance, docs), place_of(instance, docs, "submissions")
    assert read_crawl_jobs(reader, 0, time.time() + LATER).low < place
    assert read_crawl_jobs(reader, 0, time.time() + UNREADABLE_SECONDS + LATER).low == place


# The last word on a job.


def progress_entries(*states):
    return [
        Entry(n, NOW, "a", "", Progress(job="distill/1", status=state, done=n, at=NOW))
        for n, state in enumerate(states)
    ]


@given(st.lists(st.sampled_from(["PENDING", "PROCESSING", "NOT_FOUND", "COMPLETED", "LOST", "EXPIRED"]), min_size=1))
def test_a_job_that_has_ended_does_not_run_again_whatever_a_slower_observer_writes(states):
    last = newest_progress(progress_entries(*states))["distill/1"].status
    ends = [state for state in states if state in ("COMPLETED", "LOST", "EXPIRED")]
    assert last == (ends[-1] if ends else states[-1])


# The cursor.


def test_the_cursor_of_thousands_of_crawls_is_small_and_means_the_same():
    names = [f"a_rather_long_crawl_name_{number:05d}" for number in range(5_000)]
    low = {name: 10**12 + number for number, name in enumerate(names)}
    cursor = Cursor(start=NOW, end=NOW, after="f" * 16, low=pack_marks(low, names[3:40]))
    assert len(cursor.model_dump_json()) < 32 * 1024
    assert {read_cursor(cursor.model_dump_json()).mark(name, names) for name in names} == {low[names[3]]}
    assert cursor.mark(names[0], names[1:]) == 0, "with other crawls the shared mark says nothing"
    free = Cursor(low=pack_marks(low, []))
    assert free.mark(names[0], names) == max(low.values())


def test_the_cursor_of_many_crawls_with_a_mark_each_is_small():
    low = {f"{'x' * 60}_{number:03d}": 10**12 + number for number in range(MARKS)}
    assert pack_marks(low, []) == low
    assert len(Cursor(start=NOW, end=NOW, after="f" * 16, low=low).model_dump_json()) < 32 * 1024


def test_a_mark_that_many_crawls_share_loses_no_submission_of_any(instance, api, monkeypatch):
    monkeypatch.setattr("thunderbit_dagster.polling.cursor.MARKS", 2)
    crawls, now = [crawl(keys(1)) for _ in range(4)], time.time()
    ledgers = [Ledger(instance, one) for one in crawls]
    ledgers[2].seal("p00000", [job_name(2, "done")], at=now)
    ledgers[0].seal("p00000", [job_name(0, "done")], at=now)
    ledgers[0].collect("p00000")
    ticker = Sensor(instance, crawls, api.base_url, now=now)
    requested = [request.job_name for _ in range(3) for request in ticker.tick(after=LONGEST).run_requests]
    assert set(requested) == {f"{crawls[2].name}_collect"}
    ledgers[2].collect("p00000")
    ticker.tick(after=LATER)
    [mark] = read_cursor(ticker.cursor).low.values()
    assert mark > 0
    ledgers[3].seal("p00000", [job_name(3, "done")], at=now)
    assert [one.job_name for one in ticker.tick(after=LATER).run_requests] == [f"{crawls[3].name}_collect"]


def test_a_share_of_a_job_is_read_as_it_was_sealed(instance):
    docs = crawl(keys(1))
    Ledger(instance, docs).seal("p00000", ["distill/x"], at=NOW)
    watch = read_crawl_jobs(LedgerReader(instance, docs), 0, NOW)
    assert watch.open[0].sealed.jobs == (JobShare(job="distill/x", rows=10, size=10, at=NOW),)
    assert watch.jobs["distill/x"].deadline == NOW + docs.job_deadline.total_seconds()
