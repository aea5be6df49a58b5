"""How a crawl's assets stand in Dagster's catalog: kinds, columns, lineage, freshness, and where they are declared."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from thunderbit_dagster.api.requests import Extract
from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.extraction.output import output_of
from thunderbit_dagster.lazy import LazyModule
from thunderbit_dagster.storage.schema import CHANGES, COLUMNS, EXTRACT_COLUMNS, Column, StoredTable, Table
from thunderbit_dagster.storage.store import ParquetStore
from thunderbit_dagster.validation import instance_of, one_of, require_setting

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = LazyModule("pyarrow")

IO_MANAGER_KEY: Final = "thunderbit_io_manager"
"""The resource key of the IO manager that loads ``succeeded`` and ``failed``, and refuses ``submissions``."""

URI: Final = "dagster/uri"
# The names under which the UI has icons; local files are no storage to name among an asset's kinds.
_STORAGE_KINDS: Final[Mapping[str, str]] = {"s3": "s3", "gs": "gcs", "az": "azure"}
_WINDOWS: Final = 60
"""How many windows of a cadence are looked at for the longest: two months of days, five years of months."""

AssetMetadata = dict[str, str | dg.TableSchema | dg.MetadataValue[Any]]


def table_spec(crawl: Crawl, store: ParquetStore, table: Table, text: str) -> dg.AssetSpec:
    """The spec of ``succeeded`` or ``failed``.

    Neither has column lineage of its own: their columns come from the web and the API, not from a table.
    """
    storage = _storage(store)
    metadata: AssetMetadata = {
        "dagster/column_schema": columns_of(crawl, table),
        "dagster/table_name": f"{crawl.name}.{table}",
        "dagster/storage_kind": storage,
        URI: table_uri(store, crawl.name, table),
        **code_references(crawl),
    }
    return dg.AssetSpec(
        crawl.key(table),
        deps=[crawl.key("submissions")],
        description=asset_description(crawl, text),
        skippable=True,
        group_name=group_of(crawl),
        owners=crawl.owners,
        tags=crawl.tags,
        kinds={"thunderbit", "parquet", *({storage} & set(_STORAGE_KINDS.values()))},
        freshness_policy=freshness_of(crawl),
        metadata=metadata,
    ).with_io_manager_key(IO_MANAGER_KEY)


def changes_spec(crawl: Crawl, store: ParquetStore) -> dg.AssetSpec:
    """The spec of ``changes``, which is materialized when ``succeeded`` and ``failed`` of its partition were."""
    storage = _storage(store)
    metadata: AssetMetadata = {
        "dagster/column_schema": _declared_columns(CHANGES),
        "dagster/table_name": f"{crawl.name}.changes",
        "dagster/storage_kind": storage,
        URI: table_uri(store, crawl.name, "changes"),
        **code_references(crawl),
    }
    return dg.AssetSpec(
        crawl.key("changes"),
        deps=[crawl.key("succeeded"), crawl.key("failed")],
        description=asset_description(
            crawl,
            "What became of each URL since the crawls before: new, changed, unchanged, removed, failed, "
            "quarantined or returned, and the difference. Parquet, one file per partition.",
        ),
        group_name=group_of(crawl),
        owners=crawl.owners,
        tags=crawl.tags,
        kinds={"thunderbit", "parquet", *({storage} & set(_STORAGE_KINDS.values()))},
        # Also for dates that are not the newest: they are backfilled in any order.
        automation_condition=dg.AutomationCondition.eager().without(dg.AutomationCondition.in_latest_time_window()),
        skippable=True,
        metadata=metadata,
    )


def asset_description(crawl: Crawl, text: str) -> str:
    """What an asset is, after what the crawl is for."""
    return f"{crawl.description}\n\n{text}" if crawl.description else text


def group_of(crawl: Crawl) -> str:
    """The asset group; by default it has the crawl's name."""
    return crawl.group or crawl.name


def columns_of(crawl: Crawl, table: Table) -> dg.TableSchema:
    """The columns of a crawl's table, as ``column_schema`` shows them; of one that distills without importing Arrow."""
    if isinstance(crawl.request, Extract):
        return column_schema(output_of(crawl.request).schemas[table])
    return _declared_columns(COLUMNS[table])


def _declared_columns(columns: Sequence[Column]) -> dg.TableSchema:
    return dg.TableSchema(
        [
            dg.TableColumn(one.name, one.type, one.description, dg.TableColumnConstraints(nullable=one.nullable))
            for one in columns
        ]
    )


def column_schema(schema: pa.Schema) -> dg.TableSchema:
    """An Arrow schema as the UI shows it, with each column's description.

    The fields of extracted items come after their column, each a line: ``items[].price``.
    """
    return dg.TableSchema([column for field in schema for column in _columns(field, field.name)])


def _columns(field: pa.Field, name: str) -> Iterator[dg.TableColumn]:
    kind, path = field.type, name
    while pa.types.is_list(kind):
        kind, path = kind.value_type, f"{path}[]"
    inner = list(kind) if pa.types.is_struct(kind) and name.startswith(EXTRACT_COLUMNS) else []
    shown = str(field.type).replace(str(kind), "struct") if inner else str(field.type)
    description = (field.metadata or {}).get(b"description", b"").decode()
    constraints = dg.TableColumnConstraints(nullable=field.nullable)
    yield dg.TableColumn(name, shown, description or None, constraints)
    for one in inner:
        yield from _columns(one, f"{path}.{one.name}")


