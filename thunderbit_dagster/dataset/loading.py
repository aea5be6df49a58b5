"""Reading what a crawl has published: one partition, many or all of them, as pyarrow, pandas or Polars.

A crawl's two tables are published together. A partition where only one of them was, because its run was killed in
between, is refused until the next collect run has repaired it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial, reduce
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args, overload

from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.dataset.frames import Library, convert, lazy, require_polars
from thunderbit_dagster.extraction.output import output_of
from thunderbit_dagster.lazy import LazyModule
from thunderbit_dagster.partitions import SEPARATOR, Partition
from thunderbit_dagster.storage.drift import union
from thunderbit_dagster.storage.errors import (
    HalfPublishedError,
    PartitionNotFoundError,
    StorageError,
)
from thunderbit_dagster.storage.layout import ordered, partition_text
from thunderbit_dagster.storage.schema import EXTRACT_COLUMNS, SCHEMAS, Table
from thunderbit_dagster.storage.store import Pair, ParquetStore
from thunderbit_dagster.validation import NONE, TEXTS, Expected, one_of, require_setting

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa
    import pyarrow.dataset as pads
else:
    pa = LazyModule("pyarrow")

Dimensions: TypeAlias = Mapping[str, str]
Where: TypeAlias = Partition | Dimensions | str
"""A partition: by its key in Dagster, as ``2026-11-02|guides``, by its dimensions, or as a ``Partition``."""

OnHalf = Literal["refuse", "warn"]
Lazy = Literal["pyarrow", "polars"]

_TABLE: Final = {"table": one_of(*SCHEMAS), "on_half_published": one_of(*get_args(OnHalf))}
_FRAME: Final = {**_TABLE, "to": one_of(*get_args(Library)), "columns": TEXTS | NONE}
_LAZY: Final = {**_TABLE, "to": one_of(*get_args(Lazy))}
_ONE: Final = Expected(
    "a partition's key, its dimensions or a Partition", lambda value: isinstance(value, str | Mapping | Partition)
)
_MANY: Final = Expected(
    "a list of partitions", lambda value: isinstance(value, Iterable) and not isinstance(value, str | Mapping)
)

READERS = 8
"""How many partitions are read at once."""
_NAMED = 5
"""How many partitions a message names."""


class HalfPublishedWarning(UserWarning):
    """A partition was read whose two tables are of different commits."""


@overload
def read_partition(
    store: ParquetStore | str | Path,
    crawl: Crawl | str,
    partition: Where | None = ...,
    table: Table = ...,
    *,
    columns: Sequence[str] | None = ...,
    to: Literal["pyarrow"] = ...,
    on_half_published: OnHalf = ...,
) -> pa.Table: ...
@overload
def read_partition(
    store: ParquetStore | str | Path,
    crawl: Crawl | str,
    partition: Where | None = ...,
    table: Table = ...,
    *,
    columns: Sequence[str] | None = ...,
    to: Literal["pandas"],
    on_half_published: OnHalf = ...,
) -> pd.DataFrame: ...
@overload
def read_partition(
    store: ParquetStore | str | Path,
    crawl: Crawl | str,
    partition: Where | None = ...,
    table: Table = ...,
    *,
    columns: Sequence[str] | None = ...,
    to: Literal["polars"],
    on_half_published: OnHalf = ...,
) -> pl.DataFrame: ...
def read_partition(
    store: ParquetStore | str | Path,
    crawl: Crawl | str,
    partition: Where | None = None,
    table: Table = "succeeded",
    *,
    columns: Sequence[str] | None = None,
    to: Library = "pyarrow",
    on_half_published: OnHalf = "refuse",
) -> pa.Table | pd.DataFrame | pl.DataFrame:
    """The rows of one partition, in the order they were written.

    Args:
        store: The store, or its base URI.
        crawl: The crawl, or its name. With the crawl itself, extracted items have the columns of today's schema.
        partition: Dagster's key (``"2026-11-02|guides"``), the dimensions (``{"urls": "guides"}``) or a ``Partition``;
            None for a crawl without partitions.
        table: ``succeeded`` or ``failed``.
        columns: Only these columns are fetched. The keys of the partition come after them, as text, one column a
            dimension.
        to: ``pyarrow``, ``pandas`` or ``polars``.
        on_half_published: What to do when `succeeded` and `failed` are of different commits: ``refuse`` or ``warn``.

    Raises:
        PartitionNotFoundError: nothing was published there; the text names what was.
        HalfPublishedError: a run was killed between publishing one table and the other.
        SchemaDriftError: a column has another type than in today's schema of the crawl.
        StorageError: the store cannot be read, or a column does not exist.
        ValueError: an argument is none of what it can be.
        PolarsMissingError: ``to="polars"`` without Polars.
    """
    require_setting("read_partition", locals(), _FRAME)
    if to == "polars":
        require_polars()
    reader = TableReader.of(store, crawl, table, on_half_published)
    return convert(reader.read([reader.place(partition)], columns), to)


@overload
def read_partitions(
    store: ParquetStore | str | Path,
    crawl: Crawl | str,
    partitions: Iterable[Where] | None = ...,
    table: Table = ...,
    *,
    columns: Sequence[str] | None = ...,
    to: Literal["pyarrow"] = ...,
    on_half_published: OnHalf = ...,
) -> pa.Table: ...
@overload
def read_partitions(
    store: ParquetStore | str | Path,
    crawl: Crawl | str,
    partitions: Iterable[Where] | None = ...,
    table: Table = ...,
    *,
    columns: Sequence[str] | None = ...,
    to: Literal["pandas"],
    on_half_published: OnHalf = ...,
) -> pd.DataFrame: ...
@overload
def read_partitions(
    store: ParquetStore | str | Path,
    crawl: Crawl | str,
    partitions: Iterable[Where] | None = ...,
    table: Table = ...,
    *,
    columns: Sequence[str] | None = ...,
    to: Literal["polars"],
    on_half_published: OnHalf = ...,
) -> pl.DataFrame: ...
def read_partitions(
    store: ParquetStore | str | Path,
    crawl: Crawl | str,
    partitions: Iterable[Where] | None = None,
    table: Table = "succeeded",
    *,
    columns: Sequence[str] | None = None,
    to: Library = "pyarrow",
    on_half_published: OnHalf = "refuse",
) -> pa.Table | pd.DataFrame | pl.DataFrame:
    """The rows of many partitions, or of all (default), one partition after the other.

    Arguments and errors are those of ``read_partition``. Older files that lack a column have nulls there.

    Raises:
        PartitionNotFoundError: one of ``partitions`` is not there, or nothing of a crawl that was given by name.
    """
    require_setting("read_partitions", locals(), _FRAME)
    if to == "polars":
        require_polars()
    reader = TableReader.of(store, crawl, table, on_half_published)
    return convert(reader.read(reader.places(partitions), columns), to)


@overload
def scan(
    store: ParquetStore | str | Path,
    crawl: Crawl | str,
    partitions: Iterable[Where] | None = ...,
    table: Table = ...,
    *,
    to: Literal["pyarrow"] = ...,
    on_half_published: OnHalf = ...,
) -> pads.Dataset: ...
@overload
def scan(
    store: ParquetStore | str | Path,
    crawl: Crawl | str,
    partitions: Iterable[Where] | None = ...,
    table: Table = ...,
    *,
    to: Literal["polars"],
    on_half_published: OnHalf = ...,
) -> pl.LazyFrame: ...
def scan(
    store: ParquetStore | str | Path,
    crawl: Crawl | str,
    partitions: Iterable[Where] | None = None,
    table: Table = "succeeded",
    *,
    to: Lazy = "pyarrow",
    on_half_published: OnHalf = "refuse",
) -> pads.Dataset | pl.LazyFrame:
    """Many partitions, or all (default), of which nothing is read before it is asked for.

    The partitions' keys are text columns after the others. A pyarrow dataset reads only the partitions that a filter
    on them leaves; a Polars frame reads the columns that a query needs of every partition, so name the ``partitions``.
    Only the files' footers are read here.

    Raises:
        PartitionNotFoundError: one of ``partitions`` is not there, or nothing of a crawl that was given by name.
        HalfPublishedError: see ``read_partition``.
        StorageError: the store cannot be read.
        ValueError: an argument is none of what it can be.
        PolarsMissingError: ``to="polars"`` without Polars.
    """
    require_setting("scan", locals(), _LAZY)
    if to == "polars":
        require_polars()
    reader = TableReader.of(store, crawl, table, on_half_published)
    places = reader.places(partitions)
    return reader.lazy(places) if to == "polars" else reader.dataset(places)


@dataclass(frozen=True)
class TableReader:
    """One table of a crawl.

    Attributes:
        schema: The columns that every file is read under; None: those that the files have, taken together.
        axes: The names of the partitions' dimensions, as far as they are known.
        complain: Told of a half-published partition; may raise.
    """

    store: ParquetStore
    crawl: str
    table: Table
    schema: pa.Schema | None
    axes: Sequence[str]
    complain: Callable[[str], None]
    declared: Crawl | None = None

    @classmethod
    def of(
        cls, store: ParquetStore | str | Path, crawl: Crawl | str, table: Table, on_half: OnHalf = "refuse"
    ) -> TableReader:
        """The reader for what a public function was given."""
        opened = store if isinstance(store, ParquetStore) else ParquetStore(store)
        complain = refuse if on_half == "refuse" else _warn
        if isinstance(crawl, str):
            return cls(opened, crawl, table, None, (), complain)
        schema = output_of(crawl.request).schemas[table]
        return cls(opened, crawl.name, table, schema, crawl.axes_names, complain, crawl)

    def place(self, partition: Where | None) -> Dimensions:
        """The dimensions of a partition.

        Raises:
            PartitionNotFoundError: a key that no published partition has, or that is none of the crawl's.
            ValueError: it is no partition at all.
        """
        require_setting(f"Crawl {self.crawl!r}", {"partition": partition}, {"partition": _ONE | NONE})
        if partition is None:
            return {}
        if isinstance(partition, str):
            return self._dimensions_of(partition)
        return ordered(partition.dimensions if isinstance(partition, Partition) else partition)

    def places(self, partitions: Iterable[Where] | None) -> list[Dimensions]:
        """The dimensions of some partitions, each once; of all that are published when None.

        Raises:
            PartitionNotFoundError: as `place`; or nothing is published of a crawl of which only the name is known.
            ValueError: they are no list of partitions.
        """
        require_setting(f"Crawl {self.crawl!r}", {"partitions": partitions}, {"partitions": _MANY | NONE})
        if partitions is None:
            published: list[Dimensions] = [*self.store.partitions(self.crawl, self.table)]
            if not published and self.declared is None:
                raise self._no_crawl()
            return published
        found = [self.place(partition) for partition in partitions]
        return list({tuple(place.items()): place for place in found}.values())

    def missing(self, places: Sequence[Dimensions]) -> list[Dimensions]:
        """Those of the partitions that are not published."""
        return [place for place, pair in zip(places, self._pairs(places), strict=True) if self._footer(pair) is None]

    def read(self, places: Sequence[Dimensions], columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of the partitions, each with its keys."""
        schema = self._checked(places)
        with ThreadPoolExecutor(READERS) as threads:
            read = list(threads.map(lambda place: self._read(place, schema, columns), places))
        empty = self._with_keys(self._without_keys(schema, (), columns), ())
        return pa.concat_tables(read) if read else empty.empty_table()

    def read_each(self, places: Sequence[Dimensions], columns: Sequence[str] | None = None) -> list[pa.Table]:
        """The rows of the partitions, a table each."""
        schema = self._checked(places)
        with ThreadPoolExecutor(READERS) as threads:
            return list(threads.map(lambda place: self._read(place, schema, columns), places))

    def dataset(self, places: Sequence[Dimensions], columns: Sequence[str] | None = None) -> pads.Dataset:
        """The partitions as a dataset of pyarrow."""
        schema = self._without_keys(self._checked(places), places, columns)
        return self.store.scan(self.crawl, self.table, schema if places else self._with_keys(schema, places), places)

    def lazy(self, places: Sequence[Dimensions], columns: Sequence[str] | None = None) -> pl.LazyFrame:
        """The partitions as a lazy frame of Polars."""
        schema = self._without_keys(self._checked(places), places, columns)
        return lazy(self._with_keys(schema, places), [partial(self._read_exactly, place, schema) for place in places])

    def _dimensions_of(self, key: str) -> Dimensions:
        if self.declared is not None:
            found: Dimensions = self.declared.partition(key).dimensions
            if not found:
                raise PartitionNotFoundError(f"{key!r} is no partition key of the crawl {self.crawl}.")
            return found
        published = self.store.partitions(self.crawl, self.table)
        keys = {SEPARATOR.join(place[name] for name in sorted(place)): place for place in published}
        if key not in keys:
            raise self._not_found([key], list(keys))
        return keys[key]

    def _pairs(self, places: Sequence[Dimensions]) -> list[Pair]:
        with ThreadPoolExecutor(READERS) as threads:
            return list(threads.map(lambda place: self.store.pair(self.crawl, place), places))

    def _footer(self, pair: Pair) -> pa.Schema | None:
        footer = pair.succeeded if self.table == "succeeded" else pair.failed
        return None if footer is None else footer.schema

    def _checked(self, places: Sequence[Dimensions]) -> pa.Schema:
        """The schema to read the partitions under, once all are known to be there and whole."""
        pairs = self._pairs(places)
        stored = [self._footer(pair) for pair in pairs]
        if absent := [place for place, schema in zip(places, stored, strict=True) if schema is None]:
            published = self.store.partitions(self.crawl, self.table)
            raise self._not_found([_words(place) for place in absent], [_words(place) for place in published])
        if half := [place for place, pair in zip(places, pairs, strict=True) if not pair.consistent]:
            self.complain(self._half(half))
        return self.schema or _together(self.table, [schema for schema in stored if schema is not None])

    def _read(self, place: Dimensions, schema: pa.Schema, columns: Sequence[str] | None) -> pa.Table:
        wanted = None if columns is None else [name for name in columns if name not in place]
        return self.store.read(self.crawl, self.table, place, wanted, with_partition=True, schema=schema)

    def _read_exactly(self, place: Dimensions, schema: pa.Schema, columns: Sequence[str] | None) -> pa.Table:
        rows = self._read(place, schema, columns)
        return rows if columns is None else rows.select(columns)

    def _with_keys(self, schema: pa.Schema, places: Sequence[Dimensions]) -> pa.Schema:
        return pa.schema([*schema, *(pa.field(name, pa.string()) for name in self._keys(places))])

    def _without_keys(
        self, schema: pa.Schema, places: Sequence[Dimensions], columns: Sequence[str] | None
    ) -> pa.Schema:
        """The columns that are wanted of a file; the keys come after them whether they are wanted or not."""
        keys = self._keys(places)
        return _selected(schema, None if columns is None else [name for name in columns if name not in keys])

    def _keys(self, places: Sequence[Dimensions]) -> list[str]:
        return list(dict.fromkeys([*self.axes, *(name for place in places for name in place)]))

    def _not_found(self, missing: list[str], published: list[str]) -> PartitionNotFoundError:
        there = f"Published are {_some(published)}." if any(published) else "Nothing is published there."
        if len(published) == 1 and not published[0]:
            there = "The crawl has no partitions."
        what = f"partition {_some(missing)}" if any(missing) else "rows of a crawl without partitions"
        return PartitionNotFoundError(f"There is no {what} in {self.store.base_uri}/{self.crawl}/{self.table}. {there}")

    def _no_crawl(self) -> PartitionNotFoundError:
        others = self.store.crawls()
        there = f"There are: {_some(others)}." if others else "There is no crawl at all."
        return PartitionNotFoundError(f"There is nothing of a crawl {self.crawl!r} in {self.store.base_uri}. {there}")

    def _half(self, places: Sequence[Dimensions]) -> str:
        names = _some([partition_text(self.crawl, place) for place in places])
        return (
            f"`succeeded` and `failed` are of different commits in {names}: a run ended between publishing one and the "
            f"other. Materialize {self.crawl}/succeeded of it again; that repairs both"
        )


def refuse(fault: str) -> None:
    """The way to treat half-published partitions by default.

    Raises:
        HalfPublishedError: always.
    """
    raise HalfPublishedError(f'{fault}. To read it as it is: on_half_published="warn".')


def _warn(fault: str) -> None:
    warnings.warn(f"{fault}.", HalfPublishedWarning, stacklevel=5)


def _together(table: Table, stored: Sequence[pa.Schema]) -> pa.Schema:
    """The columns of a table, and after them the typed ones that any of the files has."""
    known = SCHEMAS[table]
    both = reduce(union, (pa.struct(list(schema)) for schema in stored), pa.struct(list(known)))
    extra = [field for field in both if field.name not in known.names and field.name in EXTRACT_COLUMNS]
    return pa.schema([*known, *extra])


def _selected(schema: pa.Schema, columns: Sequence[str] | None) -> pa.Schema:
    if columns is None:
        return schema
    if unknown := [name for name in columns if name not in schema.names]:
        raise StorageError(f"There is no column {', '.join(unknown)}. There are: {', '.join(schema.names)}.")
    return pa.schema([schema.field(name) for name in columns])


def _words(place: Dimensions) -> str:
    return SEPARATOR.join(place[name] for name in sorted(place))


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
