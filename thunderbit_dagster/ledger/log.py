"""Reading the ledger from Dagster's event log, for the partitions at hand."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import dagster as dg

from thunderbit_dagster.crawl import Crawl
from thunderbit_dagster.ledger.fold import Submission, fold
from thunderbit_dagster.ledger.records import (
    ENDED,
    AnyRecord,
    Collected,
    Intent,
    LedgerError,
    Opened,
    Progress,
    Recorded,
    Sealed,
    SubmissionRecord,
    from_metadata,
)

PAGE = 500
RecordT = TypeVar("RecordT", Sealed, Collected)

Fetch = Callable[..., dg.EventRecordsResult]
Keys = Sequence[str] | None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record that this version cannot read, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A record with the event that carries it. ``storage_id`` grows with time, ``at`` is a Unix time."""

    storage_id: int
    at: float
    partition_key: str | None
    run_id: str
    record: AnyRecord | Unreadable


ReadEvent = Callable[[dg.EventLogRecord], Entry | None]


@dataclass(frozen=True, slots=True)
class Past:
    """What the event log tells of some partitions: the newest of each kind, by key.

    ``unreadable`` holds the partitions with a record of a newer version, and why; they are in nothing else.
    """

    submissions: Mapping[str | None, Submission]
    sealed: Mapping[str | None, Sealed]
    collected: Mapping[str | None, Collected]
    unreadable: Mapping[str | None, str]


@dataclass(frozen=True)
class LedgerReader:
    """The ledger of one crawl in one Dagster instance."""

    instance: dg.DagsterInstance
    crawl: Crawl

    def past(self, keys: Collection[str | None]) -> Past:
        """All that is known of some partitions; a record that cannot be read concerns its partition alone."""
        try:
            return self._past(keys, {})
        except LedgerError:
            reasons = {key: reason for key in keys if (reason := self._refusal(key))}
            return self._past([key for key in keys if key not in reasons], reasons)

    def _past(self, keys: Collection[str | None], unreadable: Mapping[str | None, str]) -> Past:
        if not keys:
            return Past({}, {}, {}, unreadable)
        return Past(self.submissions(keys), self.sealed(keys), self.collected(keys), unreadable)

    def _refusal(self, key: str | None) -> str | None:
        try:
            self._past([key], {})
        except LedgerError as error:
            return str(error)
        return None

    def submissions(self, keys: Collection[str | None]) -> dict[str | None, Submission]:
        """The newest submission of each partition that ever had one."""
        histories: dict[str | None, list[SubmissionRecord]] = {key: [] for key in keys}
        pending = set(keys)
        events = self._newest_first(self.instance.fetch_observations, "submissions", keys)
        for entry in events:
            if entry.partition_key in pending and isinstance(entry.record, SubmissionRecord):
                histories[entry.partition_key].append(entry.record)
                if isinstance(entry.record, Opened):
                    pending.discard(entry.partition_key)
            if not pending:
                break
        folded = {key: fold(reversed(history)) for key, history in histories.items()}
        return {key: submission for key, submission in folded.items() if submission}

    def recorded(self, key: str | None, intent_id: str) -> Recorded | None:
        """The job of an intent, in whichever submission of a partition it was."""
        for entry in self._newest_first(self.instance.fetch_observations, "submissions", [key]):
            if isinstance(entry.record, Intent | Recorded) and entry.record.intent_id == intent_id:
                return entry.record if isinstance(entry.record, Recorded) else None
        return None

    def sealed(self, keys: Collection[str | None]) -> dict[str | None, Sealed]:
        """The newest ``sealed`` record of each partition."""
        return _newest(self._newest_first(self.instance.fetch_materializations, "submissions", keys), keys, Sealed)

    def collected(self, keys: Collection[str | None]) -> dict[str | None, Collected]:
        """The newest ``collected`` record of each partition; ``failed`` is published last."""
        return _newest(self._newest_first(self.instance.fetch_materializations, "failed", keys), keys, Collected)

    def since(
        self, asset: str, after_storage_id: int, *, observations: bool = False, keys: Keys = None
    ) -> Iterator[Entry]:
        """All records of an asset, or of some of its partitions, after a storage id, oldest first.

        A record that cannot be read comes as ``Unreadable``: it concerns its partition only.
        """
        fetch: Fetch = self.instance.fetch_observations if observations else self.instance.fetch_materializations
        wanted = self._filter(asset, keys, after_storage_id)
        return read_entries(fetch, wanted, ascending=True, read=_tolerant_entry)

    def since_time(self, asset: str, after: float, *, observations: bool = False) -> Iterator[Entry]:
        """All records of an asset after a Unix time, oldest first; as in ``since``, some may be ``Unreadable``."""
        fetch: Fetch = self.instance.fetch_observations if observations else self.instance.fetch_materializations
        wanted = dg.AssetRecordsFilter(asset_key=self.crawl.key(asset), after_timestamp=after)
        return read_entries(fetch, wanted, ascending=True, read=_tolerant_entry)

    def collected_since(self, after: float) -> dict[str | None, Collected]:
        """The newest ``collected`` record of each partition that was published after a Unix time."""
        wanted = dg.AssetRecordsFilter(asset_key=self.crawl.key("failed"), after_timestamp=after)
        entries = self._pages(self.instance.fetch_materializations, wanted, ascending=True)
        return {e.partition_key: e.record for e in entries if isinstance(e.record, Collected)}

    def progress(self, after: float) -> dict[str, Progress]:
        """The last word on each job that was observed after a Unix time."""
        wanted = dg.AssetRecordsFilter(asset_key=self.crawl.key("succeeded"), after_timestamp=after)
        return newest_progress(self._pages(self.instance.fetch_observations, wanted, ascending=True))

    def _newest_first(self, fetch: Fetch, asset: str, keys: Collection[str | None]) -> Iterator[Entry]:
        named = [key for key in keys if key is not None]
        return self._pages(fetch, self._filter(asset, named or None), ascending=False)

    def _filter(self, asset: str, keys: Keys, after: int | None = None) -> dg.AssetRecordsFilter:
        return dg.AssetRecordsFilter(asset_key=self.crawl.key(asset), asset_partitions=keys, after_storage_id=after)

    def _pages(self, fetch: Fetch, wanted: dg.AssetRecordsFilter, *, ascending: bool) -> Iterator[Entry]:
        return read_entries(fetch, wanted, ascending=ascending)


