"""What a crawl's pages are read into: the columns of its two tables, and who reads extracted items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from thunderbit_dagster.api.requests import Distill, Extract
from thunderbit_dagster.extraction.items import ItemReader
from thunderbit_dagster.storage.schema import SCHEMAS, extracting

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Output:
    """The Arrow schema of each table; a `reader` when the crawl extracts."""

    schemas: Mapping[str, pa.Schema]
    reader: ItemReader | None = None


PAGE_COLUMNS = Output(SCHEMAS)
"""The output of a crawl that distills."""


def output_of(request: Distill | Extract) -> Output:
    """The output that a request asks for.

    Raises:
        SchemaError: the schema of an extraction has fields that cannot be columns.
    """
    if isinstance(request, Distill):
        return PAGE_COLUMNS
    reader = ItemReader(request.row_schema())
    return Output({**SCHEMAS, "succeeded": extracting(reader.column.type)}, reader)
