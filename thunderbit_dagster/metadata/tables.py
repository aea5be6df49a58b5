"""Tables for the UI: named columns, few rows, none of them long."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice

import dagster as dg

MAX_ROWS = 100
_MAX_TEXT = 500

Cell = str | int | float | bool | None


def table(columns: Mapping[str, str], rows: Iterable[tuple[Cell, ...]]) -> dg.TableMetadataValue:
    """A table of at most 100 rows, its long texts shortened; ``columns`` maps name to type (string, int, float).

    Dagster wants a schema as soon as a table may be empty.
    """
    return dg.MetadataValue.table(
        records=[dg.TableRecord(dict(zip(columns, map(_short, row), strict=True))) for row in islice(rows, MAX_ROWS)],
        schema=dg.TableSchema([dg.TableColumn(name, kind) for name, kind in columns.items()]),
    )


def _short(cell: Cell) -> Cell:
    if not isinstance(cell, str) or len(cell) <= _MAX_TEXT:
        return cell
    return f"{cell[: _MAX_TEXT - 1]}…"


def percent(share: float) -> str:
    """A share as people write it: 0.8 is 80%, and 0.9995 is 99.95%."""
    return f"{100 * share:.10g}%"
