"""Polls go where a job can end next: few of them, soon after the end, and wide when the account works otherwise."""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import Counter
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thunderbit_dagster.jobs.poll import has_changed
from thunderbit_dagster.jobs.queue import sampled, with_expectations
from thunderbit_dagster.jobs.state import GIVE_UP_SECONDS, LONGEST, JobState, is_due, next_poll
from thunderbit_dagster.ledger.records import Progress
from thunderbit_dagster.polling.webhook_calls import GRACE_SECONDS, LATE_SECONDS, grace_seconds

SIZE = 100
TICK = 5.0
PRO = 10


@dataclass
class Account:
    """Works on jobs first come, first served, a number at once; page times are log-normal."""

    number: int
    slots: int = PRO
    page_seconds: float = 0.3
    seed: int = 1
    shuffled: bool = False
    stuck: int = 0
    """So many of the first jobs begin and never end."""
    counts: bool = True
    """Whether the API counts rows that are done."""
    pages: list[list[float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        draw = random.Random(self.seed)
        order, free = list(range(self.number)), [0.0] * self.slots
        if self.shuffled:
            draw.shuffle(order)
        self.pages = [[] for _ in order]
        for job in order:
            times = [draw.lognormvariate(math.log(self.page_seconds) - 0.5, 1.0) for _ in range(SIZE)]
            began = max(self.submitted(job), heapq.heappop(free))
            self.pages[job] = [began, *(began + passed for passed in itertools.accumulate(times))]
            if job < self.stuck:
                self.pages[job][-1] = math.inf
            heapq.heappush(free, self.pages[job][-1])

    def submitted(self, job: int) -> float:
        return 0.1 * job

    def answer(self, job: JobState, now: float) -> Progress:
        began, *pages = self.pages[number_of(job)]
        done = sum(page <= now for page in pages)
        status = "COMPLETED" if done == SIZE else "PROCESSING" if began <= now else "PENDING"
        return Progress(
            job=job.job,
            status=status,
            done=done if self.counts else None,
            total=SIZE,
            at=now,
            ended_at=pages[-1] if done == SIZE else None,
            not_begun_at=now if status == "PENDING" or (self.counts and not done) else job.not_begun_at,
        )


def number_of(job: JobState) -> int:
    return int(job.job.split("/")[1])


@dataclass
class Seen:
    """Polls a job, and seconds between a job's end and the poll that saw it."""

    polls: Counter[int] = field(default_factory=Counter)
    delays: list[float] = field(default_factory=list)

    def mean_polls(self, number: int) -> float:
        return self.polls.total() / number

    @property
    def mean_delay(self) -> float:
        return sum(self.delays) / len(self.delays)


def watch(account: Account, *, slots: int = PRO, terse: bool = False, until: float = 1e6) -> Seen:
    """What the sensor's own decisions make of an account, in ticks of five seconds."""
    seen, progress = Seen(), dict[str, Progress]()
    start, now = 0.0, random.Random(account.seed).uniform(0, TICK)
    while len(seen.delays) < account.number - account.stuck and now < until:
        known = [
            JobState(name, SIZE, account.submitted(number), progress.get(name))
            for number in range(account.number)
            if account.submitted(number) <= now and (name := f"distill/{number:06d}")
        ]
        jobs = with_expectations(known, slots)
        due = [job for job in jobs if not job.ended and is_due(job, start, now)]
        for job in {job.job: job for job in [*due, *sampled(jobs, slots, start, now)]}.values():
            answer = account.answer(job, now)
            seen.polls[number_of(job)] += 1
            if has_changed(job.progress, answer, terse=terse):
                progress[job.job] = answer
            if answer.ended_at is not None:
                seen.delays.append(now - answer.ended_at)
        start, now = now, now + TICK
    return seen


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("number", [1, 10, 100])
def test_jobs_of_half_a_minute_are_asked_three_times_and_seen_within_seconds(number, seed):
    seen = watch(Account(number, seed=seed))
    assert seen.mean_polls(number) <= 3.0
    assert seen.mean_delay <= 6.0 if number == 1 else seen.mean_delay <= 5.0
    assert max(seen.delays) <= 12.0


@pytest.mark.parametrize("seed", range(3))
def test_jobs_of_five_minutes_are_asked_six_times(seed):
    seen = watch(Account(40, page_seconds=3.0, seed=seed))
    assert seen.mean_polls(40) <= 6.0
    assert seen.mean_delay <= 7.0


@pytest.mark.parametrize("seed", range(2))
def test_what_is_not_told_to_the_log_costs_few_polls(seed):
    """Above 500 open jobs only ends are written down."""
    seen = watch(Account(300, seed=seed), terse=True)
    assert seen.mean_polls(300) <= 3.0
    assert seen.mean_delay <= 5.0


def test_an_account_that_does_not_count_rows_costs_no_more():
    seen = watch(Account(100, counts=False))
    assert seen.mean_polls(100) <= 3.0
    assert seen.mean_delay <= 5.0


def test_polls_a_job_do_not_grow_with_the_queue():
    few, many = watch(Account(50)), watch(Account(500))
    assert many.mean_polls(500) <= few.mean_polls(50) * 1.2


@pytest.mark.parametrize("seed", range(3))
def test_an_account_that_runs_more_jobs_than_its_plan_is_found_out(seed):
    """As with `requests_per_minute` left at the smallest plan."""
    seen = watch(Account(100, slots=10, seed=seed), slots=2)
    assert seen.mean_delay <= 15.0
    assert seen.mean_polls(100) <= 4.0


@pytest.mark.parametrize("seed", range(3))
def test_an_account_that_runs_fewer_jobs_than_its_plan_costs_some_polls(seed):
    """As when others use it as well."""
    seen = watch(Account(50, slots=2, seed=seed))
    assert seen.mean_delay <= 30.0
    assert seen.mean_polls(50) <= 8.0


@pytest.mark.parametrize("seed", range(3))
def test_an_account_that_works_out_of_order_is_asked_widely(seed):
    seen = watch(Account(100, shuffled=True, seed=seed))
    assert seen.mean_delay <= LONGEST / 2
    assert max(seen.delays) <= 2 * LONGEST


def test_jobs_behind_some_that_never_end_are_seen():
    seen = watch(Account(60, stuck=3))
    assert len(seen.delays) == 57
    assert max(seen.delays) <= 30.0


def test_jobs_behind_an_account_that_stands_still_are_asked_in_the_end():
    """None of those that run is heard of again; their API may have lost them."""
    account = Account(30, slots=PRO, stuck=PRO)
    seen = watch(account, until=6 * 3_600.0)
    assert set(seen.polls) == set(range(30))
    assert seen.polls.total() <= 30 * (6 * 3_600.0 / LONGEST + 20)


@pytest.mark.parametrize("behind", [0, 5])
def test_a_job_is_asked_right_after_its_deadline_wherever_it_stands(behind):
    jobs = [JobState(f"distill/{n}", SIZE, 0.0, deadline=3_600.0) for n in range(PRO * (behind + 1))]
    last = with_expectations(jobs, PRO)[-1]
    assert is_due(last, 3_600.0, 3_600.0 + GIVE_UP_SECONDS)


def test_one_job_that_cannot_have_begun_is_asked_in_a_minute():
    jobs = with_expectations([JobState(f"distill/{n:03d}", SIZE, 0.0) for n in range(100)], PRO)
    times = [TICK * number for number in range(1, 37)]
    asked = [sampled(jobs, PRO, end - TICK, end) for end in times]
    assert [len(some) for some in asked].count(1) == 3
    waiting = {job.job for job in jobs if job.starts and job.starts > 0}
    assert {job.job for some in asked for job in some} <= waiting


states = st.sampled_from([None, "PENDING", "PROCESSING", "COMPLETED", "FAILED", "CANCELLED"])


@st.composite
def some_jobs(draw):
    """Jobs in any state, whatever an API may have said of them."""
    found = []
    for number in range(draw(st.integers(1, 15))):
        submitted = draw(st.floats(0, 1_000))
        status, at = draw(states), submitted + draw(st.floats(0, 10_000))
        seen = Progress(
            job=f"distill/{number}",
            status=status or "PENDING",
            done=draw(st.none() | st.integers(0, SIZE)),
            at=at,
            ended_at=draw(st.none() | st.floats(submitted, at)),
            not_begun_at=draw(st.none() | st.floats(submitted, at)),
        )
        found.append(JobState(f"distill/{number}", SIZE, submitted, seen if status else None))
    return found


@settings(max_examples=300, deadline=None)
@given(some_jobs(), st.integers(1, 60), st.floats(0, 50_000))
def test_every_open_job_is_asked_again_some_day(jobs, slots, now):
    expected = with_expectations(jobs, slots)
    assert sorted(job.job for job in expected) == sorted(job.job for job in jobs)
    for job in expected:
        if not job.ended:
            due = next_poll(job, now)
            assert now < due < math.inf
            assert next_poll(job, due) > due


def test_polls_wait_for_the_api_to_call_until_an_end_was_not_called():
    running = JobState("distill/1", SIZE, 0.0)
    seen = Progress(job="distill/2", status="COMPLETED", at=100.0, ended_at=95.0)
    called = JobState("distill/2", SIZE, 0.0, seen)
    assert grace_seconds([running, called]) == GRACE_SECONDS
    uncalled = JobState("distill/2", SIZE, 0.0, seen.model_copy(update={"ended_at": 100.0 - LATE_SECONDS - 1}))
    assert grace_seconds([running, uncalled]) == 0.0


def test_a_call_that_does_not_come_costs_no_more_than_the_grace():
    running = JobState("distill/1", SIZE, 0.0, starts=0.0, ends=300.0)
    put_off = replace(running, grace=GRACE_SECONDS)
    assert next_poll(put_off, 0.0) == next_poll(running, 0.0) + GRACE_SECONDS
