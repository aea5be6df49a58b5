"""A job whose reply nobody recorded, named by its webhook: the sensor gives it back, and sends nothing."""

import time
from contextlib import contextmanager
from unittest import mock

import pytest
from crawl_world import crawl, failure_of, one_partition, resource, until

from thunderbit_dagster.emulator import Rule
from thunderbit_dagster.ledger.notifications import recent_webhook_calls
from thunderbit_dagster.ledger.records import Recorded
from thunderbit_dagster.polling.cursor import NamedIntent, read_cursor
from thunderbit_dagster.polling.lost_replies import MAX_NAMED, PATIENCE_SECONDS, intents_to_remember
from thunderbit_dagster.runs.liveness import STALE_SECONDS
from thunderbit_dagster.submission.record_writer import SubmissionRecords
from thunderbit_dagster.webhooks.receiver import Receiver
from thunderbit_dagster.webhooks.report import Reporter, report_to
from thunderbit_dagster.webhooks.server import Server
from thunderbit_dagster.webhooks.verify import DeliveryRules


class WorkerKilledError(Exception):
    """Stands for the end of the process."""


SECRET = "whsec_orphans"
LOST = Rule("drop_after", method="POST", route="/batch/*", nth=(1,))
ENOUGH = PATIENCE_SECONDS + 1


@pytest.fixture
def hooked(line, pages, spoiled, instance):
    """Makes code locations whose emulator calls a receiver that reports to Dagster."""
    with Server(Receiver(DeliveryRules(secrets=(SECRET,)), Reporter(report_to(instance)))) as receiver:

        def make(urls, *rules, on_lost_reply="wait", **options):
            emulator = spoiled(*rules, allow_origins=(pages.origin, receiver.origin), **options)
            settings = {"webhook_url": receiver.url, "webhook_secret": SECRET, "on_lost_reply": on_lost_reply}
            return line(urls, emulator=emulator, thunderbit=resource(emulator, **settings))

        yield make


def until_called(docs, count=1):
    jobs = lambda: {f"{job.kind.value}/{job.id}" for job in docs.jobs}  # noqa: E731
    called = lambda: [one for one in recent_webhook_calls(docs.instance, time.time()) if one.record.job in jobs()]  # noqa: E731
    until(lambda: len(called()) >= count)


@contextmanager
def unrecorded(then=None):
    """Answers to submits that come to nobody: the process is gone, or hangs, before it records them."""
    write = SubmissionRecords.write

    def dying(book, partition, record):
        if isinstance(record, Recorded):
            if then:
                then()
            raise WorkerKilledError
        write(book, partition, record)

    with mock.patch.object(SubmissionRecords, "write", dying):
        yield


@pytest.mark.parametrize("policy", ["wait", "fail"])
def test_a_job_whose_reply_was_lost_is_collected_without_another_run_of_submissions(hooked, pages, policy):
    urls = pages.urls(3)
    docs = hooked(urls, LOST, on_lost_reply=policy)
    failure_of(docs.submit())
    until_called(docs)
    docs.tick(after=ENOUGH)
    [run] = docs.tick_and_launch()
    assert run.success
    assert docs.urls("succeeded") == urls
    assert docs.posts == 1
    assert read_cursor(docs.cursor).named == []


def test_a_list_that_changed_before_the_job_was_found_leaves_its_urls_their_places(hooked, pages):
    urls = pages.urls(2)
    lists = {"all": urls}
    docs = hooked(crawl({"all": lambda: lists["all"]}), LOST, hold=True)
    failure_of(docs.submit())
    lists["all"] = ["javascript:void(0)", *urls]
    failure_of(docs.submit())
    docs.emulator.release()
    until_called(docs)
    docs.tick(after=ENOUGH)
    [run] = docs.tick_and_launch()
    assert run.success
    assert docs.urls("succeeded") == urls
    assert docs.urls("failed") == lists["all"][:1]
    assert docs.posts == 1


