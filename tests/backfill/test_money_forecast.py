"""Requests and time at an account's limits: decisions over plain values."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thunderbit_dagster.api.codes import plan_of
from thunderbit_dagster.backfill.estimate import Limits, forecast, polls_of
from thunderbit_dagster.jobs.queue import with_expectations
from thunderbit_dagster.jobs.state import JobState, next_poll
from thunderbit_dagster.ledger.records import Progress

WIDE = Limits(requests_per_minute=60_000, concurrent_jobs=50, seconds_per_page=1.0, tick_seconds=1.0)
LIMITS = st.builds(
    Limits,
    requests_per_minute=st.sampled_from([10, 100, 1_000]),
    concurrent_jobs=st.integers(1, 50),
    seconds_per_page=st.floats(0.1, 10),
    tick_seconds=st.sampled_from([5.0, 30.0]),
)


def test_nothing_to_send_takes_nothing():
    nothing = forecast([], WIDE)
    assert (nothing.requests, nothing.seconds, nothing.oldest_job_seconds) == (0, 0.0, 0.0)


def test_one_job_takes_its_pages():
    one = forecast([100], WIDE)
    assert (one.submits, one.page_reads) == (1, 1)
    assert one.seconds == pytest.approx(100, abs=1)


def test_jobs_beyond_the_slots_wait_for_one():
    limits = Limits(requests_per_minute=60_000, concurrent_jobs=2, seconds_per_page=1.0)
    assert forecast([100] * 6, limits).seconds == pytest.approx(300, abs=1)
    assert forecast([100] * 6, limits).oldest_job_seconds == pytest.approx(300, abs=1)


def test_on_a_small_plan_requests_take_the_time():
    """100 jobs of one URL: a submit, a poll and a read each, at 10 a minute."""
    limits = Limits(requests_per_minute=10, concurrent_jobs=2, seconds_per_page=0.1)
    assert forecast([1] * 100, limits).seconds == pytest.approx(300 * 6)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 100), min_size=1, max_size=40), LIMITS)
def test_a_forecast_keeps_the_limits(sizes, limits):
    found = forecast(sizes, limits)
    assert found.submits == found.page_reads == len(sizes)
    assert found.polls >= len(sizes)
    assert found.requests <= math.ceil(found.seconds * limits.requests_per_minute / 60) + 1
    assert found.seconds >= sum(sizes) * limits.seconds_per_page / limits.concurrent_jobs - 1e-6
    assert found.oldest_job_seconds >= max(sizes) * limits.seconds_per_page - 1e-6


def test_polls_follow_the_pace_of_the_sensor():
    """Counted by hand with the pace's own function, for a job whose rows stay at 0 until it ends."""
    now, count, watched = 0.0, 0, JobState("distill/x", 1, 0.0)
    while now < 60:
        [expected] = with_expectations([watched], slots=1)
        now = max(next_poll(expected, now), now + 5)
        count += 1
        if watched.progress is None:
            watched = JobState("distill/x", 1, 0.0, Progress(job="distill/x", status="PROCESSING", done=0, at=now))
    assert polls_of(1, 60.0, 5.0) == count


def test_a_slow_tick_means_fewer_polls():
    assert polls_of(100, 600.0, 60.0) < polls_of(100, 600.0, 5.0)


def test_many_jobs_are_forecast_quickly_and_like_few():
    """100,000 jobs; polls are counted for a sample."""
    many, few = forecast([100] * 100_000, WIDE), forecast([100] * 1_000, WIDE)
    assert many.submits == 100_000
    assert many.seconds == pytest.approx(100 * few.seconds, rel=0.1)
    assert many.polls == 100 * few.polls


@pytest.mark.parametrize(
    ("per_minute", "name"), [(1, "free"), (10, "free"), (99, "free"), (100, "pro"), (5_000, "enterprise")]
)
def test_the_plan_is_the_largest_that_the_requests_allow(per_minute, name):
    assert plan_of(per_minute).name == name
