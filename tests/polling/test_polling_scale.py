"""A tick is bounded in time, requests, cursor and events, and no job starves, however many are open or broken."""

import logging
import threading
import time

import dagster as dg
import pytest
from crawl_world import until
from polling_world import Ledger, Sensor, crawl, job_name, keys, kinds

from thunderbit_dagster.jobs.state import LONGEST
from thunderbit_dagster.polling.collect_requests import MAX_REQUESTS
from thunderbit_dagster.polling.cursor import read_cursor
from thunderbit_dagster.polling.sensor import MAX_OBSERVATIONS, MAX_POLLS

DAY = 86_400.0
SLACK = 0.5
"""What this machine may take for what a tick does beside reading and asking."""


@pytest.fixture(autouse=True)
def _quiet(api):
    logging.disable(logging.WARNING)
    api.asked()
    yield
    logging.disable(logging.NOTSET)


def open_jobs(instance, kinds, *, partitions, age=600.0):
    """A crawl whose partitions share the jobs evenly, and the time of day."""
    now = time.time()
    docs = crawl(keys(partitions))
    ledger = Ledger(instance, docs)
    for number, key in enumerate(keys(partitions)):
        jobs = [job_name(n, kinds[n]) for n in range(number, len(kinds), partitions)]
        ledger.seal(key, jobs, at=now - age)
    return docs, now


def rotate(sensor, api, *, limit=60):
    """Tick until a rotation is over; the jobs asked."""
    asked = []
    for _ in range(limit):
        sensor.tick(after=30.0 if asked else LONGEST)
        asked += api.asked()
        if read_cursor(sensor.cursor).after is None:
            return asked
    raise AssertionError(f"the rotation was not over after {limit} ticks")


@pytest.mark.parametrize("broken", [False, True], ids=["all well", "one in ten broken"])
def test_each_of_200_jobs_is_asked_once_in_a_rotation_of_short_ticks(instance, api, broken):
    docs, now = open_jobs(instance, kinds(200) if broken else ["running"] * 200, partitions=20)
    sensor = Sensor(instance, [docs], api.base_url, tick_seconds=2.0, now=now)
    asked = rotate(sensor, api)
    assert sorted(asked) == list(range(200))
    assert max(sensor.seconds) <= 2.0 + SLACK
    assert len(sensor.cursor) < 500


@pytest.mark.slow
@pytest.mark.parametrize("broken", [False, True], ids=["all well", "one in ten broken"])
def test_each_of_thousands_of_jobs_is_asked_in_a_rotation_of_ticks_of_5_seconds(instance, api, broken, record_property):
    # Old enough for the last of them to have begun, fifty at a time.
    count = 2_000 if broken else 5_000
    kinds_ = kinds(count) if broken else ["running"] * count
    docs, now = open_jobs(instance, kinds_, partitions=count, age=3 * 3_600.0)
    sensor = Sensor(instance, [docs], api.base_url, now=now)
    asked = rotate(sensor, api)
    record_property("seconds", [round(one, 2) for one in sensor.seconds])
    print("ticks:", [round(one, 2) for one in sensor.seconds], "cursor:", len(sensor.cursor))  # noqa: T201
    assert set(asked) == set(range(count))
    # Where the machine is busy, the rotation outlasts the pause after which a poll that failed is repeated.
    assert len(asked) <= 1.05 * count
    assert max(sensor.seconds) <= 5.0 + SLACK
    assert len(sensor.cursor) < 500


@pytest.mark.parametrize("kind", ["hang", "drip"])
def test_a_tick_ends_in_time_when_the_api_does_not_finish_an_answer(instance, api, kind):
    docs, now = open_jobs(instance, ["running", kind, "running", "done"], partitions=4)
    sensor = Sensor(instance, [docs], api.base_url, tick_seconds=1.0, now=now)
    began = time.monotonic()
    result = sensor.tick(after=LONGEST)
    assert sensor.seconds[0] <= 1.0 + SLACK
    told = [event.metadata["status"].value for event in result.asset_events]
    assert sorted(told) == ["COMPLETED", "PROCESSING", "PROCESSING"]
    until(lambda: not any(thread.name.startswith("thunderbit-poll") for thread in threading.enumerate()))
    assert sum(sensor.seconds) <= time.monotonic() - began <= 2.0 + SLACK, "the request itself is soon over as well"


