"""Memory and processor time of a process and all that it starts, read from `/proc` (Linux)."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from typing_extensions import Self

SAMPLE_SECONDS = 0.2
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")
_PARENT, _CPU, _RSS = 1, slice(11, 15), 21
"""Fields of `/proc/PID/stat` after the name: parent; own and reaped children's user and system time; pages."""


@dataclass(frozen=True)
class Usage:
    """At a moment: resident bytes, and processor seconds so far."""

    at: float
    rss: int
    cpu: float


@dataclass
class Sampler:
    """Watches a process and all that hangs from it, in a thread, from `watch` to the end of the ``with`` block."""

    samples: list[Usage] = field(default_factory=list)
    began: float = field(default_factory=time.time)
    _ending: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def watch(self, root: int, *, with_root: bool = True) -> None:
        """Begin with a process, which itself counts or does not."""
        self._thread = threading.Thread(target=self._watch, args=(root, with_root), name="sampler", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        if self._thread is not None:
            self._thread.join()

    def peak_rss(self, since: float, until: float) -> int:
        return max((one.rss for one in self.samples if since <= one.at <= until), default=0)

    def rss_before(self, at: float) -> int:
        """The newest value before a moment, 0 when there is none."""
        return next((one.rss for one in reversed(self.samples) if one.at < at), 0)

    def cpu_seconds(self, since: float, until: float) -> float:
        """Processor seconds between two moments, to the nearest samples."""
        before = [one.cpu for one in self.samples if one.at <= since]
        after = [one.cpu for one in self.samples if one.at <= until + SAMPLE_SECONDS]
        return max(after, default=0.0) - (before[-1] if before else 0.0)

    def _watch(self, root: int, with_root: bool) -> None:
        while not self._ending.wait(SAMPLE_SECONDS):
            self.samples.append(usage(root, with_root=with_root))


def usage(root: int, *, with_root: bool = True) -> Usage:
    """What the process and its descendants use now."""
    found = _all_stats()
    members = _descendants(root, found)
    if with_root:
        members.add(root)
    stats = [found[pid] for pid in members if pid in found]
    rss = sum(int(one[_RSS]) for one in stats) * _PAGE_BYTES
    cpu = sum(sum(map(int, one[_CPU])) for one in stats) / _TICKS
    return Usage(time.time(), rss, cpu)


def _descendants(root: int, found: Mapping[int, list[str]]) -> set[int]:
    children: dict[int, list[int]] = {}
    for pid, stat in found.items():
        children.setdefault(int(stat[_PARENT]), []).append(pid)
    members: set[int] = set()
    waiting = list(children.get(root, []))
    while waiting:
        pid = waiting.pop()
        members.add(pid)
        waiting += children.get(pid, [])
    return members


def _all_stats() -> dict[int, list[str]]:
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            # The name may hold spaces and brackets; the fields begin after the last one.
            found[int(folder.name)] = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
    return found
