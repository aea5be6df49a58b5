import math
from datetime import datetime, timezone
from itertools import pairwise

import dagster as dg
import pytest
from decision_cases import NOW, crawl, job, sealed_submission
from hypothesis import given, settings
from hypothesis import strategies as st

from thunderbit_dagster.api.codes import JobStatus
from thunderbit_dagster.api.errors import (
    AuthenticationError,
    BudgetExceededError,
    JobNotFoundError,
    ServerError,
)
from thunderbit_dagster.api.models import JobPage
from thunderbit_dagster.jobs.poll import Poller, has_changed, poll_job, progress_of
from thunderbit_dagster.jobs.queue import with_expectations
from thunderbit_dagster.jobs.state import (
    ENDED,
    EXPIRED,
    GROWTH,
    LONGEST,
    LOST,
    NOT_FOUND,
    SHORTEST,
    STOPPED,
    JobState,
    is_due,
    next_poll,
    poll_order,
)
from thunderbit_dagster.ledger.event_log import Entry
from thunderbit_dagster.ledger.records import Collected, JobShare, Progress, Sealed
from thunderbit_dagster.partitions import SEPARATOR, Partition
from thunderbit_dagster.polling.collect_requests import (
    GATHER_SECONDS,
    MAX_ATTEMPTS,
    PastRuns,
    collect_requests,
    collectable,
    given_up,
)
from thunderbit_dagster.polling.collect_runs import CRAWL_TAG, SUBMISSIONS_TAG, collect_run_request, past_runs
from thunderbit_dagster.polling.cursor import Cursor, read_cursor
from thunderbit_dagster.polling.open_submissions import (
    SETTLE_SECONDS,
    CrawlJobs,
    OpenSubmission,
    _uncollected,
    next_low,
)
from thunderbit_dagster.polling.sensor import OpenCrawls, Polled, Tick
from thunderbit_dagster.resource import ThunderbitResource
from thunderbit_dagster.runs.liveness import STALE_SECONDS
from thunderbit_dagster.runs.partitions import RANGE_END_TAG, RANGE_START_TAG

JOB = "distill/batch_1"
ages = st.floats(0, 200_000)


@st.composite
def watched_jobs(draw):
    size = draw(st.integers(1, 100))
    progress = None
    if draw(st.booleans()):
        done = draw(st.none() | st.integers(0, size))
        progress = Progress(job=JOB, status="PROCESSING", done=done, at=NOW + draw(st.floats(-5, 100_000)))
    return JobState(JOB, size, NOW, progress)


@given(watched_jobs(), ages, ages)
def test_the_next_poll_is_later_and_monotone(watched, one, other):
    first, second = sorted((NOW + one, NOW + other))
    assert next_poll(watched, first) > first
    assert next_poll(watched, first) <= next_poll(watched, second)
    assert next_poll(watched, first) <= max(first, _anchor(watched)) + LONGEST + 1e-6


def _anchor(watched):
    return watched.progress.at if watched.progress else watched.submitted_at


def test_a_job_seen_in_the_future_is_due_at_once():
    """The clock has stepped back: the series would begin long after now."""
    seen = Progress(job=JOB, status="PROCESSING", at=NOW + 3600)
    assert is_due(JobState(JOB, 10, NOW, seen), NOW, NOW + 30)
    assert not is_due(JobState(JOB, 10, NOW, seen), NOW + 3600, NOW + 3601)


@given(watched_jobs(), st.lists(st.floats(0.1, 900), min_size=1, max_size=30))
def test_windows_one_after_another_hold_each_poll_once(watched, lengths):
    """A job is due in a window as often as its series says, however ticks fall: at most once each, never lost."""
    start = max(NOW, _anchor(watched))
    series, end = [], start + sum(lengths)
    due = next_poll(watched, start)
    while due <= end and len(series) < 10_000:
        series.append(due)
        due = next_poll(watched, due)
    for length in lengths:
        inside = [one for one in series if start < one <= start + length]
        assert is_due(watched, start, start + length) == bool(inside)
        start += length


