"""The crawl to start from: the demo site that the emulator brings, or a list of one's own."""

from __future__ import annotations

import os
from functools import partial

import dagster as dg

from thunderbit_dagster.api.requests import Distill
from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.definitions import build_crawl_definitions
from thunderbit_dagster.starter.environment import resource_from_environment, store_from_environment, whole_number
from thunderbit_dagster.urls import UrlFile

SITE_PORT = 8711
SITE_GROUPS = ("changelog", "guides", "products", "reference")
PAGE_TIMEOUT_MS = 5_000
_SENSOR_SECONDS = 5
# Up to three of a section's pages fail on purpose, which is to be no warning: 29 of the 32 guides are there.
SITE_SUCCESS_RATE = (0.9, 0.8)


def demo_crawl() -> Crawl:
    """The demo site's pages, one URL partition a section; some of them fail on purpose."""
    return Crawl(
        name="demo",
        urls={group: partial(demo_pages, group) for group in SITE_GROUPS},
        request=Distill(metadata=True, timeout=PAGE_TIMEOUT_MS),
        success_rate=SITE_SUCCESS_RATE,
    )


def demo_pages(group: str) -> list[str]:
    """The URLs of a section of the demo site, which ``thunderbit-dagster dev`` serves."""
    from thunderbit_dagster.emulator.site import urls  # noqa: PLC0415 - only a run needs the emulator's extra

    return urls(os.environ.get("THUNDERBIT_DEMO_SITE", f"http://127.0.0.1:{SITE_PORT}"))[group]


def own_crawl(path: str, shards: int = 3) -> Crawl:
    """The URLs of a text file, one a line, in a few shards."""
    return Crawl(
        name="own_urls",
        urls=UrlFile(path),
        shards=shards,
        request=Distill(metadata=True),
    )


def starter_crawl() -> Crawl:
    """The crawl of ``THUNDERBIT_URLS``, a text file of URLs, or else of the demo site."""
    path = os.environ.get("THUNDERBIT_URLS")
    return own_crawl(path) if path else demo_crawl()


def starter_definitions() -> dg.Definitions:
    """The starter crawl as a code location, with everything else from the environment."""
    return build_crawl_definitions(
        [starter_crawl()],
        thunderbit=resource_from_environment(),
        store=store_from_environment(),
        sensor_interval_seconds=whole_number("THUNDERBIT_SENSOR_SECONDS", _SENSOR_SECONDS),
    )
