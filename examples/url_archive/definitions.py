"""A long list of URLs, crawled once a month in shards, and backfilled in few runs."""

import os
from datetime import timedelta
from pathlib import Path

import dagster as dg

from thunderbit_dagster import (
    Crawl,
    Distill,
    Schedule,
    UrlFile,
    build_crawl_definitions,
    resource_from_environment,
    store_from_environment,
)

URLS = os.environ.get("ARCHIVE_URLS", str(Path(__file__).with_name("urls.txt")))

archive = Crawl(
    name="archive",
    urls=UrlFile(URLS),
    shards=4,
    request=Distill(metadata=True),
    cadence=dg.MonthlyPartitionsDefinition("2026-01-01"),
    # The shards of a month are submitted over six hours, not at once.
    schedule=Schedule("0 2 1 * *", spread=timedelta(hours=6)),
    max_partitions_per_run=100,
    max_credits_per_partition=500,
)

defs = build_crawl_definitions(
    [archive],
    thunderbit=resource_from_environment(),
    store=store_from_environment(),
)