def polls_of(seconds, size=100, tick=1.0, idle=0.0):
    """How often a job with linear progress (after some idle seconds) is asked, and when its end is seen."""
    watched, polls, start = JobState(JOB, size, NOW), 0, NOW
    while start < NOW + 10 * seconds + 600:
        end = start + tick
        [expected] = with_expectations([watched], slots=1)
        if is_due(expected, start, end):
            polls += 1
            age = end - NOW
            done = min(size, max(0, math.floor(size * (age - idle) / (seconds - idle))))
            status = "COMPLETED" if age >= seconds else "PROCESSING"
            seen = Progress(job=JOB, status=status, done=done, at=end, polls=polls)
            if status == "COMPLETED":
                return polls, age - seconds
            if has_changed(watched.progress, seen):
                watched = JobState(JOB, size, NOW, seen)
        start = end
    raise AssertionError("the end of the job was never seen")


def test_the_series_of_a_new_job():
    moments = [NOW]
    for _ in range(8):
        moments.append(next_poll(JobState(JOB, 100, NOW), moments[-1]))
    steps = [later - earlier for earlier, later in pairwise(moments)]
    assert steps == pytest.approx([12.0, 19.2, 30.72, 49.152, 78.6432, 120.0, 120.0, 120.0])


@pytest.mark.parametrize("tick", [0.5, 1.0, 5.0, 30.0])
def test_a_job_of_five_minutes_is_asked_six_times(tick):
    """A loop that asks every 5 s asks 60 times."""
    polls, late = polls_of(300.0, tick=tick)
    assert polls <= 7
    assert late <= 30.0


@pytest.mark.parametrize("size", [1, 3, 10, 50, 100])
@pytest.mark.parametrize("seconds", [4.0, 30.0, 120.0, 300.0, 900.0, 3600.0])
def test_polls_grow_slowly_and_the_end_is_seen_soon(size, seconds):
    polls, late = polls_of(seconds, size=size)
    assert polls <= 8 + seconds / LONGEST + math.log2(seconds)
    # Without progress to go by, a job of one URL is asked again after 1.6 times as long.
    assert late <= min(max(SHORTEST * 3, GROWTH * 0.5 * seconds), LONGEST + 1)


def test_a_job_that_waits_in_a_queue_is_asked_less_and_less():
    polls, late = polls_of(3_600.0, idle=3_000.0)
    assert polls <= 50
    assert late <= LONGEST


def test_a_job_of_a_day_costs_as_little_as_a_new_one():
    stuck = JobState(JOB, 100, NOW)
    assert next_poll(stuck, NOW + 86_400) - (NOW + 86_400) <= LONGEST
    polls, moment = 0, NOW
    while moment < NOW + 86_400 and polls < 10_000:
        moment = next_poll(stuck, moment)
        polls += 1
    assert polls <= 86_400 / LONGEST + 10
    # Far beyond any loop over the series one by one.
    assert next_poll(stuck, NOW + 1e9) > NOW + 1e9


def test_what_ended_is_known():
    assert {"COMPLETED", "FAILED", "CANCELLED", LOST, EXPIRED, STOPPED} == ENDED
    assert not JobState(JOB, 1, NOW).ended
    assert not JobState(JOB, 1, NOW, Progress(job=JOB, status=NOT_FOUND, at=NOW)).ended
    assert JobState(JOB, 1, NOW, Progress(job=JOB, status=LOST, at=NOW)).ended


# The cursor.


@pytest.mark.parametrize("text", [None, "", "{", "[]", "17", '{"start": "soon"}', '{"low": {"docs": "x"}}'])
def test_an_unreadable_cursor_is_a_fresh_one(text):
    assert read_cursor(text) == Cursor()


