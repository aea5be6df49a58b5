"""Whatever DELETE answers, the job's own state decides, and what may still bill is named."""

import time

import dagster as dg
import pytest
from crawl_world import until
from hypothesis import given
from hypothesis import strategies as st
from interrupting import deletes

from thunderbit_dagster.api.codes import JobKind, JobStatus
from thunderbit_dagster.api.errors import JobNotFoundError, ReplyLostError
from thunderbit_dagster.api.models import Job, JobRef
from thunderbit_dagster.api.requests import Distill
from thunderbit_dagster.api.retry import RetryPolicy
from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.emulator import Rule
from thunderbit_dagster.jobs.cancel import MAY_STILL_BILL, Canceller, cancel_observation, judge_cancel
from thunderbit_dagster.jobs.open_jobs import JobPart, KnownJob, read_jobs
from thunderbit_dagster.jobs.state import JobState
from thunderbit_dagster.ledger.event_log import LedgerReader
from thunderbit_dagster.ledger.records import Progress
from thunderbit_dagster.partitions import UNPARTITIONED

DELETE = {"method": "DELETE", "route": "/batch/*"}
CRAWL = Crawl(name="docs", urls=["https://example.com/"], request=Distill())
REF = JobRef(JobKind.DISTILL, "batch_1")


def cancel(docs, *, stop_in=60.0):
    """Verdicts on the crawl's open jobs, with the requests of an interrupted run: one try, no repetition."""
    jobs = [job for job in read_jobs(LedgerReader(docs.instance, docs.crawl), 0.0) if job.is_open]
    with docs.thunderbit.open_client(max_wait=5, request_timeout=0.5, retry=RetryPolicy(attempts=1)) as client:
        return list(Canceller(client, docs.thunderbit.explain, time.monotonic() + stop_in).cancel_all(jobs))


@pytest.mark.parametrize("status", [400, 404, 409, 422])
def test_a_refusal_for_a_job_that_has_ended_counts_as_done(line, pages, spoiled, status):
    docs = line(pages.urls(2), emulator=spoiled(Rule("status", **DELETE, status=status)))
    docs.submit()
    docs.until_jobs_end()
    [verdict] = cancel(docs)
    assert not verdict.may_still_bill
    assert "it had ended before, COMPLETED, with 2 of 2 rows" in str(verdict)
    assert len(deletes(docs)) == 1


@pytest.mark.parametrize("status", [404, 409, 422])
def test_a_refusal_for_a_job_that_runs_is_reported_as_may_still_bill(line, pages, spoiled, status):
    docs = line(pages.urls(2), emulator=spoiled(Rule("status", **DELETE, status=status), hold=True))
    docs.submit()
    [verdict] = cancel(docs)
    assert verdict.may_still_bill
    assert verdict.progress.status == "PROCESSING"
    assert MAY_STILL_BILL in str(verdict)


@pytest.mark.parametrize("action", ["drop_after", "delay"])
def test_a_lost_answer_is_looked_up_and_the_job_found_cancelled(line, pages, spoiled, action):
    docs = line(pages.urls(2), emulator=spoiled(Rule(action, **DELETE, seconds=2.0), hold=True))
    docs.submit()
    if action == "delay":
        [verdict] = cancel(docs)
        assert verdict.may_still_bill  # the request is on its way, but nothing was stopped yet
        until(lambda: docs.jobs[0].status is JobStatus.CANCELLED)
    else:
        [verdict] = cancel(docs)
        assert verdict.was_cancelled
        assert not verdict.may_still_bill
    assert len(deletes(docs)) == 1


@pytest.mark.parametrize("fault", [Rule("drop_before", **DELETE), Rule("status", **DELETE, status=500)])
def test_a_request_that_did_not_arrive_is_reported_as_may_still_bill(line, pages, spoiled, fault):
    docs = line(pages.urls(2), emulator=spoiled(fault, hold=True))
    docs.submit()
    [verdict] = cancel(docs)
    assert verdict.may_still_bill
    assert MAY_STILL_BILL in str(verdict)
    assert docs.jobs[0].status is not JobStatus.CANCELLED


def test_a_job_that_the_api_does_not_know_is_confirmed_by_a_second_look_before_it_is_lost(line, pages, spoiled):
    unknown = (Rule("status", **DELETE, status=404), Rule("job_lost", method="GET", route="/batch/*"))
    docs = line(pages.urls(1), emulator=spoiled(*unknown))
    docs.submit()
    [verdict] = cancel(docs)
    assert verdict.progress.status == "NOT_FOUND"
    assert "does not know it any more" in str(verdict)


def test_one_job_that_cannot_be_cancelled_does_not_stop_the_others(line, pages, spoiled):
    fault = Rule("status", **DELETE, nth=(1,), status=500)
    docs = line({"a": pages.urls(1), "b": pages.urls(1)}, emulator=spoiled(fault, hold=True))
    docs.submit("a")
    docs.submit("b")
    assert [verdict.may_still_bill for verdict in cancel(docs)] == [True, False]


def test_a_refused_key_is_asked_with_once(line, pages, spoiled):
    docs = line({"a": pages.urls(1), "b": pages.urls(1)}, emulator=spoiled(Rule("status", **DELETE, status=401)))
    docs.submit("a")
    docs.submit("b")
    assert [verdict.may_still_bill for verdict in cancel(docs)] == [True, True]
    assert len(deletes(docs)) == 1


def test_jobs_for_which_no_time_is_left_are_named(line, pages, held):
    del held
    docs = line(pages.urls(1))
    docs.submit()
    [verdict] = cancel(docs, stop_in=0.0)
    assert "no time left" in str(verdict)
    assert verdict.may_still_bill
    assert deletes(docs) == []


@given(
    status=st.sampled_from(JobStatus),
    completed=st.none() | st.integers(0, 5),
    failed=st.none() | st.integers(0, 5),
    total=st.none() | st.just(5),
)
def test_a_job_may_still_bill_exactly_when_it_is_not_known_to_have_ended(status, completed, failed, total):
    known = KnownJob(CRAWL, JobState(str(REF), 5, 0.0), [JobPart(UNPARTITIONED, "s", "r", 5)])
    verdict = judge_cancel(known, Job(REF, status, total=total, completed=completed, failed=failed), str)
    assert verdict.may_still_bill == (not status.is_terminal) == (MAY_STILL_BILL in verdict.text)
    assert verdict.was_cancelled == (status is JobStatus.CANCELLED)
    seen = cancel_observation(verdict, "a test")
    assert isinstance(seen, dg.AssetObservation)
    assert seen.metadata["cancelled by"].value == "a test"


@given(missed=st.integers(0, 3))
def test_an_unknown_job_counts_towards_the_looks_that_make_it_lost(missed):
    seen = Progress(job=str(REF), status="NOT_FOUND", missed=missed, at=1.0)
    known = KnownJob(CRAWL, JobState(str(REF), 5, 0.0, seen), [JobPart(UNPARTITIONED, "s", "r", 5)])
    verdict = judge_cancel(known, JobNotFoundError(404, "JOB_NOT_FOUND", "no"), str)
    assert verdict.progress.status == ("LOST" if missed else "NOT_FOUND")
    assert verdict.may_still_bill


def test_an_error_says_what_it_was_and_leaves_no_progress():
    known = KnownJob(CRAWL, JobState(str(REF), 5, 0.0), [JobPart(UNPARTITIONED, "s", "r", 5)])
    verdict = judge_cancel(known, ReplyLostError("timed out"), str)
    assert "timed out" in verdict.text
    assert cancel_observation(verdict, "a test") is None
