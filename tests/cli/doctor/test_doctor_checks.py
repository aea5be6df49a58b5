"""The judgements alone: what emulators cannot be made to say."""

import base64
import hashlib
import hmac
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thunderbit_dagster.api.codes import JobKind, JobStatus, RowStatus
from thunderbit_dagster.api.errors import AuthenticationError, JobNotFoundError, ProtocolError
from thunderbit_dagster.api.models import Job, JobPage, JobRef, Row
from thunderbit_dagster.cli.doctor.checks import (
    ApiQuestion,
    ReceivedCall,
    Status,
    Trial,
    delivery_finding,
    judge_credits,
    judge_key,
    judge_limits,
    judge_paging,
    judge_rows,
    judge_service,
    judge_states,
)

URL = "https://example.com/"
KEY = "tb_" + "a" * 32
UNKNOWN = ApiQuestion(
    JobNotFoundError(404, "JOB_NOT_FOUND", "No such job."), {"x": "y"}, {"error": {"code": "A", "status": 404}}
)
NOBODY = ApiQuestion(AuthenticationError(401, "API_KEY_NOT_FOUND", "No."))
NOW = 1_800_000_000.0


def trial(*rows, credits_used=1, raw=None, words=("COMPLETED",), **options):
    job = Job(JobRef(JobKind.DISTILL, "batch_1"), JobStatus.COMPLETED, total=1, credits_used=credits_used)
    listed = raw if raw is not None else [{"status": "SUCCEEDED", "markdown": "x"} for _ in rows]
    return Trial(URL, 1, words=words, page=JobPage(job, rows, 0), raw=listed, **options)


def row(url=URL, index=0, markdown="text", status=RowStatus.SUCCEEDED):
    return Row(url, index, status, markdown)


def test_a_job_nobody_knows_proves_service_and_key():
    assert judge_service("base", UNKNOWN, NOBODY).status is Status.OK
    assert judge_key(KEY, UNKNOWN, NOBODY).status is Status.OK


def test_a_404_that_a_made_up_key_gets_as_well_proves_nothing():
    assert judge_key(KEY, UNKNOWN, UNKNOWN).status is Status.WARNING
    other = ApiQuestion(JobNotFoundError(404, "HTTP_404", "nginx"))
    assert judge_service("base", other, other).status is Status.FAILED


def test_a_key_of_another_form_is_told():
    assert "32 hex" in judge_key("sk-1", UNKNOWN, NOBODY).seen


def limits(limit="10", remaining="9", reset=NOW + 30):
    headers = {"x-ratelimit-limit": limit, "x-ratelimit-remaining": remaining, "x-ratelimit-reset": str(reset)}
    return ApiQuestion(headers=headers)


@pytest.mark.parametrize(
    ("asked", "setting", "status", "word"),
    [
        (limits(), 10, Status.OK, "free plan"),
        (limits("100"), 10, Status.OK, "pro plan"),
        (limits("30"), 30, Status.OK, "no known plan"),
        (limits("10"), 100, Status.WARNING, "10 requests"),
        (limits(reset=NOW + 86_400), 10, Status.WARNING, "86400 s"),
        (limits(reset=(NOW + 30) * 1000), 10, Status.OK, "30 s"),
        (ApiQuestion(headers={"date": "today"}), 10, Status.WARNING, "X-RateLimit"),
        (ApiQuestion(), 10, Status.SKIPPED, "no answer"),
    ],
)
def test_limits(asked, setting, status, word):
    found = judge_limits(asked, setting, NOW)
    assert (found.status, word in found.seen) == (status, True), found


def test_states_name_aliases_and_unknown_words():
    assert judge_states(trial(row(), words=("pending", "COMPLETED"))).status is Status.WARNING
    assert judge_states(trial(row(), words=("ARCHIVED",))).status is Status.FAILED
    assert judge_states(trial(row(), raw=[{"status": "GONE"}])).status is Status.FAILED
    assert judge_states(trial(row(), raw=[{"status": "done", "markdown": "x"}])).status is Status.WARNING


