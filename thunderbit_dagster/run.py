"""What a run is about: its partitions, whatever way it was launched."""

from __future__ import annotations

import dagster as dg

from thunderbit_dagster.crawl import Crawl
from thunderbit_dagster.partitions import UNPARTITIONED, Partition

BACKFILL_TAG = "dagster/backfill"
PARTITION_TAG = "dagster/partition"
RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"


def range_tags(start: str, end: str) -> dict[str, str]:
    """The tags that launch one run over a range of partitions, both ends included."""
    return {RANGE_START_TAG: start, RANGE_END_TAG: end}


def run_partitions(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext, crawl: Crawl) -> list[Partition]:
    """The run's partitions: one, a range, or the whole of a crawl without partitions.

    Dagster gives the keys of a range over two dimensions as their product.
    """
    if crawl.partitions_def is None:
        return [UNPARTITIONED]
    step = context if isinstance(context, dg.AssetExecutionContext) else context.op_execution_context
    return [crawl.partition(str(key)) for key in step.partition_keys]


def is_backfill(context: dg.AssetExecutionContext) -> bool:
    """Whether the run belongs to a backfill."""
    return BACKFILL_TAG in context.run.tags


def names_partitions(run: dg.DagsterRun) -> bool:
    """Whether the run was launched for partitions."""
    return PARTITION_TAG in run.tags or RANGE_START_TAG in run.tags
