"""Serving an emulator: in a thread beside the caller, or as the whole process until it is told to stop."""

import asyncio
import contextlib
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import TypeVar

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from thunderbit_dagster.emulator.app import ROOT, Api
from thunderbit_dagster.emulator.settings import EmulatorSettings
from thunderbit_dagster.emulator.store import EmulatorStore
from thunderbit_dagster.emulator.worker import Engine
from thunderbit_dagster.serving import listen

_T = TypeVar("_T")
_GRACE_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Listening:
    """Where a running emulator serves."""

    base_url: str
    host: str
    port: int
    data_dir: str | None


def serve(settings: EmulatorSettings, on_ready: Callable[[Listening], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT. Prints nothing.

    Args:
        settings: The emulator.
        on_ready: Called once when requests are accepted.

    Raises:
        PortInUseError: The port is taken.
        StoreInUseError: Another emulator uses the data directory.
    """
    listener = bind(settings)
    service = Service(settings, listener, on_ready)
    service.run()


def bind(settings: EmulatorSettings) -> socket.socket:
    """A socket that listens where the settings say.

    Raises:
        PortInUseError: The port is taken.
    """
    return listen(settings.host.strip("[]"), settings.port)


class Service:
    """One emulator on one socket. `run` blocks; the other methods may be called from other threads."""

    def __init__(
        self,
        settings: EmulatorSettings,
        listener: socket.socket,
        on_ready: Callable[[Listening], None] | None = None,
    ) -> None:
        try:
            self._store = EmulatorStore(settings.data_dir)
        except BaseException:
            listener.close()
            raise
        self._engine = Engine(settings, self._store)
        self.api = Api(self._engine)
        self.listening = _listening(settings, listener)
        self._engine.fetcher.backend.own_port = self.listening.port
        self._listener = listener
        self._on_ready = on_ready
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server = _Server(_config(self.api), self._started, self._stopped)

    def run(self) -> None:
        """Serve until stopped."""
        try:
            self._server.run(sockets=[self._listener])
        finally:
            self._listener.close()
            self._store.close()
            self._ready.set()

    def wait_until_ready(self) -> None:
        """Return when requests are accepted."""
        self._ready.wait()
        if self._loop is None:
            raise RuntimeError("the emulator did not start")

    def stop(self) -> None:
        """Ask `run` to return."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._server.told_to_stop)

    def call(self, function: Callable[[Engine], _T]) -> _T:
        """Run a function on the emulator's own thread, where its state may be touched."""
        if self._loop is None:
            raise RuntimeError("the emulator is not running")
        return asyncio.run_coroutine_threadsafe(_call(function, self._engine), self._loop).result()

    async def _started(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._engine.start()
        self._ready.set()
        if self._on_ready is not None:
            self._on_ready(self.listening)

    async def _stopped(self) -> None:
        await self._engine.close()


async def _call(function: Callable[[Engine], _T], engine: Engine) -> _T:
    return function(engine)


class _Server(uvicorn.Server):
    """uvicorn, with hooks on its thread, and signals that end it without being raised again."""

    def __init__(
        self,
        config: uvicorn.Config,
        started: Callable[[], Awaitable[None]],
        stopped: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__(config)
        self._on_started = started
        self._on_stopped = stopped
        self._exit = asyncio.Event()

    def told_to_stop(self) -> None:
        """End the main loop."""
        self.should_exit = True
        self._exit.set()

    async def main_loop(self) -> None:
        # The loop of uvicorn looks ten times a second whether to end; this does not wait for it to look.
        ticking = asyncio.ensure_future(super().main_loop())
        leaving = asyncio.ensure_future(self._exit.wait())
        await asyncio.wait((ticking, leaving), return_when=asyncio.FIRST_COMPLETED)
        for task in (ticking, leaving):
            task.cancel()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        await self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Work ends first: a call that waits for a page would keep its connection open.
        await self._on_stopped()
        await super().shutdown(sockets=sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._signalled) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _signalled(self, _number: int, _frame: FrameType | None) -> None:
        self.should_exit = True


class _Connections:
    """The open connections by the client's address, so that an answer can be a connection that closes."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, int] | None, asyncio.Transport] = {}

    def protocol(self) -> type[H11Protocol]:
        """The protocol of uvicorn, which also enters its connection here."""
        connections = self._open

        class Protocol(H11Protocol):
            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                super().connection_made(transport)
                connections[self.client] = transport

            def connection_lost(self, exc: Exception | None) -> None:
                connections.pop(self.client, None)
                super().connection_lost(exc)

        return Protocol

    def around(self, app: ASGIApp) -> ASGIApp:
        """The application, with `hang_up` in the state of each request."""

        async def with_hang_up(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("state", {})["hang_up"] = self._hang_up
            await app(scope, receive, send)

        return with_hang_up

    def _hang_up(self, client: tuple[str, int]) -> None:
        self._open[client].close()


def _config(api: Api) -> uvicorn.Config:
    connections = _Connections()
    return uvicorn.Config(
        connections.around(api.app()),
        http=connections.protocol(),
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )


def _listening(settings: EmulatorSettings, listener: socket.socket) -> Listening:
    port = listener.getsockname()[1]
    host = settings.host.strip("[]")
    shown = f"[{host}]" if ":" in host else host
    data_dir = None if settings.data_dir is None else str(settings.data_dir)
    return Listening(f"http://{shown}:{port}{ROOT}", host, port, data_dir)
