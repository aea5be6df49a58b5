"""Which submissions are open and which are ready, from the event log."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from thunderbit_dagster.ledger.log import Entry, LedgerReader, Unreadable, newest_progress
from thunderbit_dagster.ledger.records import Collected, JobShare, KeyRefused, Progress, Sealed
from thunderbit_dagster.partitions import Partition
from thunderbit_dagster.polling.pace import Watched

SETTLE_SECONDS = 60.0
"""Events younger than this may still become visible out of order (seen on PostgreSQL)."""
NAMED_PARTITIONS = 200
"""Up to so many partitions are asked for by name; the observations of others are then not read."""
UNREADABLE_SECONDS = 7 * 86_400.0
"""How long a record that cannot be read holds its place, for the version that can."""


@dataclass(frozen=True, slots=True)
class OpenSubmission:
    """A sealed submission that is not collected: its partition, its jobs, and the run that sealed it.

    ``at`` is the Unix time of its newest seal, ``first_at`` that of its first where it was sealed again.
    """

    partition: Partition
    sealed: Sealed
    run_id: str
    storage_id: int
    at: float
    first_at: float | None = None

    @property
    def known_since(self) -> float:
        """Since when it may have been collected: its first seal, or its first job, which comes before that."""
        first = self.at if self.first_at is None else self.first_at
        return min([first, *(share.at for share in self.sealed.jobs)])


@dataclass
class Watch:
    """What one crawl has open.

    A submission that was never sealed is not here: nothing polls it and it holds nothing back. Materializing
    ``submissions`` again goes on with it. One that is sealed leaves when it is collected, when a newer
    submission of its partition is sealed, or when its collection failed too often (``let_go``); its jobs end by
    the crawl's deadline at the latest.

    Attributes:
        low: The storage id to read from next time: nothing at or below it is open.
        blocked: Whether something holds ``low`` back.
        unknown: Partitions that the crawl no longer has.
        unreadable: Partitions with a record of a newer version, and why it cannot be read; they are left alone.
        refusals: When the API did not accept the key.
        deadline_seconds: The age at which a job is given up.
        to_stop: Jobs to cancel.
    """

    open: list[OpenSubmission] = field(default_factory=list)
    progress: dict[str, Progress] = field(default_factory=dict)
    low: int = 0
    blocked: bool = False
    unknown: list[str] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    refusals: list[KeyRefused] = field(default_factory=list)
    deadline_seconds: float = math.inf
    cancel_late: bool = False
    to_stop: set[str] = field(default_factory=set)
    seen: Sequence[Entry] = ()
    held: list[int] = field(default_factory=list)
    _released: set[str] = field(default_factory=set)

    def jobs(self) -> dict[str, Watched]:
        """The jobs of all open submissions, each once."""
        return {share.job: self._watched(share) for one in self.open for share in one.sealed.jobs}

    def _watched(self, share: JobShare) -> Watched:
        seen = self.progress.get(share.job)
        to_stop = share.job in self.to_stop and not (seen and seen.asked_to_stop)
        deadline = share.at + self.deadline_seconds
        return Watched(share.job, share.size, share.at, seen, deadline, self.cancel_late, to_stop)

    def homes(self) -> dict[str, Partition]:
        """For each job a partition whose submission is open."""
        return {share.job: one.partition for one in self.open for share in one.sealed.jobs}

    def let_go(self, submissions: Iterable[OpenSubmission], now: float) -> None:
        """Submissions that nothing more is done for by itself need not be read again."""
        self._released.update(one.sealed.submission_id for one in submissions)
        self.settle(now)

    def settle(self, now: float) -> None:
        """Move ``low`` up to what is still open, young, or unreadable."""
        still_open = [one.storage_id for one in self.open if one.sealed.submission_id not in self._released]
        self.low = next_low(self.low, self.seen, [*still_open, *self.held], now)
        self.blocked = self.low < max((entry.storage_id for entry in self.seen), default=0)

    def ready(self) -> list[OpenSubmission]:
        """Submissions whose jobs have all ended."""
        jobs = self.jobs()
        return [one for one in self.open if all(jobs[share.job].ended for share in one.sealed.jobs)]

    def ready_since(self, submission: OpenSubmission) -> float:
        """When the last job of a ready submission was seen to have ended."""
        return max([submission.at, *(self.progress[share.job].at for share in submission.sealed.jobs)])


def read_watch(reader: LedgerReader, low: int, now: float) -> Watch:
    """What is open, from the events after ``low``."""
    crawl = reader.crawl
    watch = Watch(low=low, deadline_seconds=crawl.job_deadline.total_seconds(), cancel_late=crawl.cancel_on_deadline)
    seals = list(reader.since("submissions", low))
    collected = list(reader.since("failed", low))
    first_at = {e.record.submission_id: e.at for e in reversed(seals) if isinstance(e.record, Sealed)}
    for seal in _uncollected(seals, collected):
        partition = crawl.partition(seal.partition_key)
        if not crawl.knows(partition):
            watch.unknown.append(str(partition))
        elif isinstance(seal.record, Sealed):
            began = first_at[seal.record.submission_id]
            watch.open.append(OpenSubmission(partition, seal.record, seal.run_id, seal.storage_id, seal.at, began))
    observed = list(
        reader.since("succeeded", low, observations=True, keys=_named([one.partition for one in watch.open]))
    )
    watch.progress = newest_progress(observed)
    watch.refusals = [entry.record for entry in observed if isinstance(entry.record, KeyRefused)]
    _leave_unreadable(watch, unreadable([*seals, *collected, *observed]), now)
    watch.seen = [*seals, *collected]
    watch.settle(now)
    return watch


def _named(partitions: Sequence[Partition]) -> list[str] | None:
    keys = [partition.key for partition in partitions if partition.key is not None]
    return keys if 0 < len(keys) <= NAMED_PARTITIONS else None


def unreadable(entries: Iterable[Entry]) -> dict[str | None, Entry]:
    """For each partition its last record that cannot be read, unless a submission was sealed after it."""
    by_place = sorted(entries, key=lambda entry: entry.storage_id)
    found: dict[str | None, Entry] = {}
    for entry in by_place:
        if isinstance(entry.record, Unreadable):
            found[entry.partition_key] = entry
        elif isinstance(entry.record, Sealed):
            found.pop(entry.partition_key, None)
    return found


def _leave_unreadable(watch: Watch, found: Mapping[str | None, Entry], now: float) -> None:
    """Nothing is decided about a partition of which not everything is known."""
    watch.open = [one for one in watch.open if one.partition.key not in found]
    for key, entry in found.items():
        if isinstance(entry.record, Unreadable):
            watch.unreadable[key or "the whole crawl"] = entry.record.reason
        if now - entry.at <= UNREADABLE_SECONDS:
            watch.held.append(entry.storage_id)


def _uncollected(seals: Iterable[Entry], collected: Iterable[Entry]) -> list[Entry]:
    """For each partition its newest submission's first seal, unless it was collected."""
    done = {entry.record.submission_id for entry in collected if isinstance(entry.record, Collected)}
    newest: dict[str | None, dict[str, Entry]] = {}
    for entry in seals:
        if isinstance(entry.record, Sealed):
            of_partition = newest.setdefault(entry.partition_key, {})
            first = of_partition.pop(entry.record.submission_id, entry)
            of_partition[entry.record.submission_id] = _with_newest_jobs(first, entry)
    last = [list(of_partition.values())[-1] for of_partition in newest.values()]
    return [e for e in last if isinstance(e.record, Sealed) and e.record.submission_id not in done]


def _with_newest_jobs(first: Entry, newest: Entry) -> Entry:
    return Entry(first.storage_id, newest.at, newest.partition_key, newest.run_id, newest.record)


def next_low(low: int, seen: Sequence[Entry], still_open: Iterable[int], now: float) -> int:
    """How far the log is settled and collected: to an event that is old enough for all before it to be visible."""
    settled = [entry.storage_id for entry in seen if entry.at <= now - SETTLE_SECONDS]
    young = [entry.storage_id - 1 for entry in seen if entry.at > now - SETTLE_SECONDS]
    blocked = [storage_id - 1 for storage_id in still_open]
    return max(low, min([*young, *blocked, max(settled, default=low)]))
