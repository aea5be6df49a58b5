"""Collect runs as Dagster has them: those to ask for, and those that were asked for before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone

import dagster as dg

from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.polling.collect_requests import CollectRequest, PastRuns
from thunderbit_dagster.runs.liveness import is_living
from thunderbit_dagster.runs.names import collect_job_name, collect_set_job_name, collect_set_op
from thunderbit_dagster.runs.partitions import range_tags, set_config

CRAWL_TAG = "thunderbit/crawl"
SUBMISSIONS_TAG = "thunderbit/submissions"
IDS_PER_TAG = 100


def collect_run_request(crawl: Crawl, request: CollectRequest) -> dg.RunRequest:
    """A collect run over one partition, a range or any set of them, or the whole crawl."""
    tags = {CRAWL_TAG: crawl.name, **submission_tags(request.submission_ids)}
    if request.is_set:
        config = set_config(collect_set_op(crawl), request.keys)
        return dg.RunRequest(
            run_key=request.run_key, job_name=collect_set_job_name(crawl), run_config=config, tags=tags
        )
    single = request.start if request.start == request.end else None
    if request.start and request.end and not single:
        tags |= range_tags(request.start, request.end)
    return dg.RunRequest(run_key=request.run_key, job_name=collect_job_name(crawl), partition_key=single, tags=tags)


def submission_tags(ids: Sequence[str]) -> dict[str, str]:
    """The submissions that a run is to collect, in tags short enough for a database's index."""
    groups = [ids[start : start + IDS_PER_TAG] for start in range(0, len(ids), IDS_PER_TAG)]
    names = [SUBMISSIONS_TAG, *(f"{SUBMISSIONS_TAG}_{number}" for number in range(2, len(groups) + 1))]
    return {name: ",".join(group) for name, group in zip(names, groups, strict=True)}


def past_runs(instance: dg.DagsterInstance, crawl: Crawl, since: float, now: float) -> PastRuns:
    """Collect runs that the sensor asked for since a Unix time: those under way, and those that are over.

    A run that ended well counts as failed for a submission that is open all the same; so does one that has
    given no sign of life for long.
    """
    active: set[str] = set()
    failures: dict[str, list[float]] = {}
    for record in reversed(list(_run_records(instance, crawl, since))):
        if is_living(instance, record, now):
            active.update(_submission_ids(record))
        else:
            for submission_id in _submission_ids(record):
                failures.setdefault(submission_id, []).append(record.update_timestamp.timestamp())
    return PastRuns(active, failures)


def _run_records(instance: dg.DagsterInstance, crawl: Crawl, since: float) -> Iterable[dg.RunRecord]:
    # Some databases keep whole seconds.
    after = datetime.fromtimestamp(since, timezone.utc) - timedelta(seconds=2)
    return instance.get_run_records(dg.RunsFilter(tags={CRAWL_TAG: crawl.name}, created_after=after))


def _submission_ids(record: dg.RunRecord) -> list[str]:
    tags = record.dagster_run.tags
    return [one for name, ids in tags.items() if name.startswith(SUBMISSIONS_TAG) for one in ids.split(",")]
