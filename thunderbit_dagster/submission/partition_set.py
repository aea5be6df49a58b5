"""Submitting any set of partitions in one run, contiguous or not, which Dagster's own backfill cannot."""

from typing import TYPE_CHECKING

import dagster as dg

from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.lazy import LazyModule
from thunderbit_dagster.resource import ThunderbitResource
from thunderbit_dagster.runs.names import SUBMIT_POOL, backfill_job_name, submit_set_op
from thunderbit_dagster.runs.partitions import PartitionSet

if TYPE_CHECKING:
    from thunderbit_dagster.submission import asset
else:
    asset = LazyModule("thunderbit_dagster.submission.asset")


def build_backfill_job(crawl: Crawl, store_uri: str, executor: dg.ExecutorDefinition) -> dg.JobDefinition:
    """The job ``<crawl>_backfill``: its configuration lists partitions, by key, pattern or range.

    Their URLs fill batch jobs across all of them, and each partition of which everything was sent is marked as
    materialized, as in a run of the asset. Not for a crawl without partitions.
    """

    @dg.op(
        name=submit_set_op(crawl),
        description=f"Send the URLs of any partitions of the crawl `{crawl.name}`.",
        out=dg.Out(dg.Nothing),
        tags={"kind": "thunderbit"},
        pool=SUBMIT_POOL,
    )
    def submit_set(context: dg.OpExecutionContext, config: PartitionSet, thunderbit: ThunderbitResource) -> None:
        del config  # read from the run, where other runs find it as well
        asset.submit_partitions(context, crawl, store_uri, thunderbit)

    @dg.job(
        name=backfill_job_name(crawl),
        description=f"Send the URLs of any partitions of the crawl `{crawl.name}`, contiguous or not, in one run: list "
        "their keys, patterns or ranges in its configuration. The sensor has them collected.",
        executor_def=executor,
    )
    def backfill() -> None:
        submit_set()

    return backfill
