"""The API's own calls, from the emulator through the receiver into Dagster: they save time, and never cost a row."""

import time
from contextlib import contextmanager
from unittest import mock

import dagster as dg
import httpx
import pytest
from crawl_world import crawl, failure_of, one_partition, resource, until

from thunderbit_dagster.emulator import Rule
from thunderbit_dagster.ledger.notifications import WEBHOOKS_KEY, named_by, recent_webhook_calls
from thunderbit_dagster.ledger.records import Intent, Notified, Recorded, to_metadata
from thunderbit_dagster.submission.record_writer import SubmissionRecords
from thunderbit_dagster.webhooks.receiver import Receiver
from thunderbit_dagster.webhooks.report import Reporter, report_to
from thunderbit_dagster.webhooks.server import Server
from thunderbit_dagster.webhooks.verify import DeliveryRules

SECRET = "whsec_crawl"
LOST = Rule("drop_after", method="POST", route="/batch/*", nth=(1,))
SOON = 1.0
"""Sooner than any job's first poll is due."""


class WorkerKilledError(Exception):
    """Stands for the end of the process."""


@contextmanager
def killed_before(kind):
    """A run worker that dies when it is about to write its first record of a kind."""
    write = SubmissionRecords.write

    def dying(book, partition, record):
        if isinstance(record, kind):
            raise WorkerKilledError
        write(book, partition, record)

    with mock.patch.object(SubmissionRecords, "write", dying):
        yield


@pytest.fixture
def receiver(instance):
    with Server(Receiver(DeliveryRules(secrets=(SECRET,)), Reporter(report_to(instance)))) as server:
        yield server


@pytest.fixture
def hooked(line, pages, spoiled, receiver):
    """Makes code locations whose emulator calls the receiver."""

    def make(urls, *rules, on_lost_reply="wait", **options):
        emulator = spoiled(*rules, allow_origins=(pages.origin, receiver.origin), **options)
        return line(urls, emulator=emulator, thunderbit=with_webhook(emulator, receiver, on_lost_reply))

    return make


def with_webhook(emulator, receiver, on_lost_reply="wait"):
    url = receiver.url + "?tenant=a%20b"
    return resource(emulator, webhook_url=url, webhook_secret=SECRET, on_lost_reply=on_lost_reply)


def calls_of(instance, docs):
    """What was reported of a line's jobs."""
    jobs = {f"{job.kind.value}/{job.id}" for job in docs.jobs}
    return [notice.record for notice in recent_webhook_calls(instance, time.time()) if notice.record.job in jobs]


def until_called(instance, docs, count=1):
    until(lambda: len(calls_of(instance, docs)) >= count)


def report(instance, **fields):
    call = Notified(**{"status": "COMPLETED", "at": time.time(), **fields})
    instance.report_runless_asset_event(dg.AssetObservation(WEBHOOKS_KEY, metadata=to_metadata(call)))


def intents_of(docs):
    """The intents of a line's first partition, oldest first."""
    wanted = dg.AssetRecordsFilter(asset_key=docs.crawl.key("submissions"))
    found = docs.instance.fetch_observations(wanted, limit=100, ascending=True).records
    records = [dict(event.asset_observation.metadata)["thunderbit/record"].value for event in found]
    return [Intent.model_validate(record) for record in records if record["event"] == "intent"]


def test_a_job_whose_reply_was_lost_is_named_by_its_webhook_and_never_paid_twice(hooked, instance, pages):
    urls = pages.urls(3)
    docs = hooked(urls, LOST)
    _, reasons = failure_of(docs.submit())
    assert "its webhook names it" in reasons["all"]
    until_called(instance, docs)
    docs.through()
    assert len(docs.jobs) == 1
    assert docs.posts == 1
    assert docs.urls("succeeded") == urls
    assert {row["job_id"] for row in docs.rows("succeeded")} == {docs.jobs[0].id}


def test_until_the_webhook_comes_running_again_sends_nothing(hooked, instance, pages):
    docs = hooked(pages.urls(1), LOST, hold=True)
    failure_of(docs.submit())
    _, reasons = failure_of(docs.submit())
    assert "its webhook names it" in reasons["all"]
    docs.emulator.release()
    until_called(instance, docs)
    docs.through()
    assert len(docs.jobs) == 1


def test_a_worker_killed_between_the_submit_and_its_record_is_healed_by_the_webhook(hooked, instance, pages):
    urls = pages.urls(2)
    docs = hooked(urls)
    with killed_before(Recorded):
        assert not docs.submit().success
    until_called(instance, docs)
    docs.through()
    assert docs.sent() == [urls]
    assert docs.urls("succeeded") == urls


def test_a_named_job_goes_before_the_policy_to_send_again(hooked, instance, pages):
    docs = hooked(pages.urls(2), on_lost_reply="resubmit")
    with killed_before(Recorded):
        assert not docs.submit().success
    until_called(instance, docs)
    docs.through()
    assert len(docs.jobs) == 1


def test_each_partition_of_a_lost_job_finds_it(hooked, instance, pages):
    lists = {"a": pages.urls(1), "b": pages.urls(2)}
    docs = hooked(crawl(lists), LOST)
    failure_of(docs.submit("a", "b"))
    until_called(instance, docs)
    docs.through("b")
    docs.through("a")
    assert docs.sent() == [[*lists["a"], *lists["b"]]]
    assert [docs.urls("succeeded", urls=name) for name in lists] == list(lists.values())


