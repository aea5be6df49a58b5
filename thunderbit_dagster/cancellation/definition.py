"""The Dagster job that stops the open batch jobs of a partition, from the UI or from code."""

from typing import TYPE_CHECKING

import dagster as dg

from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.lazy import LazyModule
from thunderbit_dagster.resource import ThunderbitResource
from thunderbit_dagster.runs.names import cancel_job_name

if TYPE_CHECKING:
    from thunderbit_dagster.cancellation import op
else:
    op = LazyModule("thunderbit_dagster.cancellation.op")


def build_cancel_job(crawl: Crawl, executor: dg.ExecutorDefinition) -> dg.JobDefinition:
    """The job ``{crawl}_cancel``: stops the open batch jobs of the partitions that it is launched for."""
    text = f"Cancel the open batch jobs of {'a partition of ' if crawl.partitions_def else ''}the crawl `{crawl.name}`."

    @dg.op(
        name=f"{crawl.name}__cancel",
        description=text,
        out=dg.Out(dg.Nothing),
        tags={"kind": "thunderbit"},
    )
    def cancel(context: dg.OpExecutionContext, thunderbit: ThunderbitResource) -> None:
        op.CancelRun(context, crawl, thunderbit).execute()

    @dg.job(
        name=cancel_job_name(crawl),
        partitions_def=crawl.partitions_def,
        executor_def=executor,
        description=f"{text} Finished rows are billed, kept, and collected by the sensor. A job shared by several "
        "partitions stops for all of them.",
    )
    def cancel_partition() -> None:
        cancel()

    return cancel_partition
