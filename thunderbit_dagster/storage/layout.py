"""Where a partition lies: `{crawl}/{table}/date=2026-11-02/urls=guides/rows.parquet`, Hive style.

Names are limited to what comes back unchanged from everywhere: file systems, object stores, the Hive readers
of pyarrow, pandas, DuckDB and Polars, and Dagster's own partition syntax.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import unquote

from thunderbit_dagster.storage.errors import InvalidKeyError
from thunderbit_dagster.storage.schema import CHANGES, COLUMNS, EXTRACT_COLUMNS, StoredTable

_FILE_NAME: Final = "rows.parquet"
MAX_KEY_LENGTH: Final = 100
"""In characters as written, so a colon or plus counts three times: with its `urls=` a key stays below 255 bytes."""

_LEADING_DIMENSIONS: Final = ("date", "urls")
_KEY: Final = re.compile(r"(?!\.)[A-Za-z0-9._:+-]+(?<!\.)")
_CRAWL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]*")
_DIMENSION: Final = re.compile(r"[a-z][a-z0-9_]*")
_TABLES: Final = (*COLUMNS, "changes")
_COLUMN_NAMES: Final = {one.name for columns in (*COLUMNS.values(), CHANGES) for one in columns} | {*EXTRACT_COLUMNS}
# Hive's spelling of null: every reader would turn it into a missing value.
_HIVE_NULL: Final = "__HIVE_DEFAULT_PARTITION__"


def validate_key(text: str) -> str:
    """The partition key itself, when it can be a partition's directory.

    Allowed: ASCII letters, digits, `.`, `_`, `-`, `:` and `+`; no dot at either end, no two dots in a row (Dagster
    reads `...` as a range), at most 100 characters of which a colon or plus takes three.

    Raises:
        InvalidKeyError: with the key and the rule.
    """
    fits = _KEY.fullmatch(text) and ".." not in text and text != _HIVE_NULL
    if not fits or len(_escape(text)) > MAX_KEY_LENGTH:
        raise InvalidKeyError(
            f"Partition key {_shown(text)} cannot be stored. Allowed are ASCII letters, digits and . _ - : + "
            f"no dot first, last or doubled, and at most {MAX_KEY_LENGTH} characters (a colon or plus is three).",
        )
    return text


def validate_crawl_name(text: str) -> str:
    """The crawl's name itself, when it can be a directory and a part of Dagster's names.

    Raises:
        InvalidKeyError: with the name and the rule.
    """
    if not _CRAWL.fullmatch(text) or len(text) > MAX_KEY_LENGTH:
        raise InvalidKeyError(
            f"Crawl name {_shown(text)} is not usable. Allowed are ASCII letters, digits and _ "
            f"with no _ first, and at most {MAX_KEY_LENGTH} characters.",
        )
    return text


def alike(names: Iterable[str]) -> list[str]:
    """The first names that differ from each other only by case; empty when all differ by more.

    On macOS and Windows disks they would be one directory, in which one table replaces the other.
    """
    seen: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        seen.setdefault(name.casefold(), []).append(name)
    return next((same for same in seen.values() if len(same) > 1), [])


def validate_dimension(text: str) -> str:
    """The dimension's name itself, when it can be a column beside the table's own.

    Raises:
        InvalidKeyError: with the name and the rule.
    """
    if not _DIMENSION.fullmatch(text) or len(text) > MAX_KEY_LENGTH:
        raise InvalidKeyError(
            f"Partition dimension {_shown(text)} is not usable. Allowed are a-z, 0-9 and _, a letter first.",
        )
    if text in _COLUMN_NAMES:
        raise InvalidKeyError(f"Partition dimension {text!r} has the name of a column of the tables. Rename it.")
    return text


def ordered(dimensions: Mapping[str, str]) -> dict[str, str]:
    """The dimensions in the order of the path: date, then urls, then the others by name."""
    leading = [name for name in _LEADING_DIMENSIONS if name in dimensions]
    others = sorted(set(dimensions) - set(leading))
    return {name: dimensions[name] for name in (*leading, *others)}


def table_path(crawl: str, table: StoredTable) -> str:
    """The directory of a table, relative to the base URI."""
    if table not in _TABLES:
        raise InvalidKeyError(f"Unknown table {table!r}. There are: {', '.join(_TABLES)}.")
    return f"{validate_crawl_name(crawl)}/{table}"


def is_crawl_name(text: str) -> bool:
    """Whether a directory may be a crawl's."""
    return _CRAWL.fullmatch(text) is not None


def partition_path(crawl: str, table: StoredTable, dimensions: Mapping[str, str]) -> str:
    """The object of one partition, relative to the base URI.

    A colon, as in the hourly key `2026-11-02-13:00`, is written `%3A`, the way Hive and Spark do it and
    readers undo it. A plus is written `%2B`, since some would read it as a space: Dagster names the hour that comes
    twice, when clocks are set back, `2026-10-25-02:00+0100`. An unpartitioned crawl has its one object right in the
    table's directory.

    Raises:
        InvalidKeyError: a name or key that cannot be a path.
    """
    segments = [f"{validate_dimension(name)}={_escape(validate_key(key))}" for name, key in ordered(dimensions).items()]
    return "/".join([table_path(crawl, table), *segments, _FILE_NAME])


def parse_path(path: str) -> dict[str, str] | None:
    """The dimensions of an object path that `partition_path` made; None for any other object."""
    *segments, name = path.split("/")[2:] or [""]
    pairs = [segment.partition("=") for segment in segments]
    if name != _FILE_NAME or not all(separator for _, separator, _ in pairs):
        return None
    return {dimension: unquote(key) for dimension, _, key in pairs}


def partition_text(crawl: str, dimensions: Mapping[str, str]) -> str:
    """The partition in words for messages: `docs (date=2026-11-02, urls=guides)`."""
    pairs = ", ".join(f"{name}={key}" for name, key in ordered(dimensions).items())
    return f"{crawl} ({pairs})" if pairs else crawl


def _escape(key: str) -> str:
    return key.replace(":", "%3A").replace("+", "%2B")


def _shown(text: str) -> str:
    return repr(text if len(text) <= MAX_KEY_LENGTH else f"{text[:MAX_KEY_LENGTH]}...")
