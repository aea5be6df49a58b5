"""A code location to look at: the pages of the demo site in twelve URL partitions, one of which lacks its file."""

from __future__ import annotations

import os
from functools import partial

import dagster as dg

from thunderbit_dagster import Crawl, Distill, UrlFile, build_crawl_definitions
from thunderbit_dagster.starter.crawls import demo_pages
from thunderbit_dagster.starter.environment import resource_from_environment, store_from_environment


def pages(section: str, first: str, last: str) -> list[str]:
    """The pages of a section whose names begin with these characters or what lies between them."""
    return [url for url in demo_pages(section) if first <= url.rsplit("/", 1)[-1][0] <= last]


harbour = Crawl(
    name="harbour",
    urls={
        "changelog-0": partial(pages, "changelog", "0", "0"),
        "changelog-1": partial(pages, "changelog", "1", "1"),
        "changelog-2": partial(pages, "changelog", "2", "z"),
        "guides-a-f": partial(pages, "guides", "a", "f"),
        "guides-g-m": partial(pages, "guides", "g", "m"),
        "guides-n-z": partial(pages, "guides", "n", "z"),
        "partners": UrlFile(os.environ["PARTNERS_FILE"]),
        "products-a-k": partial(pages, "products", "a", "k"),
        "products-l-z": partial(pages, "products", "l", "z"),
        "reference-a-f": partial(pages, "reference", "a", "f"),
        "reference-g-p": partial(pages, "reference", "g", "p"),
        "reference-q-z": partial(pages, "reference", "q", "z"),
    },
    request=Distill(metadata=True, timeout=5_000),
)

defs = build_crawl_definitions(
    [harbour],
    thunderbit=resource_from_environment(),
    store=store_from_environment(),
    sensor_interval_seconds=5,
    executor=dg.in_process_executor,
)
