"""From ready submissions to runs that collect them: few, full, never twice at once. Pure decisions."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.partitions import chunks, group_into_ranges
from thunderbit_dagster.polling.open_submissions import CrawlJobs, OpenSubmission

GATHER_SECONDS = 120.0
"""Partitions that one run submitted are collected together, but none waits longer than this for the others ..."""
GATHER_SHARE = 0.25
"""... or than this share of the time its own jobs took: what takes hours is collected in few runs as well."""
MAX_ATTEMPTS = 3
MAX_REQUESTS = 25
"""Runs asked for in one tick: Dagster looks each run key up and launches one after another."""
_RETRY_SECONDS, RETRY_GROWTH = 60.0, 4.0


@dataclass(frozen=True)
class PastRuns:
    """Collect runs by the submissions they were asked for."""

    active: Collection[str] = ()
    failures: Mapping[str, list[float]] = field(default_factory=dict)
    """Submission id to the Unix times at which its collect runs failed, oldest first."""


@dataclass(frozen=True, slots=True)
class CollectRequest:
    """One run to ask for, and why it is a new one.

    Its partitions are a range with both ends, or any set, with ends of None; both ends are None as well for a crawl
    without partitions.
    """

    submissions: tuple[OpenSubmission, ...]
    attempt: int
    start: str | None
    end: str | None

    @property
    def keys(self) -> list[str]:
        """The partitions; empty for a crawl that has none."""
        return [one.partition.key for one in self.submissions if one.partition.key is not None]

    @property
    def is_set(self) -> bool:
        """Whether no range covers the partitions."""
        return self.start is None and bool(self.keys)

    @property
    def submission_ids(self) -> list[str]:
        return [one.sealed.submission_id for one in self.submissions]

    @property
    def run_key(self) -> str:
        """New for each set of submissions and each attempt: Dagster drops a key that it has seen."""
        digest = hashlib.sha256(",".join(self.submission_ids).encode()).hexdigest()[:16]
        return f"collect-{digest}-{self.attempt}"


def collectable(crawl_jobs: CrawlJobs, runs: PastRuns, now: float) -> list[OpenSubmission]:
    """Ready submissions that no run is collecting and that need not wait for their siblings or for a retry."""
    ready = {one.storage_id: one for one in crawl_jobs.ready}
    unfinished_runs = {one.run_id for one in crawl_jobs.open if one.storage_id not in ready}
    return [
        one
        for one in ready.values()
        if one.sealed.submission_id not in runs.active
        and (one.run_id not in unfinished_runs or now - crawl_jobs.ready_since(one) >= _patience(crawl_jobs, one))
        and _may_try(runs.failures.get(one.sealed.submission_id, []), now)
    ]


def _patience(crawl_jobs: CrawlJobs, one: OpenSubmission) -> float:
    took = crawl_jobs.ready_since(one) - min([one.at, *(share.at for share in one.sealed.jobs)])
    return max(GATHER_SECONDS, GATHER_SHARE * took)


def _may_try(failures: list[float], now: float) -> bool:
    return len(failures) < MAX_ATTEMPTS and now >= _next_try(failures)


def _next_try(failures: list[float]) -> float:
    if not failures:
        return 0.0
    return failures[-1] + _RETRY_SECONDS * RETRY_GROWTH ** (len(failures) - 1)


def retries(crawl_jobs: CrawlJobs, runs: PastRuns, now: float) -> list[float]:
    """When submissions whose collect run failed are collected again: Unix times yet to come."""
    waiting = [runs.failures.get(one.sealed.submission_id, []) for one in crawl_jobs.ready]
    times = [_next_try(failures) for failures in waiting if 0 < len(failures) < MAX_ATTEMPTS]
    return [at for at in times if at > now]


def given_up(crawl_jobs: CrawlJobs, runs: PastRuns) -> list[OpenSubmission]:
    """Ready submissions whose collection failed too often for another try by itself."""
    return [one for one in crawl_jobs.ready if len(runs.failures.get(one.sealed.submission_id, [])) >= MAX_ATTEMPTS]


def collect_requests(crawl: Crawl, submissions: Iterable[OpenSubmission], runs: PastRuns) -> list[CollectRequest]:
    """As few runs as ``max_partitions_per_run`` allows, each over a range where ranges do not take more of them."""
    by_key = {one.partition.key: one for one in submissions}
    if None in by_key:
        return [_request([by_key[None]], None, None, runs)]
    limit = crawl.max_partitions_per_run
    ranges = group_into_ranges([key for key in by_key if key is not None], crawl.axes, limit)
    keys = [key for one in ranges for key in one.keys]
    if len(ranges) > -(-len(keys) // limit):
        return [_request([by_key[key] for key in some], None, None, runs) for some in chunks(keys, limit)]
    return [_request([by_key[key] for key in one.keys], one.start, one.end, runs) for one in ranges]


def first_requests(
    requests: Iterable[tuple[Crawl, CollectRequest]], limit: int = MAX_REQUESTS
) -> list[tuple[Crawl, CollectRequest]]:
    """The requests whose submissions have waited longest; the next ticks make the others."""
    return sorted(requests, key=lambda one: min(each.storage_id for each in one[1].submissions))[:limit]


def _request(submissions: list[OpenSubmission], start: str | None, end: str | None, runs: PastRuns) -> CollectRequest:
    attempt = 1 + max(len(runs.failures.get(one.sealed.submission_id, [])) for one in submissions)
    return CollectRequest(tuple(submissions), attempt, start, end)
