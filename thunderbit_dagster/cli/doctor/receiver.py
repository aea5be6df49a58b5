"""A receiver that waits for the one webhook of ``thunderbit-dagster doctor``."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Final

from typing_extensions import Self

from thunderbit_dagster.cli.doctor.checks import ReceivedCall

_MAX_BODY: Final = 64 * 1024
"""Bytes of a body; a payload holds no rows and takes some 300."""
MAX_KEPT: Final = 100


class ProbeReceiver:
    """Listens on 127.0.0.1 and keeps what is delivered.

    A call whose address holds the token is acknowledged. Others are answered 503, so that the API brings calls about
    other jobs again, to the receiver of the crawls. There are no pages; ``visited`` says whether one was asked for.

    Raises:
        OSError: the port is taken.
    """

    def __init__(self, port: int, token: str) -> None:
        self.visited = threading.Event()
        self._arrived = threading.Condition()
        self._deliveries: list[ReceivedCall] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self, token))
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def take(self, delivery: ReceivedCall) -> None:
        """Keep a call."""
        with self._arrived:
            self._deliveries = [*self._deliveries[1 - MAX_KEPT :], delivery]
            self._arrived.notify_all()

    def wait(self, job_id: str, seconds: float) -> ReceivedCall | None:
        """The first call that names the job; None when none comes in so many seconds."""
        named = job_id.encode()

        def found() -> ReceivedCall | None:
            return next((one for one in self._deliveries if named in one.body), None)

        with self._arrived:
            return self._arrived.wait_for(found, timeout=seconds)


def _handler(receiver: ProbeReceiver, token: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 15

        def do_GET(self) -> None:
            receiver.visited.set()
            self._answer(404)

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            size = int(length) if length.isascii() and length.isdigit() else 0
            if size <= _MAX_BODY:
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.take(ReceivedCall(headers, self.rfile.read(size), time.time()))
            self._answer(204 if token in self.path else 503)

        def _answer(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - named by http.server
            """Nothing: signatures are not for the terminal."""

    return Handler
