"""The simulated account: slots first come, first served; what a job takes; what is shown of it while it runs."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.jobs import JobQueue, shortest_seconds
from benchmarks.pages import Site, urls
from thunderbit_dagster.api.codes import JobStatus, RowStatus

TEN_SECONDS = Site(job_seconds=10.0)


def test_jobs_wait_for_a_slot_in_the_order_in_which_they_came():
    queue = JobQueue(TEN_SECONDS, slots=2)
    jobs = [queue.submit(urls(10), now) for now in (0.0, 1.0, 2.0, 3.0)]
    queue.advance(100.0)
    assert [job.started_at for job in jobs] == [0.0, 1.0, 10.0, 11.0]
    assert [job.ended_at for job in jobs] == [10.0, 11.0, 20.0, 21.0]


def test_a_job_begins_when_a_slot_is_free_and_not_when_somebody_asks():
    queue = JobQueue(TEN_SECONDS, slots=1)
    queue.submit(urls(10), 0.0)
    late = queue.submit(urls(10), 0.0)
    queue.advance(99.0)
    assert (late.started_at, late.ended_at) == (10.0, 20.0)


def test_a_cancelled_job_frees_its_slot_at_once_and_keeps_its_finished_rows():
    queue = JobQueue(TEN_SECONDS, slots=1)
    first, second = queue.submit(urls(10), 0.0), queue.submit(urls(10), 0.0)
    queue.cancel(first, 4.0)
    assert (first.status, second.started_at) == (JobStatus.CANCELLED, 4.0)
    assert sum(first.finished(50.0)) == 4
    queue.advance(50.0)
    assert second.ended_at == 14.0


def test_a_job_cancelled_while_it_waits_never_takes_a_slot():
    queue = JobQueue(TEN_SECONDS, slots=1)
    jobs = [queue.submit(urls(10), 0.0) for _ in range(3)]
    queue.cancel(jobs[1], 5.0)
    queue.advance(50.0)
    assert jobs[1].started_at is None
    assert jobs[2].started_at == 10.0


def test_an_ended_job_stays_as_it_is():
    queue = JobQueue(TEN_SECONDS, slots=1)
    job = queue.submit(urls(10), 0.0)
    queue.cancel(job, 30.0)
    assert (job.status, job.ended_at) == (JobStatus.COMPLETED, 10.0)


def test_rows_finish_one_after_another():
    queue = JobQueue(Site(job_seconds=10.0, failure_rate=0.0), slots=1)
    job = queue.submit(urls(10), 0.0)
    assert [row.status for row in job.rows(3.0, 2, 5)] == [RowStatus.SUCCEEDED, *[RowStatus.PROCESSING] * 2]
    view = job.view(3.0)
    assert (view.status, view.total, view.completed, view.failed) == (JobStatus.PROCESSING, 10, 3, 0)


def test_failures_follow_from_the_seed():
    site = Site(failure_rate=0.2)
    failing = [url for url in urls(1_000) if site.fails(url)]
    assert 150 < len(failing) < 250
    assert failing == [url for url in urls(1_000) if Site(failure_rate=0.2).fails(url)]
    assert failing != [url for url in urls(1_000) if Site(seed=2, failure_rate=0.2).fails(url)]


def test_pages_take_log_normal_times_around_their_median():
    site = Site(page_seconds=2.0, pages_at_once=1)
    seconds = [site.finish_offsets([url])[0] for url in urls(1_000)]
    assert sorted(seconds)[500] == pytest.approx(2.0, rel=0.1)
    assert max(seconds) > 6.0


def test_texts_have_their_size_and_their_json_is_theirs():
    site = Site(body_bytes=500)
    assert len(site.markdown(urls(1)[0])) == pytest.approx(500, abs=60)
    assert all(json.loads(site.markdown_json(url)) == site.markdown(url) for url in urls(50))


def test_the_shortest_time_is_that_of_the_slots():
    batches = [urls(100, first) for first in range(0, 2_500, 100)]
    assert shortest_seconds(TEN_SECONDS, batches, slots=10) == pytest.approx(30.0)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=30), st.integers(1, 5))
def test_never_more_jobs_than_slots_and_no_slot_is_free_while_a_job_waits(times, slots):
    queue = JobQueue(TEN_SECONDS, slots)
    jobs = [queue.submit(urls(2), at) for at in sorted(times)]
    queue.advance(10_000.0)
    for job in jobs:
        running = [one for one in jobs if one.started_at <= job.started_at < one.ended_at]
        assert len(running) <= slots
        assert job.started_at == job.submitted_at or any(one.ended_at == job.started_at for one in jobs)
    assert [job.started_at for job in jobs] == sorted(job.started_at for job in jobs)
