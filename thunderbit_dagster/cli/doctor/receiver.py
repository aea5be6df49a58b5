"""A receiver that waits for the one webhook of ``thunderbit-dagster doctor``."""

from __future__ import annotations

import secrets
import time
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Thread
from typing import Final, NamedTuple

import httpx

from thunderbit_dagster.api.requests import Webhook

MAX_BODY: Final = 64 * 1024
"""Bytes of a body that are read; a payload holds no rows and takes some 300."""


class ReceivedCall(NamedTuple):
    """A webhook delivery as it arrived, at a Unix time in seconds."""

    headers: httpx.Headers
    body: bytes
    at: float


class WebhookReceiver(ThreadingHTTPServer):
    """Listens on 127.0.0.1 and keeps what is delivered. It has no pages.

    ``webhook`` is what to ask the API for, with a token in the address. Deliveries without the token are answered 503,
    so that the API repeats those about other jobs, to the receiver of the crawls.

    Raises:
        OSError: the port is taken.
    """

    def __init__(self, port: int, address: str | None = None, secret: str | None = None) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.origin = f"http://127.0.0.1:{self.server_port}"
        self.token = secrets.token_hex(8)
        url = httpx.URL(address or f"{self.origin}/").copy_set_param("doctor", self.token)
        self.webhook = Webhook(url=str(url), secret=secret or secrets.token_hex(16))
        self.arrived = Condition()
        self.deliveries: deque[ReceivedCall] = deque(maxlen=100)
        Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def wait(self, job_id: str, seconds: float) -> ReceivedCall | None:
        """The first delivery that names the job; None when none comes in so many seconds."""
        with self.arrived:
            return self.arrived.wait_for(
                lambda: next((one for one in self.deliveries if job_id.encode() in one.body), None), timeout=seconds
            )


class _Handler(BaseHTTPRequestHandler):
    server: WebhookReceiver
    timeout = 15

    def do_GET(self) -> None:
        self.send_error(404)

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        body = self.rfile.read(min(int(length), MAX_BODY) if length.isdecimal() else 0)
        with self.server.arrived:
            self.server.deliveries.append(ReceivedCall(httpx.Headers(self.headers.items()), body, time.time()))
            self.server.arrived.notify_all()
        self.send_response(204 if self.server.token in self.path else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - named by http.server
        """Nothing: signatures are not for the terminal."""
