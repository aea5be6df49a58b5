"""The job sensor's cursor: small, versioned, and rebuilt from the event log when it is lost."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field, ValidationError


class Cursor(BaseModel):
    """Where the last tick stopped.

    Attributes:
        start: The polling window's beginning, a Unix time; jobs due in (start, end] are asked.
        end: Its end: the time of the tick that opened it.
        after: The last job asked when a tick ran out of time, so that the next one goes on behind it;
            None when the window is done.
        low: For each crawl the storage id at and below which every submission is known to be collected.
    """

    v: Literal[1] = 1
    start: float = 0.0
    end: float = 0.0
    after: str | None = None
    low: dict[str, int] = Field(default_factory=dict)

    def window(self, now: float) -> Cursor:
        """The window to work on: the unfinished one, or a new one up to now.

        A clock that stepped back opens a window at the new time rather than none for a while.
        """
        if self.after is not None:
            return self
        return self.model_copy(update={"start": min(self.end, now), "end": now})


def read_cursor(text: str | None) -> Cursor:
    """The cursor, or a fresh one when it is missing or unreadable: nothing is lost by that but time."""
    try:
        return Cursor.model_validate_json(text) if text else Cursor()
    except ValidationError:
        return Cursor()