def test_a_cursor_of_another_version_is_a_fresh_one():
    newer = Cursor(start=1.0, end=2.0, low={"docs": 7}).model_copy(update={"v": 2})
    assert read_cursor(newer.model_dump_json()) == Cursor()


@given(st.floats(0, 4e9), st.floats(0, 4e9), st.none() | st.text(), st.dictionaries(st.text(), st.integers(0, 2**60)))
def test_a_cursor_comes_back(start, end, after, low):
    cursor = Cursor(start=start, end=end, after=after, low=low)
    assert read_cursor(cursor.model_dump_json()) == cursor


def test_windows_follow_each_other():
    first = Cursor().window(100.0)
    assert (first.start, first.end) == (0.0, 100.0)
    assert (first.window(130.0).start, first.window(130.0).end) == (100.0, 130.0)
    cut_short = first.model_copy(update={"after": JOB})
    assert cut_short.window(130.0) == cut_short
    back = first.window(90.0)
    assert (back.start, back.end) == (90.0, 90.0)
    assert back.window(120.0).start == 90.0


def test_a_cursor_of_a_thousand_crawls_is_small():
    low = {f"a_rather_long_crawl_name_{n:03d}": 10**9 + n for n in range(500)}
    assert len(Cursor(start=NOW, end=NOW, after=JOB, low=low).model_dump_json()) < 32 * 1024


# What is open.


def entry(storage_id, record, key="a", at=0.0, run_id="run"):
    return Entry(storage_id, at, key, run_id, record)


def seal(submission_id, *jobs):
    shares = tuple(JobShare(job=name, rows=1, size=1, at=NOW) for name in jobs)
    return Sealed(submission_id=submission_id, total=len(shares), jobs=shares)


def collected(submission_id):
    return Collected(submission_id=submission_id, succeeded=1, failed=0)


def test_a_seal_is_open_until_it_is_collected():
    assert [e.storage_id for e in _uncollected([entry(1, seal("s1"))], [])] == [1]
    assert _uncollected([entry(1, seal("s1"))], [entry(2, collected("s1"))]) == []
    # Events may become visible out of order.
    assert _uncollected([entry(3, seal("s1"))], [entry(2, collected("s1"))]) == []


def test_a_new_submission_supersedes_the_old_one_of_its_partition_only():
    seals = [entry(1, seal("s1")), entry(2, seal("t1"), key="b"), entry(3, seal("s2"))]
    assert [e.record.submission_id for e in _uncollected(seals, [])] == ["s2", "t1"]
    assert [e.record.submission_id for e in _uncollected(seals, [entry(4, collected("s2"))])] == ["t1"]


def test_a_seal_written_again_has_the_newest_jobs_and_holds_the_log_at_the_first():
    seals = [
        entry(1, seal("s1", "distill/1"), at=10.0, run_id="one"),
        entry(5, seal("s1", "distill/1", "distill/2"), at=50.0, run_id="two"),
    ]
    (again,) = _uncollected(seals, [])
    assert [share.job for share in again.record.jobs] == ["distill/1", "distill/2"]
    assert (again.storage_id, again.at, again.run_id) == (1, 50.0, "two")


@given(st.data())
def test_the_low_mark_never_passes_an_open_or_a_young_event(data):
    number = data.draw(st.integers(0, 12))
    moments = sorted(data.draw(st.lists(st.floats(0, 300), min_size=number, max_size=number)))
    seen = [entry(10 + n, seal(f"s{n}"), at=NOW - 300 + moment) for n, moment in enumerate(moments)]
    still_open = data.draw(st.lists(st.sampled_from(seen), unique_by=id)) if seen else []
    low = data.draw(st.integers(0, 9))
    mark = next_low(low, seen, [one.storage_id for one in still_open], NOW)
    assert mark >= low
    blocking = [*still_open, *(one for one in seen if one.at > NOW - SETTLE_SECONDS)]
    assert all(mark < one.storage_id for one in blocking)
    if seen and not blocking:
        assert mark == seen[-1].storage_id
    assert next_low(mark, [one for one in seen if one.storage_id > mark], [], NOW) >= mark


