"""The web is fetched as it is now: how late a date may be fetched, and what is said of a late one.

A window is what a date of the cadence stands for: an hour, a day, a week, a month, or any other stretch of time.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Literal

import dagster as dg

from thunderbit_dagster.crawl.schedule import BoundSchedule

PastDates = Literal["fetch", "refuse"] | timedelta

DAY = timedelta(days=1)
SHORTEST_DAY = timedelta(hours=23)
WEEK = timedelta(days=7)
HOUR = timedelta(hours=1)


def length_of(window: dg.TimeWindow) -> timedelta:
    """How long a window is; a day on which the clocks change counts as 24 hours."""
    elapsed = timedelta(seconds=window.end.timestamp() - window.start.timestamp())
    on_the_wall = window.end.replace(tzinfo=None) - window.start.replace(tzinfo=None)
    return elapsed if elapsed < SHORTEST_DAY else on_the_wall


def after_the_end(window: dg.TimeWindow, at: datetime) -> timedelta:
    """How long after the end of a window a time is; negative before."""
    return timedelta(seconds=at.timestamp() - window.end.timestamp())


def allowed_after(past_dates: PastDates, window: dg.TimeWindow) -> timedelta | None:
    """How long after its end a date is still fetched, None for ever; with "refuse" as long as the window was."""
    if isinstance(past_dates, timedelta):
        return past_dates
    return None if past_dates == "fetch" else length_of(window)


def refusal_of(past_dates: PastDates, window: dg.TimeWindow, at: datetime) -> str | None:
    """Why a date is too old to be fetched at a time, None when it is not."""
    late, allowed = after_the_end(window, at), allowed_after(past_dates, window)
    if allowed is None or late < allowed:
        return None
    return (
        f"{name_of(window)} ended {words(late)} ago, and a page is fetched as it is now, not as it was then; "
        f"`past_dates` allows {words(allowed)}"
    )


def told_late(window: dg.TimeWindow, at: datetime) -> str | None:
    """What is said of a fetch at a time; None until a day has passed, or the length of a shorter window."""
    late = after_the_end(window, at)
    if late < min(length_of(window), DAY):
        return None
    there = at.astimezone(window.end.tzinfo)
    short = length_of(window) < DAY
    then = f"at {there:%Y-%m-%d %H:%M %Z}" if short else f"on {there:%Y-%m-%d}"
    return f"Fetched {words(late)} after {name_of(window)} was over: pages as they were {then}, not {_in(window)}."


def problems(past_dates: PastDates, bound: BoundSchedule, cadence: dg.TimeWindowPartitionsDefinition) -> Iterator[str]:
    """Why a schedule submits dates that are then refused, by the first such date."""
    for window, tick in bound.first_ticks(cadence):
        delay, allowed = after_the_end(window, tick), allowed_after(past_dates, window)
        if allowed is None:
            return
        if delay >= allowed or delay + bound.spread > allowed:
            spread = f" and `spread` takes {words(bound.spread)}, until {words(delay + bound.spread)} after it"
            yield (
                f"`past_dates` is {_shown(past_dates)}, so a date is fetched until {words(allowed)} after its end, but "
                f"`schedule` ({bound.cron!r}) submits {name_of(window)} {words(delay)} after its end"
                f"{spread if bound.spread else ''}: that would be refused"
            )
            return


def name_of(window: dg.TimeWindow) -> str:
    """A window in words: ``the week that began 2026-08-03``."""
    start, kind = window.start, _kind(window)
    at_midnight = start.strftime("%H:%M") == "00:00"
    began = start.strftime("%Y-%m-%d" if at_midnight and kind != "hour" else "%Y-%m-%d %H:%M %Z")
    if kind == "date" and at_midnight:
        return f"the date {began}"
    if kind == "month" and at_midnight and start.day == 1:
        return f"the month {start:%Y-%m}"
    if kind is None:
        return f"the time from {start:%Y-%m-%d %H:%M} to {window.end:%Y-%m-%d %H:%M %Z}"
    return f"the {'day' if kind == 'date' else kind} that began {began}"


def _in(window: dg.TimeWindow) -> str:
    kind = _kind(window) or "time"
    return "on that date" if kind == "date" else f"in that {kind}"


def _kind(window: dg.TimeWindow) -> Literal["hour", "date", "week", "month"] | None:
    length = length_of(window)
    if length == HOUR:
        return "hour"
    if length == DAY:
        return "date"
    if length == WEEK:
        return "week"
    start, end = window.start, window.end
    months = 12 * (end.year - start.year) + end.month - start.month
    return "month" if months == 1 and (start.day, start.time()) == (end.day, end.time()) else None


def words(span: timedelta) -> str:
    """A length of time: minutes, hours, or days, with hours beside few days."""
    if span < HOUR:
        return f"{span / timedelta(minutes=1):.0f} minute(s)"
    hours = f"{span % DAY / HOUR:.1f}".removesuffix(".0")
    if span < DAY:
        return f"{hours} hour(s)"
    return f"{span.days:,} day(s)" + ("" if span >= WEEK or hours == "0" else f" {hours} hour(s)")


def _shown(past_dates: PastDates) -> str:
    return words(past_dates) if isinstance(past_dates, timedelta) else repr(past_dates)
