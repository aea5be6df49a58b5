"""A run that its user cancels stops its jobs; one whose process is taken away leaves them to the next attempt."""

import signal
import time
from functools import partial
from types import SimpleNamespace
from unittest import mock

import dagster as dg
import pytest
from crawl_world import crawl, until
from interrupting import (
    cancel_by_user,
    deletes,
    evict,
    interrupted_at_post,
    interrupted_run,
    interrupted_while_waiting,
    said,
)

from thunderbit_dagster.api.client import ThunderbitClient
from thunderbit_dagster.emulator import Rule
from thunderbit_dagster.jobs.interrupted_steps import is_cancelled
from thunderbit_dagster.ledger.event_log import LedgerReader
from thunderbit_dagster.runs import signals

CANCELED, FAILURE = dg.DagsterRunStatus.CANCELED, dg.DagsterRunStatus.FAILURE


@pytest.mark.parametrize("status", [*dg.DagsterRunStatus, None])
def test_only_a_run_that_is_being_cancelled_or_is_cancelled_counts_as_cancelled(status):
    cancelled = {dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED}
    assert is_cancelled(status) == (status in cancelled)


@pytest.fixture
def docs(line, pages, held):
    """Three partitions of two URLs in jobs of two, none of whose pages finishes."""
    del held
    urls = {"a": pages.urls(2), "b": pages.urls(2), "c": pages.urls(2)}
    return line(crawl(urls, batch_size=2))


def test_a_cancelled_submission_stops_its_jobs_once_and_sends_nothing_more(docs):
    with interrupted_at_post(2, partial(cancel_by_user, docs.instance)):
        run = interrupted_run(docs, docs.submit)
    assert run.status is CANCELED
    assert docs.posts == 2
    assert deletes(docs) == [job.id for job in docs.jobs]
    assert [job.status.value for job in docs.jobs] == ["CANCELLED", "CANCELLED"]
    assert docs.published("submissions") == {"a", "b"}
    assert "Not everything was sent of c" in said(docs, run.run_id)


def test_a_second_interrupt_does_not_keep_jobs_from_being_stopped(docs):
    cancel_job = ThunderbitClient.cancel_job

    def interrupted(client, ref):
        signal.raise_signal(signal.SIGINT)
        return cancel_job(client, ref)

    with (
        interrupted_at_post(2, partial(cancel_by_user, docs.instance)),
        mock.patch.object(ThunderbitClient, "cancel_job", interrupted),
    ):
        run = interrupted_run(docs, docs.submit)
    assert run.status is CANCELED
    assert deletes(docs) == [job.id for job in docs.jobs]
    assert docs.published("submissions") == {"a", "b"}


def test_after_a_cancelled_submission_the_sensor_collects_and_the_next_run_sends_the_rest(docs, held):
    with interrupted_at_post(2, partial(cancel_by_user, docs.instance)):
        interrupted_run(docs, docs.submit)
    before = len(docs.reads())
    [collected] = docs.tick_and_launch()
    assert collected.success
    assert docs.published() == {"a", "b"}
    assert docs.codes(urls="a") == [("CANCELLED", "JOB_CANCELLED", "job")] * 2
    assert len(docs.reads()) - before == 2  # the ledger told of the end: each job was read for its rows alone
    held.release()
    docs.through("c")
    assert docs.posts == 3
    assert docs.published() == {"a", "b", "c"}
    assert len(docs.rows("succeeded", urls="c")) == 2


def test_a_partition_of_which_a_part_was_sent_stays_open_and_is_completed_by_the_next_run(line, pages, held):
    urls = pages.urls(5)
    docs = line(crawl({"all": urls}, batch_size=2))
    with interrupted_at_post(1, partial(cancel_by_user, docs.instance)):
        interrupted_run(docs, docs.submit)
    assert docs.published("submissions") == set()
    assert docs.tick().run_requests == []
    held.release()
    docs.through()
    assert docs.posts == 3
    assert docs.codes() == [("CANCELLED", "JOB_CANCELLED", "job")] * 2
    assert docs.urls("failed") + docs.urls("succeeded") == urls


