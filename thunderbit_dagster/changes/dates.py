"""Which published dates a partition of ``changes`` is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import dagster as dg

from thunderbit_dagster.crawl.changes import Changes
from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.partitions import DATE, SEPARATOR, Partition
from thunderbit_dagster.storage.store import ParquetStore


class NothingToCompareError(Exception):
    """The partition itself is not published."""


def dates_before(
    crawl: Crawl, store: ParquetStore, partition: Partition, settings: Changes
) -> Sequence[Mapping[str, str]]:
    """The published dates that a partition of ``changes`` is made from: its own, and those before it; oldest first.

    Raises:
        NothingToCompareError: its own is not published.
    """
    published = [one for one in store.partitions(crawl.name, "succeeded") if _is_of(one, partition)]
    ordered = sorted(published, key=lambda one: begin_of(crawl, one[DATE]))
    until = [one for one in ordered if begin_of(crawl, one[DATE]) <= begin_of(crawl, partition.dimensions[DATE])]
    if not until or until[-1][DATE] != partition.date:
        raise NothingToCompareError(
            f"nothing is published of it. Materialize {crawl.key('succeeded').to_user_string()} of this partition first"
        )
    return until[-settings.history - 1 :]


def partitions_by_date(crawl: Crawl, store: ParquetStore) -> list[Partition]:
    """The published partitions, the oldest date first."""
    stored = sorted(store.partitions(crawl.name, "succeeded"), key=lambda one: begin_of(crawl, one.get(DATE, "")))
    return [partition_of(one) for one in stored if DATE in one]


def partition_of(dimensions: Mapping[str, str]) -> Partition:
    """The partition of a stored file."""
    return Partition(SEPARATOR.join(dimensions[name] for name in sorted(dimensions)), dimensions)


def _is_of(stored: Mapping[str, str], partition: Partition) -> bool:
    same = {name: key for name, key in stored.items() if name != DATE}
    return DATE in stored and same == {name: key for name, key in partition.dimensions.items() if name != DATE}


def begin_of(crawl: Crawl, key: str) -> float:
    """When a date begins, so that keys of any format are in order; dates of another cadence come first."""
    window = crawl.window(Partition(key, {DATE: key})) if crawl.cadence and _fits(crawl.cadence, key) else None
    return window.start.timestamp() if window else float("-inf")


def _fits(cadence: dg.TimeWindowPartitionsDefinition, key: str) -> bool:
    try:
        cadence.time_window_for_partition_key(key)
    except (ValueError, dg.DagsterError):
        return False
    return True
