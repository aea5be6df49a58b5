"""The code location of the distributed tests: the deployment's executor, one crawl of small partitions."""

from __future__ import annotations

import os
import runpy
from functools import partial

from thunderbit_dagster import Crawl, Distill, ThunderbitResource, build_crawl_definitions
from thunderbit_dagster.starter.environment import store_from_environment

# What a team starts from.
on_workers = runpy.run_path(os.environ["TEST_DEPLOY_LOCATION"])["on_workers"]

PARTITIONS = int(os.environ["TEST_PARTITIONS"])
URLS_PER_PARTITION = 7


def urls_of(partition: int) -> list[str]:
    """Six pages that are there and one that is not."""
    pages = os.environ["TEST_PAGES"]
    there = [f"{pages}/ok/{partition}-{number}" for number in range(URLS_PER_PARTITION - 1)]
    return [*there, f"{pages}/missing/{partition}"]


def long_list(name: str) -> list[str]:
    """A partition of many batch jobs."""
    return [f"{os.environ['TEST_PAGES']}/ok/{name}-{number}" for number in range(100)]


site = Crawl(
    name="site",
    urls={f"p{number}": partial(urls_of, number) for number in range(PARTITIONS)},
    request=Distill(),
    batch_size=3,
)
lists = [
    Crawl(name=name, urls={"all": partial(long_list, name)}, request=Distill(), batch_size=5)
    for name in ("long", "slow", "again", "orphan")
]
defs = build_crawl_definitions(
    [site, *lists],
    thunderbit=ThunderbitResource(
        api_key=os.environ["TEST_KEY"],
        base_url=os.environ["THUNDERBIT_BASE_URL"],
        requests_per_minute=1000,
        webhook_url=os.environ.get("THUNDERBIT_WEBHOOK_URL"),
        webhook_secret=os.environ.get("THUNDERBIT_WEBHOOK_SECRET"),
    ),
    store=store_from_environment(),
    sensor_interval_seconds=5,
    executor=on_workers,
)
