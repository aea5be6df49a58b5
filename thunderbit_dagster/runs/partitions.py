"""What a run is about: its partitions, whatever way it was launched.

Dagster launches a run for one partition or for a contiguous range of them. Any other set goes into one run by its
configuration: an op job lists the partitions, and tells the event log of each by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import dagster as dg
from pydantic import Field

from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.partitions import UNPARTITIONED, Partition, UnknownPartitionError, select_keys
from thunderbit_dagster.runs.names import collect_set_op, submit_set_op

BACKFILL_TAG = "dagster/backfill"
PARTITION_TAG = "dagster/partition"
RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"
Step = dg.AssetExecutionContext | dg.OpExecutionContext
"""A step of an asset, or an op that works on assets."""


class PartitionSet(dg.Config):
    """The configuration of a run over any set of partitions."""

    partitions: list[str] = Field(
        description="Partition keys, patterns such as `2026-01-*`, and ranges such as `2026-01-01...2026-01-31`.",
        examples=[["2026-01-01", "2026-01-04"], ["2026-01-*|guides"]],
    )


def set_config(op: str, keys: Iterable[str]) -> dict[str, object]:
    """The run configuration that names any set of partitions."""
    return {"ops": {op: {"config": {"partitions": list(keys)}}}}


def set_of(run: dg.DagsterRun, crawl: Crawl) -> list[str] | None:
    """The partitions that a run's configuration names, None when it names none.

    Raises:
        UnknownPartitionError: the crawl has no such partition (any more).
    """
    ops = run.run_config.get("ops")
    for op in (submit_set_op(crawl), collect_set_op(crawl)):
        settings = _at(_at(ops, op), "config")
        wanted = _at(settings, "partitions")
        if isinstance(wanted, list):
            return select_keys(map(str, wanted), crawl.axes)
    return None


def _at(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, Mapping) else None


def range_tags(start: str, end: str) -> dict[str, str]:
    """The tags that launch one run over a range of partitions, both ends included."""
    return {RANGE_START_TAG: start, RANGE_END_TAG: end}


def run_partitions(context: Step | dg.AssetCheckExecutionContext, crawl: Crawl) -> list[Partition]:
    """The run's partitions: one, a range, any set, or the whole of a crawl without partitions.

    Dagster gives the keys of a range over two dimensions as their product.

    Raises:
        dagster.Failure: the configuration names partitions that the crawl does not have, or too many for one run.
    """
    if crawl.partitions_def is None:
        return [UNPARTITIONED]
    step = context.op_execution_context if isinstance(context, dg.AssetCheckExecutionContext) else context
    listed = None if isinstance(step, dg.AssetExecutionContext) else _listed(step, crawl)
    keys: Sequence[str] = step.partition_keys if listed is None else listed
    return [crawl.partition(str(key)) for key in keys]


def _listed(step: dg.OpExecutionContext, crawl: Crawl) -> list[str] | None:
    try:
        listed = set_of(step.run, crawl)
    except UnknownPartitionError as error:
        raise dg.Failure(f"The crawl {crawl.name} {error}. Nothing was done.", allow_retries=False) from error
    if listed is not None and len(listed) > crawl.max_partitions_per_run:
        raise dg.Failure(
            f"{len(listed):,} partitions are named, but `max_partitions_per_run` is {crawl.max_partitions_per_run:,}. "
            f"Nothing was done. `thunderbit-dagster backfill {crawl.name}` splits them into runs.",
            allow_retries=False,
        )
    return listed


def keys_of(run: dg.DagsterRun, crawl: Crawl) -> frozenset[str | None] | None:
    """The partitions that a run, perhaps a past one, was launched for; None when that cannot be said."""
    if crawl.partitions_def is None:
        return None
    if PARTITION_TAG in run.tags:
        return frozenset({run.tags[PARTITION_TAG]})
    try:
        if RANGE_START_TAG in run.tags and RANGE_END_TAG in run.tags:
            ends = dg.PartitionKeyRange(run.tags[RANGE_START_TAG], run.tags[RANGE_END_TAG])
            return frozenset(map(str, crawl.partitions_def.get_partition_keys_in_range(ends)))
        listed = set_of(run, crawl)
    except (dg.DagsterError, UnknownPartitionError):  # it was launched when the crawl had other partitions
        return None
    return None if listed is None else frozenset(listed)


def is_backfill(context: Step) -> bool:
    """Whether the run belongs to a backfill of Dagster's own."""
    return BACKFILL_TAG in context.run.tags


def names_partitions(run: dg.DagsterRun) -> bool:
    """Whether the run was launched for partitions."""
    return PARTITION_TAG in run.tags or RANGE_START_TAG in run.tags
