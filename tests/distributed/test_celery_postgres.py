"""The pipeline on PostgreSQL, Celery with two workers, Redis and S3, and the loss of one worker."""

from __future__ import annotations

import itertools
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import crawl_world
import dagster as dg
import loopback_s3
import pytest
import services
from deployment import Deployment, deployment

from thunderbit_dagster import Crawl, Distill, ParquetStore
from thunderbit_dagster.emulator import Emulator, Faults, Rule
from thunderbit_dagster.ledger.event_log import LedgerReader
from thunderbit_dagster.ledger.records import Intent, Recorded

pytestmark = pytest.mark.slow

PARTITIONS = [f"p{number}" for number in range(4)]
WAITING = ["p4", "p5"]
PAGES = 7
_numbers = itertools.count(3)
REDELIVERED_AFTER = 12
BASE_URI = f"s3://{loopback_s3.BUCKET}/parquet"
LONG_URLS = 100
PATIENCE = 700
"""Seconds for what a lost worker has begun: its step is given to another, which waits until the first is silent."""
SETTLE_SECONDS = 1.5
SLOW = Faults(rules=(Rule("delay", method="POST", seconds=0.3),))


@pytest.fixture(scope="module")
def pages() -> Iterator[crawl_world.Pages]:
    """Asked by the workers of this module alone: other tests of the session name pages alike."""
    with crawl_world.Pages().serving() as pages:
        yield pages


@pytest.fixture(scope="module")
def emulator(pages) -> Iterator[Emulator]:
    with crawl_world.new_emulator(pages, faults=SLOW) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def world(tmp_path_factory, postgres, pages, emulator) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("distributed")
    with services.redis_server(folder) as redis_url, loopback_s3.s3_server(folder) as s3:
        env = {
            **postgres,
            **loopback_s3.environment(s3),
            "DAGSTER_CELERY_BROKER": f"{redis_url}/0",
            "DAGSTER_CELERY_BACKEND": f"{redis_url}/1",
            "THUNDERBIT_DATA_URI": BASE_URI,
            "THUNDERBIT_BASE_URL": emulator.base_url,
            "TEST_KEY": emulator.api_key,
            "TEST_PAGES": pages.origin,
            "TEST_PARTITIONS": str(len([*PARTITIONS, *WAITING])),
        }
        with deployment(folder / "home", env, redelivered_after=REDELIVERED_AFTER) as world:
            yield world


@pytest.fixture(autouse=True)
def _two_workers(world):
    """Another worker in the place of one that a test has killed."""
    while len(world.workers) < 2:
        world.start_worker(f"worker{next(_numbers)}")


def _fetched(pages: crawl_world.Pages, path: str) -> Counter[str]:
    """How often each page was fetched: once for each time that it was paid."""
    return Counter(asked for asked in pages.asked if asked.startswith(path))


def _checks(world: Deployment, crawl: str) -> dict[str | None, bool]:
    """The newest outcome of the check of conservation, by run."""
    found = {}
    for run in world.instance.get_runs():
        for entry in world.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION):
            evaluation = entry.dagster_event.asset_check_evaluation_data
            if (evaluation.asset_key.path[0], evaluation.check_name) == (crawl, "conservation"):
                found[run.run_id] = evaluation.passed
    return found


def _published(world: Deployment, crawl: str, partitions: list[str]) -> bool:
    return world.materialized(crawl, "failed") >= set(partitions) and not world.instance.get_runs(
        dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTED])
    )