def _entry(event: dg.EventLogRecord) -> Entry | None:
    asset_event = event.asset_materialization or event.asset_observation
    record = from_metadata(asset_event.metadata) if asset_event else None
    if asset_event is None or record is None:
        return None
    return Entry(event.storage_id, event.timestamp, asset_event.partition, event.run_id, record)


def _tolerant_entry(event: dg.EventLogRecord) -> Entry | None:
    try:
        return _entry(event)
    except LedgerError as error:
        return Entry(event.storage_id, event.timestamp, event.partition_key, event.run_id, Unreadable(str(error)))


def read_entries(
    fetch: Fetch, wanted: dg.AssetRecordsFilter, *, ascending: bool, read: ReadEvent = _entry
) -> Iterator[Entry]:
    """The records that a filter lets through, page by page."""
    cursor: str | None = None
    while True:
        page = fetch(wanted, limit=PAGE, cursor=cursor, ascending=ascending)
        yield from filter(None, map(read, page.records))
        if not page.has_more:
            return
        cursor = page.cursor


def newest_progress(entries: Iterable[Entry]) -> dict[str, Progress]:
    """The last word on each job, given oldest first. An end stands, whatever a slower observer wrote after it."""
    newest: dict[str, Progress] = {}
    for entry in entries:
        record = entry.record
        if not isinstance(record, Progress):
            continue
        before = newest.get(record.job)
        if before is None or before.status not in ENDED or record.status in ENDED:
            newest[record.job] = record
    return newest


def _newest(entries: Iterable[Entry], keys: Collection[str | None], kind: type[RecordT]) -> dict[str | None, RecordT]:
    found: dict[str | None, RecordT] = {}
    for entry in entries if keys else ():
        if isinstance(entry.record, kind):
            found.setdefault(entry.partition_key, entry.record)
        if len(found) == len(keys):
            break
    return found
