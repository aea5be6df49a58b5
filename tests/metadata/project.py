"""A code location whose catalog is looked at through Dagster's GraphQL API."""

import os
from pathlib import Path

import dagster as dg
import pandas as pd

from thunderbit_dagster import (
    Crawl,
    Distill,
    ParquetStore,
    ThunderbitResource,
    build_crawl_definitions,
    column_lineage,
)

docs = Crawl(
    name="docs",
    urls={"a": os.environ["URLS"].split()},
    request=Distill(),
    cadence=dg.DailyPartitionsDefinition("2026-11-01"),
    owners=["team:search"],
    tags={"domain": "docs"},
    success_rate=(0.9, 0.5),
)


@dg.asset(
    ins={"succeeded": dg.AssetIn(["docs", "succeeded"])},
    partitions_def=docs.partitions_def,
    backfill_policy=docs.backfill_policy,
    metadata={"dagster/column_lineage": column_lineage(docs, {"text": ["markdown", "title"]})},
)
def chunks(succeeded: pd.DataFrame) -> dg.MaterializeResult:
    lineage = column_lineage(docs, {"text": ["markdown", "title"]})
    return dg.MaterializeResult(metadata={"dagster/column_lineage": lineage, "dagster/row_count": len(succeeded)})


defs = dg.Definitions.merge(
    build_crawl_definitions(
        [docs],
        thunderbit=ThunderbitResource(
            api_key=dg.EnvVar("KEY"), base_url=os.environ["BASE_URL"], requests_per_minute=1_000_000
        ),
        store=ParquetStore(Path(os.environ["OUT"]) / "data"),
    ),
    dg.Definitions(assets=[chunks]),
)
