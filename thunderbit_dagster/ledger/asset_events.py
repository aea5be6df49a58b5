"""Telling Dagster what was done, partition by partition, in a run that may cover many.

The rules were found by running Dagster 1.13: a ``MaterializeResult`` marks every partition of the run, so it
is right only when all of them succeeded; otherwise the good ones are logged one by one and a ``Failure``
keeps Dagster from marking the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import dagster as dg

from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.crawl.past_dates import after_the_end, told_late
from thunderbit_dagster.ledger.records import JobShare, Progress, to_metadata
from thunderbit_dagster.metadata.tables import table
from thunderbit_dagster.partitions import Partition
from thunderbit_dagster.runs.partitions import Step

Metadata = Mapping[str, str | float | dg.TableSchema | dg.MetadataValue[Any]]


@dataclass(frozen=True, slots=True)
class PublishedPartitions:
    """A partition that is done, with the metadata of each asset."""

    partition: Partition
    metadata: Mapping[dg.AssetKey, Metadata]


def publish(
    context: Step,
    keys: Sequence[dg.AssetKey],
    published: Sequence[PublishedPartitions],
    problems: Mapping[Partition, str],
    *,
    complete: bool = True,
) -> list[dg.MaterializeResult[None]]:
    """Mark exactly the published partitions of all ``keys``.

    ``complete`` is false when partitions of the run are neither published nor a problem: then nothing is
    returned and the assets must be skippable. In an op, which has no assets to return, nothing is returned either.

    Raises:
        dagster.Failure: there are problems; the published partitions are marked all the same.
    """
    if complete and not problems and isinstance(context, dg.AssetExecutionContext):
        _add_metadata(context, published)
        return [dg.MaterializeResult(asset_key=key) for key in keys]
    for one in published:
        for key in keys:
            context.log_event(
                dg.AssetMaterialization(key, partition=one.partition.key, metadata=dict(one.metadata[key]))
            )
    if problems:
        raise failure(keys, published, problems)
    return []


def _add_metadata(context: dg.AssetExecutionContext, published: Sequence[PublishedPartitions]) -> None:
    for one in published:
        for key, metadata in one.metadata.items():
            context.add_asset_metadata(dict(metadata), asset_key=key, partition_key=one.partition.key)


def lateness_metadata(crawl: Crawl, partition: Partition, jobs: Sequence[JobShare]) -> dict[str, dg.MetadataValue[Any]]:
    """How much later than its date a partition was fetched: a number that plots, and words once it is much."""
    window = crawl.window(partition)
    if window is None or not jobs:
        return {}
    fetched = datetime.fromtimestamp(max(share.at for share in jobs), timezone.utc)
    late, words = after_the_end(window, fetched), told_late(window, fetched)
    number = {"hours from date to fetch": dg.MetadataValue.float(round(late.total_seconds() / 3600, 2))}
    return {**number, **({"fetched late": dg.MetadataValue.text(words)} if words else {})}


def failure(
    keys: Sequence[dg.AssetKey], published: Sequence[PublishedPartitions], problems: Mapping[Partition, str]
) -> dg.Failure:
    """One failure for all partitions that went wrong, naming each."""
    names = " and ".join(key.to_user_string() for key in keys)
    first, reason = next(iter(problems.items()))
    more = f" ({len(problems) - 1} more in the table)" if len(problems) > 1 else ""
    kept = f"{len(published)} other partition(s) of this run are done." if published else "Nothing was published."
    return dg.Failure(
        description=f"{names}, {first}: {reason}{more}. {kept}",
        metadata={"partitions that failed": problem_table(problems)},
    )


def problem_table(problems: Mapping[Partition, str]) -> dg.TableMetadataValue:
    """Partition and reason, for the UI."""
    rows = ((str(partition), reason) for partition, reason in problems.items())
    return table({"partition": "string", "reason": "string"}, rows)


def progress_observation(crawl: Crawl, partition: Partition, progress: Progress) -> dg.AssetObservation:
    """What a poll saw of a job, as an event on ``succeeded`` whose numbers the UI plots."""
    return dg.AssetObservation(
        crawl.key("succeeded"), partition=partition.key, metadata=dict(_progress_metadata(progress))
    )


def _progress_metadata(progress: Progress) -> Metadata:
    numbers = {
        "rows done": progress.done,
        "rows in the job": progress.total,
        "credits used by the job": progress.credits_used,
        "polls": progress.polls,
    }
    known = {name: number for name, number in numbers.items() if number is not None}
    return {"job": progress.job, "status": progress.status, **known, **to_metadata(progress)}
