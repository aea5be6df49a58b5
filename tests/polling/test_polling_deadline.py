"""A job that never ends is given up after it was asked once more, and cancelled where the crawl says so."""

from datetime import timedelta

import pytest
from crawl_world import ALWAYS_DUE, one_partition, until

from thunderbit_dagster.emulator import Rule

DEADLINE = timedelta(hours=1)
LATE = DEADLINE.total_seconds() + ALWAYS_DUE


def stuck(line, pages, *rules, cancel=True):
    """A job of three URLs of which two finish, and its line."""
    urls = pages.urls(3)
    docs = line(one_partition(urls, job_deadline=DEADLINE, cancel_on_deadline=cancel), Rule("job_stuck"), *rules)
    docs.submit()
    until(lambda: docs.jobs[0].completed == 2)
    return docs, urls


def deletes(docs):
    return [request.status for request in docs.emulator.requests if request.method == "DELETE"]


def test_a_job_past_its_deadline_is_cancelled_once_and_its_rows_say_so(line, pages):
    docs, urls = stuck(line, pages)
    assert not docs.tick().run_requests
    assert deletes(docs) == []
    [run] = docs.tick_and_launch(after=LATE)
    assert docs.checks(run) == [True]
    assert deletes(docs) == [200]
    assert docs.jobs[0].status.value == "CANCELLED"
    assert docs.urls("succeeded") == urls[:2]
    [row] = docs.rows("failed")
    assert (row["status"], row["error_code"]) == ("NOT_FINISHED", "NOT_FINISHED")
    assert "did not end before its deadline and was cancelled" in row["error_message"]
    docs.tick(after=LATE)
    assert deletes(docs) == [200]


def test_a_job_past_its_deadline_is_left_running_by_default_and_its_rows_say_that_it_may_bill(line, pages):
    docs, urls = stuck(line, pages, cancel=False)
    [run] = docs.tick_and_launch(after=LATE)
    assert docs.checks(run) == [True]
    assert deletes(docs) == []
    assert docs.urls("succeeded") == urls[:2]
    assert "it may still bill" in docs.rows("failed")[0]["error_message"]


def test_a_cancellation_that_the_api_does_not_take_leaves_rows_that_say_that_it_may_bill(line, pages):
    docs, urls = stuck(line, pages, Rule("status", method="DELETE", route="/batch/*", status=500))
    docs.tick_and_launch(after=LATE)
    assert docs.jobs[0].status.value == "PROCESSING"
    assert docs.urls("succeeded") == urls[:2]
    assert "it may still bill" in docs.rows("failed")[0]["error_message"]


@pytest.mark.parametrize("cancel", [True, False])
def test_a_job_that_ended_unseen_is_not_given_up_however_late_it_is_asked(line, pages, cancel):
    urls = pages.urls(2)
    docs = line(one_partition(urls, job_deadline=DEADLINE, cancel_on_deadline=cancel))
    docs.submit()
    docs.until_jobs_end()
    docs.tick_and_launch(after=100 * LATE)
    assert docs.urls("succeeded") == urls
    assert deletes(docs) == []


def test_a_job_that_cannot_be_read_is_given_up_at_its_deadline_too(line, pages):
    urls = pages.urls(1)
    broken = Rule("status", method="GET", route="/batch/*", status=500, nth=tuple(range(1, 4)))
    docs = line(one_partition(urls, job_deadline=DEADLINE), broken)
    docs.submit()
    docs.until_jobs_end()
    assert [len(docs.tick().asset_events) for _ in range(2)] == [0, 0]
    [event] = docs.tick(after=LATE).asset_events
    assert event.metadata["status"].value == "EXPIRED"
    [run] = docs.tick_and_launch(after=1.0)
    assert run.success
    assert docs.urls("succeeded") == urls, "what the API still has is fetched"
