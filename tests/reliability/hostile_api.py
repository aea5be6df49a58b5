"""An API on loopback that takes jobs properly and answers about them as it likes."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

JOB = "batch_0123456789abcdef01234567"


@dataclass
class Asked:
    """A status request: how many came before it, which page of which size, and the URLs of the job."""

    number: int
    page: int
    size: int
    urls: list[str]

    @property
    def rows(self) -> list[dict[str, object]]:
        """The proper rows of the page."""
        place = self.page * self.size
        return [
            {"url": url, "index": number, "status": "SUCCEEDED", "markdown": f"# Page {number}"}
            for number, url in list(enumerate(self.urls))[place : place + self.size]
        ]

    def job(self, rows: object = None, **fields: object) -> dict[str, object]:
        """The proper answer, with other rows or fields."""
        data = {"id": JOB, "status": "COMPLETED", "total": len(self.urls), "completed": len(self.urls), "failed": 0}
        data |= {"creditsUsed": len(self.urls), "results": self.rows if rows is None else rows, **fields}
        return {"success": True, "data": data}


Answer = Callable[[Asked, socket.socket], None]


def send(
    to: socket.socket, body: bytes, *, status: str = "200 OK", headers: tuple[str, ...] = (), length: object = None
) -> None:
    """A whole response; `length` replaces the true one."""
    size = len(body) if length is None else length
    head = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {size}", "Connection: close"]
    to.sendall("\r\n".join([*head, *headers, "", ""]).encode() + body)


def as_json(value: object) -> bytes:
    return json.dumps(value).encode()


@dataclass
class HostileApi:
    """Takes one job; `answer` writes what a status request gets."""

    answer: Answer
    posts: int = 0
    pages: list[tuple[int, int]] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)

    @contextmanager
    def serving(self) -> Iterator[HostileApi]:
        self._over = threading.Event()
        with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
            self.base_url = f"http://127.0.0.1:{listener.getsockname()[1]}/openapi/v1"
            thread = threading.Thread(target=self._accept, args=(listener,), daemon=True)
            thread.start()
            yield self
            self._over.set()
            with suppress(OSError):
                socket.create_connection(listener.getsockname()).close()
            thread.join()

    def _accept(self, listener: socket.socket) -> None:
        while not self._over.is_set():
            connection, _ = listener.accept()
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        # A client that has enough hangs up.
        with connection, suppress(OSError):
            connection.settimeout(20)
            verb, target, body = _request(connection)
            if verb == "POST":
                self.posts += 1
                self.urls = self.urls or json.loads(body)["urls"]
                send(connection, as_json({"success": True, "data": {"id": JOB, "status": "PENDING"}}))
            elif verb == "GET":
                query = parse_qs(urlsplit(target).query)
                page, size = int(query["page"][0]), int(query["pageSize"][0])
                self.pages.append((page, size))
                self.answer(Asked(len(self.pages) - 1, page, size, self.urls), connection)

    def wait(self, seconds: float) -> bool:
        """Whether the test is over after so long."""
        return self._over.wait(seconds)


def _request(connection: socket.socket) -> tuple[str, str, bytes]:
    received = b""
    while b"\r\n\r\n" not in received:
        received += _more(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    lengths = [int(line.split(":")[1]) for line in lines if line.lower().startswith("content-length:")]
    while len(body) < (lengths or [0])[0]:
        body += _more(connection)
    verb, target, _ = lines[0].split(" ", 2)
    return verb, target, body


def _more(connection: socket.socket) -> bytes:
    if part := connection.recv(65_536):
        return part
    raise ConnectionError("hung up")


def bomb(megabytes: int) -> bytes:
    """A gzip stream of so many megabytes of blanks inside a JSON text."""
    packed = gzip.compress(b" " * 2**20, 6)
    return gzip.compress(b'{"success": true, "data": {"results": [') + packed * megabytes + gzip.compress(b"]}}")


def trickle(to: socket.socket, parts: Iterator[bytes], seconds: float) -> None:
    """Send part by part, with a pause after each, until the client hangs up."""
    for part in parts:
        to.sendall(part)
        time.sleep(seconds)
