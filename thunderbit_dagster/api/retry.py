"""When to send a request again: plain decisions over plain values.

Reads and cancellations are repeated after transport errors, unreadable answers, 408, 429 and 5xx. Submits
and paid calls are repeated only when the service surely did not take them: no connection was made, 429, or
503 with `Retry-After`. The API has no idempotency key and no way to list jobs, so anything else might pay
twice ("API overview", error codes; "Rate limits").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Final

from thunderbit_dagster.api.errors import ConfigurationError

_MILLISECONDS_FROM: Final = 1e11
"""Epoch values above this are milliseconds: as seconds they would lie beyond the year 5000."""
REQUEST_TIMEOUT: Final = 408
TOO_MANY_REQUESTS: Final = 429
SERVER_ERRORS: Final = 500
SERVICE_UNAVAILABLE: Final = 503


class Safety(str, Enum):
    """Whether a request may be sent twice without harm."""

    SAFE = "safe"
    PAID = "paid"


class Event(str, Enum):
    """How one attempt ended."""

    ANSWERED = "answered"
    NOT_SENT = "not sent"
    REPLY_LOST = "reply lost"
    UNREADABLE = "unreadable"
    NOT_READ = "not read"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One attempt: how it ended, the HTTP status if there was one, and the wait in seconds asked for.

    `retry_after` is what `Retry-After` says; `reset_after` what `X-RateLimit-Reset` says.
    """

    event: Event
    status: int | None = None
    retry_after: float | None = None
    reset_after: float | None = None

    @property
    def told(self) -> float | None:
        """The wait asked for. The reset of the rate window speaks for 429 only: every answer carries it."""
        fallback = self.reset_after if self.status == TOO_MANY_REQUESTS else None
        return self.retry_after if self.retry_after is not None else fallback


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Bounds on repeating one call.

    Attributes:
        attempts: Requests sent at most, the first included. 1 switches repeating off.
        total: Seconds after which no further attempt starts.
        base: Seconds of the first back-off; it doubles with each attempt.
        longest_backoff: Seconds a back-off grows to at most.
        longest_wait: Seconds the service may ask to wait; a longer wait is raised to the caller.
    """

    attempts: int = 5
    total: float = 300.0
    base: float = 0.5
    longest_backoff: float = 30.0
    longest_wait: float = 120.0

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ConfigurationError(f"attempts is {self.attempts}; it must be at least 1")
        for name in ("total", "base", "longest_backoff", "longest_wait"):
            if not getattr(self, name) >= 0:
                raise ConfigurationError(f"{name} is {getattr(self, name)}; it must be 0 or more seconds")


RETRY: Final = RetryPolicy()
"""The policy of clients that are given none."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Send again after this many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Do not send again, for this reason."""

    reason: str


def decide(
    safety: Safety,
    attempt: int,
    outcome: Outcome,
    policy: RetryPolicy,
    *,
    elapsed: float = 0.0,
    jitter: float = 1.0,
) -> Wait | GiveUp:
    """Whether to repeat a request that did not succeed.

    Args:
        safety: Whether the request may be sent twice.
        attempt: Requests sent so far, from 1.
        outcome: How the last one ended.
        policy: The bounds.
        elapsed: Seconds since the call began.
        jitter: A random number from 0 to 1; spreads the back-off over its upper half.
    """
    if not is_repeatable(safety, outcome):
        return GiveUp("not safe or not useful to repeat")
    if attempt >= policy.attempts:
        return GiveUp(f"{attempt} attempts were made")
    told = outcome.told or 0.0
    if told > policy.longest_wait:
        return GiveUp(f"the service asks to wait {told:.0f} s")
    seconds = max(told, backoff(attempt, policy, jitter))
    if elapsed + seconds > policy.total:
        return GiveUp(f"{policy.total:.0f} s would be exceeded")
    return Wait(seconds)


def is_repeatable(safety: Safety, outcome: Outcome) -> bool:
    """Whether repeating can help and cannot harm, bounds aside."""
    if outcome.event is Event.NOT_READ:
        return False
    if outcome.event is Event.NOT_SENT or outcome.status == TOO_MANY_REQUESTS:
        return True
    if safety is Safety.PAID:
        return outcome.status == SERVICE_UNAVAILABLE and outcome.retry_after is not None
    if outcome.event in {Event.REPLY_LOST, Event.UNREADABLE}:
        return True
    return outcome.status is not None and (outcome.status == REQUEST_TIMEOUT or outcome.status >= SERVER_ERRORS)


def may_have_arrived(safety: Safety, outcome: Outcome) -> bool:
    """Whether a paid request may have been accepted although no readable success came back."""
    if safety is Safety.SAFE or outcome.event is Event.NOT_SENT:
        return False
    if outcome.event is not Event.ANSWERED or outcome.status in {None, REQUEST_TIMEOUT}:
        return True
    refused = outcome.status == SERVICE_UNAVAILABLE and outcome.retry_after is not None
    return (outcome.status or 0) >= SERVER_ERRORS and not refused


def backoff(attempt: int, policy: RetryPolicy, jitter: float) -> float:
    """Seconds before the next attempt: doubling, at most `longest_backoff`, the upper half of it random."""
    ceiling = min(policy.longest_backoff, policy.base * 2.0 ** min(attempt - 1, 60))
    return ceiling * (0.5 + 0.5 * jitter)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that `Retry-After` asks for, as a number or an HTTP date; None without a readable one.

    Args:
        headers: Names in lower case.
        now: Unix epoch in seconds.
    """
    text = headers.get("retry-after", "").strip()
    try:
        seconds = float(text) if text[:1].isdigit() else _http_date(text) - now
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0.0, seconds) if seconds < float("inf") else None


def reset_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds until `X-RateLimit-Reset`, 0 when it has passed; None without a readable one."""
    at = epoch(headers.get("x-ratelimit-reset"))
    return None if at is None else max(0.0, at - now)


def epoch(text: str | None) -> float | None:
    """A Unix epoch in seconds; a value over 1e11 is taken as milliseconds (Rate limits)."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    if not 0 <= value < float("inf"):
        return None
    return epoch_seconds(value)


def epoch_seconds(value: float) -> float:
    """Seconds since 1970 from seconds or milliseconds."""
    return value / 1000 if value > _MILLISECONDS_FROM else value


def _http_date(text: str) -> float:
    moment: datetime = parsedate_to_datetime(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
