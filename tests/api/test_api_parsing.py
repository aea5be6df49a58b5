"""Every dialect the reference warns of is read, and nothing the service sends breaks a reader."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thunderbit_dagster.api import (
    JobKind,
    JobRef,
    JobStatus,
    ProtocolError,
    Row,
    RowError,
    RowStatus,
    decode_json,
    parse_document,
    parse_job,
    parse_notification,
    parse_page,
    parse_row,
)
from thunderbit_dagster.api.errors import ConfigurationError
from thunderbit_dagster.api.parsing import (
    excerpt,
    parse_error,
    read_refusal,
)

DISTILL, EXTRACT = JobKind.DISTILL, JobKind.EXTRACT
REF = JobRef(DISTILL, "b1")
TIME = datetime(2026, 1, 5, 8, 0, 41, tzinfo=timezone.utc)


def read(value: object, kind: JobKind = DISTILL, status: JobStatus = JobStatus.PROCESSING) -> Row:
    return parse_row(value, kind, status)


@pytest.mark.parametrize("word", ["COMPLETED", "completed", " Completed "])
def test_job_states_in_any_case(word: str) -> None:
    job = parse_job({"success": True, "data": {"id": "b1", "status": word}}, DISTILL)
    assert (job.ref, job.status, job.raw_status) == (REF, JobStatus.COMPLETED, word)
    assert job.status.is_terminal


def test_an_unknown_job_state_is_not_terminal_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "thunderbit_dagster.api"):
        job = parse_job({"id": "b1", "status": "ARCHIVED"}, DISTILL)
    assert (job.status, job.raw_status) == (JobStatus.UNKNOWN, "ARCHIVED")
    assert not job.status.is_terminal
    assert "ARCHIVED" in caplog.text


def test_job_fields_in_both_spellings_nulls_and_extras() -> None:
    fields = {
        "id": 17,
        "status": "CANCELED",
        "total": "10",
        "completed": 4.0,
        "failed": None,
        "credits_used": 4,
        "createdAt": "2026-01-05T08:00:41Z",
        "completedAt": 1_767_600_041_000,
        "priority": "low",
        "absent": None,
    }
    job = parse_job(fields, EXTRACT)
    assert (str(job.ref), job.status) == ("extract/17", JobStatus.CANCELLED)
    assert (job.total, job.completed, job.failed, job.credits_used) == (10, 4, None, 4)
    assert job.created_at == job.completed_at == TIME
    assert job.extra == {"priority": "low"}


@pytest.mark.parametrize(
    "text",
    ["2026-01-05T08:00:41Z", "2026-01-05 08:00:41", "2026-01-05T09:00:41.000000000+0100", "2026-01-05t08:00:41.0z"],
)
def test_times_in_every_usual_spelling(text: str) -> None:
    assert parse_job({"id": "b", "createdAt": text}, DISTILL).created_at == TIME


@pytest.mark.parametrize("text", ["", "soon", "2026-13-05T08:00:41Z", 1e300, True, [], "2026-01-05T08:00+99:99"])
def test_unreadable_times_are_absent(text: object) -> None:
    assert parse_job({"id": "b", "createdAt": text}, DISTILL).created_at is None


@pytest.mark.parametrize("identity", [None, "", " ", "..", "a\nb", "x" * 600, True, [], {}, 1.5])
def test_a_submit_without_a_readable_id(identity: object) -> None:
    with pytest.raises(ProtocolError, match="job id"):
        parse_job({"data": {"id": identity, "status": "PENDING"}}, DISTILL)


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ({"status": "SUCCEEDED"}, RowStatus.SUCCEEDED),
        ({"status": "completed"}, RowStatus.SUCCEEDED),
        ({"status": "Success"}, RowStatus.SUCCEEDED),
        ({"status": "done"}, RowStatus.SUCCEEDED),
        ({"status": "error"}, RowStatus.FAILED),
        ({"status": "failed"}, RowStatus.FAILED),
        ({"status": "canceled"}, RowStatus.CANCELLED),
        ({"status": "queued"}, RowStatus.UNKNOWN),
        ({"success": True}, RowStatus.SUCCEEDED),
        ({"success": False, "error": "slow"}, RowStatus.FAILED),
        ({"success": False}, RowStatus.PENDING),
        ({"markdown": "x"}, RowStatus.SUCCEEDED),
        ({"error": {"code": "X"}}, RowStatus.FAILED),
        ({}, RowStatus.PENDING),
        (None, RowStatus.UNKNOWN),
    ],
)
def test_row_states(value: object, status: RowStatus) -> None:
    assert read(value).status is status


@pytest.mark.parametrize(
    ("job_status", "status"),
    [
        (JobStatus.PROCESSING, RowStatus.PENDING),
        (JobStatus.UNKNOWN, RowStatus.PENDING),
        (JobStatus.COMPLETED, RowStatus.FAILED),
        (JobStatus.CANCELLED, RowStatus.CANCELLED),
        (JobStatus.FAILED, RowStatus.PENDING),
    ],
)
def test_a_bare_success_false_is_settled_by_the_job(job_status: JobStatus, status: RowStatus) -> None:
    assert read({"url": "u", "success": False}, status=job_status).status is status


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"code": "SCRAPE_TIMEOUT", "message": "slow"}, RowError("SCRAPE_TIMEOUT", "slow")),
        ({"code": 408, "status": "SCRAPE_TIMEOUT", "message": "slow"}, RowError("SCRAPE_TIMEOUT", "slow")),
        ({"code": "SCRAPE_TIMEOUT"}, RowError("SCRAPE_TIMEOUT", "SCRAPE_TIMEOUT")),
        ("it was slow", RowError("UNKNOWN", "it was slow")),
        ("SCRAPE_TIMEOUT", RowError("SCRAPE_TIMEOUT", "SCRAPE_TIMEOUT")),
        (None, RowError("UNKNOWN", "the service gave no reason")),
        ("", RowError("UNKNOWN", "the service gave no reason")),
        ([], RowError("UNKNOWN", "the service gave no reason")),
    ],
)
def test_row_errors(error: object, expected: RowError) -> None:
    assert read({"url": "u", "status": "FAILED", "error": error}).error == expected


def test_a_row_that_succeeded_has_no_error() -> None:
    row = read({"url": "u", "status": "SUCCEEDED", "error": {"code": "X"}})
    assert row.error is None
    assert row.extra == {"error": {"code": "X"}}


@pytest.mark.parametrize(
    "value",
    [
        {"markdown": "# A", "metadata": {"title": "A"}},
        {"data": {"markdown": "# A", "metadata": {"title": "A"}}},
        {"markdown": None, "metadata": None, "data": {"markdown": "# A", "metadata": {"title": "A"}}},
        {"data": {"markdown": "# A"}, "metadata": {"title": "A"}},
    ],
)
def test_markdown_flat_or_nested(value: dict) -> None:
    row = read({"url": "u", "status": "SUCCEEDED", **value})
    assert (row.markdown, row.metadata, row.data) == ("# A", {"title": "A"}, None)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ([{"n": 1}, {"n": 2}], [{"n": 1}, {"n": 2}]),
        ({"n": 1}, [{"n": 1}]),
        ({"data": [{"n": 1}]}, [{"n": 1}]),
        ({"data": {"n": 1}, "metadata": {}}, [{"n": 1}]),
        ({"data": [1], "name": "a field called data"}, [{"data": [1], "name": "a field called data"}]),
        ([1, None, "x"], [{"value": 1}, {"value": "x"}]),
        ("a text", [{"value": "a text"}]),
        ([], []),
        (None, None),
    ],
)
def test_extracted_rows_in_every_shape(data: object, expected: object) -> None:
    assert read({"url": "u", "status": "SUCCEEDED", "data": data}, EXTRACT).data == expected


def test_other_contents_of_a_page() -> None:
    row = read(
        {
            "url": "u",
            "status": "SUCCEEDED",
            "links": ["https://a.test/", {"text": None, "href": "https://b.test/"}],
            "images": {"src": "i.png"},
            "highlights": "one",
            "summary": "s",
            "answer": "a",
            "html": "<p>",
            "metadata": {"sourceUrl": "u", "title": None},
            "took": 3,
        }
    )
    assert row.links == [{"href": "https://a.test/"}, {"text": None, "href": "https://b.test/"}]
    assert (row.images, row.highlights) == ([{"src": "i.png"}], ["one"])
    assert (row.summary, row.answer, row.html) == ("s", "a", "<p>")
    assert (row.metadata, row.extra) == ({"sourceURL": "u"}, {"took": 3})


def test_nothing_unknown_is_lost_from_nested_pages() -> None:
    row = read({"url": "u", "status": "SUCCEEDED", "data": {"markdown": "x", "took": 3}, "note": "n"})
    assert row.extra == {"took": 3, "note": "n"}
    assert read({"url": "u", "status": "SUCCEEDED", "data": [{"n": 1}]}).data == [{"n": 1}]


def test_every_element_of_results_gives_a_row() -> None:
    page = parse_page({"data": {"status": "COMPLETED", "results": [None, 3, {"url": "u"}]}}, REF, 2)
    assert (len(page.rows), page.page, page.job.ref) == (3, 2, REF)
    assert page.rows[1].extra == {"value": 3}


@pytest.mark.parametrize("inner", [[], {}, "x", {"results": []}])
def test_a_job_may_have_a_field_called_data(inner: object) -> None:
    bare = {"id": "b1", "status": "COMPLETED", "jobType": "batch_distill", "data": inner}
    for body in (bare, {"success": True, "data": bare}):
        assert parse_job(body, DISTILL).status is JobStatus.COMPLETED
        assert parse_page(body, REF, 0).job.status is JobStatus.COMPLETED
        assert parse_notification(body).ref == REF


@pytest.mark.parametrize("results", [None, {}, "x", 5])
def test_results_that_are_no_list_are_no_rows(results: object) -> None:
    assert parse_page({"status": "PENDING", "results": results}, REF, 0).rows == ()


def test_webhook_payloads() -> None:
    payload = {"id": "b1", "jobType": "batch_extract", "status": "CANCELLED", "total": 10, "creditsUsed": 4}
    job = parse_notification(payload)
    assert (str(job.ref), job.status, job.credits_used) == ("extract/b1", JobStatus.CANCELLED, 4)
    with pytest.raises(ProtocolError, match="jobType"):
        parse_notification({**payload, "jobType": "crawl"})


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        (b'{"error": {"code": "INVALID_URL", "status": 400, "message": "m"}}', "INVALID_URL", "m"),
        (b'{"error": {"code": 400, "status": "INVALID_URL", "message": "m"}}', "INVALID_URL", "m"),
        (b'{"error": "it broke"}', "HTTP_400", "it broke"),
        (b'{"error": "INVALID_URL"}', "INVALID_URL", "INVALID_URL"),
        (b'{"message": "top level"}', "HTTP_400", "top level"),
        (b"<html><h1>Bad\n gateway</h1></html>", "HTTP_400", "Bad gateway"),
        (b"", "HTTP_400", "the answer is empty"),
        (b"\xff\xfe\x00", "HTTP_400", "\ufffd\ufffd"),
        (b"[]", "HTTP_400", "[]"),
    ],
)
def test_error_bodies(content: bytes, code: str, message: str) -> None:
    said = parse_error(content, 400)
    assert (said.code, said.message) == (code, message)


def test_a_refusal_needs_an_error_and_no_data() -> None:
    assert read_refusal({"success": False, "error": {"code": "X"}}).code == "X"
    assert read_refusal({"success": False}) is not None
    assert read_refusal({"success": False, "data": {"id": "b"}, "error": {"code": "X"}}) is None
    assert read_refusal({"success": True}) is None
    assert read_refusal([]) is None


@pytest.mark.parametrize("content", [b"", b"{", b"nope", b"\xff", b"[" * 100_000, b"1" * 5000])
def test_what_is_not_json(content: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_json(content)


def test_numbers_that_json_does_not_know_are_null() -> None:
    assert decode_json(b'{"a": NaN, "b": -Infinity}') == {"a": None, "b": None}


def test_job_refs_survive_as_text() -> None:
    assert JobRef.parse(str(JobRef(EXTRACT, "a/b"))) == JobRef(EXTRACT, "a/b")
    for text in ("", "distill", "distill/", "crawl/x", "/x"):
        with pytest.raises(ConfigurationError):
            JobRef.parse(text)


names = st.sampled_from(
    [
        "id",
        "jobId",
        "status",
        "success",
        "data",
        "error",
        "results",
        "index",
        "url",
        "markdown",
        "metadata",
        "total",
        "creditsUsed",
        "createdAt",
        "links",
        "images",
        "highlights",
        "code",
        "message",
        "details",
        "jobType",
        "result",
        "sourceUrl",
        "html",
        "answer",
        "fields",
        "schema",
    ]
) | st.text(max_size=5)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["COMPLETED", "x"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=6),
    max_leaves=25,
)


@given(anything, st.sampled_from(JobKind))
def test_no_json_breaks_a_reader(value: object, kind: JobKind) -> None:
    readers = (
        lambda: parse_job(value, kind),
        lambda: parse_page(value, JobRef(kind, "b"), 0),
        lambda: parse_document(value, "u", kind),
        lambda: parse_notification(value),
    )
    for reader in readers:
        try:
            reader()
        except ProtocolError as problem:
            assert len(str(problem)) < 300  # noqa: PT017  only its size matters
    row = parse_row(value, kind)
    assert (row.error is not None) == (row.status is RowStatus.FAILED)
    read_refusal(value)


@given(st.binary() | anything.map(lambda value: json.dumps(value).encode()), st.integers(300, 599))
def test_no_error_body_breaks_the_reader(content: bytes, status: int) -> None:
    said = parse_error(content, status)
    assert said.code
    assert len(said.message) <= 200


@given(st.text() | st.binary())
def test_excerpts_are_short_and_on_one_line(content: str | bytes) -> None:
    short = excerpt(content)
    assert len(short) <= 200
    assert "\n" not in short
