"""The Parquet store: partitions out, partitions in."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from obstore.exceptions import BaseError, PreconditionError

from thunderbit_dagster.lazy import LazyModule
from thunderbit_dagster.storage import credentials
from thunderbit_dagster.storage.backend import Backend
from thunderbit_dagster.storage.drift import conform, differences
from thunderbit_dagster.storage.errors import (
    DamagedFileError,
    PartitionNotFoundError,
    SchemaDriftError,
    StorageError,
    first_line,
)
from thunderbit_dagster.storage.layout import is_crawl_name, ordered, parse_path, partition_path, table_path
from thunderbit_dagster.storage.local import LocalBackend
from thunderbit_dagster.storage.schema import EXTRACT_COLUMNS, SCHEMAS, StoredTable, Table, changes_schema
from thunderbit_dagster.storage.uri import normalize, to_path
from thunderbit_dagster.storage.writer import FLUSH_BYTES, PartitionWriter, Published, write_table
from thunderbit_dagster.validation import NONE, TEXT, TEXTS, instance_of, require_setting

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.dataset as pads
    import pyarrow.parquet as pq

    from thunderbit_dagster.storage import objects
else:
    pa = LazyModule("pyarrow")
    pc = LazyModule("pyarrow.compute")
    pq = LazyModule("pyarrow.parquet")
    objects = LazyModule("thunderbit_dagster.storage.objects")

T = TypeVar("T")

# How often a read starts over because a writer replaced the object meanwhile.
READ_ATTEMPTS: Final = 3


@dataclass(frozen=True)
class Footer:
    """What a published table says of itself: the size in bytes, and all metadata that `commit` wrote."""

    num_rows: int
    size_bytes: int
    metadata: Mapping[str, str]
    schema: pa.Schema


@dataclass(frozen=True)
class Pair:
    """The footers of one partition's two tables; None where there is no object."""

    succeeded: Footer | None
    failed: Footer | None

    @property
    def consistent(self) -> bool:
        """Whether both tables are there and come from the same commit."""
        if self.succeeded is None or self.failed is None:
            return False
        commit = self.succeeded.metadata.get("commit_id")
        return commit is not None and commit == self.failed.metadata.get("commit_id")

    @property
    def submission_id(self) -> str | None:
        """The submission that the whole pair belongs to; None for a pair that is not consistent."""
        if self.succeeded is None or not self.consistent:
            return None
        return self.succeeded.metadata.get("submission_id")


