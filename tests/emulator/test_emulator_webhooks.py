"""Webhooks: signed, for every end of a job, repeated until taken."""

import base64
import hashlib
import hmac
import json
import time

import pytest
from emulator_support import DEADLINE, Answer, Api, Start, TargetSite, Visit

from thunderbit_dagster.emulator import Dialect, Faults, Rule
from thunderbit_dagster.emulator.webhooks import signed_headers

SECRET = "sécret"


def wait_for_deliveries(api: Api, count: int) -> None:
    end = time.monotonic() + DEADLINE
    while len(api.emulator.deliveries) < count:
        assert time.monotonic() < end
        time.sleep(0.005)


def received(site: TargetSite) -> list[Visit]:
    return [visit for visit in site.visits if visit.path == "/hook"]


def test_a_completed_job_is_announced_and_signed(start: Start, site: TargetSite):
    api = start(clock=lambda: 1_700_000_000.5)
    hook = site.says("/hook", Answer(b"", 204))

    job = api.run(site.pages(2), webhook={"url": hook, "secret": SECRET, "headers": {"X-Mine": "1"}})
    wait_for_deliveries(api, 1)

    (visit,) = received(site)
    sent = {name.lower(): value for name, value in visit.headers.items()}
    assert sent["x-webhook-event"] == "batch.completed"
    assert sent["x-webhook-timestamp"] == "1700000000500"
    assert "x-mine" not in sent
    digest = hmac.new(SECRET.encode(), b"1700000000500." + visit.body, hashlib.sha256).digest()
    assert sent["x-webhook-signature"] == "sha256=" + base64.b64encode(digest).decode()
    payload = json.loads(visit.body)
    assert payload.pop("jobType") == "batch_distill"
    assert payload == {name: value for name, value in job.items() if name != "results"}


def test_known_signatures():
    assert signed_headers(b"{}", "k", 1, "base64")["X-Webhook-Signature"] == (
        "sha256=" + base64.b64encode(hmac.digest(b"k", b"1.{}", "sha256")).decode()
    )
    assert signed_headers(b"{}", "k", 1, "hex")["X-Webhook-Signature"] == (
        "sha256=add853b103fbcc936a194f9eb15e29c4ff08af6e47d5d1bca4f20218e31e4fff"
    )
    assert "X-Webhook-Signature" not in signed_headers(b"{}", None, 1)


@pytest.mark.parametrize("end", ["CANCELLED", "FAILED"])
def test_every_end_is_announced(start: Start, site: TargetSite, end: str):
    api = start(hold=end == "CANCELLED", faults=Faults(rules=(Rule("job_failed"),)))
    hook = site.says("/hook", Answer())

    job = api.submit(site.pages(4), webhook={"url": hook})
    if end == "CANCELLED":
        api.http.delete(f"/batch/distill/{job}")
    wait_for_deliveries(api, 1)

    (visit,) = received(site)
    assert json.loads(visit.body)["status"] == end
    assert "X-Webhook-Signature" not in visit.headers
    api.emulator.release()


def test_a_delivery_is_repeated_until_it_is_taken(start: Start, site: TargetSite):
    answers = iter([500, 302, 404, 200])
    hook = site.says("/hook", lambda _visit: Answer(b"", next(answers), {"Location": "/elsewhere"}))
    api = start(webhook_retries=(0, 0.01, 0, 0, 0))

    api.run(site.pages(1), webhook={"url": hook, "secret": SECRET})
    wait_for_deliveries(api, 4)

    assert [delivery.status for delivery in api.emulator.deliveries] == [500, 302, 404, 200]
    assert len({visit.body for visit in received(site)}) == 1
    assert not any(visit.path == "/elsewhere" for visit in site.visits)


def test_deliveries_stop_after_the_schedule(start: Start, site: TargetSite):
    hook = site.says("/hook", Answer(b"", 500))
    api = start(webhook_retries=(0, 0))
    job = api.run(site.pages(1), webhook={"url": hook})
    wait_for_deliveries(api, 3)

    other = api.run(site.pages(1), webhook={"url": hook})
    wait_for_deliveries(api, 6)
    assert [delivery.job for delivery in api.emulator.deliveries] == [job["id"]] * 3 + [other["id"]] * 3


def test_webhooks_go_through_the_address_guard(start: Start, site: TargetSite):
    inside = TargetSite()
    api = start(webhook_retries=())

    api.run(site.pages(1), webhook={"url": inside.page("/hook")})
    wait_for_deliveries(api, 1)

    assert api.emulator.deliveries[0].status is None
    assert inside.visits == []
    inside.close()


def test_webhooks_can_be_lost_or_doubled_and_signed_the_old_way(start: Start, site: TargetSite):
    hook = site.says("/hook", Answer())
    rules = (Rule("webhook_lost", nth=(1,)), Rule("webhook_doubled", nth=(2,)))
    api = start(faults=Faults(rules=rules, dialect=Dialect(webhook_signature="hex")))

    lost = api.run(site.pages(1), webhook={"url": hook})
    doubled = api.run(site.pages(1), webhook={"url": hook, "secret": SECRET})
    wait_for_deliveries(api, 2)

    assert [delivery.job for delivery in api.emulator.deliveries] == [doubled["id"]] * 2
    assert lost["status"] == "COMPLETED"
    visit = received(site)[0]
    digest = hmac.new(SECRET.encode(), visit.body, hashlib.sha256).hexdigest()
    assert visit.headers["x-webhook-signature"] == f"sha256={digest}"
