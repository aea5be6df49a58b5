"""A request budget in Redis: several machines that use one account hand out its requests together."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from thunderbit_dagster.api.account import checked_budget_url
from thunderbit_dagster.api.budget import PERIOD, Budget, Window, dump_window, kept_or_fresh, require_positive
from thunderbit_dagster.api.errors import ConfigurationError
from thunderbit_dagster.api.shared_budget import Exchange, KeptBudget, WindowChange

if TYPE_CHECKING:
    from redis import Redis
    from redis.client import Pipeline

log = logging.getLogger("thunderbit_dagster.api")

CHANGE_SECONDS: Final = 1.0
"""How long a change is tried while other processes change the window, and how long Redis may take to answer."""
DOWN_SECONDS: Final = 30.0
"""How long Redis is left alone once it did not answer."""


class RedisBudget(KeptBudget):
    """A budget that every process on every machine shares that names the same Redis database.

    The window is one key, named after the account. It is changed by compare and set (WATCH, MULTI, EXEC), and by the
    clock of Redis, so that machines whose clocks differ agree. While Redis cannot be reached, a warning is logged and
    ``fallback`` counts; Redis is tried again every 30 s.

    Args:
        url: `redis://`, `rediss://` or `unix://`, with a password where there is one.
        account: Names the account without revealing it, such as `fingerprint(origin, key)`.
        requests_per_minute: Size of a window until the service names its own.
        fallback: The budget that counts while Redis cannot be reached.

    Raises:
        ConfigurationError: The URL is none of Redis, or the package `redis` is not installed.
    """

    def __init__(self, url: str, account: str, requests_per_minute: int, *, fallback: Budget) -> None:
        require_positive(requests_per_minute)
        super().__init__(fallback)
        self._database = _database(checked_budget_url(url))
        self._limit = requests_per_minute
        self._key = f"thunderbit:budget:{account}"

    def _change(self, change: WindowChange) -> Exchange:
        from redis.exceptions import RedisError  # noqa: PLC0415 - an extra, imported where it is used

        database = self._database
        if time.monotonic() < database.down_until:
            return Exchange.UNREACHABLE
        try:
            # One change of the process at a time: its threads would only get in each other's way.
            with database.lock, database.redis.pipeline() as pipe:
                return self._compare_and_set(pipe, change)
        except RedisError as problem:
            database.down_until = time.monotonic() + DOWN_SECONDS
            log.warning(
                "The request budget in Redis at %s cannot be used (%s). For %.0f s this machine counts alone",
                database.place,
                type(problem).__name__,
                DOWN_SECONDS,
            )
            return Exchange.UNREACHABLE

    def _compare_and_set(self, pipe: Pipeline, change: WindowChange) -> Exchange:
        from redis.exceptions import WatchError  # noqa: PLC0415

        stop_at = time.monotonic() + CHANGE_SECONDS
        while time.monotonic() < stop_at:
            pipe.watch(self._key)  # type: ignore[no-untyped-call]
            seconds, microseconds = pipe.time()
            now = seconds + microseconds / 1_000_000
            window = change(kept_or_fresh(str(pipe.get(self._key)), self._limit, now), now)
            pipe.multi()
            pipe.set(self._key, dump_window(window), ex=_lifetime(window, now))
            try:
                pipe.execute()
            except WatchError:
                continue
            return Exchange.KEPT
        log.warning("The request budget in Redis was changed by others for %.0f s", CHANGE_SECONDS)
        return Exchange.BUSY


def _lifetime(window: Window, now: float) -> int:
    """Seconds after which nobody needs the window any more."""
    return round(max(0.0, window.reset - now) + 3 * PERIOD)


@dataclass
class _Database:
    """A Redis database as all clients of this process use it; each tick of a sensor opens one."""

    redis: Redis
    place: str
    lock: threading.Lock = field(default_factory=threading.Lock)
    down_until: float = 0.0


@cache
def _database(url: str) -> _Database:
    try:
        from redis import Redis  # noqa: PLC0415
    except ImportError as error:
        raise ConfigurationError(
            "budget_url needs the package redis: pip install 'thunderbit_dagster[redis]'"
        ) from error
    redis = Redis.from_url(
        url, decode_responses=True, socket_timeout=CHANGE_SECONDS, socket_connect_timeout=CHANGE_SECONDS
    )
    return _Database(redis, urlsplit(url).hostname or "a local socket")
