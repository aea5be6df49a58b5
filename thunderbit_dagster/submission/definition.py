"""The ``submissions`` asset as Dagster knows it. What a run of it does is imported with the first."""

from typing import TYPE_CHECKING

import dagster as dg

from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.jobs.collect import CollectPartitions
from thunderbit_dagster.lazy import LazyModule
from thunderbit_dagster.metadata.catalog import IO_MANAGER_KEY, asset_description, code_references, group_of
from thunderbit_dagster.resource import ThunderbitResource
from thunderbit_dagster.runs.names import SUBMIT_POOL, collect_step
from thunderbit_dagster.runs.partitions import Step, is_backfill

if TYPE_CHECKING:
    from thunderbit_dagster.submission import asset
else:
    asset = LazyModule("thunderbit_dagster.submission.asset")


def build_submissions(crawl: Crawl, store_uri: str, collect: CollectPartitions) -> dg.AssetsDefinition:
    """The crawl's ``submissions`` asset; ``collect`` is what the step after it does, publishing to ``store_uri``."""

    @dg.asset(
        key=crawl.key("submissions"),
        description=asset_description(
            crawl,
            f"Sends the URLs of the crawl `{crawl.name}` to Thunderbit as batch jobs and does not wait for them; the "
            "sensor `thunderbit_jobs` has them collected. Its events show which URL is in which job. If you "
            "materialize it again while its jobs are open or uncollected, nothing is sent twice; after that, it "
            "starts a new crawl.",
        ),
        deps=crawl.upstream,
        partitions_def=crawl.partitions_def,
        backfill_policy=crawl.backfill_policy,
        kinds={"thunderbit"},
        pool=SUBMIT_POOL,
        group_name=group_of(crawl),
        owners=crawl.owners,
        tags=crawl.tags,
        metadata=code_references(crawl),
        io_manager_key=IO_MANAGER_KEY,
    )
    def submissions(context: dg.AssetExecutionContext, thunderbit: ThunderbitResource) -> dg.MaterializeResult[None]:
        following = collect if _is_followed(context, crawl) else None
        return asset.submit_partitions(context, crawl, store_uri, thunderbit, following)[0]

    return submissions


def _is_followed(context: Step, crawl: Crawl) -> bool:
    """Whether the step that collects follows in a backfill of Dagster's own.

    Dagster skips it when this one fails, and takes all its partitions for failed: backfills do not look at what is
    materialized after their last run.
    """
    return is_backfill(context) and context.job_def.has_node_named(collect_step(crawl))
