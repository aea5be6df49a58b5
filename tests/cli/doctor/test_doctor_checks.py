"""The judgements alone: what emulators cannot be made to say."""

import base64
import hashlib
import hmac
import json
import time
from contextlib import ExitStack
from types import SimpleNamespace

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thunderbit_dagster.api.codes import JobKind
from thunderbit_dagster.api.errors import (
    AuthenticationError,
    BudgetExceededError,
    JobNotFoundError,
    ProtocolError,
    ReplyLostError,
)
from thunderbit_dagster.api.models import JobRef
from thunderbit_dagster.api.parsing import parse_page
from thunderbit_dagster.api.requests import Webhook
from thunderbit_dagster.cli.doctor.checks import (
    check_credits,
    check_key,
    check_limits,
    check_paging,
    check_rows,
    check_service,
    check_states,
    check_webhook,
)
from thunderbit_dagster.cli.doctor.context import ApiReply, Context, Trial
from thunderbit_dagster.cli.doctor.receiver import ReceivedCall

URL = "https://example.com/"
KEY = "tb_" + "a" * 32
REF = JobRef(JobKind.DISTILL, "batch_1")
EARLIER = JobRef(JobKind.DISTILL, "batch_0")
UNKNOWN = ApiReply(
    JobNotFoundError(404, "JOB_NOT_FOUND", "No such job."), {"x": "y"}, {"error": {"code": "A", "status": 404}}
)
NOBODY = ApiReply(AuthenticationError(401, "API_KEY_NOT_FOUND", "No."))
NOW = 1_800_000_000.0


def context(*, key=KEY, requests_per_minute=10, client=None, earlier=None, **seen):
    """What the checks look at, with what was seen already."""
    account = SimpleNamespace(
        api_key=key, base_url="base", requests_per_minute=requests_per_minute, is_local=True, webhook_url=None
    )
    made = Context(account, client, None, None, (), URL, None, 0, earlier, 1.0, ExitStack(), str)
    vars(made).update(seen)
    return made


def trial(*rows, credits_used=1, words=("COMPLETED",)):
    def page(word):
        body = {"status": word, "total": 1, "creditsUsed": credits_used, "results": list(rows)}
        return parse_page(body, REF, 0)

    return Trial([page(word).job for word in words], page("COMPLETED"), rows)


def row(url=URL, index=0, markdown="text", status="SUCCEEDED"):
    return {"url": url, "index": index, "markdown": markdown, "status": status}


class Pages:
    """An account with so many rows on the pages 1 and 2 of a job, None where they are refused, and an earlier job."""

    def __init__(self, beyond=(0, 0), earlier=(0, 0)):
        self.beyond = beyond
        self.earlier = earlier

    def get_job(self, ref, *, page=0, page_size=1):
        if ref == EARLIER:
            assert page_size is None
            rows, total = self.earlier
        else:
            rows, total = self.beyond[page - 1], 1
        if rows is None:
            raise ReplyLostError("refused")
        return parse_page({"status": "COMPLETED", "total": total, "results": [row()] * rows}, ref, page)


def test_a_job_nobody_knows_proves_service_and_key():
    seen = context(reply=UNKNOWN, stranger=NOBODY)
    assert check_service(seen).status == "ok"
    assert check_key(seen).status == "ok"


def test_a_404_that_a_made_up_key_gets_as_well_proves_nothing():
    assert check_key(context(reply=UNKNOWN, stranger=UNKNOWN)).status == "warning"
    other = ApiReply(JobNotFoundError(404, "HTTP_404", "nginx"))
    assert check_service(context(reply=other, stranger=other)).status == "failed"


def test_a_key_of_another_form_is_told():
    assert "32 hex" in check_key(context(key="sk-1", reply=UNKNOWN, stranger=NOBODY)).seen


def test_a_budget_without_a_free_slot_is_no_fault_of_the_service():
    seen = context(reply=ApiReply(BudgetExceededError(100.0, 90.0)))
    assert [check(seen).status for check in (check_service, check_key, check_limits)] == [
        "skipped",
        "skipped",
        "failed",
    ]


def limits(limit="10", remaining="9", reset=NOW + 30):
    headers = {"x-ratelimit-limit": limit, "x-ratelimit-remaining": remaining, "x-ratelimit-reset": str(reset)}
    return ApiReply(headers=headers)


@pytest.mark.parametrize(
    ("asked", "setting", "status", "word"),
    [
        (limits(), 10, "ok", "free plan"),
        (limits("100"), 10, "ok", "pro plan"),
        (limits("30"), 30, "ok", "no known plan"),
        (limits("10"), 100, "warning", "10 requests"),
        (limits(reset=NOW + 86_400), 10, "warning", "86400 s"),
        (limits(reset=(NOW + 30) * 1000), 10, "ok", "30 s"),
        (ApiReply(headers={"date": "today"}), 10, "warning", "X-RateLimit"),
    ],
)
def test_limits(monkeypatch, asked, setting, status, word):
    monkeypatch.setattr(time, "time", lambda: NOW)
    found = check_limits(context(requests_per_minute=setting, reply=asked))
    assert (found.status, word in found.seen) == (status, True), found