def watch_of(*submissions, **ended):
    """Submissions, and the times at which jobs were seen to have ended."""
    progress = {
        f"distill/{name}": Progress(job=f"distill/{name}", status="COMPLETED", at=at) for name, at in ended.items()
    }
    return CrawlJobs(open=list(submissions), progress=progress)


def test_a_submission_is_ready_when_all_its_jobs_have_ended():
    both = sealed_submission("a", ["distill/j1", "distill/j2"])
    none = sealed_submission("b", [], storage_id=2)
    assert watch_of(both, none).ready == [none]
    assert watch_of(both, none, j1=NOW).ready == [none]
    ready = watch_of(both, none, j1=NOW + 5, j2=NOW + 3)
    assert ready.ready == [both, none]
    assert ready.ready_since(both) == NOW + 5
    assert ready.ready_since(none) == NOW


def test_jobs_are_watched_once_however_many_share_them():
    shared = watch_of(
        sealed_submission("a", ["distill/j1"]), sealed_submission("b", ["distill/j1", "distill/j2"], storage_id=2)
    )
    assert sorted(shared.jobs) == ["distill/j1", "distill/j2"]


# When to collect.


def test_siblings_of_a_run_are_collected_together_but_not_for_ever():
    done = sealed_submission("a", ["distill/j1"])
    waiting = sealed_submission("b", ["distill/j2"], storage_id=2)
    alone = sealed_submission("c", ["distill/j1"], run_id="another", storage_id=3)
    watch = watch_of(done, waiting, alone, j1=NOW)
    assert collectable(watch, PastRuns(), NOW) == [alone]
    assert collectable(watch, PastRuns(), NOW + GATHER_SECONDS - 1) == [alone]
    assert collectable(watch, PastRuns(), NOW + GATHER_SECONDS) == [done, alone]
    watch = watch.with_progress([Progress(job="distill/j2", status=LOST, at=NOW)])
    assert collectable(watch, PastRuns(), NOW) == [done, waiting, alone]


def test_a_submission_under_way_is_not_asked_for_again():
    watch = watch_of(sealed_submission("a", []), sealed_submission("b", [], storage_id=2))
    runs = PastRuns(active={"of-a"})
    assert [one.sealed.submission_id for one in collectable(watch, runs, NOW)] == ["of-b"]


@pytest.mark.parametrize(
    ("failures", "seconds", "tries"),
    [
        ([], 0, True),
        ([0], 59, False),
        ([0], 60, True),
        ([0, 100], 100 + 239, False),
        ([0, 100], 100 + 240, True),
        ([0, 100, 500], 10**9, False),
    ],
)
def test_retries_come_later_and_end(failures, seconds, tries):
    watch = watch_of(sealed_submission("a", []))
    runs = PastRuns(failures={"of-a": [NOW + one for one in failures]})
    assert bool(collectable(watch, runs, NOW + seconds)) == tries
    assert bool(given_up(watch, runs)) == (len(failures) >= MAX_ATTEMPTS)


