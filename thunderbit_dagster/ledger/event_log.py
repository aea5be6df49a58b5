"""Reading the ledger from Dagster's event log, for the partitions at hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final, TypeVar

import dagster as dg

from thunderbit_dagster.crawl.crawl import Crawl
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
    to_metadata,
)
from thunderbit_dagster.ledger.submissions import Submission, fold

SUBMISSIONS_KEY: Final = dg.AssetKey(["thunderbit", "submissions"])
"""The asset whose observations say which submissions, of any crawl, are sealed and collected."""
CLOCK_SLACK_SECONDS: Final = 3_600.0
"""How far the clocks of two machines that write to one event log may differ."""
_PAGE = 500
RecordT = TypeVar("RecordT", Sealed, Collected)

Fetch = Callable[..., dg.EventRecordsResult]
Keys = Sequence[str] | None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record that this version cannot read, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A record with the event that carries it. ``storage_id`` grows with time, ``at`` is a Unix time.

    ``run_id`` is the run that wrote the record, empty when none did.
    """

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

    def readable_sealed(self, keys: Collection[str | None]) -> Mapping[str | None, Sealed]:
        """``sealed`` without the partitions that have a record which cannot be read."""
        try:
            return self.sealed(keys)
        except LedgerError:
            return self.past(keys).sealed

    def sealed(self, keys: Collection[str | None]) -> dict[str | None, Sealed]:
        """The newest ``sealed`` record of each partition."""
        return self._newest(keys, "submissions", Sealed)

    def collected(self, keys: Collection[str | None]) -> dict[str | None, Collected]:
        """The newest ``collected`` record of each partition; ``failed`` is published last."""
        return self._newest(keys, "failed", Collected)

    def _newest(self, keys: Collection[str | None], asset: str, kind: type[RecordT]) -> dict[str | None, RecordT]:
        """The newest record of a kind, from the asset's own events and from those that outlive runs."""
        if not keys:
            return {}
        labels = [partition_label(self.crawl, key) for key in keys]
        shared = self._pages(
            self.instance.fetch_observations, dg.AssetRecordsFilter(SUBMISSIONS_KEY, labels), ascending=False
        )
        own = self._newest_first(self.instance.fetch_materializations, asset, keys)
        newest = in_order(_newest(own, keys, kind), self._remembered(_newest(self._outcomes(shared), keys, kind)))
        return {entry.partition_key: entry.record for entry in newest if isinstance(entry.record, kind)}

    def _outcomes(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        return (own for name, own in map(of_crawl, entries) if name == self.crawl.name)

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

    def outcomes_since_time(self, after: float) -> list[Entry]:
        """The records of submissions as a whole after a Unix time, oldest first.

        These are ``opened``, ``sealed`` and ``collected``; most of the last two come twice.
        """
        own = [entry for asset in ("submissions", "failed") for entry in self.since_time(asset, after)]
        return in_order(own, self.shared_since_time(after))

    def shared_since_time(self, after: float) -> list[Entry]:
        """Those of ``outcomes_since_time`` that outlive runs."""
        wanted = dg.AssetRecordsFilter(SUBMISSIONS_KEY, after_timestamp=after)
        shared = read_entries(self.instance.fetch_observations, wanted, ascending=True, read=_tolerant_entry)
        return self._remembered(list(self._outcomes(shared)))

    def _remembered(self, entries: Sequence[Entry]) -> list[Entry]:
        if not entries:
            return []
        return not_wiped(entries, read_asset_states(self.instance, [self.crawl])[self.crawl.name].wiped_at)

    def collected_since(self, after: float) -> dict[str | None, Collected]:
        """The newest ``collected`` record of each partition that was published after a Unix time."""
        entries = self.outcomes_since_time(after)
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
    run_id = getattr(record, "run", "") or event.run_id
    return Entry(event.storage_id, event.timestamp, asset_event.partition, run_id, record)


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
        page = fetch(wanted, limit=_PAGE, cursor=cursor, ascending=ascending)
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


def _newest(entries: Iterable[Entry], keys: Collection[str | None], kind: type[RecordT]) -> list[Entry]:
    """The first record of a kind for each of some partitions."""
    found: dict[str | None, Entry] = {}
    for entry in entries:
        if isinstance(entry.record, kind):
            found.setdefault(entry.partition_key, entry)
        if len(found) == len(keys):
            break
    return list(found.values())


def in_order(*entries: Iterable[Entry]) -> list[Entry]:
    """Entries of several sources, oldest first."""
    return sorted(chain(*entries), key=lambda entry: entry.storage_id)


def partition_label(crawl: Crawl, key: str | None) -> str:
    """How the records that all crawls share name a partition of one."""
    return f"{crawl.name}/{key or ''}"


def of_crawl(entry: Entry) -> tuple[str, Entry]:
    """A shared record's crawl, and the record as the crawl's own."""
    name, _, key = (entry.partition_key or "").partition("/")
    return name, replace(entry, partition_key=key or None)


def shared_outcomes(
    instance: dg.DagsterInstance, *, after_storage_id: int | None = None, after: float | None = None
) -> dict[str, list[Entry]]:
    """The ``opened``, ``sealed`` and ``collected`` records of all crawls, by crawl, oldest first.

    Those after a storage id, or after a Unix time.
    """
    wanted = dg.AssetRecordsFilter(SUBMISSIONS_KEY, after_storage_id=after_storage_id, after_timestamp=after)
    by_crawl: dict[str, list[Entry]] = {}
    for entry in read_entries(instance.fetch_observations, wanted, ascending=True, read=_tolerant_entry):
        name, own = of_crawl(entry)
        by_crawl.setdefault(name, []).append(own)
    return by_crawl


def open_submissions(entries: Iterable[Entry]) -> dict[str | None, Opened | Sealed]:
    """The newest record of each partition whose newest submission is not collected, given oldest first."""
    newest: dict[str | None, Opened | Sealed] = {}
    collected = set[str]()
    for entry in entries:
        if isinstance(entry.record, Opened | Sealed):
            newest[entry.partition_key] = entry.record
        elif isinstance(entry.record, Collected):
            collected.add(entry.record.submission_id)
    return {key: record for key, record in newest.items() if record.submission_id not in collected}


@dataclass(frozen=True, slots=True)
class AssetState:
    """What Dagster keeps of a crawl's assets beside their events.

    Attributes:
        wiped_at: When ``submissions`` was last wiped, a Unix time; 0 for never, infinity for an asset that Dagster does
            not show: a wiped one until it has new events.
        newest: The storage id of the newest materialization of ``submissions`` and ``failed``.
    """

    wiped_at: float = math.inf
    newest: int = 0


def read_asset_states(instance: dg.DagsterInstance, crawls: Iterable[Crawl]) -> dict[str, AssetState]:
    """The state of each crawl's assets, by the crawl's name; one query for all."""
    names = {crawl.key(asset): crawl.name for crawl in crawls for asset in ("submissions", "failed")}
    found = dict.fromkeys(names.values(), AssetState())
    for record in instance.get_asset_records(list(names)) if names else ():
        entry, name = record.asset_entry, names[record.asset_entry.asset_key]
        before, last = found[name], entry.last_materialization_record
        is_submissions = entry.asset_key.path[-1] == "submissions"
        wiped = (entry.asset_details and entry.asset_details.last_wipe_timestamp) or 0.0
        found[name] = AssetState(
            wiped_at=wiped if is_submissions else before.wiped_at,
            newest=max(before.newest, last.storage_id if last else 0),
        )
    return found


def not_wiped(entries: Iterable[Entry], wiped: float) -> list[Entry]:
    """The shared records of a crawl, without those of submissions that were wiped at a Unix time."""
    return [entry for entry in entries if entry.at > wiped or isinstance(entry.record, Collected)]


def outcome_observation(
    crawl: Crawl, key: str | None, record: Opened | Sealed | Collected, words: str
) -> dg.AssetObservation:
    """A record of a submission among those that all crawls share: to be reported as an event of no run."""
    label = partition_label(crawl, key)
    return dg.AssetObservation(SUBMISSIONS_KEY, partition=label, metadata={"event": words, **to_metadata(record)})
