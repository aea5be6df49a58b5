"""The ``schema_drift`` check of a crawl that extracts: does what comes still fit the schema, and do older files?"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import dagster as dg

from thunderbit_dagster.collection.metadata import fault_table
from thunderbit_dagster.collection.partition_writer import (
    FAULT_COUNTS,
    INVALID_ITEM_COUNT,
    INVALID_PAGE_COUNT,
    ITEM_COUNT,
    UNNAMED_COUNTS,
)
from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.extraction.output import output_of
from thunderbit_dagster.metadata.tables import table
from thunderbit_dagster.storage.drift import Difference, differences
from thunderbit_dagster.storage.schema import EXTRACT_COLUMNS
from thunderbit_dagster.storage.store import Footer, ParquetStore

LOOK_BACK = 20
"""How many partitions besides those of the run are held against today's schema, the last ones by their keys."""


_Dimensions: TypeAlias = Mapping[str, str]


@dataclass
class Drift:
    """What does not fit: extracted rows by field and rule, and the columns of files, each with how many files."""

    items: int = 0
    invalid_items: int = 0
    invalid_pages: int = 0
    files: int = 0
    faults: Counter[tuple[str, str]] = field(default_factory=Counter)
    unnamed: Counter[str] = field(default_factory=Counter)
    columns: Counter[Difference] = field(default_factory=Counter)

    @property
    def is_none(self) -> bool:
        """Whether every row fits, and every file reads under today's schema with nothing lost."""
        return not self.invalid_pages and all(one.change == "added" for one in self.columns)

    def add_output(self, metadata: Mapping[str, str]) -> None:
        """Count the output of one partition from its footer."""
        self.items += int(metadata.get(ITEM_COUNT, "0"))
        self.invalid_items += int(metadata.get(INVALID_ITEM_COUNT, "0"))
        self.invalid_pages += int(metadata.get(INVALID_PAGE_COUNT, "0"))
        for name, rule, count in json.loads(metadata.get(FAULT_COUNTS, "[]")):
            self.faults[name, rule] += count
        self.unnamed.update(json.loads(metadata.get(UNNAMED_COUNTS, "{}")))

    def add_columns(self, changes: Iterable[Difference]) -> None:
        """Count one file that differs from today's schema in these fields."""
        self.files += 1
        self.columns.update(one for one in changes if one.field.partition("[")[0] in EXTRACT_COLUMNS)


def drift_of(crawl: Crawl, store: ParquetStore, audited: Iterable[_Dimensions], others: Iterable[_Dimensions]) -> Drift:
    """What does not fit in the output of some partitions, and in the columns of those and others."""
    drift, schema = Drift(), output_of(crawl.request).schemas["succeeded"]
    for partitions, counted in ((audited, True), (others, False)):
        for footer in _footers(crawl, store, partitions):
            drift.add_columns(differences(footer.schema, schema))
            if counted:
                drift.add_output(footer.metadata)
    return drift


def _footers(crawl: Crawl, store: ParquetStore, partitions: Iterable[_Dimensions]) -> list[Footer]:
    found = (store.footer(crawl.name, "succeeded", dimensions) for dimensions in partitions)
    return [footer for footer in found if footer is not None]


def drift_result(drift: Drift) -> dg.AssetCheckResult:
    """The check's result: numbers that plot, the faults by field, and the fields that changed."""
    numbers = {
        "items": drift.items,
        "invalid items": drift.invalid_items,
        "pages with invalid output": drift.invalid_pages,
        "files compared": drift.files,
        "fields changed": sum(one.change != "added" for one in drift.columns),
        "fields added": sum(one.change == "added" for one in drift.columns),
    }
    changes = table(
        {"field": "string", "change": "string", "in the file": "string", "now": "string", "files": "int"},
        ((one.field, one.change, str(one.old), str(one.new), files) for one, files in drift.columns.most_common()),
    )
    outside = table({"field": "string", "values": "int"}, drift.unnamed.most_common())
    tables = {
        **({"invalid output by field": fault_table(drift.faults)} if drift.faults else {}),
        **({"fields of older files": changes} if drift.columns else {}),
        **({"fields outside the schema": outside} if drift.unnamed else {}),
    }
    return dg.AssetCheckResult(
        passed=drift.is_none, severity=dg.AssetCheckSeverity.WARN, metadata={**numbers, **tables}
    )
