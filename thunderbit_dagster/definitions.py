"""``build_crawl_definitions``: crawls, the API and a store, wired into Dagster."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace

import dagster as dg

from thunderbit_dagster.cancellation.definition import build_cancel_job
from thunderbit_dagster.changes.definition import build_changes, build_changes_checks
from thunderbit_dagster.collection.definition import (
    build_collection,
    build_conservation_check,
    build_quality_checks,
    build_schema_drift_checks,
    collecting,
)
from thunderbit_dagster.collection.partition_set import build_collect_set_job
from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.dataset.io_manager import PARQUET_IO_MANAGER
from thunderbit_dagster.metadata.catalog import IO_MANAGER_KEY
from thunderbit_dagster.polling.definition import build_job_sensor
from thunderbit_dagster.resource import ThunderbitResource
from thunderbit_dagster.runs.names import submit_job_name
from thunderbit_dagster.storage.layout import alike
from thunderbit_dagster.storage.store import ParquetStore
from thunderbit_dagster.submission.definition import build_submissions
from thunderbit_dagster.submission.partition_set import build_backfill_job
from thunderbit_dagster.submission.schedule import build_schedule
from thunderbit_dagster.validation import NONE, Expected, instance_of, number, require_setting, whole


def _are_crawls(given: object) -> bool:
    return isinstance(given, Sequence) and all(isinstance(one, Crawl) for one in given)


LONGEST_TICK = 60.0
"""Seconds after which Dagster ends a tick of a sensor."""
_EXPECTED: Mapping[str, Expected] = {
    "crawls": Expected("a list of Crawls", _are_crawls),
    "thunderbit": replace(instance_of("a ThunderbitResource", ThunderbitResource), is_secret=True),
    "store": instance_of("a ParquetStore", ParquetStore),
    "sensor_interval_seconds": whole(1),
    "sensor_tick_seconds": number(
        f"a number of seconds above 0 and below {LONGEST_TICK:g}", lambda given: 0 < given < LONGEST_TICK
    ),
    "schedule_status": instance_of("a dagster.DefaultScheduleStatus", dg.DefaultScheduleStatus),
    "executor": instance_of("an executor of Dagster", dg.ExecutorDefinition) | NONE,
}


@dataclass(frozen=True)
class Built:
    """What one call of ``build_crawl_definitions`` was given."""

    crawls: tuple[Crawl, ...]
    thunderbit: ThunderbitResource
    store: ParquetStore
    sensor_interval_seconds: int


builds: ContextVar[list[Built] | None] = ContextVar("builds", default=None)
"""Where calls are noted while the command line loads a definitions file: Dagster's own objects hold no crawls."""


def build_crawl_definitions(
    crawls: Sequence[Crawl],
    *,
    thunderbit: ThunderbitResource,
    store: ParquetStore,
    sensor_interval_seconds: int = 5,
    sensor_tick_seconds: float = 5.0,
    schedule_status: dg.DefaultScheduleStatus = dg.DefaultScheduleStatus.STOPPED,
    executor: dg.ExecutorDefinition | None = None,
) -> dg.Definitions:
    """Assets, checks, jobs, schedules and the one job sensor of some crawls.

    Merge the result into yours with ``dg.Definitions.merge``; pass all crawls of a code location in one
    call, since the sensor serves them all.

    Args:
        crawls: What to fetch; their names must differ by more than case.
        thunderbit: The API, bound to the resource key ``thunderbit``.
        store: Where the Parquet goes. Downstream assets get it in the type of their parameters, by the resource
            ``thunderbit_io_manager``: see ``ThunderbitParquetIOManager``.
        sensor_interval_seconds: The least time between two ticks of the job sensor.
        sensor_tick_seconds: How long a tick of the job sensor may take. An answer to a status request is waited
            for two fifths of it, so raise it for an API that is slow to answer; Dagster ends a tick after 60 s.
        schedule_status: Whether schedules of crawls with a cadence run from the start (default: no).
        executor: What runs the steps of all jobs, and of runs that "Materialize" starts, such as Celery's. Default: the
            jobs run in the run's own process, as they are one step and its check; "Materialize" uses Dagster's default.

    Raises:
        ValueError: two crawls have the same name, or names that differ only by case, or a setting is wrong.
    """
    require_setting("build_crawl_definitions", locals(), _EXPECTED)
    job_executor = executor or dg.in_process_executor
    names = [crawl.name for crawl in crawls]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"Crawls must have different names; repeated: {', '.join(sorted(repeated))}")
    if same := alike(names):
        raise ValueError(
            "The names of crawls must differ by more than case, because some disks do not distinguish them: "
            f"{', '.join(same)}"
        )
    _warn_of_literal_secrets(thunderbit)
    if (noted := builds.get()) is not None:
        noted.append(Built(tuple(crawls), thunderbit, store, sensor_interval_seconds))
    submit_jobs = [
        dg.define_asset_job(
            submit_job_name(crawl),
            selection=dg.AssetSelection.assets(crawl.key("submissions")),
            executor_def=job_executor,
            description=f"Send the URLs of the crawl `{crawl.name}` as batch jobs. The job sensor launches runs that "
            "collect them.",
        )
        for crawl in crawls
    ]
    partitioned = [crawl for crawl in crawls if crawl.partitions_def is not None]
    schedules = [build_schedule(crawl, submit_job_name(crawl), schedule_status) for crawl in crawls]
    return dg.Definitions(
        assets=_assets(crawls, store),
        asset_checks=[
            check
            for crawl in crawls
            for check in (
                build_conservation_check(crawl, store),
                build_quality_checks(crawl, store),
                *build_schema_drift_checks(crawl, store),
                *build_changes_checks(crawl, store),
            )
        ],
        jobs=[
            *submit_jobs,
            *(build_backfill_job(crawl, store.base_uri, job_executor) for crawl in partitioned),
            *(build_cancel_job(crawl, job_executor) for crawl in crawls),
        ],
        schedules=[schedule for schedule in schedules if schedule],
        sensors=[
            build_job_sensor(
                crawls,
                store_uri=store.base_uri,
                collect_set_jobs=[build_collect_set_job(crawl, store, job_executor) for crawl in partitioned],
                executor=job_executor,
                minimum_interval_seconds=sensor_interval_seconds,
                tick_seconds=sensor_tick_seconds,
            )
        ],
        resources={"thunderbit": thunderbit, IO_MANAGER_KEY: PARQUET_IO_MANAGER},
        executor=executor,
    )


def _assets(crawls: Sequence[Crawl], store: ParquetStore) -> list[dg.AssetsDefinition]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # of `backfill_policy`; a user can do nothing about it
        return [
            asset
            for crawl in crawls
            for asset in (
                build_submissions(crawl, store.base_uri, collecting(crawl, store)),
                build_collection(crawl, store),
                *build_changes(crawl, store),
            )
        ]


def _warn_of_literal_secrets(thunderbit: ThunderbitResource) -> None:
    """Dagster keeps the settings of resources in its database, but of an EnvVar only the name."""
    secrets = {"api_key": thunderbit.api_key, "webhook_secret": thunderbit.webhook_secret}
    literal = [name for name, value in secrets.items() if value and not isinstance(value, dg.EnvVar)]
    if literal and not thunderbit.is_local:
        dg.get_dagster_logger().warning(
            "ThunderbitResource: %s given as text will be stored in Dagster's database; use dg.EnvVar(...) instead",
            " and ".join(literal),
        )
