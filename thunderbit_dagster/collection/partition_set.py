"""Collecting any set of partitions in one run: those of a sparse backfill are ready together, and far apart."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import dagster as dg

from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.lazy import LazyModule
from thunderbit_dagster.resource import ThunderbitResource
from thunderbit_dagster.runs.names import COLLECT_POOL, collect_set_job_name, collect_set_op
from thunderbit_dagster.runs.partitions import PartitionSet
from thunderbit_dagster.storage.store import ParquetStore

if TYPE_CHECKING:
    from thunderbit_dagster.collection import asset, quality
else:
    asset = LazyModule("thunderbit_dagster.collection.asset")
    quality = LazyModule("thunderbit_dagster.collection.quality")


def build_collect_set_job(crawl: Crawl, store: ParquetStore, executor: dg.ExecutorDefinition) -> dg.JobDefinition:
    """The job ``<crawl>_collect_partitions``, which the job sensor asks for when no range covers what is ready.

    It marks each partition and evaluates the checks of ``succeeded``, as a run of the assets does. Not for a crawl
    without partitions.
    """
    text = f"Publish the results of ended batch jobs for any partitions of the crawl `{crawl.name}`."

    @dg.op(
        name=collect_set_op(crawl),
        description=text,
        out=dg.Out(dg.Nothing),
        tags={"kind": "thunderbit"},
        pool=COLLECT_POOL,
    )
    def collect_set(
        context: dg.OpExecutionContext, config: PartitionSet, thunderbit: ThunderbitResource
    ) -> Iterator[dg.AssetCheckEvaluation]:
        del config  # read from the run, where other runs find it as well
        partitions = asset.collect_partitions(context, crawl, store, thunderbit)
        yield from quality.check_partitions(context.instance, crawl, store, partitions)

    @dg.job(
        name=collect_set_job_name(crawl),
        description=f"{text} The sensor launches it.",
        executor_def=executor,
    )
    def collect() -> None:
        collect_set()

    return collect
