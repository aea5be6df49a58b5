"""How the partitions of a crawl stand, from the event log and Dagster's runs: what is missing, and what failed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import dagster as dg

from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.ledger.event_log import LedgerReader
from thunderbit_dagster.runs.partitions import keys_of

LAST_RUNS = 1_000
"""How many runs are looked at for failures, the newest."""
FAILED = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


def missing_keys(instance: dg.DagsterInstance, crawl: Crawl, keys: Sequence[str]) -> list[str]:
    """The partitions that were never published and of which nothing is on its way.

    What is sent and not collected yet is on its way: the job sensor has it collected.
    """
    published = instance.get_materialized_partitions(crawl.key("failed"))
    unpublished = [key for key in keys if key not in published]
    sealed = LedgerReader(instance, crawl).sealed(unpublished)
    return [key for key in unpublished if key not in sealed]


def failed_keys(instance: dg.DagsterInstance, crawl: Crawl, keys: Sequence[str]) -> list[str]:
    """The partitions that a failed or cancelled run was for, and that were not published since it began.

    A run over many partitions may have failed for some of them only: those that it or a later run published do not
    count, nor do those that it has sent and the job sensor will have collected.
    """
    suspects: dict[str, float] = {}
    for record in instance.get_run_records(dg.RunsFilter(statuses=FAILED), limit=LAST_RUNS):
        if _is_of(record.dagster_run, crawl):
            began = record.create_timestamp.timestamp()
            for key in keys_of(record.dagster_run, crawl) or ():
                if key is not None:
                    suspects[key] = max(began, suspects.get(key, began))
    if not suspects:
        return []
    reader, oldest = LedgerReader(instance, crawl), min(suspects.values())
    marked = reader.outcomes_since_time(oldest)
    done = {entry.partition_key for entry in marked if entry.at >= suspects.get(entry.partition_key or "", math.inf)}
    return [key for key in keys if key in suspects and key not in done]


def _is_of(run: dg.DagsterRun, crawl: Crawl) -> bool:
    if run.asset_selection:
        return any(key.path[0] == crawl.name for key in run.asset_selection)
    return run.job_name.startswith(f"{crawl.name}_")
