"""However a job ends and however its answers are spelled, every URL has exactly one row, with the right reason."""

import pytest
from crawl_world import ALWAYS_DUE, one_partition, until

from thunderbit_dagster.api.models import JobRef
from thunderbit_dagster.emulator import Dialect, Faults, Rule

READ = {"method": "GET", "route": "/batch/*"}


def cancelled_after(line, emulator, finished):
    """A submitted job that is cancelled when so many of its rows are finished."""
    emulator.release(finished)
    until(lambda: line.jobs[0].completed == finished)
    with line.client() as client:
        client.cancel_job(JobRef(line.jobs[0].kind, line.jobs[0].id))
    line.until_jobs_end()


@pytest.mark.parametrize("unfinished", ["last_state", "CANCELLED", "missing"])
def test_a_cancelled_job_keeps_its_finished_rows_and_names_the_others_cancelled(line, pages, spoiled, unfinished):
    urls = pages.urls(5)
    emulator = spoiled(faults=Faults(dialect=Dialect(cancelled_rows=unfinished)), hold=True)
    docs = line(urls, emulator=emulator)
    docs.submit()
    cancelled_after(docs, emulator, 2)
    [run] = docs.tick_and_launch()
    assert docs.checks(run) == [True]
    assert len(docs.urls("succeeded")) == 2
    assert sorted(docs.urls("succeeded") + docs.urls("failed")) == sorted(urls)
    assert docs.codes() == [("CANCELLED", "JOB_CANCELLED", "job")] * 3
    assert all(row["retryable"] for row in docs.rows("failed"))
    assert docs.metadata("succeeded")["credits used"].value == 2


def test_a_cancelled_job_is_read_once_since_its_unfinished_rows_never_finish(line, pages, spoiled):
    emulator = spoiled(hold=True)
    docs = line(pages.urls(3), emulator=emulator)
    docs.submit()
    cancelled_after(docs, emulator, 1)
    [request] = docs.tick().run_requests
    before = len(docs.reads())
    assert docs.launch(request).success
    assert len(docs.reads()) == before + 1


def test_a_failed_job_keeps_its_finished_rows_and_names_the_others_failed_with_it(line, pages, spoiled):
    urls = pages.urls(4)
    docs = line(urls, emulator=spoiled(Rule("job_failed")))
    [run] = docs.through()
    assert docs.checks(run) == [True]
    assert docs.urls("succeeded") == urls[:2]
    assert docs.urls("failed") == urls[2:]
    assert docs.codes() == [("CANCELLED", "JOB_FAILED", "job")] * 2


@pytest.mark.parametrize("answer", ["job_lost", "expired"])
def test_a_job_that_is_unknown_twice_is_given_up_with_every_url_in_failed(line, pages, spoiled, answer):
    urls = pages.urls(3)
    docs = line(urls, emulator=spoiled(Rule(answer, **READ)))
    docs.submit()
    assert not docs.tick().run_requests  # once may be a slip
    [run] = docs.tick_and_launch()
    assert docs.checks(run) == [True]
    assert docs.urls("failed") == urls
    assert docs.codes() == [("MISSING", "JOB_LOST", "job")] * 3


def test_rows_that_are_published_are_not_replaced_when_the_api_forgets_their_job(line, pages, spoiled):
    urls = pages.urls(2)
    docs = line(urls, emulator=spoiled(Rule("expired", **READ, nth=tuple(range(3, 9)))))
    docs.through()
    assert docs.collect().success
    assert docs.metadata("succeeded", "all")["rows kept from before"].value == 2
    assert len(docs.reads()) > 2
    assert docs.urls("succeeded") == urls
    assert docs.urls("failed") == []


def test_a_job_that_is_unknown_once_is_asked_again_and_collected(line, pages, spoiled):
    urls = pages.urls(2)
    docs = line(urls, emulator=spoiled(Rule("job_lost", **READ, nth=(1,))))
    docs.submit()
    docs.until_jobs_end()
    assert not docs.tick().run_requests
    docs.tick_and_launch()
    assert docs.urls("succeeded") == urls


def test_a_completed_job_whose_rows_lag_behind_is_read_again_until_they_are_there(line, pages, spoiled):
    urls = pages.urls(3)
    # The tick reads once; the first reading of the collection still shows a pending row.
    docs = line(urls, emulator=spoiled(Rule("completed_early", **READ, nth=(2,))))
    docs.through()
    assert docs.urls("succeeded") == urls


def test_rows_of_a_completed_job_that_stay_pending_are_missing_results(line, pages, spoiled):
    urls = pages.urls(3)
    docs = line(urls, emulator=spoiled(Rule("completed_early", **READ)))
    docs.through()
    assert docs.urls("succeeded") == urls[:2]
    assert docs.codes() == [("MISSING", "MISSING_RESULT", "job")]


