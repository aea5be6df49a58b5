"""Which row belongs to which submitted URL: each exactly once, whatever the API sends. Pure decisions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from thunderbit_dagster.api.codes import (
    JOB_CANCELLED,
    JOB_FAILED,
    JOB_LOST,
    MISSING_RESULT,
    NOT_FINISHED,
    JobStatus,
)
from thunderbit_dagster.api.models import Row
from thunderbit_dagster.api.parsing import is_unreadable
from thunderbit_dagster.jobs.state import EXPIRED, LOST, STOPPED
from thunderbit_dagster.urls import Fragments, canonical_url, url_refusal


@dataclass
class Reconciler:
    """Matches a job's rows with the URLs that were sent.

    A row's ``index`` counts only when it agrees with the row's URL; else the URL decides. The API may leave out a
    fragment: then the index tells pages apart that differ by theirs alone. It may also name a URL as it ended, after a
    redirect: such rows are placed by their indices once all rows of the job have distinct, fitting ones.
    ``sent`` holds this run's URLs of the job by job position; the job's other positions belong to other partitions.
    """

    size: int
    sent: Mapping[int, str]
    taken: set[int] = field(default_factory=set)
    unfinished: set[int] = field(default_factory=set)
    duplicated: int = 0
    foreign: int = 0
    unreadable: int = 0
    repaired: int = 0

    def __post_init__(self) -> None:
        self._seen: set[int] = set()
        self._unreadable: dict[int | None, Row] = {}
        self._renamed: dict[int, Row] = {}
        self._indices: dict[int | None, str] = {}
        self._indices_fit = True
        self._by_url = {url: position for position, url in self.sent.items()}

    @cached_property
    def _by_canonical(self) -> dict[str, int]:
        return {_key(url, "keep"): position for position, url in self.sent.items()}

    @cached_property
    def _by_page(self) -> dict[str, int]:
        pages = Counter(_key(url, "drop") for url in self.sent.values())
        return {page: at for at, url in self.sent.items() if pages[page := _key(url, "drop")] == 1}

    def is_ours(self, row: Row) -> bool:
        """Whether a row may be of a URL that was sent in the job, by any partition."""
        return self._position(row) is not None or self._is_in_job(row) or is_unreadable(row)

    def begin_reading(self) -> None:
        """The job is read from its first page: rows that came before are no repetitions."""
        self._seen.clear()
        self._indices.clear()

    def take(self, row: Row) -> int | None:
        """The job position that the row settles; None when it settles nothing new."""
        position = self._position(row)
        self._note_index(row, position)
        if position is None:
            self._set_aside(row)
            return None
        self.repaired += row.repaired and position not in self._seen
        self.duplicated += position in self._seen
        self._seen.add(position)
        if position in self.taken:
            return None
        if not row.status.is_terminal:
            self.unfinished.add(position)
            return None
        self.taken.add(position)
        self.unfinished.discard(position)
        self.unreadable += is_unreadable(row)
        return position

    def _note_index(self, row: Row, position: int | None) -> None:
        fits = self._is_in_job(row) and position in (None, row.index)
        self._indices_fit = self._indices_fit and fits and self._indices.setdefault(row.index, row.url) == row.url

    def _set_aside(self, row: Row) -> None:
        if is_unreadable(row):
            self._unreadable[row.index] = row
        elif not self._is_elsewhere(row):
            self.foreign += 1
            if row.index is not None and row.status.is_terminal:
                self._renamed[row.index] = row

    def take_late(self) -> list[tuple[int, Row]]:
        """Rows that find their position only once all are there: by index alone, or what is left over."""
        return [*self._take_renamed(), *self._take_unreadable()]

    def _take_renamed(self) -> list[tuple[int, Row]]:
        if not self._indices_fit or len(self._indices) != self.size:
            return []
        placed = {index: row for index, row in self._renamed.items() if index in self.missing}
        self.taken.update(placed)
        self.foreign -= len(placed)
        return [(index, by_index(row)) for index, row in placed.items()]

    def _take_unreadable(self) -> list[tuple[int, Row]]:
        """The positions left over for rows that name no URL of ours: by their place where it is free, else in order."""
        left = self.missing
        placed = {index: row for index, row in self._unreadable.items() if index is not None and index in left}
        others = [row for index, row in self._unreadable.items() if index not in placed]
        free = [position for position in left if position not in placed]
        if len(self.sent) == self.size and len(others) == len(free):
            placed |= dict(zip(free, others, strict=True))
        self.taken.update(placed)
        self.unreadable += len(placed)
        return list(placed.items())

    @property
    def missing(self) -> list[int]:
        """Positions for which no finished row came."""
        return sorted(set(self.sent) - self.taken)

    @property
    def is_complete(self) -> bool:
        """Whether every URL has its finished row."""
        return not self.missing

    def _position(self, row: Row) -> int | None:
        if row.index is not None and self.sent.get(row.index) == row.url:
            return row.index
        found = self._by_url.get(row.url)
        if found is None:
            found = self._by_canonical.get(_key(row.url, "keep"))
        return self._by_page_of(row) if found is None else found

    def _by_page_of(self, row: Row) -> int | None:
        page = _key(row.url, "drop")
        if row.index is not None and row.index in self.sent and _key(self.sent[row.index], "drop") == page:
            return row.index
        return self._by_page.get(page)

    def _is_in_job(self, row: Row) -> bool:
        return row.index is not None and 0 <= row.index < self.size

    def _is_elsewhere(self, row: Row) -> bool:
        return self._is_in_job(row) and row.index not in self.sent


def by_index(row: Row) -> Row:
    """A row that its index placed, with a note of that, and its URL as the one that the page was read from."""
    note = f"the API returned the URL {row.url}"
    error = row.error and replace(row.error, message=f"{row.error.message} ({note})")
    metadata = {"sourceURL": row.url, **row.metadata}
    return replace(row, metadata=metadata, error=error, extra={**row.extra, "matched_by": "index"})


def _key(url: str, fragments: Fragments) -> str:
    return url if url_refusal(url, allow_private=True) else canonical_url(url, fragments)


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
            f"{job} did not end before its deadline and was cancelled; only finished rows are billed",
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
            f"{foreign} rows belong to no URL. Nothing was published; the partition is unchanged"
        )
