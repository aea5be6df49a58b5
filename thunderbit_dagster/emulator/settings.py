"""Everything that can be set about an emulator."""

import ipaddress
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from thunderbit_dagster.api.codes import PLANS, Plan
from thunderbit_dagster.emulator import addresses
from thunderbit_dagster.emulator.account import DEMO_KEY, ApiKey
from thunderbit_dagster.emulator.addresses import Origin
from thunderbit_dagster.emulator.dialect import Dialect
from thunderbit_dagster.emulator.faults import Faults

DEFAULT_CREDITS: Final = 600
"""What a new account holds."""

WEBHOOK_RETRIES: Final = (10.0, 30.0, 120.0, 600.0, 1800.0)
"""Seconds before each retry of a webhook."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmulatorSettings:
    """An emulator.

    Args:
        plan: `free`, `pro` or `enterprise`, or a plan of your own.
        host: A loopback address or `localhost`; nothing else is served.
        port: 0 takes a free one.
        data_dir: Where jobs and credits are kept; None: in memory.
        api_key: The key of the account: `tb_` and 32 hexadecimal digits.
        keys: More keys, in any state.
        credits: Balance of every account when it is made.
        allow_origins: Origins that may be fetched although they have a private address, and to which webhooks may
            go: `http://127.0.0.1:8123`.
        faults: What goes wrong, and the dialect.
        pages_at_once: Pages of one job that are fetched at a time.
        pages_per_host: Pages of one host that are fetched at a time, over all jobs.
        honour_robots: Ask robots.txt.
        webhook_retries: Seconds before each retry of a webhook.
        webhook_timeout: Seconds a webhook's receiver has to answer.
        hold: Start with no page finishing until released.
        clock: Unix time in seconds; counts the rate windows and stamps the jobs.
        resolve: Host and port to addresses.

    Raises:
        ValueError: A setting is wrong; the message says which.
    """

    plan: str | Plan = "free"
    host: str = "127.0.0.1"
    port: int = 0
    data_dir: Path | None = None
    api_key: str = field(default=DEMO_KEY, repr=False)
    keys: tuple[ApiKey, ...] = ()
    credits: int = DEFAULT_CREDITS
    allow_origins: tuple[str, ...] = ()
    faults: Faults = field(default_factory=Faults)
    pages_at_once: int = 8
    pages_per_host: int = 8
    honour_robots: bool = True
    webhook_retries: tuple[float, ...] = WEBHOOK_RETRIES
    webhook_timeout: float = 15.0
    hold: bool = False
    clock: Callable[[], float] = time.time
    resolve: Callable[[str, int], list[str]] = addresses.resolve

    def __post_init__(self) -> None:
        _check_host(self.host)
        if isinstance(self.plan, str) and self.plan not in PLANS:
            raise ValueError(f"plan {self.plan!r} is not one of {', '.join(PLANS)}")
        if min(self.credits, self.port) < 0 or min(self.pages_at_once, self.pages_per_host) < 1:
            raise ValueError(
                "credits and port must not be negative; pages_at_once and pages_per_host must be at least 1"
            )
        if len(self.all_keys) != len({known.key for known in self.all_keys}):
            raise ValueError("a key is repeated")
        _ = self.allowed

    @property
    def limits(self) -> Plan:
        """The plan's figures."""
        return PLANS[self.plan] if isinstance(self.plan, str) else self.plan

    @property
    def all_keys(self) -> tuple[ApiKey, ...]:
        """Every key, the account's own first."""
        return (ApiKey(self.api_key), *self.keys)

    @property
    def allowed(self) -> frozenset[Origin]:
        """The origins of `allow_origins`."""
        return frozenset(Origin.of(url) for url in self.allow_origins)

    @property
    def dialect(self) -> Dialect:
        """How answers are spelled."""
        return self.faults.dialect


def _check_host(host: str) -> None:
    try:
        local = host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        local = False
    if not local:
        raise ValueError(f"host {host!r}: the emulator serves this machine only; use 127.0.0.1, ::1 or localhost")
