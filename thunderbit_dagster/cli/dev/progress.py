"""How far a crawl is, partition by partition, read from Dagster's event log."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import dagster as dg
from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.ledger.credits import DAY_SECONDS
from thunderbit_dagster.ledger.event_log import LedgerReader
from thunderbit_dagster.ledger.records import Collected, Progress, Sealed
from thunderbit_dagster.partitions import UNPARTITIONED, Partition


@dataclass(frozen=True, slots=True)
class PartitionState:
    """One partition of a crawl at a moment.

    ``done`` counts rows by the last seen progress of their jobs; ``open`` says that all is submitted and not
    collected yet; ``published`` holds the counts once it is.
    """

    partition: Partition
    urls: int = 0
    jobs: int = 0
    done: int = 0
    open: bool = False
    published: Collected | None = None

    @property
    def needs_submit(self) -> bool:
        return not self.open and self.published is None

    @property
    def word(self) -> str:
        if self.published:
            return "published"
        if self.open:
            return "running" if self.done < self.urls else "collecting"
        return "waiting"


@dataclass(frozen=True)
class Follower:
    """Reads the states of a crawl's URL partitions; what was published before ``since`` does not count."""

    instance: dg.DagsterInstance
    crawl: Crawl
    since: float

    @property
    def partitions(self) -> list[Partition]:
        keys = self.crawl.url_keys
        return [self.crawl.partition(key) for key in keys] if keys else [UNPARTITIONED]

    def states(self) -> list[PartitionState]:
        """The state of every partition, now."""
        reader = LedgerReader(self.instance, self.crawl)
        keys = [partition.key for partition in self.partitions]
        sealed, collected = reader.sealed(keys), reader.collected(keys)
        published, progress = reader.collected_since(self.since), reader.progress(self.since - DAY_SECONDS)
        states = []
        for partition in self.partitions:
            key = partition.key
            seal = sealed.get(key)
            is_open = seal is not None and (key not in collected or collected[key].submission_id != seal.submission_id)
            states.append(_state(partition, seal, progress, published.get(key), is_open=is_open))
        return states


def _state(
    partition: Partition,
    seal: Sealed | None,
    progress: Mapping[str, Progress],
    published: Collected | None,
    *,
    is_open: bool,
) -> PartitionState:
    if seal is None or not (is_open or published):
        return PartitionState(partition)
    done = sum(_share_done(share.rows, progress.get(share.job)) for share in seal.jobs)
    return PartitionState(partition, seal.total, len(seal.jobs), done, is_open, None if is_open else published)


def _share_done(rows: int, progress: Progress | None) -> int:
    if progress is None or not progress.done or not progress.total:
        return 0
    return round(rows * progress.done / progress.total)


def progress_view(states: Iterable[PartitionState], began: float) -> RenderableType:
    """A table of partitions, with a bar each."""
    view = Table("URL partition", "URLs", "jobs", "state", "", "succeeded", "failed", box=None, pad_edge=False)
    for column in (1, 2, 5, 6):
        view.columns[column].justify = "right"
    for state in states:
        finished = state.published
        bar = ProgressBar(total=max(state.urls, 1), completed=state.urls if finished else state.done, width=24)
        counts = (str(finished.succeeded), str(finished.failed)) if finished else ("", "")
        view.add_row(str(state.partition), str(state.urls), str(state.jobs), state.word, bar, *counts)
    return Group(view, Text(f"{time.time() - began:.0f} s", style="dim"))
