"""Writing one partition: both tables row by row, then both visible together."""

from __future__ import annotations

import errno
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Final, final

from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

from thunderbit_dagster.lazy import LazyModule
from thunderbit_dagster.storage import credentials
from thunderbit_dagster.storage import rows as arrow_rows
from thunderbit_dagster.storage.backend import Backend, Sink
from thunderbit_dagster.storage.errors import PublishError, StorageError
from thunderbit_dagster.storage.layout import partition_path, partition_text
from thunderbit_dagster.storage.schema import SCHEMA_VERSION, FailedRow, StoredTable, SucceededRow, Table
from thunderbit_dagster.version import __version__

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
else:
    pa = LazyModule("pyarrow")
    pq = LazyModule("pyarrow.parquet")

FLUSH_BYTES: Final = 8 * 1024 * 1024
MAX_GROUP_ROWS: Final = 5_000
COMPRESSION: Final = "zstd"
COMPRESSION_LEVEL: Final = 3
REPEATING: Final = frozenset(
    {"status", "error_code", "error_class", "job_kind", "job_id", "submission_id", "run_id", "extract_outcome"},
)
"""The columns worth a dictionary; on page texts one costs a third of the writing time and saves nothing."""

RESERVED_METADATA: Final = frozenset(
    {
        "schema_version",
        "table",
        "succeeded_rows",
        "failed_rows",
        "plugin_version",
        "commit_id",
        "ARROW:schema",
    },
)

# The order of publishing. `succeeded` comes last and completes the pair. Between the two, a page that failed
# this time is in both tables; in the other order it would be in neither, as if it had vanished.
PUBLISH_ORDER: Final[tuple[Table, Table]] = ("failed", "succeeded")


@dataclass(frozen=True)
class Published:
    """One table of a published partition; the size in bytes."""

    uri: str
    rows: int
    size_bytes: int


@dataclass(frozen=True)
class PublishedPair:
    """Both tables of a published partition."""

    succeeded: Published
    failed: Published


class _TableWriter:
    """One table: rows wait in a buffer and leave it as row groups."""

    def __init__(self, table: Table, schema: pa.Schema, sink: Sink, flush_bytes: int) -> None:
        self.table = table
        self.schema = schema
        self.rows = 0
        self.size_bytes = 0
        self._rules = arrow_rows.RowRules.of(table, schema)
        self._sink = sink
        self._flush_bytes = flush_bytes
        self._buffer: list[dict[str, object]] = []
        self._buffered_bytes = 0
        try:
            self._parquet = self._opened()
        except BaseException:
            sink.discard()
            raise

    def _opened(self) -> pq.ParquetWriter:
        """The writer of the file, whose first bytes are written by this."""
        return pq.ParquetWriter(
            pa.PythonFile(self._sink, mode="w"),
            self.schema,
            compression=COMPRESSION,
            compression_level=COMPRESSION_LEVEL,
            use_dictionary=[name for name in self.schema.names if name in REPEATING],
        )

    def append(self, row: Mapping[str, object]) -> None:
        prepared = self._rules.prepare(row)
        self._buffer.append(prepared)
        self._buffered_bytes += arrow_rows.size_of(prepared)
        self.rows += 1
        if self._buffered_bytes >= self._flush_bytes or len(self._buffer) >= MAX_GROUP_ROWS:
            self._flush()

    def seal(self, metadata: Mapping[str, str]) -> None:
        """Write the remaining rows and the footer."""
        self._flush()
        self._parquet.add_key_value_metadata({**metadata, "table": self.table})
        self._parquet.close()
        self.size_bytes = self._sink.tell()
        self._sink.seal()

    def publish(self) -> None:
        self._sink.publish()

    def discard(self) -> None:
        self._sink.discard()
        self._buffer.clear()
        # pyarrow writes a footer on closing, here into a sink that ignores it. Left open, it would do so when
        # it is garbage collected.
        with suppress(OSError, pa.ArrowException):
            self._parquet.close()

    def _flush(self) -> None:
        if self._buffer:
            group = arrow_rows.to_arrow(self.table, self.schema, self._buffer)
            self._parquet.write_table(group, row_group_size=len(self._buffer))
        self._buffer.clear()
        self._buffered_bytes = 0


