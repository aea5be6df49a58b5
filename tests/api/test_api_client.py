"""What the clients do with answers, failures and arguments, over real HTTP and through both faces."""

from __future__ import annotations

import re
import socket
from email.utils import formatdate

import httpx
import pytest
from loopback import KEY, Clock, CutOff, Drop, Face, Reply, Service, Silence, error, job, ok, row

from thunderbit_dagster.api import (
    ApiError,
    AuthenticationError,
    BadRequestError,
    BatchSizeExceededError,
    BudgetExceededError,
    ConfigurationError,
    Distill,
    Extract,
    InsufficientCreditsError,
    JobKind,
    JobNotFoundError,
    JobRef,
    JobStatus,
    MemoryBudget,
    NotSentError,
    ProtocolError,
    RateLimitedError,
    ReplyLostError,
    RetryPolicy,
    ServerError,
    TargetError,
    ThunderbitClient,
    Webhook,
)

REF = JobRef(JobKind.DISTILL, "batch_1")
URLS = ["https://e.test/0", "https://e.test/1"]


def submit(face: Face):
    return face.call("submit", URLS, Distill())


def test_submit_sends_the_options_once_and_gives_the_job(face: Face, service: Service) -> None:
    service.replies = [ok(job("PENDING", total=2))]
    request = Distill(links=True, render_mode="advanced", wait_for=500, headers={"Cookie": "a=b"})
    made = face.call("submit_distill", URLS, request, webhook=Webhook(url="https://hook.test/x", secret="s3cret"))
    assert (made.ref, made.status, made.total) == (REF, JobStatus.PENDING, 2)
    [sent] = service.seen
    assert (sent.method, sent.path) == ("POST", "/batch/distill")
    assert sent.body == {
        "urls": URLS,
        "include": ["metadata", "links"],
        "renderMode": "full",
        "waitFor": 500,
        "headers": {"Cookie": "a=b"},
        "webhook": {"url": "https://hook.test/x", "secret": "s3cret"},
    }
    assert sent.headers["authorization"] == f"Bearer {KEY}"
    agent = r"thunderbit-dagster/\d[\w.]* \(\+python/3\.\d+ httpx/[\d.]+\)"
    assert re.fullmatch(agent, sent.headers["user-agent"])


@pytest.mark.parametrize("status", [200, 201, 202])
def test_any_2xx_accepts_a_submit(face: Face, service: Service, status: int) -> None:
    service.replies = [Reply(status, {"success": True, "data": {"id": "x", "status": "pending"}})]
    assert submit(face).ref.id == "x"


# Paid requests: repeated only when surely not accepted.


@pytest.mark.parametrize("reply", [Drop(), CutOff(), error(408), error(500), error(502), error(503), error(504)])
def test_a_submit_that_may_have_arrived_is_never_repeated(face: Face, service: Service, reply: Reply) -> None:
    service.replies = [reply]
    with pytest.raises((ReplyLostError, ApiError)) as caught:
        submit(face)
    assert caught.value.maybe_accepted
    assert len(service.seen) == 1


def test_a_submit_without_an_answer_in_time_is_never_repeated(make_face, service: Service) -> None:
    service.replies = [Silence()]
    with pytest.raises(ReplyLostError, match="ReadTimeout") as caught:
        submit(make_face(request_timeout=0.2))
    assert caught.value.maybe_accepted
    assert len(service.seen) == 1


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>ok</html>", b'{"success": true, "data": {"id"', {"data": {}}, {"data": {"id": " "}}, [1]],
)
def test_an_accepted_submit_without_a_readable_id_is_maybe_accepted(face: Face, service: Service, body: object) -> None:
    service.replies = [Reply(200, body)]
    with pytest.raises(ProtocolError) as caught:
        submit(face)
    assert caught.value.maybe_accepted
    assert len(service.seen) == 1


