"""The check ``up_to_date``: which partitions of ``changes`` were made from other dates than are published now."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import dagster as dg

from thunderbit_dagster.changes.asset import COMPARED
from thunderbit_dagster.changes.dates import NothingToCompareError, begin_of, dates_before, partition_of
from thunderbit_dagster.crawl.changes import Changes
from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.metadata.tables import table
from thunderbit_dagster.partitions import DATE, Partition
from thunderbit_dagster.storage.store import ParquetStore

Compared = list[list[str]]
"""Dates, and the submission that each had."""


@dataclass(frozen=True)
class OutOfDate:
    """A partition that another crawl of its own or an earlier date has overtaken."""

    partition: Partition
    compared: Compared
    now: Compared


@dataclass
class DateAudit:
    """Holds partitions of ``changes`` against what is published; each file's footer is read once."""

    crawl: Crawl
    store: ParquetStore
    settings: Changes
    _submissions: dict[tuple[str, ...], str] = field(default_factory=dict)

    def out_of_date(self, materialized: Collection[Partition] | None) -> list[OutOfDate]:
        """What is out of date of all partitions, or of those that some materialized ones and their dates concern."""
        partitions = [partition_of(one) for one in self.store.partitions(self.crawl.name, "changes")]
        if materialized is not None:
            partitions = [one for one in partitions if any(self._concerns(other, one) for other in materialized)]
        found = [OutOfDate(one, self._compared(one), self._now(one)) for one in partitions]
        return [one for one in found if one.compared != one.now]

    def _concerns(self, materialized: Partition, other: Partition) -> bool:
        begins = [begin_of(self.crawl, one.dimensions[DATE]) for one in (materialized, other)]
        return materialized.urls == other.urls and begins[0] <= begins[1]

    def _compared(self, partition: Partition) -> Compared:
        footer = self.store.footer(self.crawl.name, "changes", partition.dimensions)
        compared: Compared = json.loads(footer.metadata.get(COMPARED, "[]")) if footer else []
        return compared

    def _now(self, partition: Partition) -> Compared:
        try:
            dates = dates_before(self.crawl, self.store, partition, self.settings)
        except NothingToCompareError:
            return []
        return [[one[DATE], self._submission(one)] for one in dates]

    def _submission(self, dimensions: Mapping[str, str]) -> str:
        key = tuple(dimensions.values())
        if key not in self._submissions:
            self._submissions[key] = self.store.pair(self.crawl.name, dimensions).submission_id or ""
        return self._submissions[key]


def up_to_date_result(found: Sequence[OutOfDate]) -> dg.AssetCheckResult:
    """The check's result, with the partitions to materialize again."""
    columns = {"partition": "string", "compared with": "string", "published now": "string"}
    rows = table(columns, ((str(one.partition), _words(one.compared), _words(one.now)) for one in found))
    return dg.AssetCheckResult(
        passed=not found,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{len(found):,} partition(s) are out of date; materialize them again." if found else None,
        metadata={"partitions out of date": len(found), **({"out of date": rows} if found else {})},
    )


def _words(dates: Compared) -> str:
    return ", ".join(f"{key} ({submission})" for key, submission in dates[-3:])
