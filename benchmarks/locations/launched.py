"""What is launched in each way: an asset of bare Dagster that notes when its step begins, and a crawl beside it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import dagster as dg

from benchmarks.locations import CRAWL, EMPTY, KEYS
from thunderbit_dagster import (
    Crawl,
    Distill,
    Schedule,
    build_crawl_definitions,
    resource_from_environment,
    store_from_environment,
)

EVERY_MINUTE = "* * * * *"

partitions = dg.StaticPartitionsDefinition(KEYS)
is_scheduled = bool(os.environ.get("BENCHMARK_SCHEDULED"))
status = dg.DefaultScheduleStatus.RUNNING if is_scheduled else dg.DefaultScheduleStatus.STOPPED


@dg.asset(name=EMPTY, partitions_def=partitions, backfill_policy=dg.BackfillPolicy.single_run())
def empty() -> None:
    """Notes when its step has begun."""
    (Path(os.environ["BENCHMARK_NOTES"]) / str(time.time())).touch()


empty_job = dg.define_asset_job(f"{EMPTY}_submit", selection=[empty], partitions_def=partitions)


@dg.schedule(name=f"{EMPTY}_schedule", job=empty_job, cron_schedule=EVERY_MINUTE, default_status=status)
def empty_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    return dg.RunRequest(run_key=str(context.scheduled_execution_time), partition_key=KEYS[0])


crawl = Crawl(
    name=CRAWL,
    urls={key: [f"https://pages.example/{key}"] for key in KEYS},
    request=Distill(),
    schedule=Schedule(cron=EVERY_MINUTE),
)
defs = dg.Definitions.merge(
    build_crawl_definitions(
        [crawl],
        thunderbit=resource_from_environment(),
        store=store_from_environment(),
        schedule_status=status,
    ),
    dg.Definitions(assets=[empty], jobs=[empty_job], schedules=[empty_schedule]),
)
