"""Whose a submission is: two code locations on one Dagster instance may give a crawl the same name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import dagster as dg


class Owned(Protocol):
    """A record that names the code location that submits and the store where it publishes; empty: not known."""

    @property
    def location(self) -> str: ...

    @property
    def store(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Owner:
    """A code location, the URI of its store, and the origin of the API that it asks; empty where not known."""

    location: str
    store: str
    origin: str = ""

    def owns(self, record: Owned) -> bool:
        """Whether a submission is ours. Where a code location is not known, as in a script, the store decides."""
        if self.location and record.location:
            return self.location == record.location
        return not (self.store and record.store) or self.store == record.store

    def refusal(self, record: Owned, crawl: str) -> str:
        """Whose a submission is, and what to do, for people."""
        return (
            f"its submission was started by {_name(record)}, and this is {_name(self)}. Rename one of the two crawls "
            f"`{crawl}`; or, if this is the same crawl after a move, take over its open jobs: "
            f"`thunderbit-dagster jobs claim {crawl}`"
        )


ANYBODY: Final = Owner("", "")


def owner_of(run: dg.DagsterRun, store: str) -> Owner:
    """The owner of what a run submits; a run in its own process has no code location."""
    origin = run.remote_job_origin
    return Owner(origin.repository_origin.code_location_origin.location_name if origin else "", store)


def _name(owner: Owned) -> str:
    location = f"the code location `{owner.location}`" if owner.location else "a run without a code location"
    return f"{location}, which publishes to {owner.store}" if owner.store else location
