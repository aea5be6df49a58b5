"""Rows on their way to Arrow: repaired, checked, measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from thunderbit_dagster.lazy import LazyModule
from thunderbit_dagster.storage.errors import InvalidRowError, first_line
from thunderbit_dagster.storage.schema import Table, repair_text

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = LazyModule("pyarrow")

_VALUE_BYTES = 8
_WITHOUT_TEXT = frozenset((bool, int, float, datetime))


@dataclass(frozen=True)
class RowRules:
    """What a table asks of a row; made once, since reading a schema costs more than checking a row."""

    table: Table
    names: frozenset[str]
    required: tuple[str, ...]

    @classmethod
    def of(cls, table: Table, schema: pa.Schema) -> RowRules:
        """The rules of a table's schema."""
        return cls(table, frozenset(schema.names), tuple(field.name for field in schema if not field.nullable))

    def prepare(self, row: Mapping[str, object]) -> dict[str, object]:
        """The row with its texts repaired.

        Raises:
            InvalidRowError: a column that the table lacks, a required value that is missing, a naive datetime.
        """
        if unknown := row.keys() - self.names:
            raise InvalidRowError(f"{_row_of(self.table, row)} has unknown columns: {', '.join(sorted(unknown))}.")
        if missing := [name for name in self.required if row.get(name) is None]:
            raise InvalidRowError(f"{_row_of(self.table, row)} lacks {', '.join(missing)}.")
        if naive := [name for name, value in row.items() if isinstance(value, datetime) and value.tzinfo is None]:
            raise InvalidRowError(f"{_row_of(self.table, row)} has a time without a time zone: {', '.join(naive)}.")
        return {name: repair(value) for name, value in row.items()}


def repair(value: object) -> object:
    """The value with every text in it, at any depth, fit for UTF-8."""
    if value is None or type(value) in _WITHOUT_TEXT:
        return value
    if isinstance(value, str):
        return repair_text(value)
    if isinstance(value, Mapping):
        return {name: repair(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [repair(item) for item in value]
    return value


def size_of(value: object) -> int:
    """About how many bytes the value takes in Arrow."""
    if value is None or type(value) in _WITHOUT_TEXT:
        return _VALUE_BYTES
    if isinstance(value, str):
        return _VALUE_BYTES + (len(value) if value.isascii() else len(value.encode()))
    if isinstance(value, Mapping):
        return sum(size_of(item) for item in value.values())
    if isinstance(value, list):
        return _VALUE_BYTES + sum(size_of(item) for item in value)
    return _VALUE_BYTES


def to_arrow(table: Table, schema: pa.Schema, rows: Sequence[Mapping[str, object]]) -> pa.Table:
    """The prepared rows as one Arrow table.

    Raises:
        InvalidRowError: a value of the wrong type or out of range; names the row and Arrow's reason.
    """
    try:
        return pa.Table.from_pylist(list(rows), schema=schema)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        raise _explain(table, schema, rows) from error


def _explain(table: Table, schema: pa.Schema, rows: Sequence[Mapping[str, object]]) -> InvalidRowError:
    for row in rows:
        for name, value in row.items():
            reason = _misfit(value, schema.field(name).type)
            if reason:
                return InvalidRowError(f"{_row_of(table, row)} does not fit the column {name}: {reason}")
    return InvalidRowError(f"Rows of the {table} table do not fit its schema.")


def _misfit(value: object, kind: pa.DataType) -> str | None:
    try:
        pa.array([value], kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        return first_line(error)
    return None


def _row_of(table: Table, row: Mapping[str, object]) -> str:
    return f"A row of the {table} table (url {str(row.get('url'))[:200]!r})"