URL_KEYS = ["a", "b", "c", "d"]
DAYS = ["2026-01-01", "2026-01-02", "2026-01-03"]


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(1, 5))
def test_requests_hold_each_submission_once(data, limit):
    cut = crawl(
        {key: [] for key in URL_KEYS},
        cadence=dg.DailyPartitionsDefinition("2026-01-01"),
        max_partitions_per_run=limit,
    )
    keys = [SEPARATOR.join((day, name)) for day in DAYS for name in URL_KEYS]
    chosen = data.draw(st.lists(st.sampled_from(keys), unique=True))
    open_ones = [sealed_submission(key, [], storage_id=n) for n, key in enumerate(chosen)]
    failures = {f"of-{key}": [NOW] for key in data.draw(st.sets(st.sampled_from(keys)))}
    with dg.partition_loading_context(effective_dt=datetime(2026, 1, 4, tzinfo=timezone.utc)):
        requests = collect_requests(cut, open_ones, PastRuns(failures=failures))
    assert sorted(key for one in requests for key in one.submission_ids) == sorted(f"of-{key}" for key in chosen)
    assert len({one.run_key for one in requests}) == len(requests) == -(-len(chosen) // limit)
    for one in requests:
        assert len(one.submissions) <= limit
        assert one.attempt == 1 + max(len(failures.get(name, [])) for name in one.submission_ids)
        run = collect_run_request(cut, one)
        assert run.job_name == ("docs_collect_partitions" if one.is_set else "docs_collect")
        assert run.tags[CRAWL_TAG] == "docs"
        assert run.tags[SUBMISSIONS_TAG] == ",".join(one.submission_ids)
        if one.is_set:
            assert run.run_config["ops"]["docs__collect_partitions"]["config"]["partitions"] == one.keys
        elif len(one.submissions) == 1:
            assert run.partition_key == one.submissions[0].partition.key
        else:
            assert (run.tags[RANGE_START_TAG], run.tags[RANGE_END_TAG]) == (one.start, one.end)


def test_a_crawl_without_partitions_is_one_request():
    (request,) = collect_requests(crawl(), [sealed_submission(None, [])], PastRuns())
    run = collect_run_request(crawl(), request)
    assert run.partition_key is None
    assert RANGE_START_TAG not in run.tags


def test_run_keys_are_new_for_each_attempt_and_each_set():
    one, two = sealed_submission("a", []), sealed_submission("b", [], storage_id=2)
    cut = crawl({"a": [], "b": []})
    keys = {
        collect_requests(cut, chosen, PastRuns(failures={"of-a": [NOW] * failed}))[0].run_key
        for chosen in ([one], [two], [one, two])
        for failed in range(3)
    }
    # The failures of `a` are no attempts of `b` alone.
    assert len(keys) == 3 + 1 + 3
    again = collect_requests(cut, [two, one], PastRuns())[0].run_key
    assert again in keys


def collect_run(instance, status, *submission_ids, tag=SUBMISSIONS_TAG):
    run = dg.DagsterRun(
        job_name="docs_collect",
        status=status,
        tags={CRAWL_TAG: "docs", tag: ",".join(submission_ids)},
    )
    instance.add_run(run)
    return instance.get_run_record_by_id(run.run_id).update_timestamp.timestamp()


@pytest.mark.parametrize("tag", [SUBMISSIONS_TAG, f"{SUBMISSIONS_TAG}_2"])
def test_runs_under_way_and_runs_that_failed(tag):
    with dg.DagsterInstance.ephemeral() as instance:
        at = collect_run(instance, dg.DagsterRunStatus.STARTED, "s1", "s2", tag=tag)
        collect_run(instance, dg.DagsterRunStatus.FAILURE, "s3", tag=tag)
        collect_run(instance, dg.DagsterRunStatus.CANCELED, "s3", tag=tag)
        collect_run(instance, dg.DagsterRunStatus.SUCCESS, "s4", tag=tag)
        runs = past_runs(instance, crawl(), at - 60, at)
    assert set(runs.active) == {"s1", "s2"}
    # A run that ended well but left its submission open has failed it.
    assert {name: len(times) for name, times in runs.failures.items()} == {"s3": 2, "s4": 1}
    assert runs.failures["s3"] == sorted(runs.failures["s3"])


def test_a_run_that_died_without_a_word_is_followed_by_one_with_a_new_key():
    """Dagster drops a request whose run key it has seen, so the old key would never run again."""
    one = sealed_submission("a", [])
    cut = crawl({"a": []})
    (first,) = collect_requests(cut, [one], PastRuns())
    with dg.DagsterInstance.ephemeral() as instance:
        at = collect_run(instance, dg.DagsterRunStatus.STARTED, "of-a")
        runs = past_runs(instance, cut, at - 60, at + STALE_SECONDS + 600)
    (second,) = collect_requests(cut, collectable(watch_of(one), runs, at + STALE_SECONDS + 600), runs)
    assert second.run_key != first.run_key


def test_the_tag_of_a_full_run_fits_a_database_index():
    """PostgreSQL's b-tree takes entries of 2,704 bytes, and Dagster indexes the values of run tags."""
    keys = [f"u{n:03d}" for n in range(500)]
    open_ones = [
        sealed_submission(key, [], storage_id=n, submission_id=f"{n * 7919:016x}") for n, key in enumerate(keys)
    ]
    cut = crawl({key: [] for key in keys})
    (request,) = collect_requests(cut, open_ones, PastRuns())
    assert all(len(value) < 2_600 for value in collect_run_request(cut, request).tags.values())


# Asking.


class Service:
    """Answers status requests from a list, and counts them."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    def get_job(self, ref, *, page=0, page_size=1):
        assert (page, page_size) == (0, 1)
        return JobPage(self.get_status(ref), (), page)

    def get_status(self, ref):
        self.asked.append(str(ref))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Notes:
    def __init__(self):
        self.lines = []

    def info(self, text, *values):
        self.lines.append(text % values)

    warning = info


GONE = JobNotFoundError(404, "JOB_NOT_FOUND", "unknown")


def test_a_job_is_lost_after_two_misses_in_a_row():
    watched = JobState(JOB, 10, NOW)
    once = poll_job(Service(GONE), watched, NOW + 1)
    assert (once.status, once.missed, once.polls) == (NOT_FOUND, 1, 1)
    assert once.status not in ENDED
    twice = poll_job(Service(GONE), JobState(JOB, 10, NOW, once), NOW + 2)
    assert (twice.status, twice.missed, twice.polls) == (LOST, 2, 2)
    back = poll_job(Service(job(1, JobStatus.PROCESSING, total=10)), JobState(JOB, 10, NOW, once), NOW + 2)
    assert (back.status, back.missed) == ("PROCESSING", 0)
    assert poll_job(Service(GONE), JobState(JOB, 10, NOW, back), NOW + 3).status == NOT_FOUND


@pytest.mark.parametrize(
    ("fields", "done", "total"),
    [
        ({}, None, 10),
        ({"total": 8, "completed": 3}, 3, 8),
        ({"total": 8, "completed": 3, "failed": 2}, 5, 8),
        ({"total": 8, "completed": 8, "failed": 2}, 8, 8),
        ({"total": 8, "failed": 2}, None, 8),
    ],
)
def test_what_a_status_answer_says(fields, done, total):
    seen = progress_of(job(1, JobStatus.PROCESSING, **fields), JobState(JOB, 10, NOW), 4, NOW)
    assert (seen.done, seen.total, seen.polls, seen.at, seen.status) == (done, total, 4, NOW, "PROCESSING")


def test_only_news_is_worth_an_event():
    seen = Progress(job=JOB, status="PROCESSING", done=3, at=NOW)
    assert has_changed(None, seen)
    assert not has_changed(seen, seen.model_copy(update={"at": NOW + 9, "polls": 7, "credits_used": 3}))
    assert has_changed(seen, seen.model_copy(update={"done": 4}))
    assert has_changed(seen, seen.model_copy(update={"status": "COMPLETED"}))
    assert has_changed(seen, seen.model_copy(update={"missed": 1}))


def test_a_job_that_never_ends_is_given_up_once():
    seen = Progress(job=JOB, status="PROCESSING", done=4, polls=9, at=NOW - 60)
    running = job(1, JobStatus.PROCESSING, total=10, completed=4)
    in_time = poller(Service(running))
    in_time.poll_all([JobState(JOB, 10, NOW - 60, seen, deadline=NOW)])
    assert in_time.changes == []
    late = poller(Service(running))
    late.poll_all([JobState(JOB, 10, NOW - 60, seen, deadline=NOW - 1)])
    (change,) = late.changes
    assert (change.status, change.done, change.total, change.polls) == (EXPIRED, 4, 10, 10)
    assert JobState(JOB, 10, NOW, change).ended


def poller(service, monotonic=lambda: 0.0, **settings_):
    return Poller(service, Notes(), stop_at=10.0, monotonic=monotonic, clock=lambda: NOW, **settings_)


def test_one_broken_job_does_not_stop_the_others():
    jobs = [JobState(f"distill/{n}", 1, NOW) for n in range(3)]
    service = Service(job(), ServerError(503, "SERVICE_UNAVAILABLE", "later"), job())
    asking = poller(service)
    asking.poll_all(jobs)
    assert service.asked == ["distill/0", "distill/1", "distill/2"]
    assert [seen.job for seen in asking.changes] == ["distill/0", "distill/2"]
    assert not asking.truncated


def test_a_tick_without_time_or_requests_goes_on_behind_the_last_job():
    jobs = [JobState(f"distill/{n}", 1, NOW) for n in range(3)]
    times = iter([0.0, 11.0])
    asking = poller(Service(job(), job()), monotonic=lambda: next(times))
    asking.poll_all(jobs)
    assert (asking.truncated, asking.last) == (True, poll_order(jobs[0]))
    asking = poller(Service(job(), BudgetExceededError(90.0, 10.0)))
    asking.poll_all(jobs)
    assert (asking.truncated, asking.last) == (True, poll_order(jobs[0]))


def test_a_tick_that_could_not_even_ask_the_first_job_keeps_its_window():
    """The jobs that were due in it would else wait for the next time in their series."""
    context = dg.build_sensor_context()
    tick = Tick(context, [], ThunderbitResource(api_key="tb_0123456789abcdef0123456789abcdef"), 20.0, now=NOW)
    asking = poller(Service(BudgetExceededError(90.0, 10.0)))
    asking.poll_all([JobState(JOB, 1, NOW)])
    window = Cursor(start=NOW - 30, end=NOW)
    tick._result(OpenCrawls({}), Polled([], window.polled(asking.last, truncated=asking.truncated)))
    later = read_cursor(context.cursor).window(NOW + 30)
    assert later.start <= window.start


def test_a_tick_that_asked_every_job_opens_the_next_window():
    context = dg.build_sensor_context()
    tick = Tick(context, [], ThunderbitResource(api_key="tb_0123456789abcdef0123456789abcdef"), 20.0, now=NOW)
    asking = poller(Service(job()))
    asking.poll_all([JobState(JOB, 1, NOW)])
    window = Cursor(start=NOW - 30, end=NOW)
    polled = Polled([], window.polled(asking.last, truncated=asking.truncated))
    tick._result(OpenCrawls({"docs": CrawlJobs(low=7)}), polled)
    cursor = read_cursor(context.cursor)
    assert (cursor.after, cursor.low) == (None, {"docs": 7})
    assert (cursor.window(NOW + 30).start, cursor.window(NOW + 30).end) == (NOW, NOW + 30)


def test_a_submission_that_was_sealed_again_may_have_been_collected_since_its_first_seal():
    jobs = (JobShare(job=JOB, rows=1, size=1, at=NOW + 30),)
    again = Sealed(submission_id="s", total=1, jobs=jobs)
    one = OpenSubmission(Partition("a"), again, "run", 1, at=NOW + 60, first_at=NOW)
    assert one.known_since == NOW
    assert OpenSubmission(Partition("a"), again, "run", 1, at=NOW + 60).known_since == NOW + 30


def test_a_bad_key_ends_the_tick():
    with pytest.raises(AuthenticationError):
        poller(Service(AuthenticationError(401, "API_KEY_REVOKED", "no"))).poll_all([JobState(JOB, 1, NOW)])
