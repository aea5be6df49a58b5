"""Which submissions are open and which are ready, from the event log."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from thunderbit_dagster.ledger.log import Entry, LedgerReader, newest_progress
from thunderbit_dagster.ledger.records import Collected, Progress, Sealed
from thunderbit_dagster.partitions import Partition
from thunderbit_dagster.polling.pace import Watched

SETTLE_SECONDS = 60.0
"""Events younger than this may still become visible out of order (seen on PostgreSQL)."""


@dataclass(frozen=True, slots=True)
class OpenSubmission:
    """A sealed submission that is not collected: its partition, its jobs, and the run that sealed it."""

    partition: Partition
    sealed: Sealed
    run_id: str
    storage_id: int
    at: float


@dataclass
class Watch:
    """What one crawl has open.

    ``low`` is the storage id to read from next time: all submissions at or below it are collected.
    """

    open: list[OpenSubmission] = field(default_factory=list)
    progress: dict[str, Progress] = field(default_factory=dict)
    low: int = 0
    unknown: list[str] = field(default_factory=list)

    def jobs(self) -> dict[str, Watched]:
        """The jobs of all open submissions, each once."""
        return {
            share.job: Watched(share.job, share.size, share.at, self.progress.get(share.job))
            for submission in self.open
            for share in submission.sealed.jobs
        }

    def ready(self) -> list[OpenSubmission]:
        """Submissions whose jobs have all ended."""
        jobs = self.jobs()
        return [one for one in self.open if all(jobs[share.job].ended for share in one.sealed.jobs)]

    def ready_since(self, submission: OpenSubmission) -> float:
        """When the last job of a ready submission was seen to have ended."""
        return max([submission.at, *(self.progress[share.job].at for share in submission.sealed.jobs)])


def read_watch(reader: LedgerReader, low: int, now: float) -> Watch:
    """What is open, from the events after ``low``."""
    seals = list(reader.since("submissions", low))
    collected = list(reader.since("failed", low))
    observed = reader.since("succeeded", low, observations=True)
    watch = Watch(progress=newest_progress(observed))
    for seal in _uncollected(seals, collected):
        partition = reader.crawl.partition(seal.partition_key)
        if not reader.crawl.knows(partition):
            watch.unknown.append(str(partition))
        elif isinstance(seal.record, Sealed):
            watch.open.append(OpenSubmission(partition, seal.record, seal.run_id, seal.storage_id, seal.at))
    watch.low = next_low(low, [*seals, *collected], [one.storage_id for one in watch.open], now)
    return watch


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


def next_low(low: int, seen: Iterable[Entry], still_open: Iterable[int], now: float) -> int:
    """How far the log is settled and collected."""
    young = [entry.storage_id - 1 for entry in seen if entry.at > now - SETTLE_SECONDS]
    blocked = [storage_id - 1 for storage_id in still_open]
    behind = [entry.storage_id for entry in seen]
    return max(low, min([*young, *blocked, max(behind, default=low)]))
