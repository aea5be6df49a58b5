"""Which row belongs to which submitted URL: each exactly once, whatever the API sends. Pure decisions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from thunderbit_dagster.api.codes import (
    JOB_CANCELLED,
    JOB_FAILED,
    JOB_LOST,
    MISSING_RESULT,
    NOT_FINISHED,
    JobStatus,
)
from thunderbit_dagster.api.models import Row
from thunderbit_dagster.polling.pace import EXPIRED, LOST, STOPPED
from thunderbit_dagster.urls import canonical_url, refusal


@dataclass
class Reconciler:
    """Matches a job's rows with the URLs that were sent.

    A row's ``index`` counts only when it agrees with the row's URL; else the URL decides. ``sent`` holds
    this run's URLs of the job by job position; the job's other positions belong to other partitions.
    """

    size: int
    sent: Mapping[int, str]
    taken: set[int] = field(default_factory=set)
    unfinished: set[int] = field(default_factory=set)
    duplicated: int = 0
    foreign: int = 0

    def __post_init__(self) -> None:
        self._seen: set[int] = set()
        self._by_url = {url: position for position, url in self.sent.items()}
        self._by_canonical = {_key(url): position for position, url in self.sent.items()}

    def begin_reading(self) -> None:
        """The job is read from its first page: rows that came before are no repetitions."""
        self._seen.clear()

    def take(self, row: Row) -> int | None:
        """The job position that the row settles; None when it settles nothing new."""
        position = self._position(row)
        if position is None:
            self.foreign += not self._is_elsewhere(row)
            return None
        self.duplicated += position in self._seen
        self._seen.add(position)
        if position in self.taken:
            return None
        if not row.status.is_terminal:
            self.unfinished.add(position)
            return None
        self.taken.add(position)
        self.unfinished.discard(position)
        return position

    @property
    def missing(self) -> list[int]:
        """Positions for which no finished row came."""
        return sorted(set(self.sent) - self.taken)

    def _position(self, row: Row) -> int | None:
        if row.index is not None and self.sent.get(row.index) == row.url:
            return row.index
        return self._by_url.get(row.url, self._by_canonical.get(_key(row.url)))

    def _is_elsewhere(self, row: Row) -> bool:
        return row.index is not None and row.index not in self.sent and 0 <= row.index < self.size


def _key(url: str) -> str:
    return url if refusal(url, allow_private=True) else canonical_url(url)


@dataclass(frozen=True, slots=True)
class Fate:
    """What to say of a URL for which no finished row came."""

    status: str
    code: str
    message: str


def fate(job: str, job_status: str) -> Fate:
    """Why a row is missing, from how its job ended."""
    fates = {
        JobStatus.FAILED.value: Fate("CANCELLED", JOB_FAILED, f"{job} failed as a whole before this URL was finished"),
        JobStatus.CANCELLED.value: Fate(
            "CANCELLED", JOB_CANCELLED, f"{job} was cancelled before this URL was finished"
        ),
        LOST: Fate(
            "MISSING",
            JOB_LOST,
            f"{job} is no longer known to the API, so its rows cannot be fetched: its results have expired, or it "
            "belongs to another account",
        ),
        EXPIRED: Fate("NOT_FINISHED", NOT_FINISHED, f"{job} did not end before its deadline; it may still bill"),
        STOPPED: Fate(
            "NOT_FINISHED",
            NOT_FINISHED,
            f"{job} did not end before its deadline and was cancelled; only what had finished is billed",
        ),
    }
    return fates.get(job_status, Fate("MISSING", MISSING_RESULT, f"{job} ended without a row for this URL"))


class ConservationError(Exception):
    """A partition's rows are not exactly its submitted URLs; nothing of it was published."""


def check_conservation(submitted: Iterable[int], written: Iterable[int]) -> None:
    """Every submitted position must be written exactly once.

    Raises:
        ConservationError: the text counts what is missing, repeated or foreign.
    """
    wanted, got = set(submitted), Counter(written)
    missing = len(wanted - set(got))
    foreign = len(set(got) - wanted)
    repeated = sum(count - 1 for count in got.values())
    if missing or foreign or repeated:
        raise ConservationError(
            f"{len(wanted)} URLs were submitted, but {missing} have no row, {repeated} rows are repeated and "
            f"{foreign} rows belong to no URL. Nothing was published; the partition is as it was before"
        )