def test_after_a_day_without_a_daemon_a_tick_asks_what_the_minute_allows_and_gives_up_nothing_unasked(instance, api):
    docs, now = open_jobs(instance, ["done", "gone"] * 100, partitions=200, age=2 * DAY)
    sensor = Sensor(instance, [docs], api.base_url, requests_per_minute=40, key="tb_" + "1" * 32, now=now)
    first = sensor.tick()
    assert len(api.asked()) == 40
    assert len(first.asset_events) == 40
    again = sensor.tick(after=30.0)  # in the same minute of the account
    assert api.asked() == []
    assert again.asset_events == []
    assert sensor.seconds[1] < sensor.tick_seconds
    sensor.requests_per_minute, sensor.key = 1_000, "tb_" + "2" * 32
    assert len(sensor.tick(after=30.0).asset_events) == 160


def test_results_that_expired_while_nobody_looked_are_lost_by_name(instance, api):
    docs, now = open_jobs(instance, ["gone"], partitions=1, age=2 * DAY)
    sensor = Sensor(instance, [docs], api.base_url, now=now)
    told = [sensor.tick(after=LONGEST) for _ in range(3)]
    status = [[event.metadata["status"].value for event in one.asset_events] for one in told]
    assert status == [["NOT_FOUND"], ["LOST"], []]
    assert [request.partition_key for request in told[1].run_requests] == ["p00000"]


def test_more_changes_than_a_tick_may_tell_are_told_by_the_next_ones(instance, api):
    docs, now = open_jobs(instance, ["done"] * 400, partitions=4)
    sensor = Sensor(instance, [docs], api.base_url, tick_seconds=20.0, now=now)
    told = [sensor.tick(after=LONGEST), sensor.tick(after=1.0)]
    assert [len(one.asset_events) for one in told] == [MAX_OBSERVATIONS, 100]
    assert sorted(api.asked()) == list(range(400))
    assert len(told[1].run_requests) == 1  # all four partitions in one run


def test_a_tick_asks_no_more_than_the_largest_plan_allows_in_a_minute(instance, api):
    docs, now = open_jobs(instance, ["running"] * (MAX_POLLS + 7), partitions=7)
    sensor = Sensor(instance, [docs], api.base_url, tick_seconds=50.0, now=now)
    sensor.tick(after=LONGEST)
    assert len(api.asked()) == MAX_POLLS
    sensor.tick(after=1.0)
    assert len(api.asked()) == 7


def test_more_runs_than_a_tick_may_ask_for_are_asked_for_by_the_next_ones_oldest_first(instance, api):
    apart = keys(2 * MAX_REQUESTS + 10)[::2]
    docs, now = crawl(keys(2 * MAX_REQUESTS + 10), max_partitions_per_run=1), time.time()
    ledger = Ledger(instance, docs)
    for key in reversed(apart):
        ledger.seal(key, [], at=now - 600)
    sensor = Sensor(instance, [docs], api.base_url, now=now)
    first = sensor.tick().run_requests
    assert [request.partition_key for request in first] == list(reversed(apart))[:MAX_REQUESTS]
    for request in first:
        run = dg.DagsterRun(job_name=request.job_name, status=dg.DagsterRunStatus.STARTED, tags=request.tags)
        instance.add_run(run)
    assert [one.partition_key for one in sensor.tick(after=30.0).run_requests] == list(reversed(apart))[MAX_REQUESTS:]


def test_above_500_open_jobs_only_what_decides_something_is_told(instance, api):
    docs, now = open_jobs(instance, ["running"] * 503 + ["done", "gone"], partitions=5)
    sensor = Sensor(instance, [docs], api.base_url, tick_seconds=30.0, now=now)
    events = sensor.tick(after=LONGEST).asset_events
    assert sorted(event.metadata["status"].value for event in events) == ["COMPLETED", "NOT_FOUND"]