@pytest.mark.parametrize(
    "refusal",
    [
        error(429, "RATE_LIMIT_EXCEEDED", Retry_After="2"),
        error(429, "RATE_LIMIT_EXCEEDED"),
        error(503, "SCRAPE_SERVICE_UNAVAILABLE", Retry_After="2"),
    ],
)
def test_a_submit_that_was_surely_refused_is_repeated(
    face: Face, service: Service, clock: Clock, refusal: Reply
) -> None:
    service.replies = [refusal, ok(job("PENDING"))]
    assert submit(face).ref == REF
    assert len(service.seen) == 2
    assert sum(clock.slept) >= (2 if "Retry-After" in refusal.headers else 0.2)


def test_a_submit_to_nobody_is_repeated_and_then_surely_not_sent(make_face, clock: Clock) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        face = make_face(base_url=f"http://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(NotSentError) as caught:
            submit(face)
    assert not caught.value.maybe_accepted
    assert len(clock.slept) == RetryPolicy().attempts - 1


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "INVALID_SCHEMA", BadRequestError),
        (400, "BATCH_SIZE_EXCEEDED", BatchSizeExceededError),
        (401, "API_KEY_REVOKED", AuthenticationError),
        (402, "INSUFFICIENT_CREDITS", InsufficientCreditsError),
        (403, "FORBIDDEN", AuthenticationError),
        (404, "NOT_HERE", ApiError),
        (422, "INVALID_PARAMETER", BadRequestError),
    ],
)
def test_refusals_are_raised_at_once_with_their_class(
    face: Face, service: Service, status: int, code: str, kind: type
) -> None:
    service.replies = [error(status, code, "because")]
    with pytest.raises(kind, match="because") as caught:
        submit(face)
    assert (caught.value.status, caught.value.code) == (status, code)
    assert not caught.value.maybe_accepted
    assert len(service.seen) == 1


def test_paid_requests_get_connections_of_their_own(face: Face, service: Service) -> None:
    service.otherwise = lambda seen: ok(job("PENDING", [] if seen.method == "GET" else None))
    for _ in range(2):
        submit(face)
        face.call("get_job", REF)
    paid = [seen.connection for seen in service.seen if seen.method == "POST"]
    reads = [seen.connection for seen in service.seen if seen.method == "GET"]
    assert len(set(paid)) == 2
    assert set(paid).isdisjoint(reads)
    assert len(set(reads)) == 1  # reads do keep theirs


# Reads and cancellations: repeated within bounds.


@pytest.mark.parametrize(
    "fault",
    [
        Drop(),
        CutOff(),
        error(408),
        error(429),
        error(500),
        error(502),
        Reply(503, b"<html><h1>Busy</h1></html>"),
        Reply(200, b'{"success": true, "data": {"id": "bat'),
        Reply(200, [1, 2]),
    ],
)
def test_a_read_is_repeated(face: Face, service: Service, clock: Clock, fault: Reply) -> None:
    service.replies = [fault, fault, ok(job("PROCESSING", [row(0)]))]
    page = face.call("get_job", REF)
    assert (page.job.status, len(page.rows), len(service.seen)) == (JobStatus.PROCESSING, 1, 3)
    assert len(clock.slept) >= 2


def test_a_read_is_repeated_a_bounded_number_of_times(make_face, service: Service, clock: Clock) -> None:
    service.otherwise = lambda _: error(500, "INTERNAL_ERROR")
    with pytest.raises(ServerError) as caught:
        make_face(retry=RetryPolicy(attempts=3)).call("get_job", REF)
    assert len(service.seen) == 3
    assert not caught.value.maybe_accepted
    first, second = clock.slept
    assert 0.25 <= first <= 0.5 <= second <= 1.0


def test_clients_that_fail_together_do_not_come_back_together(make_face, service: Service, clock: Clock) -> None:
    service.otherwise = lambda _: error(500)
    for _ in range(8):
        with pytest.raises(ServerError):
            make_face(retry=RetryPolicy(attempts=2)).call("get_job", REF)
    assert len(set(clock.slept)) > 1
    assert all(0.25 <= wait <= 0.5 for wait in clock.slept)


