"""The decision to repeat a request, over every method, outcome and header."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thunderbit_dagster.api.errors import ConfigurationError
from thunderbit_dagster.api.retry import (
    Event,
    GiveUp,
    Outcome,
    RetryPolicy,
    Safety,
    Wait,
    backoff,
    decide,
    epoch,
    is_repeatable,
    may_have_arrived,
    reset_after,
    retry_after,
)

NOW = 1_700_000_000.0
POLICY = RetryPolicy()
waits = st.none() | st.floats(0, 1e7)
outcomes = st.one_of(
    st.builds(Outcome, st.just(Event.ANSWERED), st.integers(300, 599), waits, waits),
    st.builds(Outcome, st.sampled_from([Event.NOT_SENT, Event.REPLY_LOST])),
    st.builds(Outcome, st.just(Event.UNREADABLE), st.integers(200, 299)),
)
policies = st.builds(
    RetryPolicy,
    attempts=st.integers(1, 10),
    total=st.floats(0, 1000),
    base=st.floats(0, 5),
    longest_backoff=st.floats(0, 60),
    longest_wait=st.floats(0, 1000),
)


@given(outcomes, st.integers(1, 20), policies, st.floats(0, 1e4), st.floats(0, 1))
def test_a_paid_request_that_may_have_arrived_is_never_repeated(outcome, attempt, policy, elapsed, jitter) -> None:
    verdict = decide(Safety.PAID, attempt, outcome, policy, elapsed=elapsed, jitter=jitter)
    if may_have_arrived(Safety.PAID, outcome):
        assert isinstance(verdict, GiveUp)
    if isinstance(verdict, Wait):
        refused = outcome.status == 429 or (outcome.status == 503 and outcome.retry_after is not None)
        assert refused or outcome.event is Event.NOT_SENT


@given(st.sampled_from(Safety), outcomes, st.integers(1, 20), policies, st.tuples(st.floats(0, 1e4), st.floats(0, 1)))
def test_repeating_keeps_every_bound(safety, outcome, attempt, policy, chances) -> None:
    elapsed, jitter = chances
    verdict = decide(safety, attempt, outcome, policy, elapsed=elapsed, jitter=jitter)
    if isinstance(verdict, GiveUp):
        return
    assert attempt < policy.attempts
    assert elapsed + verdict.seconds <= policy.total
    assert (outcome.told or 0) <= verdict.seconds <= max(policy.longest_backoff, policy.longest_wait)


@given(st.integers(0, 599))
def test_what_surely_did_not_arrive_may_be_repeated_by_anyone(status: int) -> None:
    assert is_repeatable(Safety.PAID, Outcome(Event.NOT_SENT))
    outcome = Outcome(Event.ANSWERED, status)
    if is_repeatable(Safety.PAID, outcome):
        assert is_repeatable(Safety.SAFE, outcome)


@pytest.mark.parametrize(
    ("safety", "event", "status", "told", "repeats"),
    [
        (Safety.SAFE, Event.ANSWERED, 408, None, True),
        (Safety.SAFE, Event.ANSWERED, 429, None, True),
        (Safety.SAFE, Event.ANSWERED, 500, None, True),
        (Safety.SAFE, Event.ANSWERED, 404, None, False),
        (Safety.SAFE, Event.ANSWERED, 307, None, False),
        (Safety.SAFE, Event.REPLY_LOST, None, None, True),
        (Safety.SAFE, Event.UNREADABLE, 200, None, True),
        (Safety.PAID, Event.ANSWERED, 408, None, False),
        (Safety.PAID, Event.ANSWERED, 429, None, True),
        (Safety.PAID, Event.ANSWERED, 503, None, False),
        (Safety.PAID, Event.ANSWERED, 503, 1.0, True),
        (Safety.PAID, Event.ANSWERED, 502, 1.0, False),
        (Safety.PAID, Event.REPLY_LOST, None, None, False),
        (Safety.PAID, Event.UNREADABLE, 200, None, False),
        (Safety.PAID, Event.NOT_SENT, None, None, True),
    ],
)
def test_the_table_of_verbs_and_statuses(safety, event, status, told, repeats) -> None:
    assert isinstance(decide(safety, 1, Outcome(event, status, told), POLICY), Wait) is repeats


def test_a_wait_is_obeyed_up_to_a_bound() -> None:
    patient = RetryPolicy(longest_wait=120, total=1000)
    for safety in Safety:
        assert decide(safety, 1, Outcome(Event.ANSWERED, 429, 120.0), patient) == Wait(120.0)
        assert isinstance(decide(safety, 1, Outcome(Event.ANSWERED, 429, 120.1), patient), GiveUp)


def test_the_reset_of_the_window_speaks_for_429_only() -> None:
    assert Outcome(Event.ANSWERED, 429, None, 40.0).told == 40.0
    assert Outcome(Event.ANSWERED, 429, 3.0, 40.0).told == 3.0
    assert Outcome(Event.ANSWERED, 503, None, 40.0).told is None


@given(policies, st.floats(0, 1))
def test_backoff_grows_to_its_bound(policy: RetryPolicy, jitter: float) -> None:
    steps = [backoff(attempt, policy, jitter) for attempt in (*range(1, 70), 10_000)]
    assert steps == sorted(steps)
    assert all(0 <= step <= policy.longest_backoff for step in steps)


@given(policies, st.integers(1, 100), st.floats(0, 1))
def test_the_upper_half_of_a_backoff_is_left_to_chance(policy: RetryPolicy, attempt: int, jitter: float) -> None:
    shortest, longest = backoff(attempt, policy, 0.0), backoff(attempt, policy, 1.0)
    assert shortest == longest / 2
    assert shortest <= backoff(attempt, policy, jitter) <= longest


@given(st.text() | st.floats().map(str) | st.integers().map(str))
def test_any_header_gives_seconds_or_nothing(text: str) -> None:
    for headers in ({"retry-after": text}, {"x-ratelimit-reset": text}):
        for read in (retry_after, reset_after):
            seconds = read(headers, NOW)
            assert seconds is None or 0 <= seconds < float("inf")


@given(st.integers(0, 10**7))
def test_retry_after_in_both_spellings(seconds: int) -> None:
    assert retry_after({"retry-after": str(seconds)}, NOW) == seconds
    assert retry_after({"retry-after": formatdate(NOW + seconds, usegmt=True)}, NOW) == seconds
    assert reset_after({"x-ratelimit-reset": str(int(NOW) + seconds)}, NOW) == seconds
    assert reset_after({"x-ratelimit-reset": str((int(NOW) + seconds) * 1000)}, NOW) == seconds


def test_times_that_have_passed_ask_for_no_wait() -> None:
    assert retry_after({"retry-after": formatdate(NOW - 60, usegmt=True)}, NOW) == 0
    assert reset_after({"x-ratelimit-reset": str(NOW - 60)}, NOW) == 0
    assert (epoch("1e11"), epoch("100000000001000"), epoch("-1"), epoch("nan")) == (1e11, 1e11 + 1, None, None)


@pytest.mark.parametrize("wrong", [{"attempts": 0}, {"base": -1}, {"total": float("nan")}, {"longest_wait": -0.1}])
def test_policies_out_of_range(wrong: dict) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        RetryPolicy(**wrong)
