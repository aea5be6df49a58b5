"""What an account may do: its keys, its requests per minute and its slots."""

import asyncio
import hashlib
import math
import re
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum

from thunderbit_dagster.emulator.errors import EmulatorError

DEMO_KEY = "tb_0123456789abcdef0123456789abcdef"
"""The key an emulator accepts when none is configured. It opens nothing else."""

_KEY = re.compile(r"tb_[0-9a-f]{32}\Z")
WINDOW_SECONDS = 60.0


class KeyState(str, Enum):
    """What became of a key; all but `ACTIVE` answer 401."""

    ACTIVE = "active"
    REVOKED = "revoked"
    DISABLED = "disabled"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key.

    Args:
        key: `tb_` and 32 hexadecimal digits.
        state: Only active keys are let in.
        account: Keys of one account share jobs, credits and limits; empty: an account of its own.
    """

    key: str = field(repr=False)
    state: KeyState = KeyState.ACTIVE
    account: str = ""

    def __post_init__(self) -> None:
        if not _KEY.match(self.key):
            raise ValueError("an API key must be 'tb_' and 32 lower-case hexadecimal digits")

    @property
    def account_name(self) -> str:
        """Stable and free of the key itself, so that it may be stored."""
        return self.account or "account_" + hashlib.sha256(self.key.encode()).hexdigest()[:12]


def authenticate(header: str | None, keys: Iterable[ApiKey]) -> ApiKey:
    """The active key behind an `Authorization` header.

    Raises:
        ApiError: 401 with the code of section 5 of the API reference that fits.
    """
    scheme, _, token = (header or "").strip().partition(" ")
    token = token.strip()
    if not token:
        raise EmulatorError("API_KEY_MISSING", "Send 'Authorization: Bearer <key>'.")
    if scheme.lower() != "bearer" or not _KEY.match(token):
        raise EmulatorError("API_KEY_INVALID_FORMAT", "A key is 'tb_' and 32 hexadecimal digits, sent as Bearer.")
    found = next((known for known in keys if known.key == token), None)
    if found is None:
        raise EmulatorError("API_KEY_NOT_FOUND", "No such key.")
    if found.state is not KeyState.ACTIVE:
        raise EmulatorError(f"API_KEY_{found.state.name}", f"This key is {found.state.value}.")
    return found


@dataclass(frozen=True, slots=True)
class RateState:
    """Where the current window stands; `reset` is Unix time in seconds."""

    allowed: bool
    limit: int
    remaining: int
    reset: float

    def headers(self) -> dict[str, str]:
        """The three `X-RateLimit-*` headers; the reset is rounded up, so that waiting for it is enough."""
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(math.ceil(self.reset)),
        }


class RateWindow:
    """Fixed windows of one minute. A window opens with the first request after the one before has closed."""

    def __init__(self, limit: int, clock: Callable[[], float]) -> None:
        self._limit = limit
        self._clock = clock
        self._opened = -math.inf
        self._used = 0

    def admit(self) -> None:
        """Count one request.

        Raises:
            ApiError: `RATE_LIMIT_EXCEEDED`, and the request is not counted.
        """
        if not self.take().allowed:
            raise EmulatorError("RATE_LIMIT_EXCEEDED", "Too many requests; wait for X-RateLimit-Reset.")

    def take(self) -> RateState:
        """Count one request, unless the window is full."""
        self._roll()
        allowed = self._used < self._limit
        self._used += allowed
        return self._state(allowed=allowed)

    def peek(self) -> RateState:
        """The state without counting a request."""
        self._roll()
        return self._state(allowed=True)

    def _roll(self) -> None:
        now = self._clock()
        # A clock that stepped back opens a window too, or the account would be shut for hours.
        if not self._opened <= now < self._opened + WINDOW_SECONDS:
            self._opened, self._used = now, 0

    def _state(self, *, allowed: bool) -> RateState:
        return RateState(allowed, self._limit, self._limit - self._used, self._opened + WINDOW_SECONDS)


class Slots:
    """The plan's concurrent jobs, first come, first served. For one event loop."""

    def __init__(self, size: int) -> None:
        self._free = size
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(self, *_: object) -> None:
        self.release()

    async def acquire(self) -> None:
        """Wait for a slot."""
        if self._free and not self._waiting:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            self._give_up(turn)
            raise

    def release(self) -> None:
        """Hand the slot to whoever waits longest."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def _give_up(self, turn: "asyncio.Future[None]") -> None:
        if turn.done() and not turn.cancelled():
            self.release()  # the slot arrived together with the cancellation
        elif turn in self._waiting:
            self._waiting.remove(turn)
