"""URLs in the output of another asset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import get_origin

import dagster as dg

from thunderbit_dagster.urls.error import UrlSourceError
from thunderbit_dagster.validation import NONE, TEXT, Expected, is_texts, require_setting

TO_LIST = ("to_pylist", "to_list", "tolist")
"""How columns become lists: pyarrow; polars and pandas; numpy."""


def _is_key(given: object) -> bool:
    return TEXT.fits(given) or isinstance(given, dg.AssetKey) or (is_texts(given) and bool(given))


_EXPECTED = {
    "asset": Expected("a dagster.AssetKey, or the key as text or as a list of texts", _is_key),
    "column": TEXT,
    "as_type": Expected(
        "a type, such as pandas.DataFrame,", lambda given: isinstance(given, type) or _is_generic(given)
    )
    | NONE,
}


@dataclass(frozen=True)
class AssetColumn:
    """The URLs that an upstream asset holds: the crawl's ``submissions`` then depends on it.

    The asset is loaded by its own IO manager when a run starts: a pandas or polars frame, a pyarrow table, rows as
    mappings, or a plain list of URLs. Where it is partitioned, the partition is read that has the key of the crawl's
    partition, or that of its date, or that of its URL partition; of an asset with dates of the same code location, the
    one that the crawl's date is, or lies in. Empty cells are skipped.

    Args:
        asset: The key of the upstream asset.
        column: Which column or field; for a plain list it says nothing.
        as_type: The type to ask the IO manager for, such as ``pandas.DataFrame``, if it needs one.

    Raises:
        ValueError: a setting is wrong.
        UrlSourceError: at run time, when the asset was not materialized, or has no such column.
    """

    asset: dg.AssetKey | str | Sequence[str]
    column: str = "url"
    as_type: type[object] | None = None

    def __post_init__(self) -> None:
        require_setting("AssetColumn", vars(self), _EXPECTED)

    @property
    def key(self) -> dg.AssetKey:
        return dg.AssetKey.from_user_string(self.asset) if isinstance(self.asset, str) else _key(self.asset)

    @property
    def name(self) -> str:
        return self.key.to_user_string()


def _is_generic(given: object) -> bool:
    """``list[str]`` and the like, which are no types of their own."""
    return get_origin(given) is not None


def _key(asset: dg.AssetKey | Sequence[str]) -> dg.AssetKey:
    return asset if isinstance(asset, dg.AssetKey) else dg.AssetKey(list(asset))


def texts_of(value: object, column: str) -> list[str]:
    """The cells of a column, without empty ones.

    Raises:
        UrlSourceError: the value has no such column, or none of the forms that are understood.
    """
    cells = _cells(_collected(value), column)
    return [cell for cell in cells if not _is_empty(cell)]  # type: ignore[misc]  # read_source checks each for being text


def _collected(value: object) -> object:
    """A lazy frame is collected."""
    collect = getattr(value, "collect", None)
    return collect() if callable(collect) else value


def _cells(value: object, column: str) -> Iterable[object]:
    names = getattr(value, "column_names", None) or getattr(value, "columns", None)
    if names is not None:
        return _column(value, list(map(str, names)), column)
    if isinstance(value, Mapping):
        return _column(value, list(map(str, value)), column)
    as_list = _as_list(value)
    if as_list is None:
        raise UrlSourceError(f"URLs cannot be read from a {type(value).__name__}; give a table, rows or a list of URLs")
    return [_field(one, column) for one in as_list]


def _column(value: object, names: Sequence[str], column: str) -> Iterable[object]:
    if column not in names:
        raise UrlSourceError(f"there is no column {column!r}; the columns are {', '.join(names)}")
    found = value[column]  # type: ignore[index]  # whatever has named columns gives them so
    as_list = _as_list(found)
    if as_list is None:
        raise UrlSourceError(f"the column {column!r} is a {type(found).__name__}, not a list")
    return as_list


def _as_list(value: object) -> list[object] | None:
    for name in TO_LIST:
        convert = getattr(value, name, None)
        if callable(convert):
            return list(convert())
    return list(value) if isinstance(value, list | tuple | set | frozenset) else None


def _field(one: object, column: str) -> object:
    if not isinstance(one, Mapping):
        return one
    if column not in one:
        raise UrlSourceError(f"a row has no field {column!r}; it has {', '.join(map(str, one))}")
    return one[column]


def _is_empty(cell: object) -> bool:
    # Frames write nothing as None, as NaN or as a type of their own that differs from itself or cannot be compared.
    return cell is None or cell == "" or type(cell).__name__ in ("NAType", "NaTType") or cell != cell  # noqa: PLR0124 - NaN
