"""A seeded synthetic web: Markdown pages over several days, with the truth of each page and day.

It serves to measure a change detector on recurring crawls: every page of a day comes with what really happened to it.

The pages belong to the twelve hosts of `benchmarks.web_texts` (shops, documentation, news, a wiki and so on, in four
languages), in turn. A page consists of three things: sections that are its own (text, lists, tables, code); facts such
as a price or a label, which occur in its head and also in its sentences; and noise such as counters, teasers or session
ids, around and between them. Teasers come from a pool of lines that all pages of the host share, and to which each day
adds a few.

On day 0 every page is new. On each later day a page has at most one event, drawn for that page and day:

- *changed* (3 % of the pages): another value of one fact, or one edit of the sections, from a single number or word to
  sections written anew. A third of these pages have noise at the same time; their kind is such as
  ``price + viewer counter``.
- *noise* (5 %): one kind of noise, less often two or three, is drawn again. The truth is ``unchanged``.
- *wall* (2 %), *failed* (1 %) and *blip* (0.5 %): a wall instead of the page, nothing at all, or a change that is gone
  again the day after. The day after has no event, and the page is byte for byte what it was before.
- *removed* (1 %): the truth is ``removed`` on that day and ``absent`` on every later one, always with the error code.
- Besides, 1 % of `Web.pages` are new each day. A page is not listed before it exists.

Without an event a page is byte for byte as on the day before, its noise included. Since the day after a wall, failure
or blip has no event, the rates found are lower than these by about a thirtieth of themselves.

All of it follows from the seed. What a page shows on a day is computed by repeating its events from its first day: days
can be asked for in any order, and nothing but the list of addresses is kept.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from itertools import accumulate
from operator import attrgetter
from random import Random
from typing import Literal, NamedTuple

from benchmarks.web_page import FIRST_DATE, Page, Writer, seeded
from benchmarks.web_texts import SITES, Site

Truth = Literal["new", "changed", "unchanged", "removed", "absent", "failed", "wall", "blip"]

NEW_EACH_DAY = 0.01

_Event = Literal[
    "new", "quiet", "changed", "changed with noise", "noise", "wall", "failed", "blip", "removed", "absent"
]
_RATES: Mapping[_Event, float] = {
    "changed": 0.02,
    "changed with noise": 0.01,
    "noise": 0.05,
    "wall": 0.02,
    "failed": 0.01,
    "blip": 0.005,
    "removed": 0.01,
}
_EVENTS: tuple[_Event, ...] = (*_RATES, "quiet")
_LIMITS = tuple(accumulate(_RATES.values()))
_TRUTHS: Mapping[_Event, Truth] = {
    "new": "new",
    "quiet": "unchanged",
    "changed": "changed",
    "changed with noise": "changed",
    "noise": "unchanged",
    "wall": "wall",
    "blip": "blip",
    "removed": "removed",
    "absent": "absent",
}


@dataclass(frozen=True)
class PageOnDay:
    """What a crawl gets of a page on a day, and what really happened to it.

    Args:
        url: The page.
        truth: What happened to its content since the day before.
        kind: Of a change, noise, wall or failure, which it is; several are joined with `` + ``.
        markdown: The answer; None where there is none.
        error_code: Why there is none.
    """

    url: str
    truth: Truth
    kind: str
    markdown: str | None
    error_code: str | None


@dataclass(frozen=True)
class Web:
    """The web.

    Args:
        pages: How many there are on day 0.
        days: How many days can be asked for.
        seed: Another seed is another web.
    """

    pages: int = 10_000
    days: int = 10
    seed: int = 1

    def day(self, number: int) -> Iterator[PageOnDay]:
        """Every page that exists or once existed, in order of URL; the first day is 0."""
        if not 0 <= number < self.days:
            raise ValueError(f"day {number} is not one of the {self.days} days from 0")
        return (_on_day(self.seed, address, number) for address in self._addresses if address.born <= number)

    def date(self, number: int) -> date:
        return FIRST_DATE + timedelta(days=number)

    @cached_property
    def _addresses(self) -> list[_Address]:
        later = round(self.pages * NEW_EACH_DAY)
        births = [0] * self.pages + [day for day in range(1, self.days) for _ in range(later)]
        return sorted((_address(self.seed, number, born) for number, born in enumerate(births)), key=attrgetter("url"))


class _Address(NamedTuple):
    url: str
    site: Site
    born: int


def _address(seed: int, number: int, born: int) -> _Address:
    site = SITES[number % len(SITES)]
    path = Writer(site, seed, site.host, born, seeded(seed, "address", number)).write(site.path)
    return _Address(f"https://{site.host}{path.replace('{number}', f'{number:06d}')}", site, born)


def _on_day(seed: int, address: _Address, number: int) -> PageOnDay:
    url, site, born = address
    events = _events(seeded(seed, url, "events"), number - born)
    today = events[-1]
    if today == "failed":
        return PageOnDay(url, "failed", "timeout", None, "SCRAPE_TIMEOUT")
    if today in ("removed", "absent"):
        return PageOnDay(url, _TRUTHS[today], "not found", None, "SCRAPE_TARGET_NOT_FOUND")
    page = Page(seed, url, site, born)
    kinds = [_apply(event, page, day) for day, event in enumerate(events, born)]
    if today == "wall":
        return PageOnDay(url, "wall", *page.wall(number), None)
    kind = page.glitch(number) if today == "blip" else kinds[-1]
    return PageOnDay(url, _TRUTHS[today], kind, page.markdown(), None)


def _apply(event: _Event, page: Page, day: int) -> str:
    """Does to the page for good what the event does; which kind it is, or nothing."""
    match event:
        case "changed":
            return page.change(day)
        case "changed with noise":
            return f"{page.change(day)} + {page.stir(day)}"
        case "noise":
            return page.stir(day)
        case _:
            return ""


def _events(draw: Random, days: int) -> list[_Event]:
    """What happens to a page on its first day and on so many later ones."""
    events: list[_Event] = ["new"]
    for _ in range(days):
        events.append(_next_event(events[-1], draw.random()))
    return events


def _next_event(last: _Event, drawn: float) -> _Event:
    if last in ("removed", "absent"):
        return "absent"
    return "quiet" if last in ("wall", "failed", "blip") else _EVENTS[bisect(_LIMITS, drawn)]
