"""Estimated and used credits side by side, and what happens when an account runs out midway."""

from unittest import mock

import pytest
from crawl_world import crawl, failure_of, one_partition

from thunderbit_dagster import Distill
from thunderbit_dagster.emulator import Dialect, Faults, json_views

STRUCK = ("FAILED", "INSUFFICIENT_CREDITS", "budget")
MIDWAY = Faults(dialect=Dialect(insufficient_credits="midway"))


def billing(factor):
    """An API that bills a multiple of its own price list, as its status answers show it."""
    view = json_views.job_view

    def dearer(job, dialect):
        shown = view(job, dialect)
        return {**shown, "creditsUsed": round(factor * job.credits_used)}

    return mock.patch("thunderbit_dagster.emulator.app.job_view", dearer)


def numbers(metadata):
    return {name: value.value for name, value in metadata.items() if name.startswith("credits")}


def warnings(docs, run):
    logs = docs.instance.all_logs(run.run_id)
    return [entry.user_message for entry in logs if entry.level >= 30 and "price list" in entry.user_message]


def test_credits_are_estimated_when_sent_and_compared_with_the_bill_when_collected(line, pages):
    docs = line(one_partition([*pages.urls(3), *pages.urls(1, "missing")]))
    [run] = docs.through()
    assert numbers(docs.metadata("submissions")) == {"credits estimated": 4}
    assert numbers(docs.metadata("succeeded")) == {"credits estimated": 3, "credits used": 3, "credits drift": 0}
    assert warnings(docs, run) == []


@pytest.mark.parametrize(("factor", "warned"), [(1.1, False), (1.2, True), (0.8, True), (0, True)])
def test_a_bill_more_than_a_tenth_off_the_price_list_is_warned_of(line, pages, factor, warned):
    docs = line(one_partition(pages.urls(10)))
    with billing(factor):
        [run] = docs.through()
    used = round(factor * 10)
    assert numbers(docs.metadata("succeeded")) == {
        "credits estimated": 10,
        "credits used": used,
        "credits drift": used - 10,
    }
    told = warnings(docs, run)
    assert bool(told) is warned
    if warned:
        assert f"used {used} credits according to the API, but 10 according to the price list" in told[0]
        assert docs.jobs[0].id in told[0]


def test_a_bill_for_pages_that_all_failed_is_warned_of(line, pages):
    docs = line(one_partition(pages.urls(2, "missing")))
    with mock.patch(
        "thunderbit_dagster.emulator.app.job_view", lambda job, d: {**json_views.job_view(job, d), "creditsUsed": 1}
    ):
        [run] = docs.through()
    assert len(warnings(docs, run)) == 1


def test_a_job_shared_by_partitions_that_are_collected_apart_is_compared_as_a_whole(line, pages):
    lists = {"a": pages.urls(4), "b": pages.urls(4, "missing")}
    docs = line(crawl(lists))
    assert docs.submit("a", "b").success
    docs.until_jobs_end()
    for key in lists:
        assert warnings(docs, docs.collect(key)) == []


def test_an_llm_format_that_returned_nothing_is_no_drift(line, pages):
    empty = pages.page("<html><body><main><p>Nothing of it here.</p></main></body></html>")
    docs = line(one_partition([empty], request=Distill(highlights="zirconium quasar")))
    [run] = docs.through()
    assert numbers(docs.metadata("submissions")) == {"credits estimated": 5}
    assert numbers(docs.metadata("succeeded"))["credits drift"] == 0
    assert warnings(docs, run) == []


def test_rows_struck_when_the_credits_end_midway_are_failed_for_budget_and_retryable(line, pages, emulator_of):
    urls = pages.urls(5)
    docs = line(one_partition(urls), emulator=emulator_of(faults=MIDWAY, credits=2))
    docs.through()
    assert len(docs.rows("succeeded")) == 2
    assert docs.codes() == [STRUCK] * 3
    assert [row["retryable"] for row in docs.rows("failed")] == [True] * 3
    assert numbers(docs.metadata("succeeded"))["credits used"] == 2
    assert docs.metadata("failed")["budget failures"].value == 3


def test_credits_that_end_midway_stop_the_jobs_after_it_and_the_rest_is_not_submitted(line, pages, emulator_of):
    lists = {"a": pages.urls(3), "b": pages.urls(2)}
    emulator = emulator_of(faults=MIDWAY, credits=2)
    docs = line(crawl(lists), emulator=emulator)
    docs.submit("a")
    docs.until_jobs_end()
    description, reasons = failure_of(docs.submit("b"))
    assert "INSUFFICIENT_CREDITS" in description
    assert "not submitted, nothing was paid" in reasons["b"]
    assert len(docs.jobs) == 1
    [run] = docs.tick_and_launch()
    assert run.success
    assert docs.published() == {"a"}
    assert len(docs.rows("succeeded", urls="a")) == 2


def test_a_402_after_some_jobs_sends_no_more_lets_them_finish_and_is_one_failure(line, pages, emulator_of):
    urls = pages.urls(10)
    emulator = emulator_of(credits=4)
    emulator.hold_pages()
    docs = line(one_partition(urls, batch_size=2), emulator=emulator)
    _, reasons = failure_of(docs.submit())
    assert list(reasons) == ["all"]
    assert docs.posts == 3
    assert docs.sent() == [urls[:2], urls[2:4]]
    emulator.release()
    docs.until_jobs_end()
    assert emulator.credits_left == 0
    assert docs.published("submissions") == set()
    failure_of(docs.submit())
    assert docs.posts == 4
    assert docs.sent() == [urls[:2], urls[2:4]]
