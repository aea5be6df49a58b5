"""Credits set aside before each POST, so that no cap is passed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Protocol

from thunderbit_dagster.ledger.credits import DAY_SECONDS, CreditReader, credit_observation, day_start
from thunderbit_dagster.ledger.records import Reserved, Settled
from thunderbit_dagster.submission.record_writer import ReportEvent

TRIES = 3
"""How often in a row a reservation is tried when other runs reserve at the same moment."""


class CreditLimit(Protocol):
    """Who is asked before a POST."""

    def fitting(self, urls: int) -> int:
        """How many of so many URLs fit the caps now."""
        ...

    def reserve(self, intent_id: str, urls: int) -> bool:
        """Set credits aside for a POST; false, and nothing set aside, when another run was quicker."""
        ...

    def release(self, intent_id: str) -> None:
        """The POST was not accepted: it costs nothing."""
        ...

    def refusal(self) -> str:
        """Why no more URLs fit, with figures and when it goes on, for people."""
        ...


class NoCreditCaps:
    """No caps, and nothing is written down."""

    def fitting(self, urls: int) -> int:
        return urls

    def reserve(self, intent_id: str, urls: int) -> bool:
        del intent_id, urls
        return True

    def release(self, intent_id: str) -> None:
        """Nothing was set aside."""

    def refusal(self) -> str:
        return "there is no cap"


@dataclass(frozen=True, slots=True)
class UsedCredits:
    """Credits used or set aside: by this run, and since midnight (UTC) by all runs of the account."""

    by_run: int
    today: int


@dataclass(frozen=True, slots=True)
class Caps:
    """The most credits of one run, and of all runs of a UTC day; None for no cap."""

    per_run: int | None = None
    per_day: int | None = None

    def left(self, used: UsedCredits) -> int | None:
        """Credits that may still be set aside; below 0 when a cap is passed, None without caps."""
        pairs = ((self.per_run, used.by_run), (self.per_day, used.today))
        return min((cap - spent for cap, spent in pairs if cap is not None), default=None)

    def refusal(self, used: UsedCredits, price: int, now: float) -> str:
        """Which cap stands in the way of one more URL, its figures, and when it goes on."""
        if self.per_day is not None and self.per_day - used.today < price:
            tomorrow = datetime.fromtimestamp(day_start(now) + DAY_SECONDS, timezone.utc)
            return (
                f"`max_credits_per_day` is {self.per_day:,}; {used.today:,} are used or reserved by all runs of this "
                f"account since midnight (UTC), and a URL may cost {price:,}. Materialize again after "
                f"{tomorrow:%Y-%m-%d %H:%M} UTC: that run continues here"
            )
        if self.per_run is not None and self.per_run - used.by_run < price:
            return (
                f"`max_credits_per_run` is {self.per_run:,}; {used.by_run:,} are used or reserved by this run, and a "
                f"URL may cost {price:,}. Materialize again: the next run continues here"
            )
        return "other runs reserved the last credits at the same moment. Materialize again to continue here"


@dataclass
class CreditCaps:
    """Writes every reservation to the event log, and checks the caps before and after.

    The check after it holds the caps over runs at the same time: whoever reads last sees all reservations. Runs
    that collide may all give way and leave credits unused, but never pass a cap.
    """

    caps: Caps
    price: int
    crawl: str
    run_id: str
    reader: CreditReader
    report: ReportEvent
    clock: Callable[[], float] = time.time
    _collisions: int = 0

    def fitting(self, urls: int) -> int:
        """How many of so many URLs fit the caps now."""
        left = self._left()
        if left is None:
            return urls
        return max(0, min(urls, left // self.price)) if self._collisions < TRIES else 0

    def reserve(self, intent_id: str, urls: int) -> bool:
        """Set credits aside for a POST; false, and nothing set aside, when another run was quicker."""
        reserved = Reserved(
            run=self.run_id,
            account=self.reader.account,
            crawl=self.crawl,
            intent_id=intent_id,
            credits=urls * self.price,
        )
        self.report(credit_observation(reserved))
        left = self._left()
        if left is not None and left < 0:
            self._collisions += 1
            self.release(intent_id)
            return False
        self._collisions = 0
        return True

    def release(self, intent_id: str) -> None:
        """The POST was not accepted: it costs nothing."""
        self.report(credit_observation(Settled(intent_id=intent_id, credits=0)))

    def refusal(self) -> str:
        """Why no more URLs fit, with figures and when it goes on, for people."""
        return self.caps.refusal(self._used(), self.price, self.clock())

    def _left(self) -> int | None:
        # Without caps nothing needs to be read.
        return None if self.caps == Caps() else self.caps.left(self._used())

    def _used(self) -> UsedCredits:
        tally = self.reader.tally()
        return UsedCredits(tally.of_run(self.run_id), tally.since(day_start(self.clock())))
