"""As many assets and jobs as so many crawls have, with nothing in them."""

from __future__ import annotations

import dagster as dg

TABLES = ("submissions", "succeeded", "failed")
JOBS = ("submit", "collect", "backfill", "collect_partitions", "cancel")


def definitions(count: int) -> dg.Definitions:
    partitions = dg.StaticPartitionsDefinition(["guides", "reference"])
    assets: list[dg.AssetsDefinition] = []
    jobs = []
    for number in range(count):
        name = f"crawl_{number:03d}"
        made = [_asset(dg.AssetKey([name, table]), partitions) for table in TABLES]
        assets += made
        jobs += [dg.define_asset_job(f"{name}_{job}", selection=made) for job in JOBS]
    return dg.Definitions(assets=assets, jobs=jobs)


def _asset(key: dg.AssetKey, partitions: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    @dg.asset(key=key, partitions_def=partitions)
    def table() -> None: ...

    return table


def load(count: int) -> None:
    """What a code server does with them."""
    definitions(count).get_repository_def()
