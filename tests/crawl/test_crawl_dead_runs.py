"""A run whose process is gone, and of which Dagster does not know it, holds nobody back for ever."""

import time

import dagster as dg
import pytest
from crawl_world import RUN_KEY, one_partition

from thunderbit_dagster.runs import liveness, lock
from thunderbit_dagster.runs.liveness import STALE_SECONDS, is_living
from thunderbit_dagster.runs.lock import submitting_tag


def started(instance, **tags):
    run = dg.DagsterRun(job_name="any", status=dg.DagsterRunStatus.STARTED, tags={RUN_KEY: "x", **tags})
    instance.add_run(run)
    return instance.get_run_record_by_id(run.run_id)


def test_an_unfinished_run_lives_as_long_as_it_is_heard_of(instance):
    now, record = time.time(), started(instance)
    assert is_living(instance, record, now + STALE_SECONDS - 60)
    assert not is_living(instance, record, now + STALE_SECONDS + 60)
    assert not is_living(instance, None, now)


def test_an_event_is_a_sign_of_life(instance):
    record = started(instance)
    written = record.update_timestamp.timestamp()
    instance.report_engine_event("still here", record.dagster_run)
    [event] = instance.get_records_for_run(record.dagster_run.run_id, limit=1, ascending=False).records
    between = (written + event.timestamp) / 2 + STALE_SECONDS
    assert written + STALE_SECONDS <= between < event.timestamp + STALE_SECONDS
    assert is_living(instance, record, between)
    assert not is_living(instance, record, event.timestamp + STALE_SECONDS)


def test_a_finished_run_is_not_living(instance):
    record = started(instance)
    instance.report_run_failed(record.dagster_run)
    assert not is_living(instance, instance.get_run_record_by_id(record.dagster_run.run_id), time.time())


@pytest.mark.parametrize("stale", [True, False])
def test_a_dead_run_that_was_sending_does_not_block_its_partitions_for_ever(line, pages, monkeypatch, stale):
    docs = line(one_partition(pages.urls(1)))
    monkeypatch.setattr(lock, "WAIT_SECONDS", 0.0)
    monkeypatch.setattr(liveness, "STALE_SECONDS", 0.0 if stale else STALE_SECONDS)
    where = {"dagster/partition": "all", submitting_tag(docs.crawl): lock.SENDING}
    started(docs.instance, **where)
    assert docs.submit().success is stale
    assert docs.posts == (1 if stale else 0)
