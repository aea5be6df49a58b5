"""The code location that Dagster loads, with default settings."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.contenders.ours.crawl import CRAWL, partitions
from thunderbit_dagster import (
    Crawl,
    Distill,
    build_crawl_definitions,
    resource_from_environment,
    store_from_environment,
)

pages = Crawl(name=CRAWL, urls=partitions(Path(os.environ["BENCHMARK_URLS"]).read_text().split()), request=Distill())

defs = build_crawl_definitions([pages], thunderbit=resource_from_environment(), store=store_from_environment())
