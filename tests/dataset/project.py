"""A code location as a user writes it, with postponed annotations; processes of the multiprocess executor load it."""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg
import pandas as pd
import polars as pl
import pyarrow as pa

from thunderbit_dagster import Crawl, Distill, ParquetStore, ThunderbitResource, build_crawl_definitions

OUT = Path(os.environ["OUT"])
docs = Crawl(name="docs", urls={"a": os.environ["URLS"].split(), "b": []}, request=Distill())
SUCCEEDED, FAILED = dg.AssetIn(["docs", "succeeded"]), dg.AssetIn(["docs", "failed"])


@dg.asset(
    ins={"succeeded": SUCCEEDED, "failed": FAILED},
    partitions_def=docs.partitions_def,
    backfill_policy=docs.backfill_policy,
)
def chunks(succeeded: pd.DataFrame, failed: pa.Table) -> None:
    (OUT / f"chunks-{os.getpid()}").write_text(f"{len(succeeded)} {failed.num_rows}")


@dg.asset(ins={"succeeded": dg.AssetIn(["docs", "succeeded"], metadata={"allow_missing_partitions": True})})
def index(succeeded: dict[str, pl.LazyFrame]) -> None:
    (OUT / f"index-{os.getpid()}").write_text(str({key: one.collect().height for key, one in succeeded.items()}))


defs = dg.Definitions.merge(
    build_crawl_definitions(
        [docs],
        thunderbit=ThunderbitResource(
            api_key=dg.EnvVar("KEY"), base_url=os.environ["BASE_URL"], requests_per_minute=1_000_000
        ),
        store=ParquetStore(OUT / "data"),
    ),
    dg.Definitions(assets=[chunks, index]),
)
