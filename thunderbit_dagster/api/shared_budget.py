"""Request budgets whose window is kept outside the process, and the one that a machine's processes share by a file."""

from __future__ import annotations

import logging
import os
import stat
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from enum import Enum, auto
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from thunderbit_dagster.api.budget import (
    SOON,
    Budget,
    MemoryBudget,
    RateLimit,
    Window,
    drop,
    dump_window,
    empty,
    kept_or_fresh,
    learn,
    require_positive,
    take,
)
from thunderbit_dagster.api.errors import ConfigurationError

log = logging.getLogger("thunderbit_dagster.api")

STATE_DIR_VARIABLE: Final = "THUNDERBIT_STATE_DIR"
_PRIVATE: Final = 0o700

WindowChange = Callable[[Window, float], Window]
"""From the window and the time to the window afterwards."""


class Exchange(Enum):
    """What became of a change of the kept window."""

    KEPT = auto()
    BUSY = auto()
    """Others were changing it all the time."""
    UNREACHABLE = auto()


class KeptBudget(ABC):
    """A budget whose window is kept outside this process; ``fallback`` counts while it cannot be reached."""

    def __init__(self, fallback: Budget) -> None:
        self._fallback = fallback

    @abstractmethod
    def _change(self, change: WindowChange) -> Exchange:
        """Apply a change to the window that all see, as if nobody else did at the same time."""

    def acquire(self, ticket: str) -> float:
        """Take a slot and return 0, or return the seconds after which to ask again with this ticket."""
        wait = SOON

        def step(window: Window, now: float) -> Window:
            nonlocal wait
            after, wait = take(window, now, ticket)
            return after

        outcome = self._change(step)
        if outcome is Exchange.UNREACHABLE:
            return self._fallback.acquire(ticket)
        return wait if outcome is Exchange.KEPT else SOON

    def forget(self, ticket: str) -> None:
        """Give up a place in the queue."""
        if self._change(lambda window, _: drop(window, ticket)) is Exchange.UNREACHABLE:
            self._fallback.forget(ticket)

    def observe(self, seen: RateLimit) -> None:
        """Learn from the headers of an answer."""
        if seen == RateLimit():
            return
        if self._change(lambda window, now: learn(window, now, seen)) is Exchange.UNREACHABLE:
            self._fallback.observe(seen)

    def exhaust(self, until: float) -> None:
        """Hand out nothing before `until` (epoch, s)."""
        if self._change(lambda window, now: empty(window, now, until)) is Exchange.UNREACHABLE:
            self._fallback.exhaust(until)


class SharedBudget(KeptBudget):
    """A budget that every process of this user on this machine shares.

    The state is one file of mode 0600 in a directory of mode 0700 that belongs to the user, named by a hash
    of the origin and the key. A file lock guards it, which the operating system frees when its holder dies.
    Where no such directory can be had, a warning is logged and the budget holds for this process only.

    Args:
        account: Names the account without revealing it, such as `fingerprint(origin, key)`.
        requests_per_minute: Size of a window until the service names its own.
        directory: Where the user's own directory is made; `$THUNDERBIT_STATE_DIR`, or the system's directory
            for temporary files, when None.
        clock: Gives the Unix epoch in seconds.
        lock_timeout: Seconds to wait for the lock. `acquire` then asks to come back later; the other methods
            skip their note.
    """

    def __init__(
        self,
        account: str,
        requests_per_minute: int = 10,
        *,
        directory: str | os.PathLike[str] | None = None,
        clock: Callable[[], float] = time.time,
        lock_timeout: float = 5.0,
    ) -> None:
        require_positive(requests_per_minute)
        if not account.isalnum():
            raise ConfigurationError("account must consist of letters and digits, because it names a file")
        super().__init__(MemoryBudget(requests_per_minute, clock=clock))
        self._limit = requests_per_minute
        self._clock = clock
        self._lock_timeout = lock_timeout
        self._directory = Path(directory) if directory is not None else None
        self._name = f"budget-{account}"
        self._threads = threading.Lock()
        self._warned = False

    def _change(self, change: WindowChange) -> Exchange:
        # Between threads a lock of their own hands over at once, where that of the file is asked every 10 ms.
        if not self._threads.acquire(timeout=self._lock_timeout):
            return self._busy()
        try:
            return self._change_file(change)
        finally:
            self._threads.release()

    def _change_file(self, change: WindowChange) -> Exchange:
        try:
            path = private_directory(self._directory) / f"{self._name}.json"
            lock = FileLock(path.with_suffix(".lock"), timeout=self._lock_timeout, mode=0o600)
            with lock.acquire(poll_interval=0.01):
                self._write(path, change(self._read(path), self._clock()))
        except Timeout:
            return self._busy()
        except OSError as problem:
            self._warn(problem)
            return Exchange.UNREACHABLE
        return Exchange.KEPT

    def _read(self, path: Path) -> Window:
        try:
            text = path.read_text("utf-8")
        except (FileNotFoundError, UnicodeDecodeError):
            text = ""
        return kept_or_fresh(text, self._limit, self._clock())

    def _write(self, path: Path, window: Window) -> None:
        # In place, as a rename waits for the disk on some file systems. Readers hold the lock, and what a crash
        # leaves half-written is read as no state.
        text = dump_window(window).encode()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, text)
            os.ftruncate(descriptor, len(text))
        finally:
            os.close(descriptor)

    def _busy(self) -> Exchange:
        log.warning("the request budget stayed locked for %.0f s", self._lock_timeout)
        return Exchange.BUSY

    def _warn(self, problem: OSError) -> None:
        if not self._warned:
            self._warned = True
            log.warning("the request budget is not shared with other processes: %s", problem)


def private_directory(parent: Path | None = None) -> Path:
    """The user's own directory, mode 0700, made when missing under `parent`.

    `parent` is `$THUNDERBIT_STATE_DIR`, or the system's directory for temporary files, when None.

    Raises:
        OSError: It cannot be made, or it is a link, or someone else's.
    """
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    root = parent or Path(os.environ.get(STATE_DIR_VARIABLE) or tempfile.gettempdir())
    path = root / f"thunderbit-{user}"
    path.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
    facts = path.lstat()
    if not stat.S_ISDIR(facts.st_mode):
        raise NotADirectoryError(f"{path} is not a directory of its own")
    if hasattr(os, "getuid") and facts.st_uid != os.getuid():
        raise PermissionError(f"{path} belongs to another user")
    if os.name == "posix" and stat.S_IMODE(facts.st_mode) != _PRIVATE:
        path.chmod(_PRIVATE)
    return path