def test_a_job_of_a_process_that_is_gone_is_given_back_to_each_partition_in_it(hooked, pages):
    lists = {"a": pages.urls(1), "b": pages.urls(2)}
    docs = hooked(crawl(lists))
    with unrecorded():
        docs.submit("a", "b")
    until_called(docs)
    docs.tick(after=ENOUGH)
    assert docs.published("submissions") == {"a", "b"}
    [run] = docs.tick_and_launch()
    assert run.success
    assert [docs.urls("succeeded", urls=name) for name in lists] == list(lists.values())
    assert docs.posts == 1
    verified = [query for query in docs.reads() if query == "page=0&pageSize=100"]
    assert len(verified) == 2, "once for the webhook, once for the rows"


def test_what_was_not_sent_yet_stays_open_and_is_sent_by_the_next_run(hooked, pages):
    urls = pages.urls(4)
    docs = hooked(one_partition(urls, batch_size=2))
    with unrecorded():
        docs.submit()
    until_called(docs)
    docs.tick(after=ENOUGH)
    assert not docs.tick().run_requests
    assert docs.posts == 1
    assert docs.published("submissions") == set()
    docs.through()
    assert docs.sent() == [urls[:2], urls[2:]]
    assert docs.urls("succeeded") == urls


def test_the_run_that_may_still_record_the_answer_is_waited_for(hooked, pages):
    docs = hooked(pages.urls(1))
    found = []

    def look():
        until_called(docs)
        docs.tick(after=ENOUGH)
        docs.tick(after=ENOUGH)
        found.extend(read_cursor(docs.cursor).named)

    with unrecorded(then=look):
        run = docs.submit()
    assert docs.reads() == []
    assert [named.run for named in found if named.job == f"distill/{docs.jobs[0].id}"] == [run.run_id]
    docs.tick(after=ENOUGH)
    [collected] = docs.tick_and_launch()
    assert collected.success


def test_a_run_of_which_nothing_is_heard_is_not_waited_for(hooked, pages):
    docs = hooked(pages.urls(1))

    def look():
        until_called(docs)
        docs.tick(after=ENOUGH)
        assert docs.published("submissions") == set()
        docs.tick(after=STALE_SECONDS + ENOUGH)
        assert docs.published("submissions") == {"all"}

    with unrecorded(then=look):
        docs.submit()


def test_a_named_job_that_cannot_be_read_now_is_looked_after_later(hooked, pages):
    busy = Rule("status", method="GET", route="/batch/*", nth=(1,), status=503)
    docs = hooked(pages.urls(1), LOST, busy)
    failure_of(docs.submit())
    until_called(docs)
    docs.tick(after=ENOUGH)
    assert docs.published("submissions") == set()
    docs.tick(after=ENOUGH)
    assert docs.published("submissions") == {"all"}


def test_a_job_that_the_next_run_has_taken_over_is_left_to_it(hooked, pages):
    docs = hooked(pages.urls(2), LOST)
    failure_of(docs.submit())
    until_called(docs)
    assert docs.submit().success
    before = len(docs.reads())
    docs.tick(after=ENOUGH)
    assert len(docs.reads()) <= before + 1
    records = docs.instance.fetch_materializations(docs.crawl.key("submissions"), limit=10).records
    assert len(records) == 1


def test_a_lost_cursor_loses_no_call(hooked, pages):
    docs = hooked(pages.urls(1), LOST)
    failure_of(docs.submit())
    until_called(docs)
    docs.tick(after=1.0)
    docs.cursor = None
    docs.tick(after=3_600.0)
    assert docs.published("submissions") == {"all"}


def test_the_cursor_remembers_a_hundred_calls_and_none_for_longer_than_a_day():
    many = [NamedIntent(job=f"distill/{n}", intent=f"{n:016x}", at=1_000.0 + n) for n in range(MAX_NAMED + 50)]
    kept = intents_to_remember(many, [], known={"distill/149"}, now=2_000.0)
    assert len(kept) == MAX_NAMED
    assert kept[-1].job == "distill/148"
    assert intents_to_remember(kept, [], known=set(), now=2_000.0 + 26 * 3_600) == []
