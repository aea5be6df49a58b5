"""Whether a run is still at work: Dagster notices a dead process only when run monitoring is on."""

from __future__ import annotations

from typing import Final

import dagster as dg

STALE_SECONDS: Final = 7_200.0
"""An unfinished run without a sign of life for so long is taken for dead; no pause between two requests is as long."""


def is_living(instance: dg.DagsterInstance, record: dg.RunRecord | None, now: float) -> bool:
    """Whether a run may still be at work at a Unix time: it is not finished, and was heard of not too long ago.

    A run is heard of when its status or its tags change, and when it writes an event.
    """
    if record is None or record.dagster_run.is_finished:
        return False
    if now - record.update_timestamp.timestamp() < STALE_SECONDS:
        return True
    newest = instance.get_records_for_run(record.dagster_run.run_id, limit=1, ascending=False).records
    return bool(newest) and now - newest[0].timestamp < STALE_SECONDS
