"""Reading the table ``changes`` of a crawl."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.dataset.frames import Library, convert, require_polars
from thunderbit_dagster.dataset.loading import TableReader, Where
from thunderbit_dagster.lazy import LazyModule
from thunderbit_dagster.storage.errors import PartitionNotFoundError
from thunderbit_dagster.storage.schema import changes_schema
from thunderbit_dagster.storage.store import ParquetStore
from thunderbit_dagster.validation import one_of, require_setting

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa
else:
    pa = LazyModule("pyarrow")


@overload
def read_changes(
    store: ParquetStore | str | Path,
    crawl: Crawl | str,
    partitions: Iterable[Where] | None = ...,
    *,
    to: Literal["pyarrow"] = ...,
) -> pa.Table: ...
@overload
def read_changes(
    store: ParquetStore | str | Path,
    crawl: Crawl | str,
    partitions: Iterable[Where] | None = ...,
    *,
    to: Literal["pandas"],
) -> pd.DataFrame: ...
@overload
def read_changes(
    store: ParquetStore | str | Path,
    crawl: Crawl | str,
    partitions: Iterable[Where] | None = ...,
    *,
    to: Literal["polars"],
) -> pl.DataFrame: ...
def read_changes(
    store: ParquetStore | str | Path,
    crawl: Crawl | str,
    partitions: Iterable[Where] | None = None,
    *,
    to: Library = "pyarrow",
) -> pa.Table | pd.DataFrame | pl.DataFrame:
    """The rows of ``changes`` of some partitions, or of all (default).

    The partitions' keys are text columns after the others.

    Args:
        store: The store, or its base URI.
        crawl: The crawl, or its name.
        partitions: Dagster's keys (``"2026-11-02|guides"``), dimensions or ``Partition``s.
        to: ``pyarrow``, ``pandas`` or ``polars``.

    Raises:
        PartitionNotFoundError: one of ``partitions`` is not there, or nothing at all.
        StorageError: the store cannot be read.
        PolarsMissingError: ``to="polars"`` without Polars.
    """
    require_setting("read_changes", locals(), {"to": one_of("pyarrow", "pandas", "polars")})
    if to == "polars":
        require_polars()
    reader = TableReader.of(store, crawl, "succeeded")
    published = reader.store.partitions(reader.crawl, "changes")
    if partitions is None and not published:
        raise PartitionNotFoundError(f"There is nothing in {reader.store.base_uri}/{reader.crawl}/changes.")
    places = published if partitions is None else [reader.place(one) for one in partitions]
    read = [reader.store.read_changes(reader.crawl, place, with_partition=True) for place in places]
    return convert(pa.concat_tables(read) if read else changes_schema().empty_table(), to)
