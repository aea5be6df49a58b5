"""When a crawl is submitted: its cron schedule, and how its URL partitions are spread over the time after a tick."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfoNotFoundError

import dagster as dg

from thunderbit_dagster.expected import LENGTH, NONE, TEXT, require, whole

STEPS = tuple(timedelta(minutes=minutes) for minutes in (5, 10, 15, 20, 30, 60))
"""Between two slices of a spread; each divides an hour, so that cron can say it."""
MOST_SLICES = 24
"""Slices are made wider, up to an hour, while a spread has more than this."""
GAPS = 60
"""How many ticks are looked at for the shortest time between two."""
LONG_AGO = datetime(2000, 1, 1)  # noqa: DTZ001 - Dagster takes the zone apart from the time


@dataclass(frozen=True)
class Schedule:
    """When Dagster submits a crawl by itself.

    Dagster evaluates one tick after its daemon was down, the last, however many were missed: ticks do not pile up.
    (Its setting ``max_catchup_runs`` is for schedules of an older kind only.) Of a crawl with a cadence that tick
    submits the newest complete date, and with ``catch_up`` those of the dates before it that nothing was ever
    submitted for; what was submitted already, by the schedule or by hand, is left out. A missed date is otherwise left
    missing, since a page fetched late is not the page of that day; ``thunderbit-dagster backfill --missing`` sends
    it all the same.

    Args:
        cron: Five fields, such as ``0 6 * * 1-5``. Default: the end of each date of the crawl's cadence.
        timezone: An IANA name. Default: that of the cadence, else UTC.
        spread: Submit the URL partitions in slices over so long a time after each tick, so that the account's limits
            have room; a URL partition always has the same slice. Shorter than the time between two ticks.
        catch_up: So many dates before the newest are submitted as well where they are missing.

    Raises:
        ValueError: a setting is wrong, whatever the crawl.
    """

    cron: str | None = None
    timezone: str | None = None
    spread: timedelta = timedelta(0)
    catch_up: int = 0

    def __post_init__(self) -> None:
        expected = {"cron": TEXT | NONE, "timezone": TEXT | NONE, "spread": LENGTH, "catch_up": whole(0)}
        require("Schedule", vars(self), expected)
        try:
            BoundSchedule(self.cron or "0 0 * * *", self.timezone or "UTC").shortest_gap()
        except OSError as error:  # a folder of zones, such as `Europe`
            raise ValueError(f"Schedule: there is no time zone {self.timezone!r}") from error
        except (dg.DagsterError, ZoneInfoNotFoundError) as error:
            raise ValueError(f"Schedule: `cron` and `timezone` are not understood: {error}") from error

    def problems(self, cadence: dg.TimeWindowPartitionsDefinition | None, *, has_url_keys: bool) -> Iterator[str]:
        """What is wrong with the schedule for a crawl of this kind."""
        if self.cron is None and cadence is None:
            yield "`schedule` needs a cron string, since there is no cadence"
            return
        if self.catch_up and cadence is None:
            yield "`catch_up` counts dates, so it needs a cadence"
        if self.spread and not has_url_keys:
            yield "`spread` parts URL partitions, so the crawl needs some"
        gap = self.bound(cadence).shortest_gap()
        if self.spread >= gap:
            yield f"`spread` is {self.spread}, but two ticks may be only {gap} apart"

    def bound(self, cadence: dg.TimeWindowPartitionsDefinition | None) -> BoundSchedule:
        """The schedule of a crawl with this cadence, every default filled in."""
        zone = self.timezone or (cadence.timezone if cadence else "UTC")
        cron = self.cron or (cadence.get_cron_schedule() if cadence else "")
        return BoundSchedule(cron, zone, self.spread, self.catch_up)


@dataclass(frozen=True)
class BoundSchedule:
    """A schedule without defaults."""

    cron: str
    timezone: str
    spread: timedelta = timedelta(0)
    catch_up: int = 0

    @property
    def step(self) -> timedelta:
        """The time between two slices."""
        return next((step for step in STEPS if step * MOST_SLICES >= self.spread), STEPS[-1])

    @property
    def slices(self) -> int:
        """Into how many slices the URL partitions fall; one without a spread."""
        return max(1, -(-self.spread // self.step))

    @property
    def crons(self) -> list[str]:
        """When Dagster is to look: at the ticks, and at every step of a spread."""
        if not self.spread:
            return [self.cron]
        minutes = self.step // timedelta(minutes=1)
        return [self.cron, "0 * * * *" if minutes == 60 else f"*/{minutes} * * * *"]  # noqa: PLR2004 - an hour

    def tick(self, now: datetime) -> datetime | None:
        """The newest tick of the cron schedule at or before a time; None before the first since the year 2000."""
        with dg.partition_loading_context(effective_dt=now):
            window = self._ticks().get_last_partition_window()
        return window.end if window else None

    def slices_begun(self, tick: datetime, now: datetime) -> range:
        """The slices whose time has come, of those that belong to a tick."""
        return range(min(self.slices, (now - tick) // self.step + 1))

    def shortest_gap(self) -> timedelta:
        """The shortest time between two ticks, over the first 60."""
        return min(end - start for start, end in islice(self._windows(), GAPS))

    def _windows(self) -> Iterator[tuple[datetime, datetime]]:
        ticks = self._ticks()
        window = ticks.get_first_partition_window()
        while window:
            yield window.start, window.end
            window = ticks.get_next_partition_window(window.end)

    def _ticks(self) -> dg.TimeWindowPartitionsDefinition:
        # The windows between ticks: Dagster's own reading of cron, time zones and summer time.
        return dg.TimeWindowPartitionsDefinition(
            start=LONG_AGO, fmt="%Y-%m-%dT%H:%M:%S%z", cron_schedule=self.cron, timezone=self.timezone
        )


def slice_of(key: str, slices: int) -> int:
    """A URL partition's slice, 0 to ``slices - 1``: a stable hash, so that a new partition moves no other."""
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") % slices
