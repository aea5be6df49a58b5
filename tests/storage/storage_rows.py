"""Rows and readers that the storage tests and their child processes share."""

import datetime as dt

from thunderbit_dagster.storage.schema import SCHEMAS, FailedRow, SucceededRow
from thunderbit_dagster.storage.store import ParquetStore

NOON = dt.datetime(2026, 11, 2, 12, tzinfo=dt.timezone.utc)
GUIDES = {"date": "2026-11-02", "urls": "guides"}


def succeeded(position, version="1", **columns) -> SucceededRow:
    return {
        "url": f"https://example.com/{position}",
        "position": position,
        "collected_at": NOON,
        "submission_id": f"s{version}",
        "run_id": "run",
        **columns,
    }


def failed(position, version="1", **columns) -> FailedRow:
    return {
        **succeeded(position, version),
        "status": "FAILED",
        "error_code": "SCRAPE_TIMEOUT",
        "error_class": "transient",
        "retryable": True,
        **columns,
    }


def publish(store: ParquetStore, version: str, *, ok=3, bad=2, dimensions=GUIDES, schemas=SCHEMAS, **columns):
    """A partition whose every row says which version it is of."""
    with store.open_partition("docs", dimensions, schemas=schemas) as writer:
        for position in range(ok):
            writer.write_succeeded(succeeded(position, version, **columns))
        for position in range(ok, ok + bad):
            writer.write_failed(failed(position, version))
        return writer.commit({"submission_id": f"s{version}"})


def versions(store: ParquetStore, table, dimensions=GUIDES):
    """Which versions the rows of a table are of, and how many rows there are; read in full."""
    rows = store.read("docs", table, dimensions)
    return set(rows["submission_id"].to_pylist()), rows.num_rows
