"""When a job is worth asking about: a pure function of its age, its size and what was last seen of it.

No per-job schedule is stored. The times at which a job is due form a fixed series, so a tick needs only
the window since the tick before it.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

from thunderbit_dagster.ledger.records import ENDED, EXPIRED, LOST, STOPPED, Progress

__all__ = [
    "ENDED",
    "EXPIRED",
    "GROWTH",
    "LONGEST",
    "LOST",
    "NOT_FOUND",
    "SHORTEST",
    "STOPPED",
    "Watched",
    "is_due",
    "next_poll",
    "turn",
]

NOT_FOUND = "NOT_FOUND"
"""The API did not know the job when last asked, which may be a slip."""

FIRST_SECONDS, SECONDS_PER_URL, FIRST_MAX = 2.0, 0.1, 15.0
SHORTEST, LONGEST = 5.0, 120.0
GROWTH = 1.6
REMAINING_SHARE = 0.8
"""A running job is asked again after this share of the time it seems to need."""


@dataclass(frozen=True, slots=True)
class Watched:
    """A job to watch: its URLs, when it was submitted (Unix time) and what the newest observation says.

    ``deadline`` is the Unix time after which it is given up, and cancelled when ``cancel_late`` says so. ``to_stop``
    says that its run was cancelled: the job is to be cancelled rather than asked about.
    """

    job: str
    size: int
    submitted_at: float
    progress: Progress | None = None
    deadline: float = math.inf
    cancel_late: bool = False
    to_stop: bool = False

    @property
    def ended(self) -> bool:
        return self.progress is not None and self.progress.status in ENDED


def next_poll(watched: Watched, after: float) -> float:
    """The first time in the job's series later than ``after`` (Unix times, seconds)."""
    anchor, step = _anchor(watched)
    due = anchor + step
    while due <= after and step < LONGEST:
        step = min(step * GROWTH, LONGEST)
        due += step
    if due <= after:
        due += math.ceil((after - due) / LONGEST) * LONGEST
        due += LONGEST if due <= after else 0
    return due


def is_due(watched: Watched, start: float, end: float) -> bool:
    """Whether the job's series has a time in the window (start, end].

    A job last seen after the window's end was seen by a clock that has stepped back since: it is due. So is one that is
    to be stopped.
    """
    return watched.to_stop or _anchor(watched)[0] > end or next_poll(watched, start) <= end


def turn(watched: Watched) -> str:
    """The job's place in a rotation: 16 hex digits, however long the API makes its ids."""
    return hashlib.sha256(watched.job.encode()).hexdigest()[:16]


def _anchor(watched: Watched) -> tuple[float, float]:
    """Where the series begins, and its first step."""
    seen = watched.progress
    if seen is None:
        return watched.submitted_at, min(FIRST_SECONDS + SECONDS_PER_URL * watched.size, FIRST_MAX)
    age = seen.at - watched.submitted_at
    if not seen.done or age <= 0:
        return seen.at, max(SHORTEST, min(age / 2, LONGEST))
    remaining = age * max(watched.size - seen.done, 0) / seen.done
    return seen.at, max(SHORTEST, min(remaining * REMAINING_SHARE, LONGEST))