@pytest.mark.parametrize(
    ("rows", "status"),
    [
        ([row()], Status.OK),
        ([row(index=1)], Status.WARNING),
        ([row(index=None)], Status.WARNING),
        ([row(), row()], Status.FAILED),
        ([], Status.FAILED),
        ([row(url="https://example.com")], Status.FAILED),
        ([row(markdown="")], Status.FAILED),
    ],
)
def test_rows(rows, status):
    assert judge_rows(trial(*rows)).status is status


@pytest.mark.parametrize(
    ("beyond", "status"),
    [
        ((0, 0), Status.OK),
        ((1, 1), Status.WARNING),
        ((1, 0), Status.FAILED),
        ((None, 0), Status.FAILED),
        ((0, None), Status.FAILED),
    ],
)
def test_paging(beyond, status):
    assert judge_paging(trial(row(), beyond=beyond)).status is status


@pytest.mark.parametrize(
    ("seen", "status", "words"),
    [
        ((20, 30), Status.OK, "20 rows of 30"),
        ((30, 30), Status.WARNING, "30 rows come by default, not 20"),
        ((5, 5), Status.OK, "too few"),
    ],
)
def test_the_default_page_size(seen, status, words):
    found = judge_paging(trial(row(), default_page=seen))
    assert (found.status, words in found.seen) == (status, True), found


@pytest.mark.parametrize(
    ("used", "status"), [(1, Status.OK), (0, Status.WARNING), (None, Status.WARNING), (2, Status.FAILED)]
)
def test_credits(used, status):
    assert judge_credits(trial(row(), credits_used=used)).status is status


def signed(body, *, at=NOW, key="s"):
    stamp = str(int(at * 1000))
    digest = hmac.new(key.encode(), f"{stamp}.".encode() + body, hashlib.sha256).digest()
    signature = "sha256=" + base64.b64encode(digest).decode()
    return ReceivedCall({"x-webhook-timestamp": stamp, "x-webhook-signature": signature}, body, NOW)


BODY = json.dumps({"id": "batch_1", "jobType": "batch_distill", "status": "COMPLETED"}).encode()


@pytest.mark.parametrize(
    ("delivery", "status", "words"),
    [
        (signed(BODY), Status.OK, "newest scheme"),
        (signed(BODY, at=NOW - 3600), Status.FAILED, "clock"),
        (signed(BODY, key="other"), Status.FAILED, "neither"),
        (signed(b'{"id": "batch_1"}'), Status.FAILED, "jobType"),
        (ReceivedCall({}, BODY, NOW), Status.FAILED, "without a signature"),
        (ReceivedCall({"x-thunderbit-signature": "sha256=0"}, BODY, NOW), Status.FAILED, "oldest header"),
        (None, Status.FAILED, "no call came"),
    ],
)
def test_deliveries(delivery, status, words):
    found = delivery_finding(delivery, URL, "s", 1.0)
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
        asked = ApiQuestion(error, headers, body)
        for finding in (
            judge_service("base", asked, NOBODY),
            judge_key(KEY, asked, asked),
            judge_limits(asked, 10, NOW),
        ):
            assert finding.advice or finding.status in {Status.OK, Status.SKIPPED}


@settings(max_examples=40, deadline=None)
@given(raw=st.lists(anything, max_size=3), words=st.lists(st.text(max_size=8), max_size=3))
def test_no_job_breaks_the_paying_checks(raw, words):
    for rows in ((), (row(),), (row(), row())):
        seen = trial(*rows, raw=[*raw, *[{}] * len(rows)], words=tuple(words))
        for judge in (judge_states, judge_rows, judge_paging, judge_credits):
            finding = judge(seen)
            assert finding.advice or finding.status in {Status.OK, Status.SKIPPED}
