"""Jobs of cancelled runs that no step was there to stop: the run was cancelled between two of its steps.

A step that is interrupted stops its jobs itself; this finds what is left.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta, timezone

import dagster as dg

from thunderbit_dagster.polling.watch import OpenSubmission, Watch


def stop_cancelled(instance: dg.DagsterInstance, watches: Collection[Watch]) -> list[str]:
    """Mark the open jobs of cancelled runs as to be stopped; the ids of these runs."""
    sealed_by = {one.run_id: one.at for watch in watches for one in watch.open}
    if not sealed_by:
        return []
    cancelled = _cancelled(instance, sealed_by, min(sealed_by.values()))
    for watch in watches:
        watch.to_stop.update(_jobs_to_stop(watch.open, cancelled))
    concerned = {
        one.run_id for watch in watches for one in watch.open if watch.to_stop & {s.job for s in one.sealed.jobs}
    }
    return sorted(concerned)


def _cancelled(instance: dg.DagsterInstance, run_ids: Collection[str], since: float) -> dict[str, float]:
    """Those of some runs that were cancelled after a Unix time, and when they were created."""
    # Some databases keep whole seconds.
    after = datetime.fromtimestamp(since, timezone.utc) - timedelta(seconds=2)
    wanted = dg.RunsFilter(statuses=[dg.DagsterRunStatus.CANCELED], updated_after=after)
    found = {record.dagster_run.run_id: record for record in instance.get_run_records(wanted)}
    return {run_id: record.create_timestamp.timestamp() for run_id, record in found.items() if run_id in run_ids}


def _jobs_to_stop(submissions: Iterable[OpenSubmission], cancelled: dict[str, float]) -> set[str]:
    """The jobs that the runs submitted themselves: what an earlier run sent may serve others as well."""
    return {
        share.job
        for one in submissions
        if one.run_id in cancelled
        for share in one.sealed.jobs
        if share.at >= cancelled[one.run_id]
    }
