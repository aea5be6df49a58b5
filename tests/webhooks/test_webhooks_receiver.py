"""The receiver over real sockets: what it answers, what it reports, and what it lets nobody do."""

import asyncio
import json
import logging
import socket
import threading
import time

import httpx
import pytest
from webhook_support import NEW_SECRET, SECRET, call, close, deliver, head, payload, signed, until

from thunderbit_dagster.api.signatures import sign, sign_legacy
from thunderbit_dagster.serving import PortInUseError
from thunderbit_dagster.webhooks.server import Server
from thunderbit_dagster.webhooks.verify import DeliveryRules

INTENT = "0123456789abcdef"


def test_a_signed_call_is_acknowledged_and_reported(serve, notebook):
    server = serve()
    answer = call(f"{server.url}?intent={INTENT}", payload("batch_7", "FAILED"))
    assert answer.status == 204
    until(lambda: notebook.calls)
    [told] = notebook.calls
    assert (told.job, told.status, told.intent_id) == ("distill/batch_7", "FAILED", INTENT)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(lambda _: {}, id="no signature"),
        pytest.param(lambda b: {"X-Webhook-Timestamp": signed(b)["X-Webhook-Timestamp"]}, id="only a time"),
        pytest.param(lambda b: {"X-Webhook-Signature": signed(b)["X-Webhook-Signature"]}, id="no time"),
        pytest.param(lambda b: signed(b, secret="another"), id="another secret"),
        pytest.param(lambda b: {**signed(b), "X-Webhook-Timestamp": "1"}, id="another time"),
        pytest.param(lambda b: signed(b + b" "), id="another body"),
        pytest.param(lambda b: {**signed(b), "X-Webhook-Signature": sign_legacy(SECRET, b)}, id="the older scheme"),
        pytest.param(lambda b: {**signed(b), "X-Webhook-Signature": "sha256=\xe9\xff"}, id="not ASCII"),
        pytest.param(lambda b: {**signed(b), "X-Webhook-Signature": ""}, id="empty"),
        pytest.param(
            lambda b: {"X-Thunderbit-Signature": signed(b)["X-Webhook-Signature"], "X-Webhook-Timestamp": "1"},
            id="another header",
        ),
    ],
)
def test_what_is_not_signed_right_is_refused_and_changes_nothing(serve, notebook, headers):
    server = serve()
    body = payload("batch_1", note="é")
    assert call(server.url, body, headers(body)).status == 401
    assert call(server.url, body).status == 204  # and was not taken for a repetition
    until(lambda: notebook.calls)
    assert notebook.jobs == [("distill/batch_1", "COMPLETED")]


def test_bodies_that_are_not_ascii_or_not_json_do_no_harm(serve, notebook):
    server = serve()
    answers = [call(server.url, body).status for body in (b"\xff\xfe", b"", b"[]", b"{}", b"[" * 60_000, b"null")]
    assert answers == [204] * 6
    assert call(server.url, payload("é" * 300)).status == 204
    until(lambda: notebook.calls)
    assert len(notebook.calls) == 1


@pytest.mark.parametrize("legacy", [False, True])
def test_each_of_two_secrets_is_taken_while_they_rotate(serve, notebook, legacy):
    server = serve(rules=DeliveryRules(secrets=(NEW_SECRET, SECRET), legacy=legacy))
    for number, secret in enumerate([SECRET, NEW_SECRET, "third"]):
        body = payload(f"batch_{number}")
        headers = {"X-Webhook-Signature": sign_legacy(secret, body)} if legacy else signed(body, secret=secret)
        assert call(server.url, body, headers).status == (401 if secret == "third" else 204)
    until(lambda: len(notebook.calls) == 2)
    assert [told.job for told in notebook.calls] == ["distill/batch_0", "distill/batch_1"]


@pytest.mark.parametrize("skew", [-1, 1])
def test_a_late_retry_counts_and_a_stale_one_is_acknowledged_but_changes_nothing(serve, notebook, skew):
    server = serve()
    late, stale = payload("late"), payload("stale")
    assert call(server.url, stale, signed(stale, at=time.time() + skew * 3000)).status == 204
    assert call(server.url, late, signed(late, at=time.time() + skew * 2600)).status == 204
    until(lambda: notebook.calls)
    assert notebook.jobs == [("distill/late", "COMPLETED")]


