"""What a user's project does with pydantic and Dagster, whose own types hold Any: checked strictly, but for that."""

from collections.abc import Iterator

import dagster as dg
import pandas as pd
import pyarrow as pa
from pydantic import BaseModel
from typing_extensions import assert_type

from thunderbit_dagster import (
    ParquetStore,
    ThunderbitResource,
    models_of,
    read_changes,
    read_partition,
    read_partitions,
    scan,
)


class Product(BaseModel):
    name: str
    price: float


@dg.asset
def heading(thunderbit: ThunderbitResource) -> str | None:
    return thunderbit.distill("https://example.com/").markdown


resources = dg.Definitions(resources={"store": ParquetStore("data"), "thunderbit": ThunderbitResource(api_key="tb_")})
merged = dg.Definitions.merge(resources, dg.Definitions(assets=[heading]))


def products(store: ParquetStore) -> Iterator[Product]:
    found = models_of(store.read("shop", "succeeded", {}), Product)
    assert_type(found, Iterator[Product])
    models_of(store.read("shop", "succeeded", {}), int)  # type: ignore[type-var]
    return found


def tables(store: ParquetStore) -> int:
    frame: pd.DataFrame = read_partition(store, "docs", "guides", to="pandas")
    table: pa.Table = read_partitions(store, "docs", columns=["url"])
    changes: pd.DataFrame = read_changes(store, "docs", ["2026-11-02"], to="pandas")
    every_change: pa.Table = read_changes(store, "docs")
    counted = int(table.num_rows) + int(every_change.num_rows) + int(scan(store, "docs").count_rows())
    return len(frame) + len(changes) + counted
