"""When a job is worth asking about: a pure function of its age, size, expected end and newest observation.

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
    "JobState",
    "is_due",
    "next_poll",
    "poll_order",
]

NOT_FOUND = "NOT_FOUND"
"""The API did not know the job when last asked, which may be a slip."""

FIRST_SECONDS, SECONDS_PER_URL, FIRST_MAX = 2.0, 0.1, 15.0
SHORTEST, LONGEST = 5.0, 120.0
GROWTH = 1.6
SPREAD = 1.6
"""The standard deviation of the time that a page takes, as a share of its mean: page times are skewed."""
LEAST_SHARE = 0.3
"""However uncertain its end is, a job is not polled before this share of the time that it is expected to need."""
SOON_SECONDS = 15.0
"""If a job should end within this time, it is not polled before."""
FORESIGHT = 3.0
"""The rows of a job predict its progress for no longer than this many times its age."""
LATE_SHARE, LATE_GROWTH = 0.02, 1.3
"""Pauses between polls of a job that is late: at first this share of its expected time, then growing by this factor."""
GIVE_UP_SECONDS = 1.0
"""A job is polled for the last time so long after its deadline."""


@dataclass(frozen=True, slots=True)
class JobState:
    """A job to watch: its URLs, when it was submitted (Unix time) and what the newest observation says.

    Attributes:
        job: Its route and id, such as ``distill/batch_1``.
        size: Its URLs.
        submitted_at: When the API accepted it, a Unix time, as are all times here.
        progress: The newest observation, None before the first.
        deadline: When it is given up, and cancelled when ``cancel_late`` says so.
        cancel_late: See ``deadline``.
        to_stop: Its run was cancelled: the job is to be cancelled rather than asked about.
        starts: When the account's other jobs are expected to let it run.
        ends: When it is expected to have ended; None when nothing is known of the account's speed.
        grace: Seconds by which a poll is put off, since the API calls when the job has ended.
    """

    job: str
    size: int
    submitted_at: float
    progress: Progress | None = None
    deadline: float = math.inf
    cancel_late: bool = False
    to_stop: bool = False
    starts: float | None = None
    ends: float | None = None
    grace: float = 0.0

    @property
    def ended(self) -> bool:
        return self.progress is not None and self.progress.status in ENDED

    @property
    def ended_at(self) -> float | None:
        """When it ended, as the API tells or else as it was seen; None while it runs."""
        if self.progress is None or not self.ended:
            return None
        return self.progress.at if self.progress.ended_at is None else self.progress.ended_at

    @property
    def not_begun_at(self) -> float | None:
        """When it was last seen to have no finished row."""
        return None if self.progress is None else self.progress.not_begun_at


def next_poll(watched: JobState, after: float) -> float:
    """The first time in the job's series later than ``after`` (Unix times, seconds)."""
    due, pause, growth = _series(watched)
    due += watched.grace
    while due <= after and pause < LONGEST:
        due += pause
        pause = min(pause * growth, LONGEST)
    if due <= after:
        due += math.ceil((after - due) / LONGEST) * LONGEST
        due += LONGEST if due <= after else 0
    last_look = watched.deadline + GIVE_UP_SECONDS
    return last_look if max(after, _last_seen(watched)) < last_look < due else due


def is_due(watched: JobState, start: float, end: float) -> bool:
    """Whether the job's series has a time in the window (start, end].

    A job last seen after the window's end was seen by a clock that has stepped back since: it is due. So is one that is
    to be stopped.
    """
    return watched.to_stop or _last_seen(watched) > end or next_poll(watched, start) <= end


def poll_order(watched: JobState) -> str:
    """The job's place in a rotation: 16 hex digits, however long the API makes its ids."""
    return hashlib.sha256(watched.job.encode()).hexdigest()[:16]


def _last_seen(watched: JobState) -> float:
    return watched.submitted_at if watched.progress is None else watched.progress.at


def _series(watched: JobState) -> tuple[float, float, float]:
    """When the job is asked next, the pause after that, and the factor by which pauses grow."""
    seen = watched.progress
    begins = max(_last_seen(watched), watched.starts or 0.0)
    if watched.ends is not None:
        step = max(_unlikely_to_end_seconds(watched, begins), SHORTEST if seen else 0.0)
        given = watched.ends - (watched.submitted_at if watched.starts is None else watched.starts)
        return begins + step, min(max(SHORTEST, given * LATE_SHARE), LONGEST), LATE_GROWTH
    if seen is None:
        step = min(FIRST_SECONDS + SECONDS_PER_URL * watched.size, FIRST_MAX)
    else:
        step = max(SHORTEST, min((seen.at - watched.submitted_at) / 2, LONGEST))
    return begins + step, min(step * GROWTH, LONGEST), GROWTH


def _unlikely_to_end_seconds(watched: JobState, begins: float) -> float:
    """How long the job has almost certainly not ended: the fewer pages are left, the more their time varies."""
    left = (watched.ends or begins) - begins
    if left <= SOON_SECONDS:
        return left
    done = (watched.progress and watched.progress.done) or 0
    unlikely = left * max(LEAST_SHARE, 1 - SPREAD / math.sqrt(max(watched.size - done, 1)))
    age = begins - (watched.submitted_at if watched.starts is None else watched.starts)
    return min(unlikely, FORESIGHT * age, LONGEST) if done else unlikely
