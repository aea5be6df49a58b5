"""Jobs of cancelled runs that no step was there to stop: the run was cancelled between two of its steps.

A step that is interrupted stops its jobs itself; this finds what is left.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta, timezone

import dagster as dg

from thunderbit_dagster.polling.open_submissions import OpenSubmission


def jobs_of_cancelled_runs(
    instance: dg.DagsterInstance, submissions: Collection[OpenSubmission]
) -> dict[str, set[str]]:
    """The jobs to cancel, by the id of the cancelled run that submitted them."""
    sealed_by = {one.run_id: one.at for one in submissions}
    if not sealed_by:
        return {}
    cancelled = _cancelled(instance, sealed_by, min(sealed_by.values()))
    found: dict[str, set[str]] = {}
    for one in submissions:
        # Those that the run submitted itself: what an earlier run sent may serve others as well.
        own = {s.job for s in one.sealed.jobs if one.run_id in cancelled and s.at >= cancelled[one.run_id]}
        if own:
            found.setdefault(one.run_id, set()).update(own)
    return found


def _cancelled(instance: dg.DagsterInstance, run_ids: Collection[str], since: float) -> dict[str, float]:
    """Those of some runs that were cancelled after a Unix time, and when they were created."""
    # Some databases keep whole seconds.
    after = datetime.fromtimestamp(since, timezone.utc) - timedelta(seconds=2)
    wanted = dg.RunsFilter(statuses=[dg.DagsterRunStatus.CANCELED], updated_after=after)
    found = {record.dagster_run.run_id: record for record in instance.get_run_records(wanted)}
    return {run_id: record.create_timestamp.timestamp() for run_id, record in found.items() if run_id in run_ids}
