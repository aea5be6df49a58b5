"""Ledger, sensor and crawls on PostgreSQL: tests of other folders run on it, and what only PostgreSQL does."""

from __future__ import annotations

import threading
import time

import dagster as dg
import pytest
import services
import test_crawl_main_line as main_line
import test_crawl_reattach as reattach
import test_polling_log as polling_log
from polling_world import Ledger, Sensor, crawl, job_name, keys

from thunderbit_dagster.ledger.event_log import LedgerReader
from thunderbit_dagster.ledger.records import Sealed
from thunderbit_dagster.polling.collect_runs import IDS_PER_TAG, submission_tags
from thunderbit_dagster.submission.record_writer import new_id

pytestmark = pytest.mark.slow

# The same tests, with this folder's `instance`.
test_main_line = main_line.test_a_crawl_goes_from_urls_to_parquet_by_a_submit_run_a_tick_and_a_collect_run
test_lost_reply = reattach.test_a_lost_reply_stops_the_partition_until_somebody_decides
test_killed_run = reattach.test_a_run_killed_between_two_jobs_is_continued_and_no_recorded_url_is_sent_twice
test_long_job = polling_log.test_a_job_that_runs_for_long_does_not_have_the_progress_of_others_read_again_and_again
test_unreadable_record = polling_log.test_a_record_that_cannot_be_read_concerns_its_partition_alone
test_failed_collection = polling_log.test_a_submission_whose_collection_failed_too_often_does_not_hold_the_log
test_growth = polling_log.test_what_a_tick_reads_does_not_grow_with_what_was_collected

LATE_SECONDS = 2.0
DELAY = f"""
CREATE OR REPLACE FUNCTION wait() RETURNS trigger AS $$
BEGIN PERFORM pg_sleep({LATE_SECONDS}); RETURN NULL; END $$ LANGUAGE plpgsql;
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON event_logs DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW WHEN (NEW.partition = 'p00000') EXECUTE FUNCTION wait();
"""


@pytest.fixture
def sql(postgres, instance):
    del instance  # it has made the tables
    connection = services.connect(postgres, "apart")
    with connection.cursor() as cursor:
        yield cursor.execute
        cursor.execute("DROP TRIGGER IF EXISTS late ON event_logs")
    connection.close()


def test_dozens_of_open_jobs_are_polled_and_collected(instance, api):
    docs, now = crawl(keys(48)), time.time()
    ledger = Ledger(instance, docs)
    for number, key in enumerate(keys(48)):
        ledger.seal(key, [job_name(2 * number), job_name(2 * number + 1, "done")], at=now - 600)
    ticker = Sensor(instance, [docs], api.base_url, now=now)
    api.asked()
    result = ticker.tick()
    assert sorted(api.asked()) == list(range(96))
    assert len(result.asset_events) == 96
    assert ticker.seconds[-1] < ticker.tick_seconds
    for key in keys(48):
        ledger.collect(key)
    ticker.tick(after=130)
    assert api.asked() == []


def test_an_event_that_becomes_visible_after_later_ones_is_not_skipped(instance, api, sql):
    docs, now = crawl(keys(3)), time.time()
    ledger = Ledger(instance, docs)
    sql(DELAY)
    late = threading.Thread(target=lambda: ledger.seal("p00000", [job_name(0)], at=now - 600))
    late.start()
    time.sleep(LATE_SECONDS / 4)
    for number in (1, 2):
        ledger.seal(keys(3)[number], [job_name(number)], at=now - 600)
        ledger.collect(keys(3)[number])
    ticker = Sensor(instance, [docs], api.base_url, now=time.time())
    api.asked()
    ticker.tick()
    before = api.asked()
    late.join()
    entries = list(LedgerReader(instance, docs).since("submissions", 0))
    assert [entry.partition_key for entry in entries] == ["p00000", "p00001", "p00002"], "the late one was not first"
    assert all(isinstance(entry.record, Sealed) for entry in entries)
    ticker.tick(after=130)
    assert (before, api.asked()) == ([], [0])


def test_the_longest_tags_fit_into_the_indexes(instance):
    ids = [new_id() for _ in range(5 * IDS_PER_TAG)]
    run = instance.create_run_for_job(_job(), tags=submission_tags(ids))
    stored = instance.get_run_by_id(run.run_id)
    assert sum(len(value.split(",")) for name, value in stored.tags.items() if "submissions" in name) == len(ids)


def _job():
    @dg.job
    def empty():
        pass

    return empty
