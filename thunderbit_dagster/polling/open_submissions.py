"""Which submissions are open and which are ready, from the event log."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.jobs.state import JobState
from thunderbit_dagster.ledger.event_log import Entry, LedgerReader, Unreadable, in_order, newest_progress
from thunderbit_dagster.ledger.owner import ANYBODY, Owner
from thunderbit_dagster.ledger.records import Collected, JobShare, KeyRefused, Progress, Sealed
from thunderbit_dagster.partitions import Partition

SETTLE_SECONDS = 60.0
"""Events younger than this may still become visible out of order (seen on PostgreSQL)."""
NAMED_PARTITIONS = 200
"""Up to so many partitions are asked for by name; the observations of others are then not read."""
UNREADABLE_SECONDS = 7 * 86_400.0
"""How long a record that cannot be read, or of a partition that is gone, waits for a definition that can or has it."""


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


@dataclass(frozen=True)
class CrawlJobs:
    """What one crawl has open, as the event log tells it.

    A submission that was never sealed is not here: nothing polls it and it holds nothing back. Materializing
    ``submissions`` again goes on with it. One that is sealed leaves when it is collected, when a newer
    submission of its partition is sealed, or when its collection failed too often (``without``); its jobs end by
    the crawl's deadline at the latest.

    Attributes:
        open: Submissions that are sealed and not collected.
        progress: The newest observation of each job.
        low: The storage id to read from next time: nothing at or below it is open.
        blocked: Whether something holds ``low`` back.
        unknown: Partitions that the crawl no longer has; should it have them again, they are collected.
        strangers: Partitions whose submission is another code location's, and what to do about it.
        unreadable: Partitions with a record of a newer version, and why it cannot be read; they are left alone.
        refusals: When the API did not accept the key.
        deadline_seconds: The age at which a job is given up.
        cancel_late: Whether it is cancelled then.
        to_stop: Jobs to cancel.
        seen: The seals and collections that were read.
        held: Storage ids of records that hold ``low`` back though nothing is open.
    """

    open: Sequence[OpenSubmission] = ()
    progress: Mapping[str, Progress] = field(default_factory=dict)
    low: int = 0
    blocked: bool = False
    unknown: Sequence[str] = ()
    strangers: Mapping[str, str] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)
    refusals: Sequence[KeyRefused] = ()
    deadline_seconds: float = math.inf
    cancel_late: bool = False
    to_stop: frozenset[str] = frozenset()
    seen: Sequence[Entry] = ()
    held: Sequence[int] = ()

    @cached_property
    def jobs(self) -> Mapping[str, JobState]:
        """The jobs of all open submissions, each once."""
        return {share.job: self._state(share) for one in self.open for share in one.sealed.jobs}

    def _state(self, share: JobShare) -> JobState:
        seen = self.progress.get(share.job)
        to_stop = share.job in self.to_stop and not (seen and seen.asked_to_stop)
        deadline = share.at + self.deadline_seconds
        return JobState(share.job, share.size, share.at, seen, deadline, self.cancel_late, to_stop)

    @property
    def homes(self) -> dict[str, Partition]:
        """For each job a partition whose submission is open."""
        return {share.job: one.partition for one in self.open for share in one.sealed.jobs}

    def stopping(self, jobs: Iterable[str]) -> CrawlJobs:
        """The same with jobs that are to be cancelled."""
        return replace(self, to_stop=self.to_stop | frozenset(jobs))

    def with_progress(self, changes: Iterable[Progress]) -> CrawlJobs:
        """The same with newer observations of its jobs."""
        own = {seen.job: seen for seen in changes if seen.job in self.jobs}
        return replace(self, progress={**self.progress, **own}) if own else self

    def without(self, submissions: Collection[OpenSubmission], now: float) -> CrawlJobs:
        """The same with ``low`` as if some submissions were collected: they need not be read again."""
        left = {one.sealed.submission_id for one in submissions}
        still_open = [one.storage_id for one in self.open if one.sealed.submission_id not in left]
        low = next_low(self.low, self.seen, [*still_open, *self.held], now)
        return replace(self, low=low, blocked=low < max((entry.storage_id for entry in self.seen), default=0))

    @property
    def ready(self) -> list[OpenSubmission]:
        """Submissions whose jobs have all ended."""
        return [one for one in self.open if all(self.jobs[share.job].ended for share in one.sealed.jobs)]

    def ready_since(self, submission: OpenSubmission) -> float:
        """When the last job of a ready submission was seen to have ended."""
        return max([submission.at, *(self.progress[share.job].at for share in submission.sealed.jobs)])


def read_crawl_jobs(
    reader: LedgerReader, low: int, now: float, outcomes: Sequence[Entry] = (), owner: Owner = ANYBODY
) -> CrawlJobs:
    """What is open and ``owner``'s, from the events after ``low`` and the crawl's records that outlive runs."""
    crawl = reader.crawl
    recent = [entry for entry in outcomes if entry.storage_id > low]
    seals = in_order(reader.since("submissions", low), (e for e in recent if isinstance(e.record, Sealed | Unreadable)))
    collected = in_order(reader.since("failed", low), (e for e in recent if isinstance(e.record, Collected)))
    uncollected = _classify(crawl, seals, collected, owner)
    keys = _named([one.partition for one in uncollected.open])
    observed = list(reader.since("succeeded", low, observations=True, keys=keys)) if uncollected.open else []
    unread = unreadable([*seals, *collected, *observed])
    old = now - UNREADABLE_SECONDS
    unread_lately = {key: entry.storage_id for key, entry in unread.items() if entry.at >= old}
    found = CrawlJobs(
        # Nothing is decided about a partition of which not everything is known.
        open=[one for one in uncollected.open if one.partition.key not in unread],
        progress=newest_progress(observed),
        low=low,
        unknown=[str(partition) for partition, _ in uncollected.unknown],
        strangers=uncollected.strangers,
        unreadable={
            key or "the whole crawl": entry.record.reason
            for key, entry in unread.items()
            if isinstance(entry.record, Unreadable)
        },
        refusals=[entry.record for entry in observed if isinstance(entry.record, KeyRefused)],
        deadline_seconds=crawl.job_deadline.total_seconds(),
        cancel_late=crawl.cancel_on_deadline,
        seen=[*seals, *collected],
        held=[
            *(seal.storage_id for _, seal in uncollected.unknown if seal.at >= old),
            *unread_lately.values(),
            *(one.storage_id for one in uncollected.open if one.partition.key in unread_lately),
        ],
    )
    return found.without([], now)


@dataclass(frozen=True)
class _ClassifiedSubmissions:
    """Uncollected submissions by who has to do with them."""

    open: list[OpenSubmission] = field(default_factory=list)
    unknown: list[tuple[Partition, Entry]] = field(default_factory=list)
    strangers: dict[str, str] = field(default_factory=dict)


def _classify(crawl: Crawl, seals: Sequence[Entry], collected: Sequence[Entry], owner: Owner) -> _ClassifiedSubmissions:
    found = _ClassifiedSubmissions()
    first_at = {e.record.submission_id: e.at for e in reversed(seals) if isinstance(e.record, Sealed)}
    for seal in _uncollected(seals, collected):
        partition = crawl.partition(seal.partition_key)
        if not isinstance(seal.record, Sealed):
            continue
        if not owner.owns(seal.record):
            found.strangers[str(partition)] = owner.refusal(seal.record, crawl.name)
        elif not crawl.knows(partition):
            found.unknown.append((partition, seal))
        else:
            began = first_at[seal.record.submission_id]
            found.open.append(OpenSubmission(partition, seal.record, seal.run_id, seal.storage_id, seal.at, began))
    return found


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
