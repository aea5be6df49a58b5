"""So many crawls, as a code location declares them."""

from __future__ import annotations

import dagster as dg

from thunderbit_dagster import Crawl, Distill, ParquetStore, ThunderbitResource, build_crawl_definitions

KEY = "tb_0123456789abcdef0123456789abcdef"


def definitions(count: int, base_url: str = "http://127.0.0.1:9/openapi/v1") -> dg.Definitions:
    crawls = [
        Crawl(
            name=f"crawl_{number:03d}",
            urls={"guides": ["https://pages.example/guide"], "reference": ["https://pages.example/reference"]},
            request=Distill(),
        )
        for number in range(count)
    ]
    thunderbit = ThunderbitResource(api_key=KEY, base_url=base_url, requests_per_minute=1_000)
    return build_crawl_definitions(crawls, thunderbit=thunderbit, store=ParquetStore("data"))


def load(count: int) -> None:
    """What a code server does with them."""
    definitions(count).get_repository_def()