def test_a_hundred_repetitions_have_one_effect(serve, notebook):
    server = serve()
    body = payload()
    headers = signed(body)

    async def repeat():
        return await asyncio.gather(*(deliver(server.url, body, headers) for _ in range(100)))

    assert {answer.status for answer in asyncio.run(repeat())} == {204}
    until(lambda: notebook.calls)
    assert call(server.url, body).status == 204  # signed anew, the same news
    figures = httpx.get(server.origin + "/healthz", trust_env=False).json()
    assert (figures["accepted"], figures["duplicate"], figures["reported"]) == (1, 100, 1)


def test_calls_out_of_order_are_all_reported(serve, notebook):
    server = serve()
    news = [("b", "COMPLETED"), ("a", "CANCELLED"), ("b", "PROCESSING"), ("a", "COMPLETED")]
    assert [call(server.url, payload(*one)).status for one in news] == [204] * 4
    until(lambda: len(notebook.calls) == 4)
    assert notebook.jobs == [(f"distill/{job}", status) for job, status in news]


def test_without_signatures_everybody_is_believed(serve, notebook):
    server = serve(rules=DeliveryRules(unsigned=True))
    assert call(server.url, payload(), {}).status == 204
    until(lambda: notebook.calls)


def test_a_full_queue_sends_the_sender_away_for_a_while_and_takes_the_call_later(serve, notebook):
    free = threading.Event()
    held = []

    def slow(told):
        held.append(told)
        free.wait()
        notebook(told)

    server = serve(report=slow, reporter={"capacity": 3})
    assert call(server.url, payload("batch_0")).status == 204
    until(lambda: held)
    assert [call(server.url, payload(f"batch_{n}")).status for n in range(1, 6)] == [204, 204, 204, 503, 503]
    turned_away = call(server.url, payload("batch_4"))
    assert turned_away.status == 503
    assert "retry-after: 10" in turned_away.head.lower()
    free.set()
    until(lambda: len(notebook.calls) == 4)
    assert call(server.url, payload("batch_4")).status == 204
    until(lambda: len(notebook.calls) == 5)


def test_a_report_that_fails_is_tried_again_and_at_last_dropped(serve, notebook, caplog):
    notebook.broken = 2
    server = serve()
    assert call(server.url, payload("batch_1")).status == 204
    until(lambda: notebook.calls)
    notebook.broken = 3
    assert call(server.url, payload("batch_2")).status == 204
    assert call(server.url, payload("batch_3")).status == 204
    until(lambda: len(notebook.calls) == 2)
    assert [told.job for told in notebook.calls] == ["distill/batch_1", "distill/batch_3"]
    assert any("polling will find" in entry.message and entry.levelno == logging.ERROR for entry in caplog.records)
    assert httpx.get(server.origin + "/healthz", trust_env=False).json()["dropped"] == 1


def test_what_was_acknowledged_is_reported_before_the_receiver_ends(serve, notebook):
    server = serve()
    for number in range(20):
        assert call(server.url, payload(f"batch_{number}")).status == 204
    server.__exit__(None, None, None)
    assert len(notebook.calls) == 20


def test_the_receiver_does_not_end_before_what_was_acknowledged_is_reported(serve, notebook):
    free = threading.Event()

    def held(told):
        free.wait()
        notebook(told)

    server = serve(report=held)
    for number in range(20):
        assert call(server.url, payload(f"batch_{number}")).status == 204
    ending = threading.Thread(target=server.__exit__, args=(None, None, None))
    ending.start()
    until(lambda: not accepts(server.port))
    ending.join(0.2)
    assert ending.is_alive()
    free.set()
    ending.join()
    assert len(notebook.calls) == 20


def accepts(port):
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionError:
        return False
    return True


@pytest.mark.parametrize("size", [64 * 1024 + 1, 100_000_000])
def test_a_body_too_large_is_refused_by_its_announcement(serve, notebook, size):
    server = serve()

    async def announce():
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(head(server.url, {"Content-Length": str(size)}) + b"x" * 1000)
        answer = await reader.read()
        await close(writer)
        return answer

    assert asyncio.run(announce()).startswith(b"HTTP/1.1 413")
    assert notebook.calls == []


