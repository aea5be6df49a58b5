"""The account over HTTP: paging, the rate window, the journal, and the same jobs in Firecrawl's shapes."""

import asyncio

import httpx
import pytest

from benchmarks.account import Account
from benchmarks.journal import Journal
from benchmarks.pages import Site, urls
from thunderbit_dagster.api.codes import PLANS, Plan
from thunderbit_dagster.emulator.account import DEMO_KEY

BATCH = "/openapi/v1/batch/distill"
SCRAPE = "/v2/batch/scrape"
SITE = Site(job_seconds=10.0, failure_rate=0.1, body_bytes=300)


class Clock:
    def __init__(self):
        self.now = 1_780_000_000.0

    def time(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


class Client:
    """Asks an account without a server in between."""

    def __init__(self, account):
        self.transport = httpx.ASGITransport(account.app())

    def request(self, method, path, **options):
        return asyncio.run(self._request(method, path, **options))

    async def _request(self, method, path, **options):
        headers = {"Authorization": f"Bearer {DEMO_KEY}"}
        async with httpx.AsyncClient(transport=self.transport, base_url="http://account", headers=headers) as client:
            return await client.request(method, path, **options)

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post(self, path, **options):
        return self.request("POST", path, **options)

    def delete(self, path):
        return self.request("DELETE", path)


def client_of(clock, plan=PLANS["enterprise"], site=SITE):
    return Client(Account(site, plan, clock=clock.time))


def submitted(client, count):
    return client.post(BATCH, json={"urls": urls(count)}).json()["data"]["id"]


def test_a_status_without_parameters_shows_twenty_rows(clock):
    client = client_of(clock)
    job = submitted(client, 50)
    clock.now += 20.0
    data = client.get(f"{BATCH}/{job}").json()["data"]
    assert (data["status"], data["total"], len(data["results"])) == ("COMPLETED", 50, 20)


def test_pages_hold_every_row_once_and_in_order(clock):
    client = client_of(clock)
    job = submitted(client, 50)
    clock.now += 20.0
    pages = [client.get(f"{BATCH}/{job}", params={"page": page, "pageSize": 15}).json() for page in range(5)]
    rows = [row for page in pages for row in page["data"]["results"]]
    assert [row["url"] for row in rows] == urls(50)
    assert {row["url"]: row.get("markdown") for row in rows} == {
        url: None if SITE.fails(url) else SITE.markdown(url) for url in urls(50)
    }


def test_more_than_a_hundred_urls_and_too_large_pages_are_refused(clock):
    client = client_of(clock)
    assert client.post(BATCH, json={"urls": urls(101)}).json()["error"]["code"] == "BATCH_SIZE_EXCEEDED"
    assert client.get(f"{BATCH}/{submitted(client, 1)}", params={"pageSize": 101}).status_code == 400
    assert client.get(f"{BATCH}/batch_999999").status_code == 404


def test_the_rate_window_refuses_until_it_is_over_and_says_when(clock):
    client = client_of(clock, Plan("small", 3, 1))
    job = submitted(client, 1)
    answers = [client.get(f"{BATCH}/{job}") for _ in range(3)]
    assert [one.status_code for one in answers] == [200, 200, 429]
    assert float(answers[-1].headers["X-RateLimit-Reset"]) == clock.now + 60.0
    clock.now += 60.0
    assert client.get(f"{BATCH}/{job}").status_code == 200


def test_the_journal_tells_every_request_and_when_jobs_ended(clock):
    client = client_of(clock, Plan("small", 3, 1))
    began = clock.now
    jobs = [submitted(client, 10) for _ in range(2)]
    clock.now += 30.0
    client.get(f"{BATCH}/{jobs[1]}")
    client.delete(f"{BATCH}/{jobs[1]}")
    journal = Journal.read(client.get("/_account/journal").json())
    assert [(one.kind, one.job, one.status) for one in journal.requests] == [
        ("submit", None, 200),
        ("submit", None, 200),
        ("status", jobs[1], 200),
        ("cancel", jobs[1], 429),
    ]
    assert [(job.id, job.ended_at - began) for job in journal.jobs] == [(jobs[0], 10.0), (jobs[1], 20.0)]


def test_a_wrong_key_is_refused(clock):
    assert client_of(clock).get(f"{BATCH}/x", headers={"Authorization": "Bearer no"}).status_code == 401


def test_a_scrape_is_the_same_job_and_its_pages_lead_to_each_other(clock):
    site = Site(job_seconds=10.0, failure_rate=0.1, body_bytes=1024 * 1024)
    client = client_of(clock, site=site)
    job = client.post(SCRAPE, json={"urls": urls(25)}).json()["id"]
    assert client.get(f"{SCRAPE}/{job}").json()["status"] == "scraping"
    clock.now += 20.0
    found, at = [], f"{SCRAPE}/{job}"
    while at:
        answer = client.get(at).json()
        found += [one["metadata"]["sourceURL"] for one in answer["data"]]
        at = answer.get("next")
    assert answer["status"] == "completed"
    errors = [one["url"] for one in client.get(f"{SCRAPE}/{job}/errors").json()["errors"]]
    assert sorted(found) == [url for url in urls(25) if not site.fails(url)]
    assert errors == [url for url in urls(25) if site.fails(url)]
