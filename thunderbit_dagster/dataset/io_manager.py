"""What a downstream asset gets for a parameter: rows of ``succeeded`` or ``failed``, in the type of its annotation."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, Union, get_args, get_origin

import dagster as dg
from pydantic import Field

from thunderbit_dagster.dataset.frames import convert, require_polars
from thunderbit_dagster.dataset.loading import Dimensions, OnHalf, TableReader, refuse
from thunderbit_dagster.metadata.catalog import IO_MANAGER_KEY, place_of
from thunderbit_dagster.partitions import UNPARTITIONED, dimension_names, parse_key
from thunderbit_dagster.validation import NONE, TEXTS, require_setting

if TYPE_CHECKING:
    import pyarrow as pa

RowsType = Literal["pandas.DataFrame", "pyarrow.Table", "pyarrow.Dataset", "polars.DataFrame", "polars.LazyFrame"]
KINDS: Final[tuple[RowsType, ...]] = (
    "pandas.DataFrame",
    "pyarrow.Table",
    "pyarrow.Dataset",
    "polars.DataFrame",
    "polars.LazyFrame",
)
ALLOW_MISSING = "allow_missing_partitions"
_COLUMNS = "columns"
"""Metadata of an ``AssetIn`` that Dagster's own IO managers read as well."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a parameter is annotated with: a kind of table, perhaps one for each partition, perhaps or None."""

    kind: RowsType
    by_partition: bool = False
    optional: bool = False


class ThunderbitParquetIOManager(dg.ConfigurableIOManager):
    """Loads ``succeeded`` and ``failed`` into the parameters of downstream assets.

    ``build_crawl_definitions`` binds one, so an asset need only name its input::

        @dg.asset(ins={"succeeded": dg.AssetIn(["docs", "succeeded"])})
        def chunks(succeeded: pd.DataFrame) -> None: ...

    The annotation decides what is loaded: ``pandas.DataFrame`` (also without an annotation), ``pyarrow.Table``,
    ``pyarrow.dataset.Dataset``, ``polars.DataFrame`` or ``polars.LazyFrame``. An asset that maps to several partitions
    gets the rows of all, with the partitions' keys as text columns; ``dict[str, pd.DataFrame]`` gives one a partition,
    by its key. ``AssetIn(metadata=...)`` may hold ``columns``, a list of those to fetch, and
    ``allow_missing_partitions``: partitions that are not published are then left out; with none at all an
    ``X | None`` is None.

    It stores nothing: a crawl writes its own Parquet.

    Attributes:
        base_uri: Where the crawls lie. Default: where their definitions say; needed for a crawl of another code
            location.
        on_half_published: What to do when `succeeded` and `failed` of a partition are of different commits, since a run
            was killed between publishing the two: ``refuse`` (default) or ``warn``.
    """

    base_uri: str | None = Field(
        default=None, description="Where the crawls are stored. Default: the store in their definitions"
    )
    on_half_published: OnHalf = Field(
        default="refuse", description="What to do with a partition whose two tables come from different commits"
    )

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        """Refuse: an asset of the user's has an IO manager of its own.

        Raises:
            TypeError: always.
        """
        del obj
        raise TypeError(
            f"{context.asset_key.to_user_string()}: `{IO_MANAGER_KEY}` only reads what crawls have published. "
            "Give this asset another `io_manager_key`."
        )

    def load_input(self, context: dg.InputContext) -> object:
        """The upstream asset's rows, in the type of the parameter.

        Raises:
            TypeError: the annotation is none that can be loaded, or the asset is no table of a crawl.
            PartitionNotFoundError: a partition is not published.
            HalfPublishedError: a partition's tables are of different commits.
            StorageError: the store cannot be read, or a column does not exist.
            ValueError: `columns` is no list of names.
        """
        reader, columns = self._reader(context), _columns(context)
        target = target_of(context.dagster_type.typing_type, context.name)
        if target.kind.startswith("polars"):
            require_polars()
        keyed = _keyed(context, target)
        if context.definition_metadata.get(ALLOW_MISSING):
            absent = reader.missing(list(keyed.values()))
            keyed = {key: place for key, place in keyed.items() if place not in absent}
            if absent:
                context.log.warning(
                    "%d partitions are not published and were left out of %s", len(absent), context.name
                )
        if not keyed and target.optional:
            return None
        return _load(reader, keyed, target, columns)

    def _reader(self, context: dg.InputContext) -> TableReader:
        definition = context.upstream_output.definition_metadata if context.upstream_output else {}
        store, crawl, table = place_of(definition, context.asset_key, self.base_uri)
        axes = dimension_names(context.asset_partitions_def) if context.has_asset_partitions else []
        complain = refuse if self.on_half_published == "refuse" else context.log.warning
        return TableReader(store, crawl, table, None, axes, complain)


