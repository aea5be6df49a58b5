"""A sender of webhooks over plain sockets, honest or not, and a receiver whose reports can be held up."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from thunderbit_dagster.api.signatures import sign
from thunderbit_dagster.ledger.records import Notified

SECRET = "whsec_5d1f0c"
NEW_SECRET = "whsec_new"
PATIENCE = 20.0


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "the awaited condition did not come about"
        time.sleep(0.005)


def payload(job: str = "batch_1", status: str = "COMPLETED", **fields: object) -> bytes:
    known = {"id": job, "jobType": "batch_distill", "status": status, "total": 2, "completed": 2, "failed": 0}
    return json.dumps({**known, **fields}).encode()


def signed(body: bytes, *, secret: str = SECRET, at: float | None = None) -> dict[str, str]:
    """The headers of an honest delivery."""
    timestamp = str(int((time.time() if at is None else at) * 1000))
    return {"X-Webhook-Timestamp": timestamp, "X-Webhook-Signature": sign(secret, timestamp, body)}


@dataclass
class Notebook:
    """Keeps what was reported; the next `broken` reports fail."""

    calls: list[Notified] = field(default_factory=list)
    broken: int = 0

    def __call__(self, call: Notified) -> None:
        if self.broken:
            self.broken -= 1
            raise OSError("the event log is away")
        self.calls.append(call)

    @property
    def jobs(self) -> list[tuple[str, str]]:
        return [(call.job, call.status) for call in self.calls]


@dataclass(frozen=True)
class Answer:
    """The status of an answer and its head; status 0 when the connection was cut off without one."""

    status: int
    head: str
    seconds: float


async def deliver(url: str, body: bytes, headers: dict[str, str], *, sent: int | None = None) -> Answer:
    """One delivery on a connection of its own; `sent` bytes of the body, then the connection is half closed."""
    began = time.perf_counter()
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(head(url, {**headers, "Content-Length": str(len(body))}) + body[:sent])
        if sent is not None:
            writer.write_eof()
        answer = await reader.read()
    except ConnectionError:
        answer = b""
    finally:
        await close(writer)
    return parse(answer, time.perf_counter() - began)


def head(url: str, headers: dict[str, str], method: str = "POST") -> bytes:
    parts = urlsplit(url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    lines = [f"{method} {target} HTTP/1.1", f"Host: {parts.netloc}", *(f"{k}: {v}" for k, v in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def parse(answer: bytes, seconds: float) -> Answer:
    first, _, _ = answer.decode("latin-1").partition("\r\n\r\n")
    return Answer(int(first.split()[1]) if first else 0, first, seconds)


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


def call(url: str, body: bytes, headers: dict[str, str] | None = None, **options: int) -> Answer:
    """One delivery, honest when no headers are given."""
    return asyncio.run(deliver(url, body, signed(body) if headers is None else headers, **options))