def test_a_read_is_repeated_for_a_bounded_time(make_face, service: Service, clock: Clock) -> None:
    service.otherwise = lambda _: error(500)
    retry = RetryPolicy(attempts=1000, total=60.0)
    with pytest.raises(ServerError):
        make_face(retry=retry).call("get_job", REF)
    assert 30 <= sum(clock.slept) <= 60


def test_a_clock_that_steps_back_bounds_repeating_all_the_same(make_face, service: Service, clock: Clock) -> None:
    def answer(_: object) -> Reply:
        clock.now -= 3600
        return error(500)

    service.otherwise = answer
    with pytest.raises(ServerError):
        make_face(retry=RetryPolicy(attempts=40, total=60.0)).call("get_job", REF)
    assert sum(clock.slept) <= 60


@pytest.mark.parametrize("status", [400, 401, 402, 403])
def test_a_refused_read_is_not_repeated(face: Face, service: Service, status: int) -> None:
    service.replies = [error(status)]
    with pytest.raises(ApiError):
        face.call("get_job", REF)
    assert len(service.seen) == 1


@pytest.mark.parametrize("status", [404, 410])
def test_an_unknown_or_expired_job(face: Face, service: Service, status: int) -> None:
    service.replies = [error(status, "JOB_NOT_FOUND")]
    with pytest.raises(JobNotFoundError):
        face.call("get_job", REF)


@pytest.mark.parametrize("status", [200, 400, 404, 409, 422])
def test_after_a_cancellation_the_job_itself_decides(face: Face, service: Service, status: int) -> None:
    answer = ok(None) if status == 200 else error(status)
    service.replies = [answer, ok(job("CANCELLED", [], creditsUsed=1))]
    over = face.call("cancel_job", REF)
    assert (over.status, over.credits_used) == (JobStatus.CANCELLED, 1)
    assert [(seen.method, seen.path) for seen in service.seen] == [
        ("DELETE", "/batch/distill/batch_1"),
        ("GET", "/batch/distill/batch_1"),
    ]
    assert service.seen[1].query == {"page": "0", "pageSize": "1"}


@pytest.mark.parametrize("answer", [Reply(204, b""), Reply(200, b"OK"), Reply(200, {"success": False})])
def test_a_cancellation_may_be_answered_in_any_way(face: Face, service: Service, answer: Reply) -> None:
    service.replies = [answer, ok(job("PROCESSING", []))]
    assert face.call("cancel_job", REF).status is JobStatus.PROCESSING
    assert len(service.seen) == 2


def test_a_cancellation_is_repeated_when_its_answer_is_lost(face: Face, service: Service) -> None:
    service.replies = [Drop(), error(409, "ALREADY_TERMINAL"), ok(job("CANCELLED", []))]
    assert face.call("cancel_job", REF).status is JobStatus.CANCELLED


def test_a_cancellation_without_the_right_key_fails(face: Face, service: Service) -> None:
    service.replies = [error(401, "API_KEY_REVOKED")]
    with pytest.raises(AuthenticationError):
        face.call("cancel_job", REF)
    assert len(service.seen) == 1


# Waiting as told.


def test_retry_after_in_seconds_as_a_date_and_the_reset_of_the_window(
    face: Face, service: Service, clock: Clock
) -> None:
    begin = clock.now
    service.replies = [
        error(429, Retry_After="7"),
        error(429, Retry_After=formatdate(begin + 7 + 20, usegmt=True)),
        error(429, X_RateLimit_Reset=str(int((begin + 7 + 20 + 30) * 1000))),
        ok(job("PENDING", [])),
    ]
    face.call("get_job", REF)
    assert clock.slept == [pytest.approx(wait, abs=0.01) for wait in (7, 20, 30)]


def test_without_a_page_size_the_api_decides_and_the_answer_is_handed_on_as_received(
    face: Face, service: Service
) -> None:
    service.replies = [ok({"id": "batch_1", "status": "completed", "results": [row(0), row(1)]})]
    answers = []
    face.client.on_answer = answers.append
    assert len(face.call("get_job", REF, page_size=None).rows) == 2
    assert "pageSize" not in service.seen[0].query
    assert [answer.status for answer in answers] == [200]
    assert b"completed" in answers[0].content


