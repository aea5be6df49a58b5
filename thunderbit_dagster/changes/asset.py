"""What a run of ``changes`` does: compare each of its partitions with the dates before it, and publish the rows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import dagster as dg

from thunderbit_dagster.api.codes import JobKind
from thunderbit_dagster.changes.dates import NothingToCompareError, dates_before
from thunderbit_dagster.changes.published import Content, History, PublishedDate, read_dates
from thunderbit_dagster.changes.rows import ChangeReader, ChangeRow
from thunderbit_dagster.crawl.changes import Changes
from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.lazy import LazyModule
from thunderbit_dagster.ledger.asset_events import Metadata, PublishedPartitions, publish
from thunderbit_dagster.metadata.catalog import column_schema
from thunderbit_dagster.metadata.tables import table
from thunderbit_dagster.partitions import Partition
from thunderbit_dagster.runs.partitions import run_partitions
from thunderbit_dagster.storage.errors import StorageError
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
        except (StorageError, NothingToCompareError) as error:
            problems[partition] = str(error)
    yield from publish(context, [crawl.key("changes")], published, problems)


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
    shown.sort(key=_rank)
    return table(
        {"url": "string", "status": "string", "similarity": "float", "difference": "string"},
        (
            (str(row["url"]), str(row["status"]), _number(row["similarity"]), str(row["diff"] or "")[:_DIFF_CHARACTERS])
            for row in shown[:BIGGEST]
        ),
    )


def _rank(row: ChangeRow) -> tuple[bool, int, float, str]:
    """Changes come first, and of these the biggest."""
    status = str(row["status"])
    return status != "changed", STATUSES.index(status), _number(row["similarity"]) or 0.0, str(row["url"])


def _number(value: str | float | None) -> float | None:
    return value if isinstance(value, float) else None
