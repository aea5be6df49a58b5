"""Child processes of ``dev`` and ``demo``: started in their own sessions, logged to files, always stopped."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import TracebackType

import httpx
from typing_extensions import Self

STOP_SECONDS = 15.0
POLL_SECONDS = 0.2


class ChildEndedError(Exception):
    """A process that everything depends on has ended; the text says which, how, and what it last said."""


@dataclass
class Child:
    """A process and its log."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path | None

    def check(self) -> None:
        """Raise ChildEndedError when the process has ended."""
        code = self.process.poll()
        if code is None:
            return
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        raise ChildEndedError(f"The {self.name} {how}.{self._last_words()}")

    def stop(self) -> None:
        """End the process, by force when it does not end in time."""
        _signal(self.process, signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            _signal(self.process, signal.SIGKILL)
            self.process.wait()

    def _last_words(self) -> str:
        if self.log is None or not self.log.exists():
            return ""
        lines = self.log.read_text(errors="replace").strip().splitlines()[-8:]
        return f" The last lines of {self.log}:\n" + "\n".join(f"  {line}" for line in lines)


@dataclass
class Children:
    """Processes that live and end together, in the working directory ``cwd`` or in this one's."""

    env: Mapping[str, str]
    cwd: Path | None = None
    children: list[Child] = field(default_factory=list)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # One after the other, the last first: whoever uses another must be gone before it.
        for child in reversed(self.children):
            child.stop()

    def start(self, name: str, command: Sequence[str], log: Path | None = None) -> Child:
        """Start a process; without a log it writes to the terminal."""
        if log is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
        out = log.open("ab") if log is not None else None
        try:
            # A session of its own: Ctrl+C reaches the parent alone, which then stops all in order.
            process = subprocess.Popen(  # noqa: S603 - our own commands
                command,
                env=dict(self.env),
                cwd=self.cwd,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT if out else None,
                start_new_session=True,
            )
        finally:
            if out is not None:
                out.close()
        child = Child(name, process, log)
        self.children.append(child)
        return child

    def check(self) -> None:
        """Raise ChildEndedError when one of them has ended."""
        for child in self.children:
            child.check()

    def wait_until(self, ready: Callable[[], bool], what: str, seconds: float) -> None:
        """Wait for something the children do.

        Raises:
            ChildEndedError: one ended first, or the time is over.
        """
        stop_by = time.monotonic() + seconds
        while not ready():
            self.check()
            if time.monotonic() > stop_by:
                raise ChildEndedError(f"{what} did not answer within {seconds:.0f} s.")
            time.sleep(POLL_SECONDS)


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    """To the whole session: Dagster's processes have children of their own."""
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return


@cache
def http_client() -> httpx.Client:
    """The one client of this process for requests to what it has started: each new one reads all certificates."""
    return httpx.Client(trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))


def answers(url: str) -> bool:
    """Whether a URL on this machine gives any answer that is not a server error."""
    try:
        return http_client().get(url, timeout=2.0).status_code < httpx.codes.INTERNAL_SERVER_ERROR
    except httpx.HTTPError:
        return False


def free_port(wanted: int) -> int:
    """The wanted port when nobody has it, else one that the system gives."""
    for port in (wanted, 0):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ChildEndedError("No port is free on 127.0.0.1.")
