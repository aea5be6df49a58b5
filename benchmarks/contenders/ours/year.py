"""The code location of the backfill: a crawl with ten URLs for each date."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import dagster as dg

from benchmarks.contenders.ours.crawl import CRAWL, dates
from thunderbit_dagster import (
    Crawl,
    Distill,
    Partition,
    build_crawl_definitions,
    resource_from_environment,
    store_from_environment,
)

by_date = dates(Path(os.environ["BENCHMARK_URLS"]).read_text().split())
end = date.fromisoformat(max(by_date)) + timedelta(days=1)


def of_date(partition: Partition) -> Sequence[str]:
    return by_date[str(partition.date)]


pages = Crawl(
    name=CRAWL,
    urls=of_date,
    request=Distill(),
    cadence=dg.DailyPartitionsDefinition(min(by_date), end_date=str(end)),
)

defs = build_crawl_definitions([pages], thunderbit=resource_from_environment(), store=store_from_environment())