@pytest.mark.parametrize("method", ["submit", "get_job"])
def test_an_absurd_wait_is_raised_with_its_length(face: Face, service: Service, clock: Clock, method: str) -> None:
    service.replies = [error(429, "RATE_LIMIT_EXCEEDED", Retry_After=str(3 * 86_400))]
    arguments = (URLS, Distill()) if method == "submit" else (REF,)
    with pytest.raises(RateLimitedError) as caught:
        face.call(method, *arguments)
    assert caught.value.retry_after == 3 * 86_400
    assert clock.slept == []
    with pytest.raises(BudgetExceededError):  # nobody else asks before that either
        face.call("get_job", REF)
    assert len(service.seen) == 1


def test_the_window_of_the_service_holds_back_requests(make_face, service: Service, clock: Clock) -> None:
    reset = int(clock.now) + 40
    headers = {"X-RateLimit-Limit": "3", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(reset)}
    service.replies = [Reply(200, {"data": job("PENDING", [])}, headers), ok(job("PENDING", []))]
    face = make_face(budget=MemoryBudget(10, clock=clock))
    face.call("get_job", REF)
    face.call("get_job", REF)
    assert clock.slept == [pytest.approx(40, abs=0.01)]


def test_a_full_budget_is_waited_for_no_longer_than_allowed(make_face, service: Service, clock: Clock) -> None:
    service.otherwise = lambda _: ok(job("PENDING", []))
    face = make_face(budget=MemoryBudget(1, clock=clock), max_wait=30.0)
    face.call("get_job", REF)
    with pytest.raises(BudgetExceededError) as caught:
        face.call("get_job", REF)
    assert (caught.value.wait, caught.value.max_wait) == (60.0, 30.0)
    assert len(service.seen) == 1


def test_a_submit_goes_out_at_once_on_the_slot_taken_before(make_face, service: Service, clock: Clock) -> None:
    service.otherwise = lambda _: ok(job("PENDING", []))
    face = make_face(budget=MemoryBudget(1, clock=clock))
    assert face.call("take_slot") == 0
    face.call("submit", URLS, Distill(), slot_taken=True)
    assert clock.slept == []
    assert face.call("take_slot") == pytest.approx(60, abs=0.01)
    assert len(service.seen) == 1


def test_a_repeated_submit_takes_a_slot_of_its_own(make_face, service: Service, clock: Clock) -> None:
    service.replies = [error(503, Retry_After="1"), ok(job("PENDING", []))]
    face = make_face(budget=MemoryBudget(1, clock=clock))
    face.call("take_slot")
    face.call("submit", URLS, Distill(), slot_taken=True)
    assert sum(clock.slept) == pytest.approx(60, abs=0.01)


def test_time_in_the_queue_does_not_use_up_the_time_for_repeating(make_face, service: Service, clock: Clock) -> None:
    service.replies = [ok(job("PENDING", [])), error(500), ok(job("PENDING", []))]
    face = make_face(budget=MemoryBudget(1, clock=clock), retry=RetryPolicy(total=50.0))
    face.call("get_job", REF)
    face.call("get_job", REF)
    assert len(service.seen) == 3


def test_a_page_that_throttles_does_not_hold_back_the_account(face: Face, service: Service, clock: Clock) -> None:
    service.replies = [error(429, "SCRAPE_TARGET_RATE_LIMITED", Retry_After="90"), ok({"markdown": "x"})]
    face.call("distill", "https://e.test/")
    assert face.budget.window.shut == 0
    assert sum(clock.slept) == pytest.approx(90)


# Answers that are neither one thing nor the other.


def test_redirects_are_not_followed_and_name_the_host(face: Face, service: Service) -> None:
    service.replies = [Reply(307, b"", {"Location": "https://user:pw@elsewhere.test/x?token=1"})]
    with pytest.raises(ApiError, match=r"elsewhere\.test") as caught:
        submit(face)
    assert (caught.value.status, caught.value.code) == (307, "REDIRECT")
    assert not caught.value.maybe_accepted
    assert "token" not in str(caught.value)
    assert "pw" not in str(caught.value)
    assert len(service.seen) == 1