def test_an_evicted_submission_leaves_its_jobs_alone_and_the_next_attempt_continues(docs, held):
    with interrupted_at_post(2, partial(evict, docs.instance)):
        run = interrupted_run(docs, docs.submit)
    assert run.status is FAILURE
    assert deletes(docs) == []
    assert "left alone" in said(docs, run.run_id)
    assert all(job.id in said(docs, run.run_id) for job in docs.jobs)
    assert docs.published("submissions") == set()
    held.release()
    docs.through()
    assert docs.posts == 3
    assert docs.published() == {"a", "b", "c"}
    assert len(docs.rows("succeeded", urls="b")) == 2


def test_cancelling_the_retry_of_an_evicted_run_stops_the_jobs_of_both(docs):
    with interrupted_at_post(1, partial(evict, docs.instance)):
        evicted = interrupted_run(docs, docs.submit)
    retry = {"dagster/parent_run_id": evicted.run_id, "dagster/root_run_id": evicted.run_id}
    with interrupted_at_post(1, partial(cancel_by_user, docs.instance)):
        interrupted_run(docs, partial(docs.submit, tags=retry))
    assert docs.posts == 2
    assert sorted(deletes(docs)) == sorted(job.id for job in docs.jobs)


def test_an_interrupt_while_a_submit_waits_to_be_repeated_leaves_none_in_doubt(line, pages, spoiled):
    busy = Rule("status", method="POST", nth=(2,), status=429, retry_after="2")
    docs = line(crawl({"a": pages.urls(2), "b": pages.urls(2)}, batch_size=2), emulator=spoiled(busy, hold=True))
    began = time.monotonic()

    def arrive(seconds):
        assert 0 < seconds <= signals.SLICE_SECONDS
        signal.raise_signal(signal.SIGTERM)

    with mock.patch.object(signals, "time", SimpleNamespace(sleep=arrive, monotonic=time.monotonic)):
        interrupted_run(docs, docs.submit)
    assert time.monotonic() - began < 30
    assert docs.posts == 2
    submissions = LedgerReader(docs.instance, docs.crawl).submissions(["a", "b"])
    assert [post.refused.code for post in submissions["b"].posts.values()] == ["NotSentError"]
    assert submissions["a"].orphans == submissions["b"].orphans == []
    docs.emulator.release()
    docs.through()
    assert len(docs.jobs) == 2


def test_a_cancelled_wait_stops_the_jobs_it_waits_for_and_the_sensor_collects_what_is_finished(docs):
    with interrupted_while_waiting(docs, partial(cancel_by_user, docs.instance), finished=1):
        run = interrupted_run(docs, partial(docs.materialize_all, "a"))
    assert run.status is CANCELED
    [job] = docs.jobs
    assert deletes(docs) == [job.id]
    assert "1 of 2 rows were finished, are billed and are kept" in said(docs, run.run_id)
    [collected] = docs.tick_and_launch()
    assert collected.success
    assert docs.checks(collected) == [True]
    assert len(docs.rows("succeeded", urls="a")) == 1
    assert docs.codes(urls="a") == [("CANCELLED", "JOB_CANCELLED", "job")]


def test_a_cancelled_collection_stops_the_jobs_that_another_run_submitted_and_it_waits_for(docs):
    assert docs.submit("a").success
    with interrupted_while_waiting(docs, partial(cancel_by_user, docs.instance)):
        interrupted_run(docs, partial(docs.collect, "a"))
    assert deletes(docs) == [job.id for job in docs.jobs]


def test_jobs_that_other_runs_submitted_and_nobody_waits_for_are_left_alone(docs):
    assert docs.submit("a").success
    with interrupted_at_post(1, partial(cancel_by_user, docs.instance)):
        interrupted_run(docs, partial(docs.submit, "b"))
    assert deletes(docs) == [docs.jobs[1].id]


def test_an_evicted_wait_leaves_its_jobs_alone_and_the_next_attempt_collects_them(docs, held):
    with interrupted_while_waiting(docs, partial(evict, docs.instance)):
        run = interrupted_run(docs, partial(docs.materialize_all, "a"))
    assert run.status is FAILURE
    assert deletes(docs) == []
    assert "left alone" in said(docs, run.run_id)
    held.release()
    until(lambda: all(job.status.is_terminal for job in docs.jobs))
    assert docs.materialize_all("a").success
    assert docs.posts == 1
    assert len(docs.rows("succeeded", urls="a")) == 2
