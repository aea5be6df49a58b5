"""A local Thunderbit API: an account with its limits, and an engine that really fetches pages and reads them.

    with Emulator(allow_origins=("http://127.0.0.1:8123",)) as emulator:
        client = ThunderbitClient(emulator.api_key, base_url=emulator.base_url)

It needs the `emulator` extra. It does what can be done offline and honestly: no browser renders pages (`renderMode`
and `waitFor` are accepted and change nothing), no model reads them (summaries are sentences of the page), `/search`
looks through the pages it has fetched itself.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

from thunderbit_dagster.api.codes import Plan
from thunderbit_dagster.emulator.account import DEMO_KEY, ApiKey, KeyState
from thunderbit_dagster.emulator.app import RequestRecord
from thunderbit_dagster.emulator.dialect import Dialect
from thunderbit_dagster.emulator.faults import Faults, Rule
from thunderbit_dagster.emulator.jobs import EmulatedJob
from thunderbit_dagster.emulator.server import Listening, Service, bind, serve
from thunderbit_dagster.emulator.settings import DEFAULT_CREDITS, WEBHOOK_RETRIES, EmulatorSettings
from thunderbit_dagster.emulator.store import StoreInUseError
from thunderbit_dagster.emulator.webhooks import Delivery
from thunderbit_dagster.serving import PortInUseError

__all__ = [
    "DEMO_KEY",
    "ApiKey",
    "Delivery",
    "Dialect",
    "EmulatedJob",
    "Emulator",
    "EmulatorSettings",
    "Faults",
    "KeyState",
    "Listening",
    "PortInUseError",
    "RequestRecord",
    "Rule",
    "StoreInUseError",
    "serve",
]


class Emulator:
    """An emulator in a thread of this process, from `with` to its end.

    The arguments are those of `EmulatorSettings`, most used first.

    Raises:
        ValueError: A setting is wrong.
        PortInUseError: The port is taken (on entering).
        StoreInUseError: Another emulator uses the data directory (on entering).
    """

    def __init__(
        self,
        *,
        plan: str | Plan = "free",
        port: int = 0,
        host: str = "127.0.0.1",
        data_dir: Path | None = None,
        api_key: str = DEMO_KEY,
        credits: int = DEFAULT_CREDITS,  # noqa: A002 - the account's word
        allow_origins: Sequence[str] = (),
        faults: Faults | None = None,
        clock: Callable[[], float] = time.time,
        hold: bool = False,
        keys: Sequence[ApiKey] = (),
        webhook_retries: Sequence[float] = WEBHOOK_RETRIES,
        resolve: Callable[[str, int], list[str]] | None = None,
    ) -> None:
        settings = EmulatorSettings(
            plan=plan,
            port=port,
            host=host,
            data_dir=data_dir,
            api_key=api_key,
            credits=credits,
            allow_origins=tuple(allow_origins),
            faults=faults or Faults(),
            clock=clock,
            hold=hold,
            keys=tuple(keys),
            webhook_retries=tuple(webhook_retries),
        )
        self.settings = settings if resolve is None else replace(settings, resolve=resolve)
        self._service: Service | None = None
        self._thread: threading.Thread | None = None

    @classmethod
    def of(cls, settings: EmulatorSettings) -> "Emulator":
        """An emulator with these settings."""
        emulator = cls()
        emulator.settings = settings
        return emulator

    def __enter__(self) -> Self:
        self._service = Service(self.settings, bind(self.settings))
        self._thread = threading.Thread(target=self._service.run, name="thunderbit-emulator", daemon=True)
        self._thread.start()
        self._service.wait_until_ready()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.stop()
        if self._thread is not None:
            self._thread.join()

    @property
    def base_url(self) -> str:
        """Where the API is: `http://127.0.0.1:PORT/openapi/v1`."""
        return self._running.listening.base_url

    @property
    def api_key(self) -> str:
        """The key it accepts."""
        return self.settings.api_key

    @property
    def requests(self) -> list[RequestRecord]:
        """Every request to the API served so far, oldest first."""
        return list(self._running.api.requests)

    @property
    def jobs(self) -> list[EmulatedJob]:
        """Every job submitted so far, oldest first."""
        return self._running.call(lambda engine: engine.store.all_jobs())

    @property
    def deliveries(self) -> list[Delivery]:
        """Every webhook delivery tried by this process."""
        return self._running.call(lambda engine: list(engine.courier.deliveries))

    @property
    def credits_left(self) -> int:
        """The account's balance, without what open jobs may still cost."""
        name = ApiKey(self.api_key).account_name
        return self._running.call(lambda engine: engine.store.credits_left(name))

    def hold_pages(self) -> None:
        """From now on let no page finish."""
        self._running.call(lambda engine: engine.gate.hold())

    def release(self, pages: int | None = None) -> None:
        """Let so many pages finish, or all from now on."""
        self._running.call(lambda engine: engine.gate.release(pages))

    @property
    def _running(self) -> Service:
        if self._service is None:
            raise RuntimeError("the emulator serves inside its 'with' block")
        return self._service
