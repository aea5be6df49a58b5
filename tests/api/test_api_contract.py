"""The clients against the API's description: all documented answers are read, all requests sent fit."""

from __future__ import annotations

import json
from datetime import datetime

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import KEY
from openapi import Documented, answers, resolve, spec, validator, values

from thunderbit_dagster.api import (
    HTTP_STATUS,
    ApiError,
    Distill,
    Document,
    Extract,
    Job,
    JobKind,
    JobPage,
    JobRef,
    JobStatus,
    MemoryBudget,
    RetryPolicy,
    RowStatus,
    ThunderbitClient,
    Webhook,
    parse_notification,
)

ANSWERS = list(answers())
SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}}
URL = "https://example.com/a"


def client(answer: httpx.Response, sent: list[httpx.Request] | None = None) -> ThunderbitClient:
    def handle(request: httpx.Request) -> httpx.Response:
        if sent is not None:
            sent.append(request)
        return answer

    return ThunderbitClient(
        KEY,
        base_url="http://api.test/v1",  # plain, for loading certificates takes a while
        transport=httpx.MockTransport(handle),
        budget=MemoryBudget(10_000),
        retry=RetryPolicy(attempts=1),
    )


def perform(operation: Documented, status: int, body: object) -> object:
    """Make the call that the operation is for and get this answer to it."""
    kind = JobKind.EXTRACT if "extract" in operation.path else JobKind.DISTILL
    request = Extract(schema=SCHEMA) if kind is JobKind.EXTRACT else Distill()
    with client(httpx.Response(status, json=body)) as api:
        if operation.method == "delete":
            return api.cancel_job(JobRef(kind, "batch_1"))
        if operation.method == "get":
            return api.get_job(JobRef(kind, "batch_1"), page_size=100)
        if operation.path.startswith("/batch"):
            return api.submit([URL], request)
        return api.extract(URL, request) if kind is JobKind.EXTRACT else api.distill(URL, request)


def same_time(moment: datetime | None, text: str | None) -> bool:
    return moment is None if text is None else moment == datetime.fromisoformat(text.replace("Z", "+00:00"))


def check_job(job: Job, data: dict) -> None:
    assert job.status is JobStatus[data["status"]]
    assert (job.total, job.completed, job.failed) == tuple(map(data.get, ("total", "completed", "failed")))
    assert job.credits_used == data.get("creditsUsed")
    assert same_time(job.created_at, data.get("createdAt"))
    assert same_time(job.completed_at, data.get("completedAt"))


def check_rows(page: JobPage, rows: list[dict]) -> None:
    assert [row.url for row in page.rows] == [row["url"] for row in rows]
    assert [row.status for row in page.rows] == [RowStatus[row["status"]] for row in rows]
    assert [row.index for row in page.rows] == [row.get("index") for row in rows]
    for found, told in zip(page.rows, rows, strict=True):
        assert found.markdown == told.get("markdown")
        assert (found.error is not None) == (told["status"] == "FAILED")
        if page.job.ref.kind is JobKind.EXTRACT:
            assert found.data == told.get("data")


def check_document(document: Document, data: dict) -> None:
    for name in ("markdown", "html", "summary", "answer", "highlights", "links", "images", "data"):
        assert getattr(document, name) == data.get(name)


def check_success(operation: Documented, result: object, body: dict) -> None:
    data = body["data"]
    if isinstance(result, JobPage):
        check_job(result.job, data)
        check_rows(result, data["results"])
    elif isinstance(result, Job):
        check_job(result, data)
        assert result.ref.id == data["id"]
    else:
        assert isinstance(result, Document), operation
        check_document(result, data)


def check(operation: Documented, body: dict) -> None:
    status = 503 if operation.status == "5XX" else int(operation.status)
    if operation.method == "delete" and status in {200, 404, 409}:
        return  # a cancellation is followed by a read; the behaviour tests have it
    if status < 300:
        check_success(operation, perform(operation, status, body), body)
        return
    with pytest.raises(ApiError) as caught:
        perform(operation, status, body)
    assert caught.value.status == status
    assert caught.value.code == body["error"]["code"]


def test_the_description_is_read_whole() -> None:
    assert len(ANSWERS) > 40
    assert sum(len(answer.examples) for answer in ANSWERS) > 20


@pytest.mark.parametrize("operation", [one for one in ANSWERS if one.examples], ids=str)
def test_documented_examples_are_read(operation: Documented) -> None:
    for example in operation.examples:
        check(operation, example)


