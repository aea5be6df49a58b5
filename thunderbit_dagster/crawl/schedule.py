"""When a crawl is submitted: its cron schedule, and how its URL partitions are spread over the time after a tick."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import islice, pairwise
from zoneinfo import ZoneInfoNotFoundError

import dagster as dg

from thunderbit_dagster.validation import LENGTH, NONE, TEXT, require_setting, whole

STEPS = tuple(timedelta(minutes=minutes) for minutes in (5, 10, 15, 20, 30, 60))
"""Between two slices of a spread; each divides an hour, so that cron can say it."""
MOST_SLICES = 24
"""Slices are made wider, up to an hour, while a spread has more than this."""
GAPS = 60
"""How many ticks are looked at for the time between two."""
SPANS = tuple(timedelta(days=days) for days in (14, 400, 3_300))
"""How far ahead is looked for so many ticks: two weeks hold a whole weekend, nine years two leap days."""
TICK = "%Y-%m-%dT%H:%M:%S%z"
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
        catch_up: So many dates before the newest are submitted as well where they are missing, and where the crawl's
            ``past_dates`` does not refuse them.

    Raises:
        ValueError: a setting is wrong, whatever the crawl.
    """

    cron: str | None = None
    timezone: str | None = None
    spread: timedelta = timedelta(0)
    catch_up: int = 0

    def __post_init__(self) -> None:
        expected = {"cron": TEXT | NONE, "timezone": TEXT | NONE, "spread": LENGTH, "catch_up": whole(0)}
        require_setting("Schedule", vars(self), expected)
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
            yield "`spread` splits up URL partitions, so the crawl needs some"
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

    def longest_gap(self) -> timedelta:
        """The longest time between two ticks, by the clock on the wall; 0 for a cron schedule of one tick."""
        return _longest_gap(self.cron, self.timezone)

    def first_ticks(self, cadence: dg.TimeWindowPartitionsDefinition) -> Iterator[tuple[dg.TimeWindow, datetime]]:
        """The first dates of a cadence that a tick submits as the newest, each with the first tick that does."""
        ticks, start = self._ticks(), cadence.start
        for _ in range(GAPS):
            over = cadence.get_next_partition_window(start, respect_bounds=False)
            next_tick = over and ticks.get_next_partition_window(over.end, respect_bounds=False)
            if not over or not next_tick:
                return
            with dg.partition_loading_context(effective_dt=next_tick.start):
                newest = cadence.get_last_partition_window()
            if newest is None or newest.end < over.end:  # the cadence has ended
                return
            yield newest, next_tick.start
            start = newest.end

    def _windows(self) -> Iterator[tuple[datetime, datetime]]:
        ticks = self._ticks()
        window = ticks.get_first_partition_window()
        while window:
            yield window.start, window.end
            window = ticks.get_next_partition_window(window.end)

    def _ticks(self) -> dg.TimeWindowPartitionsDefinition:
        # The windows between ticks: Dagster's own reading of cron, time zones and summer time.
        return dg.TimeWindowPartitionsDefinition(
            start=LONG_AGO, fmt=TICK, cron_schedule=self.cron, timezone=self.timezone
        )


@lru_cache(maxsize=256)
def _longest_gap(cron: str, zone: str) -> timedelta:
    minute, *rest = cron.split()
    if not rest:  # a word such as @daily
        return _longest(_enough_ticks(cron, zone))
    # Every hour with ticks has the same minutes: so minutes are looked at in one hour, and hours by one tick each.
    between_hours = _longest(_enough_ticks(" ".join(["0", *rest]), zone))
    minutes = sorted({tick.replace(hour=0) for tick in _ticks_within(f"{minute} * * * *", zone, timedelta(hours=3))})
    return max(between_hours - (minutes[-1] - minutes[0]), _longest(minutes))


def _longest(ticks: Sequence[datetime]) -> timedelta:
    return max((later - earlier for earlier, later in pairwise(ticks)), default=timedelta(0))


def _enough_ticks(cron: str, zone: str) -> list[datetime]:
    found: list[datetime] = []
    for span in SPANS:
        found = _ticks_within(cron, zone, span)
        if len(found) >= GAPS:
            break
    return found


def _ticks_within(cron: str, zone: str, span: timedelta) -> list[datetime]:
    """By the clock on the wall, so that summer time makes no day longer."""
    ticks = dg.TimeWindowPartitionsDefinition(
        start=LONG_AGO, end=LONG_AGO + span, fmt=TICK, cron_schedule=cron, timezone=zone
    )
    return [datetime.fromisoformat(key[:19]) for key in ticks.get_partition_keys()]


def slice_of(key: str, slices: int) -> int:
    """A URL partition's slice, 0 to ``slices - 1``: a stable hash, so that a new partition moves no other."""
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") % slices
