"""One run at a time sends a partition's URLs, although the event log has no locks.

A run announces that it is submitting by a tag on itself, and only then looks for others that did: of two that
start at once at least one sees the other, and both agree on who was first. The later one waits a little for
the first to be done, then goes on where that one stopped, or fails for the partitions concerned before
anything is paid.

What remains: who was first is read from the start times of the runs. When the clocks of two machines differ by more
than lies between the two starts, both may take themselves for the first; then both send, unless the one already
finds the intents of the other in the event log.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import dagster as dg

from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.partitions import Partition
from thunderbit_dagster.runs.liveness import is_living
from thunderbit_dagster.runs.partitions import Step, keys_of
from thunderbit_dagster.runs.signals import sleep
from thunderbit_dagster.runs.step_lock import LOOK_SECONDS, EarlierExecutions

WAIT_SECONDS = 30.0
"""How long a run waits for an earlier one. Most submits take less."""
SENDING, DONE = "now", "done"
UNDER_WAY = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


@dataclass(frozen=True, slots=True)
class Submitting:
    """A run that is submitting: when it started (Unix time) and its partitions' keys, None for any."""

    run_id: str
    started: float
    keys: frozenset[str | None] | None

    def covers(self, partition: Partition) -> bool:
        return self.keys is None or partition.key in self.keys


def earlier_runs(own: Submitting, others: Iterable[Submitting]) -> list[Submitting]:
    """The runs whose turn comes before ours, first come first."""
    earlier = [one for one in others if (one.started, one.run_id) < (own.started, own.run_id)]
    return sorted(earlier, key=lambda one: (one.started, one.run_id))


def locked_partitions(partitions: Iterable[Partition], runs: Sequence[Submitting]) -> dict[Partition, str]:
    """The partitions that other runs are sending, each with the id of the first such run."""
    holders = {partition: next((run.run_id for run in runs if run.covers(partition)), None) for partition in partitions}
    return {partition: run_id for partition, run_id in holders.items() if run_id is not None}


def submitting_tag(crawl: Crawl) -> str:
    """The run tag that says whether a run is submitting for the crawl."""
    return f"thunderbit/submitting_{crawl.name}"


@dataclass
class SubmitLock:
    """A run's turn to submit."""

    context: Step
    crawl: Crawl
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = sleep
    wait_seconds: float = field(default_factory=lambda: WAIT_SECONDS)

    @contextmanager
    def announced(self) -> Iterator[None]:
        """While this block runs, other runs see that this one is submitting."""
        EarlierExecutions(self.context, submitting_tag(self.crawl), SENDING).outwait()
        self._tell(SENDING)
        try:
            yield
        finally:
            self._tell(DONE)

    def taken(self, partitions: Collection[Partition]) -> dict[Partition, str]:
        """Wait for earlier runs; the partitions that one of them is still sending then, and what to do about it."""
        until = self.monotonic() + self.wait_seconds
        while held := locked_partitions(partitions, self._ahead()):
            if self.monotonic() >= until:
                return {partition: _reason(run_id) for partition, run_id in held.items()}
            self.context.log.info("Run %s is sending the same URLs; waiting for it", next(iter(held.values())))
            self.sleep(LOOK_SECONDS)
        return {}

    def _tell(self, state: str) -> None:
        if self.context.instance.get_run_by_id(self.context.run.run_id) is None:
            return  # it was deleted, and no other run waits for it
        self.context.instance.add_run_tags(self.context.run.run_id, {submitting_tag(self.crawl): state})

    def _ahead(self) -> list[Submitting]:
        wanted = dg.RunsFilter(tags={submitting_tag(self.crawl): SENDING}, statuses=UNDER_WAY)
        runs = {one.dagster_run.run_id: one for one in self.context.instance.get_run_records(wanted)}
        own = runs.pop(self.context.run.run_id, None)
        if own is None:  # it was cancelled in the meantime, or is not of this instance
            return []
        living = [one for one in runs.values() if is_living(self.context.instance, one, time.time())]
        return earlier_runs(submitting(own, self.crawl), [submitting(one, self.crawl) for one in living])


def submitting(record: dg.RunRecord, crawl: Crawl) -> Submitting:
    """A run with the partitions that it was launched for."""
    started = record.start_time if record.start_time is not None else record.create_timestamp.timestamp()
    return Submitting(record.dagster_run.run_id, started, keys_of(record.dagster_run, crawl))


def _reason(run_id: str) -> str:
    return (
        f"nothing was sent: run {run_id}, which started earlier, is submitting this partition. When it is done, "
        "materialize again to continue where it stopped. If that run is dead, terminate it; after two hours "
        "of silence it no longer counts"
    )
