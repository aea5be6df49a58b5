"""A server in front of an emulator that changes what the API says of batch jobs when they are read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit

Answer = tuple[int, dict[str, object]]
"""HTTP status and body."""
Change = Callable[[dict], Answer]
"""From a job as the API has it to another answer."""


def error(status: int, code: str) -> Answer:
    """An answer of the API that refuses."""
    return status, {"success": False, "error": {"code": code, "status": status, "message": code.lower()}}


def job(data: dict, /, **changed: object) -> Answer:
    """The job with other fields."""
    return 200, {"success": True, "data": {**data, **changed}}


def rows(data: dict, /, **changed: object) -> list[dict]:
    """The job's rows, all with the same fields changed; a field that is None is left out."""
    return [{name: value for name, value in {**row, **changed}.items() if value is not None} for row in data["results"]]


class AlteredAnswers:
    """Forwards everything; while ``change`` is set, it decides what a read of a job answers."""

    def __init__(self, target: str) -> None:
        self.change: Change | None = None
        self._target = urlsplit(target)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.base_url = f"http://127.0.0.1:{self._server.server_port}{self._target.path}"

    @contextmanager
    def serving(self) -> Iterator[AlteredAnswers]:
        thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()

    @contextmanager
    def answering(self, change: Change) -> Iterator[None]:
        self.change = change
        try:
            yield
        finally:
            self.change = None

    def forward(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        connection = HTTPConnection(self._target.hostname or "", self._target.port, timeout=20)
        try:
            connection.request(method, path, body or None, headers)
            response = connection.getresponse()
            status, answer = response.status, response.read()
        finally:
            connection.close()
        if method == "GET" and self.change and status == 200:
            status, altered = self.change(json.loads(answer)["data"])
            answer = json.dumps(altered).encode()
        return status, answer


def _handler(front: AlteredAnswers) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            kept = ("Authorization", "Content-Type")
            headers = {name: value for name, value in self.headers.items() if name.title() in kept}
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, answer = front.forward(self.command, self.path, headers, body)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    return Handler
