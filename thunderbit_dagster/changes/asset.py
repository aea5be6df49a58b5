"""What a run of ``changes`` does: compare each of its partitions with the dates before it, and publish the rows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import dagster as dg

from thunderbit_dagster.api.codes import JobKind
from thunderbit_dagster.changes.published import Content, History, PublishedDate, read_dates
from thunderbit_dagster.changes.rows import ChangeReader, ChangeRow
from thunderbit_dagster.crawl.changes import Changes
from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.lazy import LazyModule
from thunderbit_dagster.ledger.asset_events import Metadata, PublishedPartitions, publish
from thunderbit_dagster.metadata.catalog import column_schema
from thunderbit_dagster.metadata.tables import table
from thunderbit_dagster.partitions import DATE, Partition
from thunderbit_dagster.runs.partitions import run_partitions
from thunderbit_dagster.storage.errors import HalfPublishedError, StorageError
from thunderbit_dagster.storage.schema import changes_schema
from thunderbit_dagster.storage.store import ParquetStore
from thunderbit_dagster.storage.writer import Published

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = LazyModule("pyarrow")

COMPARED: Final = "compared_dates"
"""Key of the footer: the dates and submissions that the rows were made from, as JSON."""
STATUSES = ("new", "changed", "returned", "removed", "failed", "quarantined", "unchanged")
BIGGEST = 20
_DIFF_CHARACTERS = 400


def compare_partitions(
    context: dg.AssetExecutionContext, crawl: Crawl, store: ParquetStore
) -> Iterator[dg.MaterializeResult[None]]:
    """Compare the partitions of a run, and mark those that were published.

    Raises:
        dagster.Failure: some could not be compared; the others are marked all the same.
    """
    published: list[PublishedPartitions] = []
    problems: dict[Partition, str] = {}
    with dg.partition_loading_context(dynamic_partitions_store=context.instance):
        partitions = run_partitions(context, crawl)
    for partition in partitions:
        try:
            published.append(_compared(crawl, store, partition))
        except (StorageError, HalfPublishedError, NothingToCompareError) as error:
            problems[partition] = str(error)
    yield from publish(context, [crawl.key("changes")], published, problems)


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
    ordered = sorted(published, key=lambda one: _begin(crawl, one[DATE]))
    until = [one for one in ordered if _begin(crawl, one[DATE]) <= _begin(crawl, partition.dimensions[DATE])]
    if not until or until[-1][DATE] != partition.date:
        raise NothingToCompareError(
            f"nothing is published of it. Materialize {crawl.key('succeeded').to_user_string()} of this partition first"
        )
    return until[-settings.history - 1 :]


def partitions_by_date(crawl: Crawl, store: ParquetStore) -> list[Partition]:
    """The published partitions, the oldest date first."""
    stored = sorted(store.partitions(crawl.name, "succeeded"), key=lambda one: _begin(crawl, one.get(DATE, "")))
    return [Partition("|".join(one[name] for name in sorted(one)), one) for one in stored if DATE in one]


def change_reader(crawl: Crawl, store: ParquetStore, partition: Partition) -> ChangeReader:
    """What compares a partition with the dates before it.

    Raises:
        NothingToCompareError: the partition is not published.
        StorageError: the store cannot be read.
    """
    settings = crawl.changes or Changes()
    content: Content = "markdown" if crawl.request.kind is JobKind.DISTILL else "data"
    dates = read_dates(store, crawl.name, dates_before(crawl, store, partition, settings))
    return ChangeReader(History(store, crawl.name, content, dates), settings)


def _is_of(stored: Mapping[str, str], partition: Partition) -> bool:
    same = {name: key for name, key in stored.items() if name != DATE}
    return DATE in stored and same == {name: key for name, key in partition.dimensions.items() if name != DATE}


def _begin(crawl: Crawl, key: str) -> float:
    """When a date begins, so that keys of any format are in order; dates of another cadence come first."""
    window = crawl.window(Partition(key, {DATE: key})) if crawl.cadence and _fits(crawl.cadence, key) else None
    return window.start.timestamp() if window else float("-inf")


def _fits(cadence: dg.TimeWindowPartitionsDefinition, key: str) -> bool:
    try:
        cadence.time_window_for_partition_key(key)
    except (ValueError, dg.DagsterError):
        return False
    return True


def _compared(crawl: Crawl, store: ParquetStore, partition: Partition) -> PublishedPartitions:
    reader = change_reader(crawl, store, partition)
    rows, dates = list(reader.rows()), reader.history.dates
    written = store.write_changes(
        crawl.name,
        partition.dimensions,
        pa.Table.from_pylist(rows, changes_schema()),
        {COMPARED: _compared_dates(dates)},
    )
    return PublishedPartitions(partition, {crawl.key("changes"): _metadata(rows, dates, written)})


def _compared_dates(dates: Sequence[PublishedDate]) -> str:
    return json.dumps([[one.key, one.submission_id] for one in dates])


def _metadata(rows: Sequence[ChangeRow], dates: Sequence[PublishedDate], written: Published) -> Metadata:
    """Counts that plot, and what changed most."""
    counts = Counter(str(row["status"]) for row in rows)
    base = dates[-2].key if len(dates) > 1 else "none: this is the first date"
    return {
        **{status: counts[status] for status in STATUSES},
        "dagster/partition_row_count": written.rows,
        "compared with": dg.MetadataValue.text(base),
        "biggest changes": _biggest(rows),
        "dagster/size_bytes": written.size_bytes,
        "dagster/uri": dg.MetadataValue.url(written.uri),
        "dagster/column_schema": column_schema(changes_schema()),
    }


def _biggest(rows: Sequence[ChangeRow]) -> dg.TableMetadataValue:
    shown = [row for row in rows if row["status"] in ("changed", "returned", "removed", "new")]
    shown.sort(key=lambda row: (STATUSES.index(str(row["status"])), row["similarity"] or 0.0, row["url"]))
    changed = [row for row in shown if row["status"] == "changed"]
    others = [row for row in shown if row["status"] != "changed"]
    return table(
        {"url": "string", "status": "string", "similarity": "float", "difference": "string"},
        (
            (str(row["url"]), str(row["status"]), _number(row["similarity"]), str(row["diff"] or "")[:_DIFF_CHARACTERS])
            for row in [*changed, *others][:BIGGEST]
        ),
    )


def _number(value: str | float | None) -> float | None:
    return value if isinstance(value, float) else None


@dataclass(frozen=True)
class OutOfDate:
    """A partition of ``changes`` that was made from other dates than are published now."""

    partition: str
    compared: str
    now: str


def out_of_date(crawl: Crawl, store: ParquetStore, settings: Changes) -> list[OutOfDate]:
    """The published partitions of ``changes`` that another crawl of their own or an earlier date has overtaken."""
    found = []
    for dimensions in store.partitions(crawl.name, "changes"):
        partition = Partition("|".join(dimensions[name] for name in sorted(dimensions)), dimensions)
        made_from, now = _made_from(store, crawl, dimensions), _made_from_now(crawl, store, partition, settings)
        if made_from != now:
            found.append(OutOfDate(str(partition), _words(made_from), _words(now)))
    return found


def _made_from(store: ParquetStore, crawl: Crawl, dimensions: Mapping[str, str]) -> list[list[str]]:
    footer = store.footer(crawl.name, "changes", dimensions)
    return json.loads(footer.metadata.get(COMPARED, "[]")) if footer else []


def _made_from_now(crawl: Crawl, store: ParquetStore, partition: Partition, settings: Changes) -> list[list[str]]:
    try:
        dates = dates_before(crawl, store, partition, settings)
    except NothingToCompareError:
        return []
    return [[one[DATE], store.pair(crawl.name, one).submission_id or ""] for one in dates]


def _words(dates: Sequence[Sequence[str]]) -> str:
    return ", ".join(f"{key} ({submission})" for key, submission in dates[-3:])