def test_partitions_submitted_at_once_by_two_workers_are_all_published(world, emulator, pages) -> None:
    runs = [world.launch("site_submit", partition) for partition in PARTITIONS]
    world.until(lambda: _published(world, "site", PARTITIONS), "the collection of all partitions", PATIENCE)

    assert {world.status(run) for run in runs} == {dg.DagsterRunStatus.SUCCESS}
    assert {world.workers_of(run)[0] for run in runs} == {"worker1", "worker2"}
    store = ParquetStore(BASE_URI)
    for number, partition in enumerate(PARTITIONS):
        there = {f"{pages.origin}/ok/{number}-{page}" for page in range(6)}
        assert set(store.read("site", "succeeded", {"urls": partition})["url"].to_pylist()) == there
        failed = store.read("site", "failed", {"urls": partition})["url"].to_pylist()
        assert failed == [f"{pages.origin}/missing/{number}"]
    assert set(_checks(world, "site").values()) == {True}
    assert sum(job.total for job in emulator.jobs) == PAGES * len(PARTITIONS)
    for number in range(len(PARTITIONS)):
        fetched = _fetched(pages, f"/ok/{number}-") + _fetched(pages, f"/missing/{number}")
        assert (len(fetched), set(fetched.values())) == (PAGES, {1})
    assert not [request for request in emulator.requests if request.status == 429]


@contextmanager
def _log_closed(env: dict[str, str]) -> Iterator[None]:
    """No event can be written: every step stops at the next one it writes."""
    connection = services.connect(env)
    connection.autocommit = False
    try:
        with connection.cursor() as cursor:
            cursor.execute("LOCK TABLE event_logs IN SHARE MODE")
        yield
    finally:
        connection.close()


FOURTH_INTENT = """
NEW.asset_key = '["long", "submissions"]' AND NEW.event ~ '"event": *"intent"' AND 3 <= (
    SELECT count(*) FROM event_logs
    WHERE asset_key = '["long", "submissions"]' AND event ~ '"event": *"recorded"'
)
"""
FIRST_PUBLICATION = """
NEW.asset_key = '["again", "succeeded"]' AND NEW.dagster_event_type = 'ASSET_MATERIALIZATION'
"""
HOLD = """
CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN IF {condition} THEN PERFORM pg_advisory_xact_lock_shared(4711); END IF; RETURN NEW; END $$;
CREATE TRIGGER hold BEFORE INSERT ON event_logs FOR EACH ROW EXECUTE FUNCTION hold();
SELECT pg_advisory_lock(4711);
"""
HELD_UP = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711 AND NOT granted"
LET_GO = "SELECT pg_advisory_unlock(4711)"
CLEAN = "DROP TRIGGER hold ON event_logs; DROP FUNCTION hold;"


@contextmanager
def _held_up(env: dict[str, str], condition: str) -> Iterator[Callable[[], bool]]:
    """An event of which this holds is not written before the block ends; gives whether one waits."""
    with closing(services.connect(env)) as connection, connection.cursor() as cursor:
        cursor.execute(HOLD.format(condition=condition))

        def waits() -> bool:
            cursor.execute(HELD_UP)
            return cursor.fetchone()[0] > 0

        try:
            yield waits
        finally:
            cursor.execute(LET_GO)  # apart, and first: the table is not free while an event waits
            cursor.execute(CLEAN)


def _ledger(world: Deployment) -> tuple[int, int]:
    """Intents and jobs that are recorded of the crawl `long`."""
    crawl = Crawl(name="long", urls={"all": []}, request=Distill())
    entries = [entry.record for entry in LedgerReader(world.instance, crawl).since("submissions", 0, observations=True)]
    return sum(isinstance(one, Intent) for one in entries), sum(isinstance(one, Recorded) for one in entries)


def test_a_worker_lost_while_it_submits_and_others_wait_costs_nothing_and_loses_nothing(world, emulator, pages) -> None:
    before = len(emulator.jobs)
    paid = sum(job.total for job in emulator.jobs)
    with _held_up(world.env, FOURTH_INTENT) as held_up:
        run = world.launch("long_submit", "all")
        world.until(held_up, "the fourth job's intent", 120)
        waiting = [world.launch("site_submit", partition) for partition in WAITING]
        assert _ledger(world) == (3, 3)
        assert len(emulator.jobs) - before == 3
        _lose_worker(world, run, held_up)
    world.until(lambda: _published(world, "long", ["all"]), "the collection of what the dead worker began", PATIENCE)
    world.until(lambda: _published(world, "site", WAITING), "the collection of what waited", PATIENCE)

    assert {world.status(one) for one in [run, *waiting]} == {dg.DagsterRunStatus.SUCCESS}
    rows = ParquetStore(BASE_URI).read("long", "succeeded", {"urls": "all"})
    assert sorted(rows["url"].to_pylist()) == sorted(f"{pages.origin}/ok/long-{page}" for page in range(LONG_URLS))
    assert set(_checks(world, "long").values()) == {True}
    fetched = _fetched(pages, "/ok/long-")
    assert (len(fetched), set(fetched.values())) == (LONG_URLS, {1})
    assert sum(job.total for job in emulator.jobs) - paid == LONG_URLS + PAGES * len(WAITING)
    assert len(set(world.workers_of(run))) == 2


