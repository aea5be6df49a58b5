"""What the jobs of an account cost, over all crawls and runs, from the event log alone.

Observations on one asset that no crawl owns tell it: ``reserved`` before each POST, ``settled`` when the POST turned
out not to be accepted, and ``billed`` once the bills of jobs are known. Older logs have a ``settled`` for each bill.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import dagster as dg

from thunderbit_dagster.ledger.event_log import Entry, read_entries
from thunderbit_dagster.ledger.records import Bill, Billed, Reserved, SameAccount, Settled, to_metadata
from thunderbit_dagster.partitions import chunks

CREDITS = dg.AssetKey(["thunderbit", "credits"])
LATE_EVENT_SECONDS = 60.0
"""Events may become visible out of order for so long (seen on PostgreSQL): they are read again."""
DAY_SECONDS = 86_400.0
BILLS_PER_EVENT = 500


@dataclass(frozen=True, slots=True)
class Reservation:
    """Credits set aside for one POST: of which account, how many, when (Unix time) and by which run."""

    account: str
    credits: int
    at: float
    run_id: str


@dataclass
class Tally:
    """The reservations of one account, by intent, and what came of them. Events may come twice and in any order."""

    account: str
    reserved: dict[str, Reservation] = field(default_factory=dict)
    settled: dict[str, int] = field(default_factory=dict)
    linked: dict[str, set[str]] = field(default_factory=dict)

    def take(self, entry: Entry) -> None:
        """Count a record; one that is counted already changes nothing."""
        record = entry.record
        if isinstance(record, Reserved):
            self.reserved[record.intent_id] = Reservation(record.account, record.credits, entry.at, entry.run_id)
        elif isinstance(record, SameAccount):
            self.linked.setdefault(record.account, set()).add(record.former)
            self.linked.setdefault(record.former, set()).add(record.account)
        elif isinstance(record, Settled):
            self.settled[record.intent_id] = record.credits
        elif isinstance(record, Billed):
            self.settled |= {bill.intent_id: bill.credits for bill in record.bills}

    def since(self, at: float) -> int:
        """Credits of POSTs reserved at or after a Unix time."""
        return sum(self._cost(intent, one) for intent, one in self._own().items() if one.at >= at)

    def of_run(self, run_id: str) -> int:
        """Credits of a run's POSTs."""
        return sum(self._cost(intent, one) for intent, one in self._own().items() if one.run_id == run_id)

    def _own(self) -> dict[str, Reservation]:
        """The account's reservations, under whichever of its keys."""
        accounts, waiting = {self.account}, [self.account]
        while waiting:
            new = self.linked.get(waiting.pop(), set()) - accounts
            accounts |= new
            waiting.extend(new)
        return {intent: one for intent, one in self.reserved.items() if one.account in accounts}

    def _cost(self, intent_id: str, reservation: Reservation) -> int:
        return self.settled.get(intent_id, reservation.credits)


def day_start(now: float) -> float:
    """Midnight (UTC) before a Unix time."""
    return now - now % DAY_SECONDS


@dataclass
class CreditReader:
    """An account's tally since a Unix time, kept up to date by reading only what may be new."""

    instance: dg.DagsterInstance
    account: str
    since: float
    monotonic: Callable[[], float] = time.monotonic
    _tally: Tally = field(init=False)
    _low: int | None = None
    _highest: int | None = None
    _reads: deque[tuple[float, int | None]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self._tally = Tally(self.account)

    def tally(self) -> Tally:
        """The tally now: whatever was written before this call is in it."""
        now = self.monotonic()
        while self._reads and self._reads[0][0] < now - LATE_EVENT_SECONDS:
            self._low = self._reads.popleft()[1]
        wanted = dg.AssetRecordsFilter(CREDITS, after_timestamp=self.since, after_storage_id=self._low)
        for entry in read_entries(self.instance.fetch_observations, wanted, ascending=True):
            self._tally.take(entry)
            self._highest = max(self._highest or 0, entry.storage_id)
        self._reads.append((now, self._highest))
        return self._tally


def same_account(account: str, former: str) -> dg.AssetObservation:
    """That a key belongs to the account of a former one, as an event: the caps count both."""
    record = SameAccount(account=account, former=former)
    return dg.AssetObservation(CREDITS, metadata={"event": "the key was rotated", **to_metadata(record)})


def credit_observation(record: Reserved | Settled) -> dg.AssetObservation:
    """A record as an event whose number the UI plots."""
    shown: dict[str, str | float] = (
        {"credits reserved": record.credits, "crawl": record.crawl}
        if isinstance(record, Reserved)
        else {"credits used": record.credits, "job": "none was submitted"}
    )
    return dg.AssetObservation(CREDITS, metadata={**shown, **to_metadata(record)})


def bill_observations(bills: Sequence[Bill], crawl: str) -> Iterator[dg.AssetObservation]:
    """The bills of a crawl's jobs, many in an event: each event costs more to write than to read."""
    for some in chunks(bills, BILLS_PER_EVENT):
        used = sum(bill.credits for bill in some)
        jobs = some[0].job if len(some) == 1 else f"{len(some)} jobs"
        shown: dict[str, str | int] = {"credits used": used, "crawl": crawl, "job": jobs}
        yield dg.AssetObservation(CREDITS, metadata={**shown, **to_metadata(Billed(bills=tuple(some)))})
