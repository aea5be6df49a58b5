"""A real S3 server on loopback, and a proxy in front of it that is slow, refuses, or breaks off on request."""

from __future__ import annotations

import http.client
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from subprocess import DEVNULL, STDOUT, Popen
from urllib.parse import urlsplit

import httpx
from ports import free_port

from thunderbit_dagster.cli.processes import answers

START_SECONDS = 60
BUCKET = "crawls"
ERRORS = {403: "AccessDenied", 500: "InternalError", 503: "SlowDown"}
HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "host", "server", "date"}


def environment(url: str) -> dict[str, str]:
    """By which obstore finds a server."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "hush-hush",
    }


@contextmanager
def s3_server(folder: Path) -> Iterator[str]:
    """The URL of a new S3 server with one empty bucket."""
    port = free_port()
    url, log = f"http://127.0.0.1:{port}", folder / "s3.log"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with log.open("wb") as out:
        process = Popen(command, stdout=out, stderr=STDOUT, stdin=DEVNULL)
    try:
        stop_by = time.monotonic() + START_SECONDS
        while not answers(url):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < stop_by, log.read_text()
            time.sleep(0.05)
        httpx.put(f"{url}/{BUCKET}", trust_env=False).raise_for_status()
        yield url
    finally:
        process.terminate()
        process.wait(START_SECONDS)


@dataclass(frozen=True)
class Asked:
    """One request to the proxy."""

    method: str
    path: str
    query: str


Fault = Callable[[Asked], int | None]
"""The status to refuse a request with, None to pass it on; it may take its time."""


@dataclass
class Proxy:
    """Passes requests on to the server, except for those that meet the fault."""

    server: str
    url: str = ""
    fault: Fault = lambda asked: None  # noqa: ARG005
    asked: list[Asked] = field(default_factory=list)
    refused: list[Asked] = field(default_factory=list)


def times(count: int, status: int, matches: Callable[[Asked], bool]) -> Fault:
    """Refuse the first so many matching requests."""
    left = iter(range(count))
    return lambda asked: status if matches(asked) and next(left, None) is not None else None


@contextmanager
def proxy(server: str) -> Iterator[Proxy]:
    """A proxy in front of a server, until the block ends."""
    state = Proxy(server)
    listening = ThreadingHTTPServer(("127.0.0.1", 0), _handler(state))
    listening.daemon_threads = True
    state.url = f"http://127.0.0.1:{listening.server_port}"
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()


def _handler(state: Proxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = urlsplit(self.path)
            asked = Asked(self.command, parts.path, parts.query)
            state.asked.append(asked)
            status = state.fault(asked)
            if status is not None:
                state.refused.append(asked)
                self._answer(status, {"Content-Type": "application/xml"}, _error(status))
                return
            connection = http.client.HTTPConnection(urlsplit(state.server).netloc, timeout=30)
            try:
                connection.request(self.command, self.path, body, dict(self.headers))
                reply = connection.getresponse()
                self._answer(reply.status, dict(reply.getheaders()), reply.read(), reply.getheader("Content-Length"))
            finally:
                connection.close()

        def _answer(self, status: int, headers: dict[str, str], body: bytes, length: str | None = None) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                if name.lower() not in HOP_BY_HOP:
                    self.send_header(name, value)
            self.send_header("Content-Length", length if self.command == "HEAD" and length else str(len(body)))
            self.end_headers()
            self.wfile.write(body if self.command != "HEAD" else b"")

        def __getattr__(self, name: str) -> Callable[[], None]:
            if name.startswith("do_"):
                return self._pass_on
            raise AttributeError(name)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def _error(status: int) -> bytes:
    code = ERRORS[status]
    return f"<Error><Code>{code}</Code><Message>The signature hush-hush is not liked.</Message></Error>".encode()
