"""Named points between which a process may end: around each event, request, write and rename of a crawl.

Nothing of the product knows them: the functions are wrapped from outside.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from unittest import mock

import dagster as dg

from thunderbit_dagster.api.client import ThunderbitClient
from thunderbit_dagster.ledger.records import RECORD_KEY
from thunderbit_dagster.storage.local import StagedFile

CURSOR = "cursor"
SUBMITTING = ["opened", "slot", "reserved", "intent", "post", "recorded", "sealed"]
COLLECTING = [
    "read",
    "write failed",
    "write succeeded",
    "seal failed",
    "seal succeeded",
    "publish failed",
    "publish succeeded",
    "collected succeeded",
    "collected failed",
]
TICKING = ["progress", CURSOR]
POINTS = [f"{when} {step}" for step in (*SUBMITTING, *COLLECTING, *TICKING) for when in ("before", "after")]
SEVERAL_TIMES = {
    *("slot", "reserved", "intent", "post", "recorded"),
    *("read", "write failed", "write succeeded", "progress"),
}
"""Steps that a run of three partitions makes more than once or twice."""


@dataclass
class Crash:
    """Acts at the n-th time that a point is reached.

    ``forever``: from then on every step acts, as a process that is gone does nothing any more.
    """

    point: str
    nth: int
    act: Callable[[], None]
    forever: bool = False
    fired: bool = False
    reached: Counter[str] = field(default_factory=Counter)

    def at(self, when: str, step: str) -> None:
        name = f"{when} {step}"
        self.reached[name] += 1
        if self.fired and self.forever:
            self.act()
        if not self.fired and name == self.point and self.reached[name] >= self.nth:
            self.fired = True
            self.act()

    @contextmanager
    def around(self, step: str | None) -> Iterator[None]:
        if step is None:
            if self.fired and self.forever:
                self.act()
            yield
            return
        self.at("before", step)
        yield
        self.at("after", step)

    @contextmanager
    def armed(self, instance: dg.DagsterInstance) -> Iterator[Crash]:
        """The wrapped functions, until the block ends."""
        storage = instance._event_storage_impl
        with ExitStack() as stack:
            for owner, name, label in (
                (storage, "store_event", event_step),
                (instance, "add_run_tags", lambda *_, **__: None),
                (ThunderbitClient, "take_slot", lambda *_, **__: "slot"),
                (ThunderbitClient, "submit", lambda *_, **__: "post"),
                (ThunderbitClient, "iter_pages", lambda *_, **__: "read"),
                (StagedFile, "write", lambda file, *_: f"write {table_of(file)}"),
                (StagedFile, "seal", lambda file: f"seal {table_of(file)}"),
                (StagedFile, "publish", lambda file: f"publish {table_of(file)}"),
            ):
                stack.enter_context(mock.patch.object(owner, name, self._wrapped(getattr(owner, name), label)))
            yield self

    def _wrapped(self, call, label):
        def wrapped(*args, **kwargs):
            with self.around(label(*args, **kwargs)):
                return call(*args, **kwargs)

        return wrapped


def table_of(file: StagedFile) -> str:
    return "failed" if "/failed/" in file._target.as_posix() else "succeeded"


def event_step(entry: dg.EventLogEntry) -> str | None:
    """The name of the record that an event carries; None for Dagster's own events."""
    event = entry.dagster_event
    if event is None or event.event_type_value not in ("ASSET_OBSERVATION", "ASSET_MATERIALIZATION"):
        return None
    data = event.event_specific_data
    asset_event = getattr(data, "materialization", None) or getattr(data, "asset_observation", None)
    value = asset_event.metadata.get(RECORD_KEY) if asset_event else None
    if value is None:
        return None
    name = str(value.value["event"])
    return f"collected {asset_event.asset_key.path[-1]}" if name == "collected" else name