@dataclass(frozen=True, init=False)
class ParquetStore:
    """Where crawls keep their partitions: `{base_uri}/{crawl}/{table}/date=.../urls=.../rows.parquet`.

    Args:
        base_uri: A local path (relative to the working directory of this moment), or `file://`, `s3://`, `gs://`,
            `az://`. Credentials never come from the URI but from the environment, as obstore reads it:
            `AWS_ACCESS_KEY_ID`, `GOOGLE_APPLICATION_CREDENTIALS`, `AZURE_STORAGE_ACCOUNT_NAME`, roles ...

    Nothing is read or connected before the first use.

    Raises:
        ValueError: it is neither text nor a path.
        UnknownSchemeError: the URI has another scheme, or holds credentials.
    """

    base_uri: str

    def __init__(self, base_uri: str | Path = "data") -> None:
        expected = TEXT | instance_of("a Path", Path)
        require_setting("ParquetStore", {"base_uri": base_uri}, {"base_uri": expected})
        object.__setattr__(self, "base_uri", normalize(base_uri))

    def __reduce__(self) -> tuple[type[ParquetStore], tuple[str]]:
        return type(self), (self.base_uri,)

    def uri(self, crawl: str, table: StoredTable, dimensions: Mapping[str, str]) -> str:
        """The URI of one partition's object, whether it exists or not.

        Raises:
            InvalidKeyError: a name or key that cannot be a path; so do all methods below.
        """
        return self._backend.uri(partition_path(crawl, table, dimensions))

    def open_partition(
        self,
        crawl: str,
        dimensions: Mapping[str, str],
        *,
        flush_bytes: int = FLUSH_BYTES,
        schemas: Mapping[str, pa.Schema] = SCHEMAS,
    ) -> PartitionWriter:
        """A writer of a new version of the partition, to be used as a context manager and committed.

        First removes what killed writers of this crawl left behind.

        Args:
            crawl: The crawl's name.
            dimensions: The partition's keys by dimension; empty for an unpartitioned crawl.
            flush_bytes: A row group is written when about this many bytes wait in a table's buffer.
            schemas: The columns by table. A crawl that extracts has typed ones of its own after the others.

        Raises:
            PublishError: the place cannot be written to.
        """
        partition_path(crawl, "succeeded", dimensions)  # refuses bad names before anything is touched
        self._backend.sweep(crawl)
        return PartitionWriter(self._backend, crawl, dimensions, flush_bytes, schemas)

    def footer(self, crawl: str, table: StoredTable, dimensions: Mapping[str, str]) -> Footer | None:
        """The footer of one partition's table, without reading its rows; None when there is no object.

        Raises:
            DamagedFileError: the object is no Parquet file.
            StorageError: the store cannot be read.
        """
        key = partition_path(crawl, table, dimensions)
        try:
            return self._retrying(key, lambda: self._read_footer(key))
        except PartitionNotFoundError:
            return None

    def pair(self, crawl: str, dimensions: Mapping[str, str]) -> Pair:
        """The footers of both tables. Read again when inconsistent: a commit may have come between."""
        pair = self._read_pair(crawl, dimensions)
        return pair if pair.consistent else self._read_pair(crawl, dimensions)

    def read(
        self,
        crawl: str,
        table: Table,
        dimensions: Mapping[str, str],
        columns: Sequence[str] | None = None,
        *,
        with_partition: bool = False,
        schema: pa.Schema | None = None,
    ) -> pa.Table:
        """The rows of one partition, in the order they were written.

        Args:
            crawl: The crawl's name.
            table: The table.
            dimensions: The partition's keys by dimension.
            columns: Only these columns, in this order; only they are fetched.
            with_partition: Append the dimensions as string columns.
            schema: Today's columns of the table, under which older rows are read: fields that were added since, at any
                depth, are null, and fields that were removed are left out. Default: every column of the table, and
                the typed ones as they were written.

        Raises:
            PartitionNotFoundError: nothing was published there.
            SchemaDriftError: a field has another type in the file than in `schema`.
            StorageError: the store cannot be read, or a column does not exist.
            ValueError: `columns` is no list of names.
        """
        require_setting("ParquetStore.read", locals(), {"columns": TEXTS | NONE})
        key = partition_path(crawl, table, dimensions)
        rows, fields = self._retrying(key, lambda: self._read_rows(key, schema, columns, table))
        self._require_same_types(key, rows.schema, fields)
        try:
            return _fit(rows, fields, ordered(dimensions) if with_partition else {})
        except pa.ArrowInvalid as error:
            raise SchemaDriftError(f"{self._backend.uri(key)} does not fit its columns: {first_line(error)}.") from None

    def write_changes(
        self, crawl: str, dimensions: Mapping[str, str], rows: pa.Table, metadata: Mapping[str, str]
    ) -> Published:
        """Publish the `changes` of one partition; the metadata goes into the footer.

        Raises:
            PublishError: the store refused; readers see what they saw before.
        """
        self._backend.sweep(crawl)
        key = partition_path(crawl, "changes", dimensions)
        return write_table(self._backend, key, "changes", rows.cast(changes_schema()), metadata)

    def read_changes(self, crawl: str, dimensions: Mapping[str, str], *, with_partition: bool = False) -> pa.Table:
        """The rows of one partition's `changes`, in order of their URLs.

        Raises:
            PartitionNotFoundError: nothing was published there.
            StorageError: the store cannot be read.
        """
        key = partition_path(crawl, "changes", dimensions)
        rows, fields = self._retrying(key, lambda: self._read_rows(key, changes_schema(), None))
        return _fit(rows, fields, ordered(dimensions) if with_partition else {})

    def batches(
        self, crawl: str, table: Table, dimensions: Mapping[str, str], columns: Collection[str]
    ) -> Iterator[pa.RecordBatch]:
        """The rows of one partition, a few at a time and all of one version of the file.

        Of `columns`, those that the file has; they come with the types that they have there.

        Raises:
            PartitionNotFoundError: nothing was published there.
            StorageError: the store cannot be read, or the partition was replaced meanwhile.
        """
        key = partition_path(crawl, table, dimensions)
        with self._reporting(key), self._backend.filesystem.open_input_file(key) as file:
            parquet = pq.ParquetFile(file)
            present = [name for name in parquet.schema_arrow.names if name in columns]
            for group in range(parquet.num_row_groups):  # a batch may span several, which are bounded in bytes
                yield from parquet.iter_batches(row_groups=[group], columns=present)

    def scan(
        self,
        crawl: str,
        table: Table,
        schema: pa.Schema | None = None,
        partitions: Collection[Mapping[str, str]] | None = None,
    ) -> pads.Dataset:
        """All partitions of a table as one dataset, with the dimensions as string columns; lazy, for filters.

        Without partitions it is an empty dataset with the table's columns. Keys stay text here; readers that
        guess types make a date of `2026-11-02` and a number of `007`. pyarrow opens a file more than once, so
        a scan may fail when a partition is replaced under it; `read` does not.

        Args:
            crawl: The crawl's name.
            table: The table.
            schema: Today's columns of the table, under which all files are read, as `read` does; a changed type shows
                as an error of pyarrow once rows are asked for. Default: every column of the table, and the typed ones
                as the last partition has them.
            partitions: Only the partitions with these dimensions. Default: all.

        Raises:
            PartitionNotFoundError: one of `partitions` is not there.
            StorageError: the store cannot be listed, or its last partition not read.
        """
        found = dict(self._keys(crawl, table))
        if partitions is not None:
            found = self._chosen(found, {partition_path(crawl, table, one) for one in partitions})
        return self._dataset(schema or self._newest_schema(table, found), found)

    def partitions(self, crawl: str, table: StoredTable) -> list[dict[str, str]]:
        """The dimensions of every published partition of a table, in the order of their paths.

        Raises:
            StorageError: the store cannot be listed.
        """
        return [dimensions for _, dimensions in self._keys(crawl, table)]

    def crawls(self) -> list[str]:
        """The names of the crawls that have a directory here, in order.

        Raises:
            StorageError: the store cannot be listed.
        """
        return self._retrying("", lambda: sorted(name for name in self._backend.folders() if is_crawl_name(name)))

    @cached_property
    def _backend(self) -> Backend:
        if self.base_uri.startswith("file://"):
            return LocalBackend(to_path(self.base_uri))
        return objects.connect(self.base_uri)

    def _read_pair(self, crawl: str, dimensions: Mapping[str, str]) -> Pair:
        failed = self.footer(crawl, "failed", dimensions)
        return Pair(self.footer(crawl, "succeeded", dimensions), failed)

    def _read_footer(self, key: str) -> Footer:
        with self._backend.filesystem.open_input_file(key) as file:
            parquet = pq.ParquetFile(file)
            # The footer also holds the whole schema, as `ARROW:schema`; it is no metadata of ours.
            pairs = (parquet.metadata.metadata or {}).items()
            metadata = {name.decode(): value.decode() for name, value in pairs if name != b"ARROW:schema"}
            return Footer(parquet.metadata.num_rows, file.size(), metadata, parquet.schema_arrow)

    def _read_rows(
        self, key: str, schema: pa.Schema | None, columns: Sequence[str] | None, table: Table = "succeeded"
    ) -> tuple[pa.Table, pa.Schema]:
        """The file's rows, and the fields that were asked for."""
        # Not through a dataset: that opens the file twice, and a commit between would mix two versions.
        with self._backend.filesystem.open_input_file(key) as file:
            parquet = pq.ParquetFile(file)
            fields = _select(schema or _with_typed(SCHEMAS[table], parquet.schema_arrow), columns)
            return parquet.read(columns=fields.names), fields

    def _require_same_types(self, key: str, stored: pa.Schema, asked: pa.Schema) -> None:
        changed = [one for one in differences(stored, asked) if one.change == "changed"]
        if changed:
            raise SchemaDriftError(
                f"{self._backend.uri(key)} has columns of other types: {'; '.join(map(str, changed))}. Read it without "
                "`schema`, or without these columns; what was extracted is in `data` as received."
            )

    def _newest_schema(self, table: Table, partitions: Mapping[str, Mapping[str, str]]) -> pa.Schema:
        keys = list(partitions)
        stored = self._retrying(keys[-1], lambda: self._read_footer(keys[-1])).schema if keys else SCHEMAS[table]
        return _with_typed(SCHEMAS[table], stored)

    def _keys(self, crawl: str, table: StoredTable) -> list[tuple[str, dict[str, str]]]:
        prefix = table_path(crawl, table)
        keys = self._retrying(prefix, lambda: sorted(self._backend.keys(prefix)))
        found = ((key, parse_path(key)) for key in keys)
        return [(key, dimensions) for key, dimensions in found if dimensions is not None]

    def _chosen(self, found: Mapping[str, dict[str, str]], keys: Collection[str]) -> dict[str, dict[str, str]]:
        if missing := sorted(set(keys) - found.keys()):
            raise PartitionNotFoundError(f"There is nothing at {self._backend.uri(missing[0])}.")
        return {key: dimensions for key, dimensions in found.items() if key in keys}

    def _dataset(self, columns: pa.Schema, partitions: Mapping[str, Mapping[str, str]]) -> pads.FileSystemDataset:
        # Imports pandas: too slow for every import of the package.
        import pyarrow.dataset as pads  # noqa: PLC0415

        names = dict.fromkeys(name for dimensions in partitions.values() for name in dimensions)
        schema = pa.schema([*columns, *(pa.field(name, pa.string()) for name in names)])
        return pads.FileSystemDataset.from_paths(
            list(partitions),
            schema=schema,
            format=pads.ParquetFileFormat(),
            filesystem=self._backend.filesystem,
            partitions=[_expression(dimensions) for dimensions in partitions.values()],
        )

    def _retrying(self, key: str, read: Callable[[], T]) -> T:
        """Read again when the object was replaced meanwhile; storage's own errors for everything else."""
        with self._reporting(key):
            for _ in range(READ_ATTEMPTS - 1):
                with suppress(PreconditionError):
                    return read()
            return read()

    @contextmanager
    def _reporting(self, key: str) -> Iterator[None]:
        """Turn what a disk, an object store or pyarrow says into storage's own errors."""
        uri = self._backend.uri(key)
        try:
            yield
        except FileNotFoundError as error:
            raise PartitionNotFoundError(f"There is nothing at {uri}.") from error
        except (OSError, BaseError, pa.ArrowException) as error:
            kind = DamagedFileError if isinstance(error, pa.ArrowInvalid) else StorageError
            # Without its cause: an object store's error may quote request URLs, and those may carry a signature.
            raise kind(f"Could not read {uri}: {credentials.reason(self.base_uri, error)}.") from None


