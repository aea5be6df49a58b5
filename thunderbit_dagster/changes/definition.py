"""The asset ``changes`` and its check as Dagster knows them. What a run of them does is imported with the first."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import dagster as dg

from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.lazy import LazyModule
from thunderbit_dagster.metadata.catalog import changes_spec
from thunderbit_dagster.runs.partitions import names_partitions, run_partitions
from thunderbit_dagster.storage.store import ParquetStore

if TYPE_CHECKING:
    from thunderbit_dagster.changes import asset
    from thunderbit_dagster.changes import up_to_date as up_to_date_check
else:
    asset = LazyModule("thunderbit_dagster.changes.asset")
    up_to_date_check = LazyModule("thunderbit_dagster.changes.up_to_date")

UP_TO_DATE = "up_to_date"


def build_changes(crawl: Crawl, store: ParquetStore) -> list[dg.AssetsDefinition]:
    """The crawl's asset ``changes``; none without `Crawl(changes=...)`."""
    if crawl.changes is None:
        return []

    @dg.multi_asset(
        name=f"{crawl.name}__changes",
        specs=[changes_spec(crawl, store)],
        partitions_def=crawl.partitions_def,
        backfill_policy=crawl.backfill_policy,
    )
    def compare(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None]]:
        yield from asset.compare_partitions(context, crawl, store)

    return [compare]


def build_changes_checks(crawl: Crawl, store: ParquetStore) -> list[dg.AssetChecksDefinition]:
    """The check ``up_to_date``: no partition was made from dates that have been crawled again, or arrived, since."""
    settings = crawl.changes
    if settings is None:
        return []

    @dg.asset_check(
        asset=crawl.key("changes"),
        name=UP_TO_DATE,
        description="Each partition was compared with the dates before it as they are published now. One that was not, "
        "because an earlier date came later or a date was crawled again, is a warning: materialize it again.",
    )
    def up_to_date(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        partitions = run_partitions(context, crawl) if names_partitions(context.run) else None
        audit = up_to_date_check.DateAudit(crawl, store, settings)
        return up_to_date_check.up_to_date_result(audit.out_of_date(partitions))

    return [up_to_date]
