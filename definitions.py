"""The code location to start from: ``thunderbit-dagster dev``, or ``dagster dev -f definitions.py``.

With ``THUNDERBIT_API_KEY`` set it speaks to the real API; without, to the emulator on this machine, which
``thunderbit-dagster dev`` starts together with a demo site. Loading it opens no connection.
"""

from __future__ import annotations

from functools import partial

from thunderbit_dagster import (
    Crawl,
    Distill,
    build_crawl_definitions,
    resource_from_environment,
    store_from_environment,
)
from thunderbit_dagster.starter.crawls import demo_pages

demo = Crawl(
    name="demo",
    # Put your own here: a list of URLs, a UrlFile("urls.txt"), or a function that gives them when a run starts.
    urls={section: partial(demo_pages, section) for section in ("changelog", "guides", "products", "reference")},
    request=Distill(metadata=True, timeout=5_000),
)

defs = build_crawl_definitions(
    [demo],
    thunderbit=resource_from_environment(),
    store=store_from_environment(),
    sensor_interval_seconds=5,
)
