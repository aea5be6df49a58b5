"""What a flow asks of its driver, and what the driver answers: plain values, no input or output."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from thunderbit_dagster.api.budget import RateLimit
from thunderbit_dagster.api.retry import Event, Safety

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """One request below the base URL.

    Attributes:
        method, path, params, content: What is sent; the content is JSON.
        safety: Whether it may be sent twice.
        timeout: Seconds of silence to allow at least; the client's own setting when that is longer.
        secrets: Values that no message may repeat.
        about_page: Whether an error may speak of the page asked for rather than of the service.
    """

    method: str
    path: str
    safety: Safety
    params: Mapping[str, int] = field(default_factory=dict)
    content: bytes | None = field(default=None, repr=False)
    timeout: float = 0.0
    secrets: tuple[str, ...] = field(default=(), repr=False)
    about_page: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: header names in lower case, the body whole and unpacked.

    ``refused`` says why the body was not read to its end; empty when it was.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """Nothing came back, or an answer that broke off. `event` says whether the request may have arrived."""

    event: Event
    reason: str
    has_begun: bool = False


@dataclass(frozen=True, slots=True)
class Acquire:
    """Ask the budget for a slot; the reply is the seconds to wait, 0 for a slot taken."""

    ticket: str


@dataclass(frozen=True, slots=True)
class Forget:
    """Leave the budget's queue."""

    ticket: str


@dataclass(frozen=True, slots=True)
class Send:
    """Send a request once; the reply is an Answer or a Failure."""

    call: Call


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait this many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Observe:
    """Tell the budget what an answer's headers say."""

    seen: RateLimit


@dataclass(frozen=True, slots=True)
class Exhaust:
    """Tell the budget that nothing goes out before this time (epoch, s)."""

    until: float


@dataclass(frozen=True, slots=True)
class FlowItem:
    """One value of an iteration, handed to the caller."""

    value: object


Effect: TypeAlias = Acquire | Forget | Send | Sleep | Observe | Exhaust | FlowItem
Reply: TypeAlias = Answer | Failure | float | None
Flow: TypeAlias = Generator[Effect, Reply, T]
