"""A canary key, a cookie and a webhook secret are looked for in everything an error shows."""

from __future__ import annotations

import copy
import logging
import pickle
import traceback

import httpx
import pytest
from loopback import CutOff, Drop, Face, Reply, Service, job, ok

from thunderbit_dagster.api import (
    ApiError,
    BudgetExceededError,
    ConfigurationError,
    Distill,
    JobKind,
    JobRef,
    NotSentError,
    ReplyLostError,
    RetryPolicy,
    ThunderbitClient,
    ThunderbitError,
    Webhook,
)

KEY = "tb_cafebabecafebabecafebabecafebabe"
COOKIE, SECRET = "session=crumbs0123456789", "webhook-canary-secret"
CANARIES = ("cafebabe", "crumbs", "canary")
REQUEST = Distill(headers={"Cookie": COOKIE})
ECHO = f"no {KEY} and {COOKIE} and {SECRET} are fine"


def shown(problem: BaseException) -> str:
    """All that loggers, debuggers and error trackers make of an exception, local variables included."""
    frames = traceback.TracebackException.from_exception(problem, capture_locals=True)
    chain = []
    link: BaseException | None = problem
    while link is not None:
        chain += [repr(link), str(link), repr(vars(link)), repr(link.args)]
        link = link.__cause__ or link.__context__
    # The frames of this test hold the canaries themselves.
    own = [frame for frame in frames.stack if "/tests/" not in frame.filename]
    return "\n".join([*chain, *(f"{frame.line} {frame.locals}" for frame in own), *frames.format_exception_only()])


@pytest.mark.parametrize(
    "reply",
    [
        Drop(),
        CutOff(),
        Reply(500, {"success": False, "error": {"code": "X", "message": ECHO, "details": {"got": ECHO}}}),
        Reply(401, {"error": ECHO}),
        Reply(502, f"<p>{ECHO}</p>".encode()),
        Reply(502, b"x" * 180 + KEY.encode()),
        Reply(200, ECHO.encode()),
        Reply(200, {"data": {"message": ECHO}}),
        Reply(200, {"success": False, "error": {"code": "X", "message": ECHO}}),
        Reply(302, b"", {"Location": f"https://{KEY}.test/{KEY}"}),
        Reply(400, {"error": {"message": "m"}}, {"X-Request-Id": KEY}),
    ],
)
def test_no_error_shows_a_secret(make_face, service: Service, reply: Reply, caplog: pytest.LogCaptureFixture) -> None:
    face = make_face(api_key=KEY)
    service.replies = [reply]
    webhook = Webhook(url="https://h.test/", secret=SECRET)
    with caplog.at_level(logging.INFO), pytest.raises(ThunderbitError) as caught:
        face.call("submit", ["https://e.test/"], REQUEST, webhook=webhook)
    assert service.seen[0].headers["authorization"] == f"Bearer {KEY}"
    text = shown(caught.value) + caplog.text + repr(face.client)
    assert [canary for canary in CANARIES if canary in text] == []
    assert not isinstance(caught.value.__context__ or caught.value.__cause__, httpx.HTTPError)


def test_repeats_are_logged_without_secrets(make_face, service: Service, caplog: pytest.LogCaptureFixture) -> None:
    service.replies = [Reply(500, {"error": {"code": "X", "message": ECHO}}), Drop(), ok(job("PENDING", []))]
    face = make_face(api_key=KEY)
    with caplog.at_level(logging.INFO, "thunderbit_dagster.api"):
        face.call("get_job", JobRef(JobKind.DISTILL, "b"))
    assert caplog.text.count("again in") == 2
    assert "cafebabe" not in caplog.text


class Elsewhere(httpx.BaseTransport):
    """A transport that redirects in its own way and fails with the request's headers in the message."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        raise httpx.LocalProtocolError(f"Illegal header value {request.headers['authorization']!r}", request=request)


def test_messages_of_the_http_library_are_cleaned() -> None:
    client = ThunderbitClient(KEY, base_url="http://127.0.0.1:1", transport=Elsewhere())
    with client, pytest.raises(ReplyLostError, match=r"Illegal header value .*\[secret\]") as caught:
        client.submit(["https://e.test/"], Distill())
    assert "cafebabe" not in shown(caught.value)


def test_the_key_goes_to_one_origin_only() -> None:
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200, json={"data": job("PENDING", [])})

    with ThunderbitClient(KEY, base_url="https://one.test/v1", transport=httpx.MockTransport(answer)) as client:
        client.get_job(JobRef(JobKind.DISTILL, "b"))
        with pytest.raises(ConfigurationError, match=r"https://one\.test only"):
            client._http.get("https://two.test/v1/x")
    assert [request.url.host for request in sent] == ["one.test"]
    assert sent[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    "problem",
    [
        ApiError(429, "X", "m", details={"a": "b"}, request_id="r", retry_after=2.0),
        ReplyLostError("gone", may_have_arrived=True),
        NotSentError("refused"),
        BudgetExceededError(61.0, 30.0),
    ],
)
def test_errors_survive_a_pickle_and_a_copy(problem: ThunderbitError) -> None:
    for again in (pickle.loads(pickle.dumps(problem)), copy.copy(problem)):  # noqa: S301  our own bytes
        assert (type(again), str(again), vars(again)) == (type(problem), str(problem), vars(problem))
        assert again.maybe_accepted == problem.maybe_accepted


def test_giving_up_at_once_is_a_policy(make_face, service: Service) -> None:
    service.replies = [Reply(500, {"error": ECHO})]
    face: Face = make_face(api_key=KEY, retry=RetryPolicy(attempts=1))
    with pytest.raises(ApiError) as caught:
        face.call("get_job", JobRef(JobKind.DISTILL, "b"))
    assert len(service.seen) == 1
    assert "cafebabe" not in shown(caught.value)


def test_a_client_that_was_refused_its_key_can_still_be_shown() -> None:
    client = ThunderbitClient.__new__(ThunderbitClient)
    with pytest.raises(ConfigurationError):
        client.__init__(KEY + "\n")  # type: ignore[misc]
    assert KEY not in repr(client)