def _lose_worker(world: Deployment, run: str, held_up: Callable[[], bool]) -> None:
    """Kill the worker that runs the run's step, with what it was about to write."""
    world.kill_worker(world.workers_of(run)[-1])
    world.until(lambda: not held_up(), "the end of the dead worker's connection", 30)


def test_a_step_that_is_begun_again_while_it_still_runs_pays_nothing_twice(world, emulator, pages) -> None:
    paid = sum(job.total for job in emulator.jobs)
    run = world.launch("slow_submit", "all")
    world.until(lambda: sum(job.total for job in emulator.jobs) > paid, "the first job", 120)
    with _log_closed(world.env):
        time.sleep(SETTLE_SECONDS + 2 * REDELIVERED_AFTER)
    world.until(lambda: len(set(world.workers_of(run))) == 2, "the second beginning of the step", 120)
    world.until(lambda: _published(world, "slow", ["all"]), "the collection", PATIENCE)
    fetched = _fetched(pages, "/ok/slow-")
    assert (len(fetched), set(fetched.values())) == (LONG_URLS, {1})
    assert sum(job.total for job in emulator.jobs) - paid == LONG_URLS
    assert world.status(run) is dg.DagsterRunStatus.SUCCESS


def test_a_worker_lost_while_it_collects_loses_no_row(world, emulator, pages) -> None:
    paid = sum(job.total for job in emulator.jobs)
    with _held_up(world.env, FIRST_PUBLICATION) as held_up:
        world.launch("again_submit", "all")
        world.until(held_up, "a collect run that publishes", 180)
        [run] = world.instance.get_runs(dg.RunsFilter(job_name="again_collect"))
        _lose_worker(world, run.run_id, held_up)
    world.until(lambda: _published(world, "again", ["all"]), "the collection by the other worker", 300)

    assert world.status(run.run_id) is dg.DagsterRunStatus.SUCCESS
    assert len(set(world.workers_of(run.run_id))) == 2
    rows = ParquetStore(BASE_URI).read("again", "succeeded", {"urls": "all"})
    assert sorted(rows["url"].to_pylist()) == sorted(f"{pages.origin}/ok/again-{page}" for page in range(LONG_URLS))
    assert set(_checks(world, "again").values()) == {True}
    assert sum(job.total for job in emulator.jobs) - paid == LONG_URLS


def test_a_run_whose_process_dies_while_its_step_goes_on_elsewhere_pays_nothing_twice(world, emulator, pages) -> None:
    paid = sum(job.total for job in emulator.jobs)
    run = world.launch("orphan_submit", "all")
    world.until(lambda: sum(job.total for job in emulator.jobs) > paid, "the first job", 120)
    said = " ".join(one.dagster_event.message or "" for one in world.instance.all_logs(run) if one.dagster_event)
    os.kill(int(re.findall(r"Started process for run \(pid: (\d+)\)", said)[0]), signal.SIGKILL)
    world.until(lambda: world.status(run) is dg.DagsterRunStatus.FAILURE, "the end of the run", 120)
    world.until(lambda: _published(world, "orphan", ["all"]), "what the run that repeats it sends", 300)

    assert [r.status for r in world.instance.get_runs(dg.RunsFilter(job_name="orphan_submit"))].count(
        dg.DagsterRunStatus.SUCCESS
    ) == 1
    fetched = _fetched(pages, "/ok/orphan-")
    assert (len(fetched), set(fetched.values())) == (LONG_URLS, {1})
    assert sum(job.total for job in emulator.jobs) - paid == LONG_URLS
