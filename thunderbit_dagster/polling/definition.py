"""The job sensor, one for all crawls, and the jobs that it launches. What a tick does is imported with the first."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.lazy import LazyModule
from thunderbit_dagster.resource import ThunderbitResource
from thunderbit_dagster.runs.names import SENSOR_NAME, collect_job_name

if TYPE_CHECKING:
    from thunderbit_dagster.polling import sensor
else:
    sensor = LazyModule("thunderbit_dagster.polling.sensor")

DAEMON_SECONDS = 5
"""Dagster's daemon looks at its sensors so often (``MIN_INTERVAL_LOOP_TIME`` in 1.13)."""


def build_job_sensor(
    crawls: Sequence[Crawl],
    *,
    store_uri: str = "",
    collect_set_jobs: Sequence[dg.JobDefinition] = (),
    minimum_interval_seconds: int,
    tick_seconds: float,
    executor: dg.ExecutorDefinition = dg.in_process_executor,
) -> dg.SensorDefinition:
    """The sensor that polls for all ``crawls``, and the jobs that collect them.

    ``store_uri`` is where the crawls publish. ``collect_set_jobs`` are the jobs that collect any set of partitions, one
    for each crawl that has partitions.
    A collect job is one step and its check, which ``executor`` runs.
    """

    @dg.sensor(
        name=SENSOR_NAME,
        jobs=[
            *collect_set_jobs,
            *(
                dg.define_asset_job(
                    collect_job_name(crawl),
                    selection=dg.AssetSelection.assets(crawl.key("succeeded"), crawl.key("failed")),
                    executor_def=executor,
                    description=f"Publish what the ended batch jobs of the crawl `{crawl.name}` brought. The sensor "
                    "launches it.",
                )
                for crawl in crawls
            ),
        ],
        minimum_interval_seconds=_daemon_interval(minimum_interval_seconds),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks Thunderbit how its open batch jobs stand, and launches the runs that publish `succeeded` and "
        "`failed` of those that have ended. While it is off, runs that materialize these tables wait for their jobs.",
    )
    def job_sensor(context: dg.SensorEvaluationContext, thunderbit: ThunderbitResource) -> dg.SensorResult:
        with dg.partition_loading_context(dynamic_partitions_store=context.instance):
            return sensor.Tick(context, crawls, thunderbit, tick_seconds, store_uri=store_uri).evaluate()

    return job_sensor


def _daemon_interval(seconds: int) -> int:
    """The interval to give to Dagster so that every look of the daemon that is due becomes a tick.

    Its looks are some milliseconds more or less than five seconds apart: one that comes early would be skipped.
    """
    return seconds - 1 if seconds % DAEMON_SECONDS == 0 else seconds
