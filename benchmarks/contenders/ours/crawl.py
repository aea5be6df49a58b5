"""The crawls of the contender: URL partitions that hold a batch each, or dates that hold ten URLs each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

CRAWL = "pages"
PER_PARTITION = 100
PER_DATE = 10
FIRST_DATE = date(2025, 1, 1)


def partitions(urls: Sequence[str]) -> dict[str, list[str]]:
    """The URLs of each partition."""
    starts = range(0, len(urls), PER_PARTITION)
    return {f"p{start:07d}": list(urls[start : start + PER_PARTITION]) for start in starts}


def dates(urls: Sequence[str]) -> dict[str, list[str]]:
    """The URLs of each date."""
    starts = range(0, len(urls), PER_DATE)
    return {
        str(FIRST_DATE + timedelta(days=number)): list(urls[start : start + PER_DATE])
        for number, start in enumerate(starts)
    }
