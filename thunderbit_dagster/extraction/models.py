"""Stored items, back as the pydantic model they were extracted for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TypeVar

import pyarrow as pa
from pydantic import BaseModel

from thunderbit_dagster.api.schemas import row_schema
from thunderbit_dagster.extraction.columns import Column, item_column
from thunderbit_dagster.storage.schema import ITEMS

Model = TypeVar("Model", bound=BaseModel)


def models_of(rows: pa.Table, model: type[Model]) -> Iterator[Model]:
    """Every valid item in rows of `succeeded`, in their order; a field that is null takes the model's default.

    Args:
        rows: With the column `items`, as `ParquetStore.read` gives them. A list that is null has no items.
        model: The model of one item: the crawl's own, or one with other fields that are optional.

    Raises:
        pydantic.ValidationError: an item is none of this model, as when a type has changed since.
        KeyError: the rows have no `items`.
    """
    column = item_column(row_schema(model.model_json_schema()))
    for items in rows[ITEMS].to_pylist():
        for item in items or ():
            yield model.model_validate(_given(column, item))


def _given(column: Column | None, value: object) -> object:
    """The value as the API gave it: without the fields that were absent, and with JSON text decoded."""
    if isinstance(value, Mapping):
        fields = column.fields if column else {}
        return {name: _given(fields.get(name), one) for name, one in value.items() if one is not None}
    if isinstance(value, list):
        return [_given(column.element if column else None, one) for one in value]
    return json.loads(value) if column and column.kind == "json" and isinstance(value, str) else value
