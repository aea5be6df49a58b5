"""Serving the receiver: as the whole process until it is told to stop, or in a thread beside the caller.

uvicorn with limits: a connection lives for a bounded time and serves one delivery, headers are bounded, and when there
are too many connections the oldest makes room, which in practice is one that sends slowly.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final

import uvicorn
from typing_extensions import Self
from uvicorn.protocols.http.h11_impl import H11Protocol

from thunderbit_dagster.serving import listen
from thunderbit_dagster.webhooks.receiver import Receiver

DEFAULT_PORT: Final = 8720
MAX_CONNECTIONS: Final = 200
MAX_HEADER_BYTES: Final = 16 * 1024
CONNECTION_SECONDS: Final = 15.0
"""How long a sender may take for a delivery; the API itself gives up after as long."""
_GRACE_SECONDS = 5


@dataclass
class Server:
    """A receiver on a socket of its own.

    Args:
        receiver: What is served.
        host: The address to listen on.
        port: 0 takes a free one.
        max_connections: How many may be open at once.
        connection_seconds: How long each may last.
        on_ready: Called once when deliveries are accepted.

    Raises:
        PortInUseError: the port is taken.
    """

    receiver: Receiver
    host: str = "127.0.0.1"
    port: int = 0
    max_connections: int = MAX_CONNECTIONS
    connection_seconds: float = CONNECTION_SECONDS
    on_ready: Callable[[], None] = lambda: None
    _listener: socket.socket = field(init=False)
    _server: _Uvicorn = field(init=False)
    _ready: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __post_init__(self) -> None:
        self._listener = listen(self.host, self.port)
        self.port = self._listener.getsockname()[1]
        limits = _Limits(self.max_connections, self.connection_seconds)
        self._server = _Uvicorn(_config(self.receiver, limits), self._started)

    @property
    def origin(self) -> str:
        """Where it listens: ``http://127.0.0.1:PORT``."""
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The address for deliveries, as seen from this machine."""
        return self.origin + self.receiver.path

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT, or until the ``with`` block in another thread ends."""
        try:
            with self.receiver.reporter:
                self._server.run(sockets=[self._listener])
        finally:
            self._listener.close()
            self._ready.set()

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self.run, name="thunderbit-webhook-receiver", daemon=True)
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()
        if self._thread is not None:
            self._thread.join()

    def _started(self) -> None:
        self._ready.set()
        self.on_ready()


class _Uvicorn(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = started
        self._leaving = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def stop(self) -> None:
        """End from another thread."""
        self.should_exit = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._leaving.set)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets=sockets)
        self._on_started()

    async def main_loop(self) -> None:
        # The loop of uvicorn looks ten times a second whether to end; this does not wait for it to look.
        tasks = [asyncio.ensure_future(super().main_loop()), asyncio.ensure_future(self._leaving.wait())]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()


class _Limits:
    """Open connections, the oldest first."""

    def __init__(self, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self._open: dict[H11Protocol, asyncio.TimerHandle] = {}

    def opened(self, connection: H11Protocol) -> None:
        """Enter a connection that will be cut off in time, and cut off the oldest when there are too many."""
        if len(self._open) >= self._most:
            oldest = next(iter(self._open))
            self.closed(oldest)
            oldest.transport.abort()
        self._open[connection] = connection.loop.call_later(self._seconds, connection.transport.abort)

    def closed(self, connection: H11Protocol) -> None:
        if timer := self._open.pop(connection, None):
            timer.cancel()

    def protocol(self) -> type[H11Protocol]:
        """The protocol of uvicorn, within these limits."""
        limits = self

        class Protocol(H11Protocol):
            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                super().connection_made(transport)
                limits.opened(self)

            def connection_lost(self, exc: Exception | None) -> None:
                limits.closed(self)
                super().connection_lost(exc)

        return Protocol


def _config(receiver: Receiver, limits: _Limits) -> uvicorn.Config:
    return uvicorn.Config(
        receiver.app(),
        http=limits.protocol(),
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        headers=[("Connection", "close")],
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
