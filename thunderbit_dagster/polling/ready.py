"""From ready submissions to runs that collect them: few, full, never twice at once. Pure decisions."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from thunderbit_dagster.crawl import Crawl
from thunderbit_dagster.partitions import group_into_ranges
from thunderbit_dagster.polling.watch import OpenSubmission, Watch

GATHER_SECONDS = 120.0
"""Partitions that one run submitted are collected together, but none waits longer than this for the others."""
MAX_ATTEMPTS = 3
MAX_REQUESTS = 25
"""Runs asked for in one tick: Dagster looks each run key up and launches one after another."""
RETRY_SECONDS, RETRY_GROWTH = 60.0, 4.0


@dataclass(frozen=True)
class PastRuns:
    """Collect runs by the submissions they were asked for."""

    active: Collection[str] = ()
    failures: Mapping[str, list[float]] = field(default_factory=dict)
    """Submission id to the Unix times at which its collect runs failed, oldest first."""


@dataclass(frozen=True, slots=True)
class CollectRequest:
    """One run to ask for: its partitions (None: the crawl has none) and why it is a new one."""

    submissions: tuple[OpenSubmission, ...]
    attempt: int
    start: str | None
    end: str | None

    @property
    def submission_ids(self) -> list[str]:
        return [one.sealed.submission_id for one in self.submissions]

    @property
    def run_key(self) -> str:
        """New for each set of submissions and each attempt: Dagster drops a key that it has seen."""
        digest = hashlib.sha256(",".join(self.submission_ids).encode()).hexdigest()[:16]
        return f"collect-{digest}-{self.attempt}"


def collectable(watch: Watch, runs: PastRuns, now: float) -> list[OpenSubmission]:
    """Ready submissions that no run is collecting and that need not wait for their siblings or for a retry."""
    ready = {one.storage_id: one for one in watch.ready()}
    unfinished_runs = {one.run_id for one in watch.open if one.storage_id not in ready}
    return [
        one
        for one in ready.values()
        if one.sealed.submission_id not in runs.active
        and (one.run_id not in unfinished_runs or now - watch.ready_since(one) >= GATHER_SECONDS)
        and _may_try(runs.failures.get(one.sealed.submission_id, []), now)
    ]


def _may_try(failures: list[float], now: float) -> bool:
    if not failures:
        return True
    pause = RETRY_SECONDS * RETRY_GROWTH ** (len(failures) - 1)
    return len(failures) < MAX_ATTEMPTS and now >= failures[-1] + pause


def given_up(watch: Watch, runs: PastRuns) -> list[OpenSubmission]:
    """Ready submissions whose collection failed too often for another try by itself."""
    return [one for one in watch.ready() if len(runs.failures.get(one.sealed.submission_id, [])) >= MAX_ATTEMPTS]


def collect_requests(crawl: Crawl, submissions: Iterable[OpenSubmission], runs: PastRuns) -> list[CollectRequest]:
    """As few runs as contiguous ranges and ``max_partitions_per_run`` allow."""
    by_key = {one.partition.key: one for one in submissions}
    if None in by_key:
        return [_request([by_key[None]], None, None, runs)]
    keys = [key for key in by_key if key is not None]
    ranges = group_into_ranges(keys, crawl.axes, crawl.max_partitions_per_run) if keys else []
    return [_request([by_key[key] for key in one.keys], one.start, one.end, runs) for one in ranges]


def first_requests(
    requests: Iterable[tuple[Crawl, CollectRequest]], limit: int = MAX_REQUESTS
) -> list[tuple[Crawl, CollectRequest]]:
    """The requests whose submissions have waited longest; the next ticks make the others."""
    return sorted(requests, key=lambda one: min(each.storage_id for each in one[1].submissions))[:limit]


def _request(submissions: list[OpenSubmission], start: str | None, end: str | None, runs: PastRuns) -> CollectRequest:
    attempt = 1 + max(len(runs.failures.get(one.sealed.submission_id, [])) for one in submissions)
    return CollectRequest(tuple(submissions), attempt, start, end)