def test_an_error_inside_a_success_is_an_error(face: Face, service: Service) -> None:
    service.replies = [Reply(200, {"success": False, "error": {"code": "INSUFFICIENT_CREDITS", "message": "none"}})]
    with pytest.raises(InsufficientCreditsError, match="none") as caught:
        submit(face)
    assert caught.value.status == 402
    assert not caught.value.maybe_accepted


def test_both_error_envelopes_and_their_details(face: Face, service: Service) -> None:
    swapped = {"code": 400, "status": "INVALID_PARAMETER", "message": "bad", "details": {"timeout": "too long"}}
    service.replies = [Reply(400, {"error": swapped}, {"X-Request-Id": "req-7"})]
    with pytest.raises(BadRequestError, match="timeout: too long") as caught:
        submit(face)
    assert (caught.value.code, caught.value.request_id) == ("INVALID_PARAMETER", "req-7")
    assert caught.value.details == {"timeout": "too long"}


def test_an_html_error_page_is_cut_short(face: Face, service: Service) -> None:
    page = b"<html><style>x</style><h1>Bad   gateway</h1>" + b"<p>much more</p>" * 999
    service.replies = [Reply(502, page)]
    with pytest.raises(ServerError, match="Bad gateway") as caught:
        submit(face)
    assert len(caught.value.message) <= 200
    assert caught.value.code == "HTTP_502"


# Synchronous calls and the rest of the endpoints.


def test_distill_gives_the_page(face: Face, service: Service) -> None:
    service.replies = [ok({"url": "https://e.test/", "markdown": "# A", "metadata": {"title": "A", "image": None}})]
    document = face.call("distill", "https://e.test/")
    assert (document.markdown, document.metadata) == ("# A", {"title": "A"})
    assert service.seen[0].body == {"url": "https://e.test/", "include": ["metadata"]}


def test_extract_gives_rows_and_the_metadata_beside_them(face: Face, service: Service) -> None:
    body = {"success": True, "data": {"data": [{"name": "Lamp"}]}, "metadata": {"sourceUrl": "https://e.test/"}}
    service.replies = [Reply(200, body)]
    schema = {"type": "object", "properties": {"name": {"type": "string"}}}
    document = face.call("extract", "https://e.test/", Extract(schema=schema))
    assert document.data == [{"name": "Lamp"}]
    assert document.metadata == {"sourceURL": "https://e.test/"}
    assert service.seen[0].body == {"url": "https://e.test/", "schema": schema}


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (408, "SCRAPE_TIMEOUT"),
        (422, "SCRAPE_EMPTY_CONTENT"),
        (404, "SCRAPE_TARGET_NOT_FOUND"),
        (403, "SCRAPE_TARGET_FORBIDDEN"),
    ],
)
def test_a_page_at_fault_is_not_the_service_at_fault(face: Face, service: Service, status: int, code: str) -> None:
    service.replies = [error(status, code)]
    with pytest.raises(TargetError) as caught:
        face.call("distill", "https://e.test/")
    assert not caught.value.maybe_accepted
    assert len(service.seen) == 1


def test_a_place_in_the_queue_is_given_up_with_the_call(make_face, service: Service, clock: Clock) -> None:
    service.otherwise = lambda _: ok(job("PENDING", []))
    face = make_face(budget=MemoryBudget(1, clock=clock), max_wait=30.0)
    face.call("get_job", REF)
    with pytest.raises(BudgetExceededError):
        face.call("get_job", REF)
    assert face.budget.window.waiting == ()


