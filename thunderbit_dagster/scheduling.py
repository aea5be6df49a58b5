"""A crawl's cadence as a schedule: one run over all URL partitions of each new date."""

from datetime import datetime

import dagster as dg

from thunderbit_dagster.crawl import Crawl
from thunderbit_dagster.partitions import SEPARATOR, KeyRange, group_into_ranges
from thunderbit_dagster.run import range_tags


def build_schedule(crawl: Crawl, job_name: str, status: dg.DefaultScheduleStatus) -> dg.ScheduleDefinition | None:
    """The schedule that submits each date when it is complete; None without a cadence."""
    cadence = crawl.cadence
    if cadence is None or not crawl.schedule:
        return None

    @dg.schedule(
        name=f"{crawl.name}_schedule",
        job_name=job_name,
        cron_schedule=cadence.get_cron_schedule(),
        execution_timezone=cadence.timezone,
        default_status=status,
        description=f"Submits the crawl `{crawl.name}`, all URL partitions of a date in one run.",
    )
    def submit_new_date(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        date = last_date(cadence, context.scheduled_execution_time)
        if date is None:
            return dg.SkipReason(f"No date of the crawl {crawl.name} is complete yet.")
        return [run_request(one) for one in date_ranges(crawl, date)]

    return submit_new_date


def last_date(cadence: dg.TimeWindowPartitionsDefinition, now: datetime) -> str | None:
    """The newest complete partition of the cadence at a time."""
    with dg.partition_loading_context(effective_dt=now):
        return cadence.get_last_partition_key()


def date_ranges(crawl: Crawl, date: str) -> list[KeyRange]:
    """All partitions of a date, in as few ranges as ``max_partitions_per_run`` allows."""
    if not crawl.url_keys:
        return [KeyRange(date, date, (date,))]
    keys = [SEPARATOR.join((date, urls)) for urls in crawl.url_keys]
    return group_into_ranges(keys, [[date], crawl.url_keys], crawl.max_partitions_per_run)


def run_request(keys: KeyRange) -> dg.RunRequest:
    """One run over a range; its key is the range, so a tick that is evaluated twice asks once."""
    if keys.start == keys.end:
        return dg.RunRequest(run_key=keys.start, partition_key=keys.start)
    return dg.RunRequest(run_key=f"{keys.start}...{keys.end}", tags=range_tags(keys.start, keys.end))
