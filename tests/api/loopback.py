"""A scripted HTTP service on loopback, a clock that tests move, and the client by the names of its methods."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from thunderbit_dagster.api import MemoryBudget, ThunderbitClient

KEY = "tb_0123456789abcdef0123456789abcdef"


class Clock:
    """Seconds that pass only when somebody sleeps; every sleep is noted."""

    def __init__(self, now: float = 1_700_000_000.0):
        self.now = now
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@dataclass
class Seen:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: object
    connection: tuple[str, int]


@dataclass
class Reply:
    """What the service does with one request."""

    status: int = 200
    body: object = None
    headers: dict[str, str] = field(default_factory=dict)

    def send(self, handler: BaseHTTPRequestHandler) -> None:
        content = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        handler.send_response(self.status)
        for name, value in self.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)


class Drop(Reply):
    """Read the request, then reset the connection without an answer."""

    def send(self, handler: BaseHTTPRequestHandler) -> None:
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.close()
        handler.close_connection = True


class CutOff(Reply):
    """Promise more bytes than are sent."""

    def send(self, handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "5000")
        handler.end_headers()
        handler.wfile.write(b'{"success": true, "da')
        handler.close_connection = True


class Silence(Reply):
    """Never answer, until the test ends."""

    def send(self, handler: BaseHTTPRequestHandler) -> None:
        handler.server.service.ended.wait(30)
        handler.close_connection = True


Script = Callable[[Seen], Reply]


class Service:
    """Answers requests from a list of replies, then from `otherwise`."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.replies: list[Reply] = []
        self.otherwise: Script = lambda _: Reply(500, {"success": False, "error": {"code": "NO_SCRIPT"}})
        self.ended = threading.Event()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.service = self
        self.base_url = f"http://127.0.0.1:{self._server.server_port}/openapi/v1"

    def next(self, seen: Seen) -> Reply:
        with self._lock:
            self.seen.append(seen)
            return self.replies.pop(0) if self.replies else self.otherwise(seen)

    @contextmanager
    def running(self) -> Iterator[Service]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            self.ended.set()
            self._server.shutdown()
            thread.join()
            self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 10
    wbufsize = -1  # head and body in one packet
    disable_nagle_algorithm = True

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length)
        url = urlsplit(self.path)
        seen = Seen(
            self.command,
            url.path.removeprefix("/openapi/v1"),
            {name: values[0] for name, values in parse_qs(url.query).items()},
            {name.lower(): value for name, value in self.headers.items()},
            json.loads(raw) if raw else None,
            self.client_address,
        )
        self.server.service.next(seen).send(self)

    do_GET = do_POST = do_DELETE = _serve  # noqa: N815  names are the base class's

    def log_message(self, *_: object) -> None:
        """Quiet."""


class Face:
    """A client whose methods are called by name."""

    def __init__(self, base_url: str, clock: Clock, **options: object):
        self.clock = clock
        self.budget = options.pop("budget", None) or MemoryBudget(1000, clock=clock)
        shared = {"base_url": base_url, "clock": clock, "budget": self.budget, **options}
        key = shared.pop("api_key", KEY)
        self.client = ThunderbitClient(key, sleep=clock.sleep, **shared)

    def call(self, name: str, *args: object, **options: object) -> object:
        return getattr(self.client, name)(*args, **options)

    def each(self, name: str, *args: object, **options: object) -> list[object]:
        return list(self.call(name, *args, **options))


def ok(data: object, **headers: str) -> Reply:
    return Reply(200, {"success": True, "data": data}, headers)


def error(status: int, code: str = "X", message: str = "no", **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, {"success": False, "error": {"code": code, "status": status, "message": message}}, named)


def job(status: str = "COMPLETED", rows: list[object] | None = None, **fields: object) -> dict[str, object]:
    listed = {} if rows is None else {"results": rows}
    return {"id": "batch_1", "status": status, **listed, **fields}


def row(index: int, status: str = "SUCCEEDED", **fields: object) -> dict[str, object]:
    content = {"markdown": f"# {index}"} if status == "SUCCEEDED" else {}
    return {"index": index, "url": f"https://e.test/{index}", "status": status, **content, **fields}
