"""The runs that one run repeats: Dagster gives each re-execution and each automatic retry a run of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import dagster as dg

PARENT_RUN_TAG = "dagster/parent_run_id"


@dataclass(frozen=True, slots=True)
class Reexecutions:
    """A run and those that it repeats, one by one.

    ``began`` is the Unix time at which the first was created. ``repeats_failure`` says whether the run goes on with one
    that did not succeed: repeating a run that did is a new wish.
    """

    began: float
    run_ids: frozenset[str]
    repeats_failure: bool


def reexecutions_of(instance: dg.DagsterInstance, run_id: str) -> Reexecutions:
    """What a run repeats. Runs that were deleted end the chain; a run that is unknown began now."""
    records = list(_chain(instance, run_id))
    statuses = [record.dagster_run.status for record in records[1:2]]
    return Reexecutions(
        min([record.create_timestamp.timestamp() for record in records], default=time.time()),
        frozenset([run_id, *(record.dagster_run.run_id for record in records)]),
        any(status is not dg.DagsterRunStatus.SUCCESS for status in statuses),
    )


def _chain(instance: dg.DagsterInstance, run_id: str) -> Iterator[dg.RunRecord]:
    seen = set[str]()
    following: str | None = run_id
    while following and following not in seen:
        seen.add(following)
        record = instance.get_run_record_by_id(following)
        if record is None:
            return
        yield record
        following = record.dagster_run.tags.get(PARENT_RUN_TAG)