def test_a_body_that_grows_too_large_is_cut_off(serve):
    server = serve()
    sent = 0

    async def pour():
        nonlocal sent
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(head(server.url, {"Transfer-Encoding": "chunked"}))
        try:
            while sent < 100_000_000:
                writer.write(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
                sent += 65_536
                await writer.drain()
        except ConnectionError:
            pass
        await close(writer)

    asyncio.run(pour())
    assert sent < 20_000_000  # what the system's own buffers hold
    assert call(server.url, payload()).status == 204


def test_headers_too_large_are_refused(serve, notebook):
    server = serve()
    assert call(server.url, payload(), {"X-Filler": "x" * 200_000}).status in (0, 400)
    assert call(server.url, payload()).status == 204
    until(lambda: notebook.calls)


@pytest.mark.parametrize(
    "start", [b"", b"POST /webh", b"POST /webhooks/thunderbit HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx"]
)
def test_a_sender_that_does_not_end_is_cut_off(serve, start):
    server = serve(limits={"connection_seconds": 0.1})

    async def dawdle():
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(start)
        try:
            return await reader.read()
        except ConnectionError:
            return b""
        finally:
            await close(writer)

    began = time.perf_counter()
    assert asyncio.run(dawdle()) == b""
    assert time.perf_counter() - began >= 0.1
    assert call(server.url, payload()).status == 204


def test_when_slow_senders_hold_every_connection_the_oldest_makes_room(serve, notebook):
    server = serve(limits={"max_connections": 5})

    async def crowd():
        slow = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(50)]
        for _, writer in slow:
            writer.write(b"POST /webhooks/")
        body = payload()
        answer = await deliver(server.url, body, signed(body))
        cut_off = [await asyncio.wait_for(ended(reader), 5.0) for reader, _ in slow[:45]]
        for _, writer in slow:
            await close(writer)
        return answer, cut_off

    async def ended(reader):
        try:
            return await reader.read()
        except ConnectionError:
            return b""

    answer, cut_off = asyncio.run(crowd())
    assert answer.status == 204
    assert cut_off == [b""] * 45
    until(lambda: notebook.calls)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/webhooks/thunderbit", 405), ("POST", "/elsewhere", 404), ("POST", "/healthz", 405)],
)
def test_nothing_else_is_served(serve, notebook, method, path, status):
    server = serve()
    assert httpx.request(method, server.origin + path, trust_env=False).status_code == status
    assert notebook.calls == []


def test_the_path_can_be_chosen(serve, notebook):
    server = serve(path="/in/from-thunderbit")
    assert server.url.endswith("/in/from-thunderbit")
    assert call(server.url, payload()).status == 204
    until(lambda: notebook.calls)


def test_the_log_names_job_and_status_and_holds_neither_body_nor_signature(serve, notebook, caplog):
    caplog.set_level(logging.DEBUG)
    server = serve()
    body = payload("batch_9", note="CANARY-BODY")
    headers = signed(body)
    forged = {**headers, "X-Webhook-Signature": sign("wrong", headers["X-Webhook-Timestamp"], body)}
    call(server.url, body, forged)
    call(server.url, body, headers)
    until(lambda: notebook.calls)
    lines = [entry.getMessage() for entry in caplog.records if entry.name == "thunderbit_dagster.webhooks"]
    told = [json.loads(line) for line in lines]
    assert [(one["event"], one.get("job"), one.get("status")) for one in told] == [
        ("webhook refused", None, None),
        ("webhook accepted", "distill/batch_9", "COMPLETED"),
    ]
    everything = "\n".join(entry.getMessage() for entry in caplog.records)
    for secret in ("CANARY", SECRET, headers["X-Webhook-Signature"], forged["X-Webhook-Signature"]):
        assert secret not in everything


def test_a_flood_of_forged_calls_fills_no_log(serve, caplog):
    server = serve()
    for number in range(50):
        call(server.url, payload(f"batch_{number}"), {})
    assert sum("webhook refused" in entry.message for entry in caplog.records) == 1


def test_a_port_in_use_is_named(serve):
    server = serve()
    with pytest.raises(PortInUseError, match=str(server.port)):
        Server(server.receiver, port=server.port)