def test_rows_left_out_doubled_invented_and_shuffled_leave_each_url_with_one_row(line, pages, spoiled):
    urls = pages.urls(6)
    actions = ("rows_missing", "rows_duplicated", "rows_foreign", "rows_shuffled")
    docs = line(urls, emulator=spoiled(*(Rule(action, **READ) for action in actions)))
    [run] = docs.through()
    assert docs.checks(run) == [True]
    assert docs.urls("succeeded") == urls[:5]
    assert docs.urls("failed") == urls[5:]
    assert docs.codes() == [("MISSING", "MISSING_RESULT", "job")]
    for row in docs.rows("succeeded"):
        assert row["title"].removeprefix("Page ") in row["url"]
    metadata = docs.metadata("succeeded")
    assert metadata["rows of other URLs dropped"].value == 1
    assert metadata["repeated rows dropped"].value == 1


def test_a_job_that_never_ends_is_given_up_at_its_deadline(line, pages, spoiled):
    urls = pages.urls(3)
    docs = line(urls, emulator=spoiled(Rule("job_stuck")))
    docs.submit()
    until(lambda: docs.jobs[0].completed == 2)
    assert not docs.tick().run_requests
    assert docs.tick().skip_message.startswith("1 batch job(s) are open")
    [run] = docs.tick_and_launch(after=24 * 3600)
    assert docs.checks(run) == [True]
    assert docs.urls("succeeded") == urls[:2]
    assert docs.codes() == [("NOT_FINISHED", "NOT_FINISHED", "job")]


def test_a_job_state_that_nobody_knows_is_not_an_end(line, pages, spoiled):
    docs = line(pages.urls(1), emulator=spoiled(Rule("status_word", **READ, nth=(1,))))
    docs.submit()
    docs.until_jobs_end()
    assert not docs.tick().run_requests
    assert docs.tick_and_launch()[0].success


def test_a_job_of_only_failed_rows_is_a_completed_one(line, pages):
    urls = pages.urls(3, "missing")
    docs = line(urls)
    docs.through()
    assert docs.rows("succeeded") == []
    assert docs.codes() == [("FAILED", "SCRAPE_TARGET_NOT_FOUND", "permanent")] * 3
    assert not any(row["retryable"] for row in docs.rows("failed"))
    assert docs.metadata("failed")["permanent failures"].value == 3


DIALECTS = {
    "lower case, nested, 202": Dialect(
        lower_case=True,
        nested_data=True,
        completed_counts_all=True,
        source_url="sourceUrl",
        submit_status=202,
        cancel_terminal_status=200,
        reset_in_milliseconds=True,
    ),
    "success flags, no index, text errors, 201": Dialect(
        row_success=True, row_error="string", index=False, submit_status=201, unfinished_listed=False
    ),
    "unpaged, no row errors, swapped envelope": Dialect(unpaged=True, row_error="absent", error_envelope="swapped"),
    "error as text, lower case flags": Dialect(
        error_envelope="string", lower_case=True, row_success=True, webhook_signature="hex"
    ),
}


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS.keys())
def test_every_dialect_of_the_api_gives_the_same_rows(line, pages, spoiled, dialect):
    # More rows than fit on a page where pages are ignored, and where rows are told apart by URL alone.
    many = dialect.unpaged or not dialect.index
    good, bad = pages.urls(110 if many else 20), pages.urls(3, "missing")
    urls = [*bad[:1], *good, *bad[1:]]
    emulator = spoiled(faults=Faults(dialect=dialect), hold=True)
    docs = line(urls, emulator=emulator)
    docs.submit()
    docs.tick()  # with nothing finished
    emulator.release()
    docs.until_jobs_end()
    [run] = docs.tick_and_launch()
    assert docs.checks(run) == [True]
    assert docs.urls("succeeded") == good
    assert docs.urls("failed") == bad
    assert {row["status"] for row in docs.rows("failed")} == {"FAILED"}
    assert all(row["final_url"] == row["url"] for row in docs.rows("succeeded"))
    codes = {"object": "SCRAPE_TARGET_NOT_FOUND", "string": "UNKNOWN", "absent": "UNKNOWN"}
    assert {row["error_code"] for row in docs.rows("failed")} == {codes[dialect.row_error]}


def test_rows_struck_because_the_credits_ran_out_are_budget_failures(line, pages, spoiled):
    urls = pages.urls(4)
    emulator = spoiled(faults=Faults(dialect=Dialect(insufficient_credits="midway")), credits=3)
    docs = line(urls, emulator=emulator)
    docs.through()
    assert len(docs.rows("succeeded")) == 3
    assert docs.codes() == [("FAILED", "INSUFFICIENT_CREDITS", "budget")]
    assert docs.rows("failed")[0]["retryable"]
    assert docs.metadata("failed")["budget failures"].value == 1


def test_transient_and_permanent_failures_are_told_apart(line, pages, spoiled):
    [slow, gone, fine] = pages.urls(3)
    emulator = spoiled(
        Rule("row_failed", url=slow, code="SCRAPE_TIMEOUT"),
        Rule("row_failed", url=gone, code="SCRAPE_UNSUPPORTED_FILE"),
    )
    docs = line(one_partition([slow, gone, fine]), emulator=emulator)
    docs.through()
    assert docs.codes() == [
        ("FAILED", "SCRAPE_TIMEOUT", "transient"),
        ("FAILED", "SCRAPE_UNSUPPORTED_FILE", "permanent"),
    ]
    assert [row["retryable"] for row in docs.rows("failed")] == [True, False]
    assert not docs.tick(ALWAYS_DUE).run_requests