def _select(schema: pa.Schema, columns: Sequence[str] | None) -> pa.Schema:
    if columns is None:
        return schema
    unknown = set(columns) - set(schema.names)
    if unknown:
        raise StorageError(f"There is no column {', '.join(sorted(unknown))}. There are: {', '.join(schema.names)}.")
    return pa.schema([schema.field(name) for name in columns])


def _with_typed(schema: pa.Schema, stored: pa.Schema) -> pa.Schema:
    """The columns of a table, and after them the typed ones that a file has."""
    return pa.schema([*schema, *(field for field in stored if field.name in EXTRACT_COLUMNS)])


def _fit(rows: pa.Table, schema: pa.Schema, dimensions: Mapping[str, str]) -> pa.Table:
    """The rows under today's schema: fields that an older file lacks are null, dimensions are appended."""
    present = set(rows.column_names)
    count = rows.num_rows
    arrays = [
        conform(rows.column(field.name), field.type) if field.name in present else pa.nulls(count, field.type)
        for field in schema
    ]
    keys = [pa.repeat(pa.scalar(key, pa.string()), count) for key in dimensions.values()]
    fields = [*schema, *(pa.field(name, pa.string()) for name in dimensions)]
    return pa.Table.from_arrays([*arrays, *keys], schema=pa.schema(fields))


def _expression(dimensions: Mapping[str, str]) -> pc.Expression:
    """The dimensions as pyarrow states them of a file; true when there are none."""
    expression = pc.scalar(True)
    for name, key in dimensions.items():
        expression &= pc.field(name) == key
    return expression
