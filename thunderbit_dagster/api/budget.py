"""One request budget for everything that uses an account: how many requests may still go out in this window.

The API allows a plan's number of requests a minute and reports the window in `X-RateLimit-Limit`,
`X-RateLimit-Remaining` and `X-RateLimit-Reset` of every answer ("Rate limits"). `MemoryBudget` keeps the window in
this process, `SharedBudget` in a file of this machine, `RedisBudget` where several machines reach it. All move the
same plain `Window` through the same pure functions.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Final, Protocol

from thunderbit_dagster.api.errors import ConfigurationError
from thunderbit_dagster.api.retry import epoch

PERIOD: Final = 60.0
"""Seconds of a window as long as the service has not named its end."""
SOON: Final = 0.5
"""Seconds after which to ask again when the window could not be looked at."""

_VERSION: Final = 1
_MAX_WAITING: Final = 1000
_GRACE: Final = 5.0
_FARTHEST: Final = 31 * 86_400.0
_SAME_WINDOW: Final = 2.0


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What the headers of one answer say: requests a window holds, requests left, its end (epoch, s)."""

    limit: int | None = None
    remaining: int | None = None
    reset: float | None = None

    @classmethod
    def from_headers(cls, headers: Mapping[str, str]) -> RateLimit:
        """Read the three headers, names in lower case; what is absent or unreadable is None."""
        return cls(
            limit=_whole(headers.get("x-ratelimit-limit")),
            remaining=_whole(headers.get("x-ratelimit-remaining")),
            reset=epoch(headers.get("x-ratelimit-reset")),
        )


@dataclass(frozen=True, slots=True)
class Window:
    """The state of a budget.

    Attributes:
        limit: Requests a window holds.
        remaining: Requests that may still go out in this one.
        taken: Requests taken from this one here.
        since: Last time this was moved on (epoch, s); a clock that stepped back shows by it.
        reset: End of the window (epoch, s).
        told: Whether the service named that end.
        shut: Nothing goes out before this time (epoch, s); 0 unless the service refused a request.
        waiting: Tickets in the order they came, each with the time it is due to ask again.
    """

    limit: int
    remaining: int
    taken: int
    since: float
    reset: float
    told: bool = False
    shut: float = 0.0
    waiting: tuple[tuple[str, float], ...] = ()


class Budget(Protocol):
    """Hands out request slots. Every method is quick and safe to call from any thread."""

    def acquire(self, ticket: str) -> float:
        """Take a slot and return 0, or return the seconds after which to ask again with this ticket."""

    def forget(self, ticket: str) -> None:
        """Give up a place in the queue."""

    def observe(self, seen: RateLimit) -> None:
        """Learn from the headers of an answer."""

    def exhaust(self, until: float) -> None:
        """Hand out nothing before `until` (epoch, s): the service refused a request for the account's limit."""


def fresh(limit: int, now: float) -> Window:
    """A window that begins now and is full."""
    return Window(limit=limit, remaining=limit, taken=0, since=now, reset=now + PERIOD)


def roll(window: Window, now: float) -> Window:
    """The window as of now: a new one when it is over, moved along when the clock has stepped back."""
    if now < window.since:
        back = window.since - now
        due = tuple((ticket, at - back) for ticket, at in window.waiting)
        window = replace(window, since=now, reset=window.reset - back, shut=max(0.0, window.shut - back), waiting=due)
    waiting = tuple((ticket, at) for ticket, at in window.waiting if at + _GRACE >= now)
    if now >= window.reset:
        return replace(fresh(window.limit, now), shut=window.shut, waiting=waiting)
    return replace(window, since=now, waiting=waiting)


def take(window: Window, now: float, ticket: str) -> tuple[Window, float]:
    """Take a slot for a ticket: the window after it, and 0 or the seconds to wait.

    Slots go in the order of tickets. One whose holder did not come back when it was due loses its place.
    """
    window = roll(window, now)
    ahead = _ahead(window, ticket)
    if window.remaining > ahead and now >= window.shut:
        left = tuple(entry for entry in window.waiting if entry[0] != ticket)
        return replace(window, remaining=window.remaining - 1, taken=window.taken + 1, waiting=left), 0.0
    wait = _wait(window, now, ahead)
    return _enqueue(window, ticket, now + wait), wait


def learn(window: Window, now: float, seen: RateLimit) -> Window:
    """Correct a window by what an answer says.

    Within one window the smaller count holds, for other clients of the account and our own requests under way
    are each missing from one of the two. A window we only guessed, or one that is over, yields to the
    service's; a late answer about a window that is over changes nothing.
    """
    window = roll(window, now)
    limit = seen.limit or window.limit
    said = max(0, min(seen.remaining, limit)) if seen.remaining is not None else limit
    ends = seen.reset if seen.reset is not None and now < seen.reset <= now + _FARTHEST else window.reset
    if not window.told and (seen.limit or seen.remaining is not None):
        room = min(said, max(0, limit - window.taken))
        return replace(window, limit=limit, remaining=room, reset=ends, told=ends == seen.reset)
    if ends > window.reset + _SAME_WINDOW:
        return replace(window, limit=limit, remaining=said, taken=0, reset=ends)
    if seen.reset is not None and seen.reset < window.reset - _SAME_WINDOW:
        return window
    return replace(window, limit=limit, remaining=min(window.remaining, said))


