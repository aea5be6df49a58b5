"""Stored items, back as the pydantic model they were extracted for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel

from thunderbit_dagster.api.schemas import resolved_row
from thunderbit_dagster.extraction.columns import SchemaColumn, item_column
from thunderbit_dagster.lazy import LazyModule
from thunderbit_dagster.storage.schema import ITEMS

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = LazyModule("pyarrow")

Model = TypeVar("Model", bound=BaseModel)


def models_of(rows: pa.Table, model: type[Model]) -> Iterator[Model]:
    """Every valid item in rows of `succeeded`, in their order.

    A field that is null takes the model's default, or is None where the model has none and allows it.

    Args:
        rows: With the column `items`, as `ParquetStore.read` gives them. A list that is null has no items.
        model: The model of one item: the crawl's own, or one with other fields that are optional.

    Raises:
        pydantic.ValidationError: an item is none of this model, as when a type has changed since.
        KeyError: the rows have no `items`.
    """
    column = item_column(resolved_row(model.model_json_schema()))
    for items in rows[ITEMS].to_pylist():
        for item in items or ():
            yield model.model_validate(_given(column, item))


def _given(column: SchemaColumn, value: object) -> object:
    """The value as the API gave it, with JSON text decoded."""
    if column.kind == "json":
        return _whole(column, json.loads(value) if isinstance(value, str) else value)
    return _parts(column, value, _given)


def _whole(column: SchemaColumn, value: object) -> object:
    """A value from within JSON text."""
    if column.kind == "json" and column.values is not None and isinstance(value, Mapping):
        values = column.values
        return {name: _whole(values, one) for name, one in value.items()}
    return _parts(column, value, _whole)


def _parts(column: SchemaColumn, value: object, read: Callable[[SchemaColumn, object], object]) -> object:
    """An object without the fields that were absent, a list, or the value itself.

    To pydantic a field that must be given is another thing than one that may be null, so such a one is None.
    """
    if isinstance(value, Mapping) and column.kind == "object":
        fields = column.fields
        given = {
            name: read(fields[name], one) if name in fields else one for name, one in value.items() if one is not None
        }
        null = (name for name in column.required if name in fields and fields[name].nullable)
        return {**dict.fromkeys(null), **given}
    if isinstance(value, list) and column.element is not None:
        return [read(column.element, one) for one in value]
    return value
