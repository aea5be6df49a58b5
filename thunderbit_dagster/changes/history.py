"""How a URL stands on a date, folded from what was published for the dates up to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

CrawlOutcome = Literal["page", "gone", "failed", "quarantined", "unlisted"]
"""What one crawl says of a URL: a page; 404 or 410; another failure; a bot wall or the like in place of the page; or it
was not in the crawl's list."""
Status = Literal["new", "changed", "unchanged", "removed", "failed", "quarantined", "returned"]
IsSame = Callable[[str, str], bool]
"""Whether the pages of two dates have the same content."""


@dataclass(frozen=True, slots=True)
class CrawlSeen:
    """What the crawl of one date says of a URL."""

    date: str
    outcome: CrawlOutcome


@dataclass(frozen=True, slots=True)
class Standing:
    """How a URL stands on the last date that was folded.

    Attributes:
        status: What this date says; None when there is nothing to say of the URL.
        page: The date whose page holds the content that stands; None before the first page.
        since: The date on which this content, or the removal, was first seen, as far as the history goes.
        base: The date whose page this date's page was compared with.
        is_removed: Whether the page counts as removed.
        pending: The first and the last date of a change that is not confirmed yet, and in how many crawls it stood.
        missing: In how many crawls in a row the page was missing.
    """

    status: Status | None = None
    page: str | None = None
    since: str | None = None
    base: str | None = None
    is_removed: bool = False
    pending: str | None = None
    pending_crawls: int = 0
    missing: int = 0


def fold_history(history: Sequence[CrawlSeen], is_same: IsSame, *, confirm: int, removed_after: int) -> Standing:
    """The standing on the last date of a history, which begins with the oldest."""
    standing = Standing()
    for seen in history:
        if seen.outcome == "page":
            standing = _with_page(standing, seen.date, is_same, confirm)
        elif seen.outcome in ("failed", "quarantined"):
            standing = replace(standing, status=seen.outcome, base=None)
        else:
            standing = _without_page(standing, seen, removed_after)
    return standing


def _with_page(standing: Standing, date: str, is_same: IsSame, confirm: int) -> Standing:
    base = standing.page
    if base is None:
        return Standing("new", date, date)
    if standing.is_removed:
        return Standing("returned", date, date, base)
    if is_same(base, date):
        return replace(standing, status="unchanged", page=date, base=base, pending=None, pending_crawls=0, missing=0)
    lasts = standing.pending is not None and is_same(standing.pending, date)
    crawls = standing.pending_crawls + 1 if lasts else 1
    if crawls >= confirm:
        return Standing("changed", date, date, base)
    return replace(standing, status="unchanged", base=base, pending=date, pending_crawls=crawls, missing=0)


def _without_page(standing: Standing, seen: CrawlSeen, removed_after: int) -> Standing:
    is_gone = seen.outcome == "gone"
    if standing.page is None:
        return replace(standing, status="failed" if is_gone else None)
    if standing.is_removed:
        return replace(standing, status="removed", base=None)
    missing = standing.missing + 1
    if missing >= removed_after:
        return replace(standing, status="removed", since=seen.date, base=None, is_removed=True, missing=missing)
    return replace(standing, status="failed" if is_gone else "unchanged", base=None, missing=missing)