def test_states_name_aliases_and_unknown_words():
    assert check_states(context(trial=trial(row(), words=("pending", "COMPLETED")))).status == "warning"
    assert check_states(context(trial=trial(row(), words=("ARCHIVED",)))).status == "failed"
    assert check_states(context(trial=trial(row(status="GONE")))).status == "failed"
    assert check_states(context(trial=trial(row(status="done")))).status == "warning"


@pytest.mark.parametrize(
    ("rows", "status"),
    [
        ([row()], "ok"),
        ([row(index=1)], "warning"),
        ([row(index=None)], "warning"),
        ([row(), row()], "failed"),
        ([], "failed"),
        ([row(url="https://example.com")], "failed"),
        ([row(markdown="")], "failed"),
    ],
)
def test_rows(rows, status):
    assert check_rows(context(trial=trial(*rows))).status == status


@pytest.mark.parametrize(
    ("beyond", "status"),
    [
        ((0, 0), "ok"),
        ((1, 1), "warning"),
        ((1, 0), "failed"),
        ((None, 0), "failed"),
        ((0, None), "failed"),
    ],
)
def test_paging(beyond, status):
    assert check_paging(context(trial=trial(row()), client=Pages(beyond))).status == status


@pytest.mark.parametrize(
    ("seen", "status", "words"),
    [
        ((20, 30), "ok", "20 rows of 30"),
        ((30, 30), "warning", "30 rows come by default, not 20"),
        ((5, 5), "ok", "too few"),
    ],
)
def test_the_default_page_size(seen, status, words):
    found = check_paging(context(trial=trial(row()), client=Pages(earlier=seen), earlier=EARLIER))
    assert (found.status, words in found.seen) == (status, True), found


@pytest.mark.parametrize(("used", "status"), [(1, "ok"), (0, "warning"), (None, "warning"), (2, "failed")])
def test_credits(used, status):
    assert check_credits(context(trial=trial(row(), credits_used=used))).status == status


def delivery(headers, body):
    return ReceivedCall(httpx.Headers(headers), body, NOW)


def signed(body, *, at=NOW, key="s"):
    stamp = str(int(at * 1000))
    digest = hmac.new(key.encode(), f"{stamp}.".encode() + body, hashlib.sha256).digest()
    signature = "sha256=" + base64.b64encode(digest).decode()
    return delivery({"x-webhook-timestamp": stamp, "x-webhook-signature": signature}, body)


BODY = json.dumps({"id": "batch_1", "jobType": "batch_distill", "status": "COMPLETED"}).encode()


@pytest.mark.parametrize(
    ("delivered", "status", "words"),
    [
        (signed(BODY), "ok", "newest scheme"),
        (signed(BODY, at=NOW - 3600), "failed", "clock"),
        (signed(BODY, key="other"), "failed", "neither"),
        (signed(b'{"id": "batch_1"}'), "failed", "jobType"),
        (delivery({}, BODY), "failed", "without a signature"),
        (delivery({"x-thunderbit-signature": "sha256=0"}, BODY), "failed", "oldest header"),
        (None, "failed", "no call came"),
    ],
)
def test_deliveries(delivered, status, words):
    receiver = SimpleNamespace(webhook=Webhook(url=URL, secret="s"), wait=lambda _id, _seconds: delivered)
    found = check_webhook(context(trial=trial(row()), receiver=receiver))
    assert (found.status, words in found.seen) == (status, True), found


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=40, deadline=None)
@given(body=anything, headers=st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3))
def test_no_answer_breaks_the_free_checks(body, headers):
    for error in (UNKNOWN.error, NOBODY.error, ProtocolError("?"), None):
        asked = ApiReply(error, headers, body)
        for check, stranger in ((check_service, NOBODY), (check_key, asked), (check_key, NOBODY), (check_limits, None)):
            finding = check(context(reply=asked, stranger=stranger))
            assert finding.what_to_do or finding.status in {"ok", "skipped"}


@settings(max_examples=40, deadline=None)
@given(results=st.lists(anything, max_size=3), words=st.lists(st.text(max_size=8), max_size=3))
def test_no_job_breaks_the_paying_checks(results, words):
    for rows in ((), (row(),), (row(), row())):
        seen = context(trial=trial(*results, *rows, words=words), client=Pages())
        for check in (check_states, check_rows, check_paging, check_credits):
            finding = check(seen)
            assert finding.what_to_do or finding.status in {"ok", "skipped"}
