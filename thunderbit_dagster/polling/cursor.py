"""The job sensor's cursor: small, versioned, and rebuilt from the event log when it is lost."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from typing import Literal

from pydantic import BaseModel, Field, ValidationError

MARKS = 200
"""Crawls with a mark of their own; more of them share one. Dagster copies the cursor into every tick."""


class NamedIntent(BaseModel):
    """A call of the API that named an intent whose job is not known, and when it came, a Unix time.

    ``run`` is the run that wrote the intent, once it was found to be still at work.
    """

    job: str
    intent: str
    at: float
    run: str | None = None


class Cursor(BaseModel):
    """Where the last tick stopped.

    Attributes:
        start: The polling window's beginning, a Unix time; jobs due in (start, end] are asked.
        end: Its end: the time of the tick that opened it.
        after: The turn of the last job asked when a tick was over before all were, so that the next one goes
            on behind it; None when the window is done.
        accepted: When the API last accepted the key after it had refused one.
        named: Calls about jobs that no submission has; with the cursor lost they are read from the log again.
        low: For each crawl the storage id at and below which every submission is known to be collected.
    """

    v: Literal[1] = 1
    start: float = 0.0
    end: float = 0.0
    after: str | None = None
    accepted: float = 0.0
    named: list[NamedIntent] = Field(default_factory=list)
    low: dict[str, int] = Field(default_factory=dict)

    def window(self, now: float) -> Cursor:
        """The window to work on: the unfinished one, or a new one up to now.

        A clock that stepped back opens a window at the new time rather than none for a while.
        """
        if self.after is not None:
            return self
        return self.model_copy(update={"start": min(self.end, now), "end": now})

    def polled(self, last: str | None, *, truncated: bool) -> Cursor:
        """The cursor of a tick that asked the window's jobs up to the turn ``last``, or all of them."""
        return self.model_copy(update={"after": (last or "") if truncated else None})

    def closed(self, now: float) -> Cursor:
        """The cursor of a tick that leaves its window undone and asks for no rest of it."""
        return self.model_copy(update={"start": min(self.end, now), "end": now, "after": None})

    def mark(self, crawl: str, crawls: Collection[str]) -> int:
        """The storage id after which to read a crawl, one of ``crawls``."""
        return self.low.get(crawl, self.low.get(shared_mark(crawls), 0))


def pack_marks(low: Mapping[str, int], blocked: Collection[str]) -> dict[str, int]:
    """The marks of all crawls, few enough for the cursor.

    ``blocked`` are the crawls that hold something back. Storage ids are those of one log, so what is settled
    for one crawl is settled for each crawl that holds nothing back.
    """
    if len(low) <= MARKS:
        return dict(low)
    held = [low[name] for name in blocked]
    return {shared_mark(low): min(held) if held else max(low.values())}


def shared_mark(crawls: Collection[str]) -> str:
    """The name under which exactly these crawls share a mark: with one more or less it counts for none."""
    return "*" + hashlib.sha256("\n".join(sorted(crawls)).encode()).hexdigest()[:16]


def read_cursor(text: str | None) -> Cursor:
    """The cursor, or a fresh one when it is missing or unreadable: nothing is lost by that but time."""
    try:
        return Cursor.model_validate_json(text) if text else Cursor()
    except ValidationError:
        return Cursor()