def test_the_rest_of_a_partition_is_sent_when_its_lost_job_is_found(hooked, instance, pages):
    urls = pages.urls(4)
    docs = hooked(one_partition(urls, batch_size=2), Rule("drop_after", method="POST", route="/batch/*", nth=(2,)))
    failure_of(docs.submit())
    until_called(instance, docs, 2)
    docs.through()
    assert docs.sent() == [urls[:2], urls[2:]]
    assert docs.urls("succeeded") == urls


@pytest.mark.parametrize("wrong", ["another job", "no job", "another kind"])
def test_a_job_that_does_not_hold_the_urls_is_not_taken_for_the_lost_one(hooked, instance, pages, wrong):
    """The id in the URL of a call is not signed."""
    docs = hooked(pages.urls(2), LOST, Rule("webhook_lost", nth=(1,)))
    failure_of(docs.submit())
    with docs.client() as client:
        other = client.submit_distill(pages.urls(2))
    named = {"another job": str(other.ref), "no job": "distill/none", "another kind": f"extract/{docs.jobs[0].id}"}
    report(instance, job=named[wrong], intent_id=intents_of(docs)[0].intent_id)
    _, reasons = failure_of(docs.submit())
    assert "no known answer" in reasons["all"]
    assert docs.posts == 2


def test_a_named_job_that_cannot_be_read_for_now_stops_its_partition_alone(hooked, instance, pages, receiver):
    refused = Rule("status", method="GET", route="/batch/*", nth=(1,), status=403)
    docs = hooked(crawl({"a": pages.urls(1), "b": pages.urls(1)}), LOST, refused, on_lost_reply="fail")
    failure_of(docs.submit("a"))
    until_called(instance, docs)
    docs.thunderbit = with_webhook(docs.emulator, receiver, "resubmit")
    _, reasons = failure_of(docs.submit("a", "b"))
    assert list(reasons) == ["a"]
    assert "cannot be read" in reasons["a"]
    assert len(docs.jobs) == 2


def test_the_webhooks_url_keeps_its_parameters_and_names_the_intent(emulator, receiver):
    url = with_webhook(emulator, receiver).webhook_of("0123456789abcdef").url
    assert dict(httpx.URL(url).params) == {"tenant": "a b", "intent": "0123456789abcdef"}
    assert resource(emulator).webhook_of("0123456789abcdef") is None


def test_every_call_names_its_intent(hooked, instance, pages):
    docs = hooked(one_partition(pages.urls(3), batch_size=1))
    docs.through()
    until_called(instance, docs, 3)
    intents = [intent.intent_id for intent in intents_of(docs)]
    assert sorted(call.intent_id for call in calls_of(instance, docs)) == sorted(intents)
    assert sorted(named_by(instance, intents)) == sorted(intents)


def test_a_job_named_by_a_webhook_is_read_at_the_next_tick_whenever_it_is_due(hooked, instance, pages):
    urls = pages.urls(2)
    docs = hooked(urls)
    assert docs.submit().success
    until_called(instance, docs)
    assert len(docs.tick(after=SOON).run_requests or []) == 1
    assert docs.reads() == ["page=0&pageSize=1"]


def test_without_the_receiver_the_job_is_found_by_polling(hooked, pages, receiver):
    urls = pages.urls(2)
    docs = hooked(urls, webhook_retries=())
    receiver.__exit__(None, None, None)
    assert docs.submit().success
    docs.until_jobs_end()
    until(lambda: docs.emulator.deliveries)
    assert docs.emulator.deliveries[0].status is None
    assert not docs.tick(after=SOON).run_requests
    assert docs.reads() == []
    [run] = docs.tick_and_launch()
    assert run.success
    assert docs.urls("succeeded") == urls


def test_a_call_for_an_unknown_job_waits_until_a_run_has_told_of_the_job(hooked, instance, pages):
    """The API may call before the run that submitted the job has sealed its submission."""
    no_credits = Rule("status", method="POST", nth=(2,), status=402)
    docs = hooked(one_partition(pages.urls(2), batch_size=1), no_credits, Rule("webhook_lost", nth=(2,)))
    docs.submit()
    until_called(instance, docs)
    docs.tick(after=SOON)
    docs.tick(after=600.0)
    assert docs.reads() == []
    assert docs.submit().success
    before = len(docs.reads())
    later = time.time() + docs.ahead
    # Log records, from which events have their time, read the second clock since Python 3.13.
    with mock.patch("time.time", return_value=later), mock.patch("time.time_ns", return_value=int(later * 1e9)):
        assert docs.submit().success  # sealed again, long after the call
    docs.tick(after=SOON)
    assert len(docs.reads()) == before + 1


def test_calls_for_jobs_that_nobody_knows_cost_no_request(line, instance, pages):
    report(instance, job="distill/batch_unheard_of", intent_id="0123456789abcdef")
    docs = line(pages.urls(1))
    docs.tick(after=SOON)
    assert docs.reads() == []
    docs.through()


def test_a_call_that_comes_too_early_is_not_believed_over_the_api(hooked, instance, pages):
    docs = hooked(pages.urls(1), hold=True)
    assert docs.submit().success
    report(instance, job=f"distill/{docs.jobs[0].id}")
    assert not docs.tick(after=SOON).run_requests
    assert len(docs.reads()) == 1
    docs.emulator.release()
    docs.until_jobs_end()
    [run] = docs.tick_and_launch()
    assert run.success