PARQUET_IO_MANAGER = ThunderbitParquetIOManager()
"""The one that ``build_crawl_definitions`` binds: definitions that share it can be merged."""


def target_of(annotation: object, parameter: str) -> Target:
    """What to load for an annotation.

    Raises:
        TypeError: the annotation is none that can be loaded; the text names those that are.
    """
    inner = _without_none(annotation)
    args = get_args(inner)
    by_partition = get_origin(inner) in (dict, Mapping) and args[:1] == (str,)
    kind = _kind(args[1] if by_partition else inner)
    if kind is None:
        raise TypeError(
            f"`{parameter}` is annotated {annotation}, which cannot be loaded. Annotate it as one of "
            f"{', '.join(KINDS)}, or as dict[str, one of these] for one per partition."
        )
    return Target(kind, by_partition, optional=inner is not annotation)


def _without_none(annotation: object) -> object:
    if get_origin(annotation) not in (Union, types.UnionType):
        return annotation
    others = [one for one in get_args(annotation) if one is not type(None)]
    return others[0] if len(others) == 1 else annotation


def _kind(annotation: object) -> RowsType | None:
    if annotation is Any:
        return "pandas.DataFrame"
    if not isinstance(annotation, type):
        return None
    # By name: Polars may not be installed, and pyarrow.dataset is slow to import.
    names = {f"{one.__module__.partition('.')[0]}.{one.__name__}" for one in annotation.__mro__}
    return next((kind for kind in KINDS if kind in names), None)


def _keyed(context: dg.InputContext, target: Target) -> dict[str, Dimensions]:
    """The dimensions of the input's partitions, by key."""
    if context.has_asset_partitions:
        definition = context.asset_partitions_def
        return {str(key): parse_key(definition, str(key)).dimensions for key in context.asset_partition_keys}
    if target.by_partition:
        raise TypeError(
            f"`{context.name}` is a dict with one value per partition, but "
            f"{context.asset_key.to_user_string()} has no partitions."
        )
    return {"": UNPARTITIONED.dimensions}


def _columns(context: dg.InputContext) -> list[str] | None:
    wanted = context.definition_metadata.get(_COLUMNS)
    require_setting(f"The input {context.name}", {_COLUMNS: wanted}, {_COLUMNS: TEXTS | NONE})
    return None if wanted is None else [*wanted]


def _load(
    reader: TableReader, keyed: Mapping[str, Dimensions], target: Target, columns: Sequence[str] | None
) -> object:
    places = list(keyed.values())
    if target.kind in ("pyarrow.Dataset", "polars.LazyFrame"):
        open_lazily = reader.dataset if target.kind == "pyarrow.Dataset" else reader.lazy
        return (
            {key: open_lazily([place], columns) for key, place in keyed.items()}
            if target.by_partition
            else open_lazily(places, columns)
        )
    if not target.by_partition:
        return _as(target.kind, reader.read(places, columns))
    tables = reader.read_each(places, columns)
    return {key: _as(target.kind, table) for key, table in zip(keyed, tables, strict=True)}


def _as(kind: RowsType, table: pa.Table) -> object:
    if kind == "polars.DataFrame":
        return convert(table, "polars")
    return convert(table, "pandas") if kind == "pandas.DataFrame" else table