@final
class PartitionWriter:
    """Writes one partition's two tables, for one thread. Made by `ParquetStore.open_partition`.

    As a context manager it aborts unless `commit` was reached; until then readers see what they saw before.
    Memory stays near `flush_bytes` a table, however many rows pass through.
    """

    def __init__(
        self,
        backend: Backend,
        crawl: str,
        dimensions: Mapping[str, str],
        flush_bytes: int,
        schemas: Mapping[str, pa.Schema],
    ) -> None:
        self._backend = backend
        self._crawl = crawl
        self._dimensions = dict(dimensions)
        self._published: list[Table] = []
        self._open = True
        self._writers: dict[Table, _TableWriter] = {}
        try:
            for table in PUBLISH_ORDER:
                with self._reporting(table):
                    sink = backend.sink(partition_path(crawl, table, dimensions))
                    self._writers[table] = _TableWriter(table, schemas[table], sink, flush_bytes)
        except BaseException:
            self.abort()
            raise

    def write_succeeded(self, row: SucceededRow) -> None:
        """Add a row to `succeeded`.

        Raises:
            InvalidRowError: the row does not fit; for a value's type or range this may show at a later row.
            PublishError: the store refused the data.
        """
        self._write("succeeded", row)

    def write_failed(self, row: FailedRow) -> None:
        """Add a row to `failed`; raises as `write_succeeded` does."""
        self._write("failed", row)

    def commit(self, metadata: Mapping[str, str]) -> PublishedPair:
        """Write both tables to the end, then make them visible, one right after the other.

        Both footers get the metadata and, beside it, schema_version, table, succeeded_rows, failed_rows,
        plugin_version and commit_id. Keys of these names are refused.

        Raises:
            StorageError: the writer is closed, or the metadata uses a reserved key.
            PublishError: the partition, or its second half, could not be published; the text says which.
        """
        self._require_open()
        footer = self._footer(metadata)
        try:
            self._seal(footer)
            self._publish()
        except BaseException:
            self.abort()
            raise
        self._open = False
        return PublishedPair(self._result("succeeded"), self._result("failed"))

    def abort(self) -> None:
        """Throw away what was written. Readers keep what they had; after a commit this does nothing."""
        if not self._open:
            return
        self._open = False
        for writer in self._writers.values():
            writer.discard()

    def __enter__(self) -> PartitionWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.abort()

    def _write(self, table: Table, row: Mapping[str, object]) -> None:
        self._require_open()
        with self._reporting(table):
            self._writers[table].append(row)

    def _seal(self, footer: Mapping[str, str]) -> None:
        for table in PUBLISH_ORDER:
            with self._reporting(table):
                self._writers[table].seal(footer)

    def _publish(self) -> None:
        for table in PUBLISH_ORDER:
            with self._reporting(table):
                self._writers[table].publish()
            self._published.append(table)

    def _footer(self, metadata: Mapping[str, str]) -> dict[str, str]:
        reserved = RESERVED_METADATA & metadata.keys()
        if reserved:
            raise StorageError(f"Footer metadata uses reserved keys: {', '.join(sorted(reserved))}.")
        return {
            **metadata,
            "schema_version": str(SCHEMA_VERSION),
            "succeeded_rows": str(self._writers["succeeded"].rows),
            "failed_rows": str(self._writers["failed"].rows),
            "plugin_version": __version__,
            "commit_id": uuid.uuid4().hex,
        }

    def _result(self, table: Table) -> Published:
        writer = self._writers[table]
        return Published(self._uri(table), writer.rows, writer.size_bytes)

    def _uri(self, table: Table) -> str:
        return self._backend.uri(partition_path(self._crawl, table, self._dimensions))

    def _require_open(self) -> None:
        if not self._open:
            raise StorageError(
                f"The writer of {partition_text(self._crawl, self._dimensions)} is closed. Open a new one.",
            )

    @contextmanager
    def _reporting(self, table: Table) -> Iterator[None]:
        """Turn what a disk or an object store says into a PublishError."""
        try:
            yield
        except (OSError, BaseError) as error:
            uri = self._uri(table)
            where = f"the {table} table of {partition_text(self._crawl, self._dimensions)} at {uri}"
            text = (
                f"Could not write {where}: {credentials.reason(uri, error)}. {_what_readers_see(self._published)} "
                f"{what_to_do(uri, error)}, then materialize the partition again."
            )
            # An object store's error may quote request URLs, and those may carry a signature.
            raise PublishError(text) from (error if isinstance(error, OSError) else None)


def write_table(
    backend: Backend, key: str, table: StoredTable, rows: pa.Table, metadata: Mapping[str, str]
) -> Published:
    """Publish one table of a partition by itself, as the object of a key.

    Raises:
        PublishError: the store refused; readers see what they saw before.
    """
    uri = backend.uri(key)
    footer = {**metadata, "table": table, "schema_version": str(SCHEMA_VERSION), "plugin_version": __version__}
    try:
        sink = backend.sink(key)
        try:
            with pq.ParquetWriter(
                pa.PythonFile(sink, mode="w"), rows.schema, compression=COMPRESSION, compression_level=COMPRESSION_LEVEL
            ) as parquet:
                parquet.write_table(rows, row_group_size=MAX_GROUP_ROWS)
                parquet.add_key_value_metadata(footer)
            size = sink.tell()
            sink.seal()
            sink.publish()
        except BaseException:
            sink.discard()
            raise
    except (OSError, BaseError) as error:
        text = (
            f"Could not write the {table} table at {uri}: {credentials.reason(uri, error)}. {_what_readers_see([])} "
            f"{what_to_do(uri, error)}, then materialize the partition again."
        )
        raise PublishError(text) from (error if isinstance(error, OSError) else None)
    return Published(uri, rows.num_rows, size)


def _what_readers_see(published: list[Table]) -> str:
    if not published:
        return "The partition is intact: readers see what they saw before."
    return (
        "Its failed table is already new and its succeeded table is still the old one. Each is whole, and "
        "`ParquetStore.pair` reports them as inconsistent."
    )


def what_to_do(uri: str, error: BaseException) -> str:
    """What helps against an error of a disk or an object store, without a full stop."""
    if credentials.none_found(uri, error):
        return "Give this process credentials"
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.ENOSPC, errno.EDQUOT):
        return "Free space on the disk or raise the quota"
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "Give this process write permission there"
    if isinstance(error, (PermissionDeniedError, UnauthenticatedError)):
        return "Check the credentials and their write permission for the bucket"
    return "Check that the storage can be reached"