# Answers that share a schema are read by the same code, so one of each will do.
DISTINCT = list({(one.method, one.path.split("/{")[0], str(one.schema)): one for one in ANSWERS}.values())


@pytest.mark.parametrize("operation", DISTINCT, ids=str)
@settings(max_examples=30)
@given(data=st.data())
def test_answers_made_from_the_documented_schemas_are_read(operation: Documented, data: st.DataObject) -> None:
    check(operation, data.draw(values(operation.schema)))


@given(values(spec()["components"]["schemas"]["WebhookPayload"]), st.sampled_from(JobKind))
def test_webhook_payloads_are_read(payload: dict, kind: JobKind) -> None:
    job = parse_notification({**payload, "jobType": kind.job_type})
    assert job.ref == JobRef(kind, payload["id"])
    check_job(job, payload)


def test_the_documented_webhook_example_is_read() -> None:
    media = spec()["webhooks"]["batchCompleted"]["post"]["requestBody"]["content"]["application/json"]
    payload = media["examples"]["cancelled"]["value"]
    check_job(parse_notification(payload), payload)


texts = st.text(min_size=1, max_size=8).filter(lambda text: text.strip())
shared_options = {
    "images": st.booleans(),
    "links": st.booleans(),
    "summary": st.booleans(),
    "question": texts,
    "highlights": texts,
    "render_mode": st.sampled_from(["none", "basic", "full", "advanced"]),
    "wait_for": st.integers(0, 10_000),
    "country_code": st.sampled_from(["de", "US"]),
    "force_refresh": st.booleans(),
}
distill_requests = st.fixed_dictionaries(
    {},
    optional={
        **shared_options,
        "metadata": st.booleans(),
        "html": st.booleans(),
        "timeout": st.integers(5_000, 60_000),
        "include_tags": st.lists(texts, max_size=2),
        "exclude_tags": st.lists(texts, max_size=2),
        "headers": st.dictionaries(st.text("abc", min_size=1), st.text("abc")),
    },
).map(lambda options: Distill(**options))
extract_requests = st.fixed_dictionaries(
    {"schema": st.just(SCHEMA)}, optional={**shared_options, "timeout": st.integers(5_000, 120_000)}
).map(lambda options: Extract(**options))
webhooks = st.none() | st.builds(Webhook, url=st.just("https://h.test/"), secret=st.none() | texts)
VALIDATORS = {
    name: validator(name) for name in ("DistillRequest", "ExtractRequest", "BatchDistillRequest", "BatchExtractRequest")
}


@given(distill_requests | extract_requests, webhooks)
def test_requests_fit_the_documented_schemas(request: Distill | Extract, webhook: Webhook | None) -> None:
    sent: list[httpx.Request] = []
    job = {"data": {"id": "b", "status": "PENDING"}}
    with client(httpx.Response(200, json=job), sent) as api:
        api.submit([URL], request, webhook=webhook)
        (api.distill if isinstance(request, Distill) else api.extract)(URL, request)
    batch, single = (json.loads(one.content) for one in sent)
    names = request.kind.value.capitalize()
    VALIDATORS[f"Batch{names}Request"].validate(batch)
    VALIDATORS[f"{names}Request"].validate(single)
    properties = resolve({"$ref": f"#/components/schemas/{names}Request"})["properties"]
    assert single.keys() <= properties.keys()  # a misspelt field would pass the schema


def test_words_are_those_of_the_description() -> None:
    schemas = spec()["components"]["schemas"]
    assert [status.value for status in JobStatus if status is not JobStatus.UNKNOWN] == schemas["JobStatus"]["enum"]
    assert [status.value for status in JobStatus if status.is_terminal] == schemas["JobStatus"]["x-terminal"]
    ours = {RowStatus.CANCELLED, RowStatus.UNKNOWN}
    assert [status.value for status in RowStatus if status not in ours] == schemas["RowStatus"]["enum"]
    codes = schemas["ErrorCode"]
    known = {**codes["x-known"], "429": [], **codes["x-known-assumed-status"]}
    known["429"] = codes["x-known"]["429"] + codes["x-known-assumed-status"]["429"]
    assert {int(status): set(group) for status, group in known.items()} == {
        status: {code for code, of in HTTP_STATUS.items() if of == status} for status in set(HTTP_STATUS.values())
    }
