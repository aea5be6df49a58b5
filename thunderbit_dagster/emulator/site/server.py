"""Serving the demo site: in the foreground, or in a thread for the length of a `with` block."""

from threading import Thread
from types import TracebackType

import uvicorn
from starlette.applications import Starlette
from typing_extensions import Self

from thunderbit_dagster.emulator.site.app import SLOW_SECONDS, create_app
from thunderbit_dagster.emulator.site.catalog import urls
from thunderbit_dagster.serving import listen


def serve_site(host: str = "127.0.0.1", port: int = 8710, *, revision: int = 1) -> None:
    """Serves the site until interrupted.

    Raises:
        ValueError: there is no such revision.
    """
    uvicorn.run(create_app(revision=revision), host=host, port=port, log_level="warning", ws="none")


class Site:
    """The demo site in a thread, on a free port of `host` unless `port` says which.

    Args:
        revision: which state of the site to serve, 1 or 2.
        slow_seconds: how long the slow page waits before it answers.
        host: an address of this machine.
        port: 0 takes any free port.

    Raises:
        ValueError: there is no such revision.
        PortInUseError: on entering, when the port is taken.
    """

    def __init__(
        self,
        *,
        revision: int = 1,
        slow_seconds: float = SLOW_SECONDS,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.revision = revision
        self._host, self._port = host, port
        self._app = create_app(revision=revision, slow_seconds=slow_seconds)
        self._base_url: str | None = None

    @property
    def base_url(self) -> str:
        """Scheme, host and port, without a slash at the end.

        Raises:
            RuntimeError: outside the `with` block.
        """
        if self._base_url is None:
            raise RuntimeError("the site is not being served: use it in a with statement")
        return self._base_url

    def urls(self) -> dict[str, list[str]]:
        """The URLs of this site by URL partition."""
        return urls(self.base_url, self.revision)

    def __enter__(self) -> Self:
        self._socket = listen(self._host, self._port)
        self._base_url = f"http://{self._host}:{self._socket.getsockname()[1]}"
        self._server = uvicorn.Server(_config(self._app))
        self._thread = Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, name="demo-site")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()
        self._base_url = None


def _config(app: Starlette) -> uvicorn.Config:
    return uvicorn.Config(app, log_level="critical", ws="none", lifespan="off", timeout_graceful_shutdown=1)