def empty(window: Window, now: float, until: float) -> Window:
    """The window without a slot before `until`."""
    window = roll(window, now)
    shut = min(max(until, window.shut, now), now + _FARTHEST)
    return replace(window, remaining=0, reset=shut, told=True, shut=shut)


def drop(window: Window, ticket: str) -> Window:
    """The window with one ticket less in the queue."""
    return replace(window, waiting=tuple(entry for entry in window.waiting if entry[0] != ticket))


def _ahead(window: Window, ticket: str) -> int:
    tickets = [entry[0] for entry in window.waiting]
    return tickets.index(ticket) if ticket in tickets else len(tickets)


def _wait(window: Window, now: float, ahead: int) -> float:
    if now < window.shut:
        return window.shut - now
    until_reset = max(window.reset - now, 0.001)
    if window.remaining > 0:  # those ahead are about to take what is left
        return min(until_reset, SOON)
    return until_reset + PERIOD * (ahead // window.limit)


def _enqueue(window: Window, ticket: str, due: float) -> Window:
    known = any(entry[0] == ticket for entry in window.waiting)
    if not known and len(window.waiting) >= _MAX_WAITING:
        return window
    kept = tuple((name, due if name == ticket else at) for name, at in window.waiting)
    return replace(window, waiting=kept if known else (*kept, (ticket, due)))


def _whole(text: str | None) -> int | None:
    stripped = (text or "").strip()
    return int(stripped) if stripped.isascii() and stripped.isdigit() and len(stripped) < 16 else None  # noqa: PLR2004


def dump_window(window: Window) -> str:
    """The text under which a window is kept."""
    return json.dumps({"version": _VERSION, **asdict(window)})


def load_window(text: str) -> Window | None:
    """Read a kept window; None when the text is empty, garbage, of another version, or beyond reason."""
    try:
        data = json.loads(text)
        window = Window(
            limit=int(data["limit"]),
            remaining=int(data["remaining"]),
            taken=int(data["taken"]),
            since=float(data["since"]),
            reset=float(data["reset"]),
            told=data["told"] is True,
            shut=float(data["shut"]),
            waiting=tuple((str(ticket), float(due)) for ticket, due in data["waiting"]),
        )
        return window if data["version"] == _VERSION and _is_sane(window) else None
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None


def kept_or_fresh(text: str, limit: int, now: float) -> Window:
    """A kept window, or a new one of ``limit`` requests when there is none or it is over for a minute or more."""
    window = load_window(text)
    # After an idle minute the setting counts again, so that a change of it takes effect.
    return fresh(limit, now) if window is None or now > window.reset + PERIOD else window


def _is_sane(window: Window) -> bool:
    return (
        0 <= window.remaining <= window.limit
        and window.limit >= 1
        and window.taken >= 0
        and window.since <= window.reset <= window.since + _FARTHEST
        and 0 <= window.shut <= window.since + _FARTHEST
        and all(due <= window.since + _FARTHEST for _, due in window.waiting)
    )


class MemoryBudget:
    """A budget for one process: threads and tasks share it, other processes do not.

    Args:
        requests_per_minute: Size of a window until the service names its own.
        clock: Gives the Unix epoch in seconds.
    """

    def __init__(self, requests_per_minute: int = 10, *, clock: Callable[[], float] = time.time) -> None:
        require_positive(requests_per_minute)
        self._clock = clock
        self._lock = threading.Lock()
        self._window = fresh(requests_per_minute, clock())

    @property
    def window(self) -> Window:
        """The state now."""
        return self._window

    def acquire(self, ticket: str) -> float:
        """Take a slot and return 0, or return the seconds after which to ask again with this ticket."""
        with self._lock:
            self._window, wait = take(self._window, self._clock(), ticket)
            return wait

    def forget(self, ticket: str) -> None:
        """Give up a place in the queue."""
        with self._lock:
            self._window = drop(self._window, ticket)

    def observe(self, seen: RateLimit) -> None:
        """Learn from the headers of an answer."""
        with self._lock:
            self._window = learn(self._window, self._clock(), seen)

    def exhaust(self, until: float) -> None:
        """Hand out nothing before `until` (epoch, s)."""
        with self._lock:
            self._window = empty(self._window, self._clock(), until)


def fingerprint(origin: str, key: str) -> str:
    """Twelve hex digits that stand for an account and do not reveal the key."""
    return hashlib.sha256(f"{origin}\0{key}".encode()).hexdigest()[:12]


def require_positive(requests_per_minute: int) -> None:
    """Refuse a window that holds no request.

    Raises:
        ConfigurationError: It is less than 1.
    """
    if requests_per_minute < 1:
        raise ConfigurationError(f"requests_per_minute is {requests_per_minute}; it must be at least 1")
