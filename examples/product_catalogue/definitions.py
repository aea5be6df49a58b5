"""A product catalogue, extracted every day, with a report of what is new, changed or gone since the day before."""

import os
from datetime import date, timedelta

import dagster as dg
from pydantic import BaseModel, Field

from thunderbit_dagster import (
    Crawl,
    Extract,
    Schedule,
    build_crawl_definitions,
    resource_from_environment,
    store_from_environment,
)

SITE = os.environ.get("THUNDERBIT_DEMO_SITE", "http://127.0.0.1:8711")
PAGES = ("tide-clock", "pi-hat", "drying-capsules", "tg-1-radar-gauge", "kelp-radar")


class Product(BaseModel):
    name: str = Field(description="Name of the product")
    price: float | None = Field(default=None, description="Price, without the currency")
    availability: str | None = Field(default=None, description="Whether it can be ordered")


catalogue = Crawl(
    name="catalogue",
    urls=[f"{SITE}/products/{page}" for page in PAGES],
    request=Extract(schema=Product, force_refresh=True),
    cadence=dg.DailyPartitionsDefinition("2026-01-01"),
    schedule=Schedule("0 6 * * *", catch_up=2),
)
store = store_from_environment()


def items_by_url(day: date) -> dict[str, str]:
    """The extracted data of each page as JSON; empty when the day was not crawled."""
    dimensions = {"date": day.isoformat()}
    if store.footer("catalogue", "succeeded", dimensions) is None:
        return {}
    rows = store.read("catalogue", "succeeded", dimensions, columns=["url", "data"])
    return {row["url"]: row["data"] for row in rows.to_pylist()}


def unreadable_urls(day: date) -> set[str]:
    """The pages of which nothing is known: they failed, but not for not being there."""
    rows = store.read("catalogue", "failed", {"date": day.isoformat()}, columns=["url", "error_code"])
    return {row["url"] for row in rows.to_pylist() if row["error_code"] != "SCRAPE_TARGET_NOT_FOUND"}


def compare(before: dict[str, str], after: dict[str, str], unreadable: set[str]) -> dict[str, str]:
    """What became of each URL. A page that could not be fetched is not a page that vanished."""
    kinds: dict[str, str] = {}
    for url in {**before, **after}:
        if url not in after:
            kinds[url] = "unknown" if url in unreadable else "gone"
        elif url not in before:
            kinds[url] = "new"
        else:
            kinds[url] = "unchanged" if before[url] == after[url] else "changed"
    return kinds


@dg.asset(
    deps=[catalogue.key("succeeded"), catalogue.key("failed")],
    partitions_def=catalogue.partitions_def,
    automation_condition=dg.AutomationCondition.eager(),
)
def changes(context: dg.AssetExecutionContext) -> dg.MaterializeResult[list[dict[str, str | None]]]:
    """New, changed and vanished products of a day, against the day before."""
    day = date.fromisoformat(context.partition_key)
    before, after = items_by_url(day - timedelta(days=1)), items_by_url(day)
    kinds = compare(before, after, unreadable_urls(day))
    report = [
        {"url": url, "change": kind, "before": before.get(url), "after": after.get(url)}
        for url, kind in sorted(kinds.items())
        if kind != "unchanged"
    ]
    counts = {kind: list(kinds.values()).count(kind) for kind in ("new", "changed", "gone", "unknown", "unchanged")}
    return dg.MaterializeResult(value=report, metadata=counts)


defs = dg.Definitions.merge(
    build_crawl_definitions([catalogue], thunderbit=resource_from_environment(), store=store),
    dg.Definitions(assets=[changes]),
)