def column_lineage(
    crawl: Crawl, columns: Mapping[str, str | Sequence[str]], table: Table = "succeeded"
) -> dg.TableColumnLineage:
    """The column lineage of an asset downstream of a crawl, for its metadata ``dagster/column_lineage``.

    ::

        @dg.asset(
            ins={"succeeded": dg.AssetIn(["docs", "succeeded"])},
            metadata={"dagster/column_lineage": column_lineage(docs, {"text": "markdown", "source": ["url", "title"]})},
        )

    The UI shows the lineage of the newest materialization as well, so give it in ``MaterializeResult(metadata=...)``
    where columns change from run to run.

    Args:
        crawl: The crawl that is read.
        columns: For each column of the downstream asset, the column or columns of the table that it is made from; a
            field of extracted rows is written ``items[].price``.
        table: Which table they are of.

    Raises:
        ValueError: there is no such table or column, or a setting is wrong; the text names what there is.
    """
    made_from = instance_of("a mapping from each column to those that it is made from", Mapping)
    require_setting("column_lineage", locals(), {"columns": made_from, "table": one_of("succeeded", "failed")})
    known = [column.name for column in columns_of(crawl, table).columns]
    wanted = {name: [of] if isinstance(of, str) else list(of) for name, of in columns.items()}
    if unknown := sorted({one for of in wanted.values() for one in of} - set(known)):
        raise ValueError(f"{crawl.name}/{table} has no column {', '.join(unknown)}. There are: {', '.join(known)}.")
    return dg.TableColumnLineage(
        {name: [dg.TableColumnDep(crawl.key(table), one) for one in of] for name, of in wanted.items()}
    )


def code_references(crawl: Crawl) -> dict[str, dg.MetadataValue[Any]]:
    """The line that declares the crawl, for the link of an asset to its code; empty when no file does."""
    if crawl.declared_at is None:
        return {}
    path, line = crawl.declared_at
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # a user can do nothing about it
        reference = dg.LocalFileCodeReference(file_path=path, line_number=line, label=f"Crawl {crawl.name}")
        return {"dagster/code_references": dg.CodeReferencesMetadataValue(code_references=[reference])}


def freshness_of(crawl: Crawl) -> dg.FreshnessPolicy | None:
    """What is expected of a crawl: something new in each window of its cadence, or after each tick of its schedule.

    Of these the longer counts, and of windows or ticks that differ, as those of weekdays do, the longest. It warns when
    half as much again has passed, and fails after twice the time. Nothing is expected of a cadence that ends.
    """
    if isinstance(crawl.freshness, dg.FreshnessPolicy):
        return crawl.freshness
    if crawl.freshness == "never" or (crawl.cadence and crawl.cadence.end):
        return None
    wait = max(
        _longest_window(crawl.cadence) if crawl.cadence else timedelta(0),
        crawl.scheduled.bound(crawl.cadence).longest_gap() if crawl.scheduled else timedelta(0),
    )
    return dg.FreshnessPolicy.time_window(fail_window=2 * wait, warn_window=1.5 * wait) if wait else None


def _longest_window(cadence: dg.TimeWindowPartitionsDefinition) -> timedelta:
    longest, end = timedelta(minutes=1), cadence.start
    for _ in range(_WINDOWS):
        window = cadence.get_next_partition_window(end, respect_bounds=False)
        if window is None:
            break
        longest, end = max(longest, window.end - window.start), window.end
    return longest


def table_uri(store: ParquetStore, crawl: str, table: StoredTable) -> str:
    """The folder of a table."""
    return f"{store.base_uri}/{crawl}/{table}"


def place_of(metadata: Mapping[str, object], key: dg.AssetKey, base_uri: str | None) -> tuple[ParquetStore, str, Table]:
    """The store, crawl and table of an asset: as its definition says, with another base URI when one is given.

    Raises:
        TypeError: it is no table of a crawl, or nothing says where its crawl lies.
    """
    known = metadata.get(URI)
    text = known.value if isinstance(known, dg.MetadataValue) else known
    folder = text.split("/") if isinstance(text, str) else [*key.path]
    table = next((table for table in COLUMNS if folder[-1:] == [table]), None)
    base = base_uri or "/".join(folder[:-2] if text else [])
    if table is None or len(folder) < 2:  # noqa: PLR2004 - a crawl and a table
        raise TypeError(
            f"{key.to_user_string()} has no rows to load. Load the `succeeded` or `failed` of its crawl; to only run "
            "after it, name it in `deps`."
        )
    if not base:
        raise TypeError(
            f"It is not known where {key.to_user_string()} is stored: give `base_uri` to `{IO_MANAGER_KEY}`."
        )
    return ParquetStore(base), folder[-2], "succeeded" if table == "succeeded" else "failed"


def _storage(store: ParquetStore) -> str:
    scheme = store.base_uri.partition("://")[0]
    return _STORAGE_KINDS.get(scheme, scheme)