@pytest.mark.parametrize(
    ("call", "seconds"),
    [
        (lambda api: api.get_job(REF), 20.0),
        (lambda api: api.distill("https://e.test/"), 45.0),
        (lambda api: api.extract("https://e.test/", Extract(schema={"a": "x"}, timeout=120_000, wait_for=5000)), 140.0),
    ],
)
def test_synchronous_calls_wait_as_long_as_the_service_may_take(call, seconds: float, clock: Clock) -> None:
    asked: list[float] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.extensions["timeout"]["read"])
        return httpx.Response(200, json={"data": {**job("PENDING", []), "data": []}})

    options = {"transport": httpx.MockTransport(answer), "budget": MemoryBudget(9, clock=clock)}
    with ThunderbitClient(KEY, base_url="http://e.test", request_timeout=20.0, **options) as api:
        call(api)
    assert asked == [seconds]


# Arguments.


@pytest.mark.parametrize(
    ("urls", "words"),
    [
        ([], "0 given"),
        ([f"https://e.test/{n}" for n in range(101)], "101 given, 1..100"),
        (["https://e.test/", "https://e.test/"], r"urls\[1\] repeats urls\[0\]"),
        (["ftp://e.test/"], r"urls\[0\] is not an http"),
        (["https://e.test/", "https://"], r"urls\[1\]"),
        (["https://e.test/a b"], r"urls\[0\]"),
        (["https://e.test/\x00"], r"urls\[0\]"),
        (["https://[::1"], r"urls\[0\]"),
        ([None], r"urls\[0\]"),
        ("https://e.test/", "not a single string"),
    ],
)
def test_urls_are_checked_before_anything_is_sent(face: Face, service: Service, urls: object, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        face.call("submit", urls, Distill())
    assert service.seen == []


@pytest.mark.parametrize(
    ("name", "arguments", "options"),
    [
        ("get_job", (REF,), {"page_size": 0}),
        ("get_job", (REF,), {"page_size": 101}),
        ("get_job", (REF,), {"page": -1}),
        ("get_job", (JobRef(JobKind.DISTILL, ".."),), {}),
        ("distill", ("mailto:a@e.test",), {}),
    ],
)
def test_other_arguments_are_checked_too(
    face: Face, service: Service, name: str, arguments: tuple, options: dict
) -> None:
    with pytest.raises(ConfigurationError):
        face.call(name, *arguments, **options)
    assert service.seen == []


def test_a_strange_job_id_stays_one_path_segment(face: Face, service: Service) -> None:
    service.replies = [ok(job("PENDING", []))]
    face.call("get_job", JobRef(JobKind.EXTRACT, "../a?b#c/ä"))
    assert service.seen[0].path == "/batch/extract/..%2Fa%3Fb%23c%2F%C3%A4"


@pytest.mark.parametrize("key", ["", " ", "tb_ x", "tb_\n", "tb_\r\nX: y", "tb_ä", "tb_\x00", None])
def test_keys_that_no_header_can_carry_are_refused_without_showing_them(key: object) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ThunderbitClient(key)
    assert "tb_" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["", "e.test", "ftp://e.test", "https://", "https://u:p@e.test", "https://e.test?x=1", "https://e.test/#f", None],
)
def test_base_urls_are_checked(url: object) -> None:
    with pytest.raises(ConfigurationError, match="base_url"):
        ThunderbitClient(KEY, base_url=url)


@pytest.mark.parametrize(
    "options",
    [{"requests_per_minute": 0}, {"request_timeout": -1}, {"request_timeout": float("nan")}, {"max_wait": -1}],
)
def test_settings_are_checked(options: dict) -> None:
    with pytest.raises(ConfigurationError):
        ThunderbitClient(KEY, **options)


def test_origin_and_fingerprint() -> None:
    with ThunderbitClient(KEY) as client, ThunderbitClient(KEY, base_url="http://[::1]:81/a/") as other:
        assert client.origin == "https://openapi.thunderbit.com"
        assert other.origin == "http://[::1]:81"
        assert re.fullmatch("[0-9a-f]{12}", client.account_fingerprint)
        assert client.account_fingerprint != other.account_fingerprint


def test_an_environment_proxy_never_sees_a_plain_http_request(
    make_face, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.replies = [ok(job("PENDING", []))]
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    make_face().call("get_job", REF)
    assert len(service.seen) == 1
