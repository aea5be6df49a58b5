"""The ``succeeded`` and ``failed`` assets and their checks as Dagster knows them.

What a run of them does is imported with the first.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import dagster as dg

from thunderbit_dagster.api.codes import JobKind
from thunderbit_dagster.api.requests import Extract
from thunderbit_dagster.collection.check_names import (
    BLANK_DOCUMENTS,
    CONSERVATION,
    DUPLICATE_CONTENT,
    SCHEMA_DRIFT,
    SUCCESS_RATE,
)
from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.jobs.collect import CollectPartitions
from thunderbit_dagster.lazy import LazyModule
from thunderbit_dagster.metadata.catalog import table_spec
from thunderbit_dagster.metadata.tables import percent
from thunderbit_dagster.partitions import Partition
from thunderbit_dagster.resource import ThunderbitResource
from thunderbit_dagster.runs.names import COLLECT_POOL, collect_step
from thunderbit_dagster.runs.partitions import Step, names_partitions, run_partitions
from thunderbit_dagster.storage.store import ParquetStore

if TYPE_CHECKING:
    from thunderbit_dagster.collection import asset, checks, extract_check, quality
else:
    asset = LazyModule("thunderbit_dagster.collection.asset")
    checks = LazyModule("thunderbit_dagster.collection.checks")
    extract_check = LazyModule("thunderbit_dagster.collection.extract_check")
    quality = LazyModule("thunderbit_dagster.collection.quality")


PAGES = {
    JobKind.DISTILL: "Fetched pages, one row per URL: Markdown and metadata.",
    JobKind.EXTRACT: "Fetched pages, one row per URL: the typed items, and the data as received.",
}


def build_collection(crawl: Crawl, store: ParquetStore) -> dg.AssetsDefinition:
    """The crawl's ``succeeded`` and ``failed`` assets."""

    @dg.multi_asset(
        name=collect_step(crawl),
        specs=_specs(crawl, store),
        partitions_def=crawl.partitions_def,
        backfill_policy=crawl.backfill_policy,
        pool=COLLECT_POOL,
    )
    def collect(
        context: dg.AssetExecutionContext, thunderbit: ThunderbitResource
    ) -> Iterator[dg.MaterializeResult[None]]:
        yield from asset.collect_assets(context, crawl, store, thunderbit)

    return collect


def collecting(crawl: Crawl, store: ParquetStore) -> CollectPartitions:
    """What collects, marks and checks partitions within the step that sent them."""

    def collect(
        context: Step, thunderbit: ThunderbitResource, partitions: Sequence[Partition]
    ) -> Mapping[Partition, str]:
        return asset.collect_sent(crawl, store, context, thunderbit, partitions)

    return collect


def _specs(crawl: Crawl, store: ParquetStore) -> list[dg.AssetSpec]:
    files = "one file" if crawl.partitions_def is None else "one file per partition"
    return [
        table_spec(
            crawl,
            store,
            "succeeded",
            f"{PAGES[crawl.request.kind]} Parquet, {files}."
            + (" A page shows the state at `completed_at`, not at its partition's date." if crawl.cadence else ""),
        ),
        table_spec(
            crawl,
            store,
            "failed",
            f"URLs without a page, one row each, with the reason and whether a retry can help. Parquet, {files}, "
            "published together with `succeeded`.",
        ),
    ]


def build_conservation_check(crawl: Crawl, store: ParquetStore) -> dg.AssetChecksDefinition:
    """Every submitted URL is in ``succeeded`` or ``failed``: read back from the Parquet footers.

    In a run it audits the run's partitions; executed on its own, every partition in storage.
    """

    @dg.asset_check(
        asset=crawl.key("succeeded"),
        name=CONSERVATION,
        description="No URL is lost: every submitted URL has its row in `succeeded` or `failed`, as counted in the "
        "files, and both tables belong to the same submission. Anything else is an error.",
        additional_deps=[crawl.key("failed")],
    )
    def conservation(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        named = crawl.partitions_def is None or names_partitions(context.run)
        partitions = run_partitions(context, crawl) if named else checks.stored_partitions(crawl, store)
        return checks.conservation_result(checks.audits_of(context.instance, crawl, store, partitions))

    return conservation


def build_quality_checks(crawl: Crawl, store: ParquetStore) -> dg.AssetChecksDefinition:
    """The checks ``success_rate``, ``blank_documents`` and ``duplicate_content``, in one step."""

    @dg.multi_asset_check(name=f"{crawl.name}__quality", specs=check_specs(crawl), can_subset=True)
    def measured(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        named = crawl.partitions_def is None or names_partitions(context.run)
        partitions = run_partitions(context, crawl) if named else checks.stored_partitions(crawl, store)
        chosen = {key.name for key in context.selected_asset_check_keys}
        yield from (one for one in quality.quality_results(crawl, store, partitions) if one.check_name in chosen)

    return measured


def check_specs(crawl: Crawl) -> list[dg.AssetCheckSpec]:
    """The checks of a crawl; none blocks."""
    texts = {
        BLANK_DOCUMENTS: "Every page in `succeeded` has text or extracted rows; a blank one is a warning.",
        DUPLICATE_CONTENT: "No two pages of a partition have the same content, as login and error pages do; "
        "duplicates are a warning. A page and the URLs that redirect to it count as one.",
    }
    if crawl.success_rate is not None:
        warn, error = crawl.success_rate
        texts[SUCCESS_RATE] = (
            f"At least {percent(warn)} of each partition's URLs succeed; less is a warning, less than "
            f"{percent(error)} an error."
        )
    key = crawl.key("succeeded")
    return [dg.AssetCheckSpec(name, asset=key, description=text) for name, text in texts.items()]


def build_schema_drift_checks(crawl: Crawl, store: ParquetStore) -> list[dg.AssetChecksDefinition]:
    """The check, for a crawl that extracts; none for one that distills.

    In a run it counts the output of the run's partitions, executed on its own that of every partition in storage.
    The schemas of the last ``LOOK_BACK`` other partitions are looked at as well. It only warns: what does not fit is
    kept as it came, and was paid.
    """
    if not isinstance(crawl.request, Extract):
        return []

    @dg.asset_check(
        asset=crawl.key("succeeded"),
        name=SCHEMA_DRIFT,
        description="Extracted rows fit the crawl's schema, and the files of older partitions have its types. What "
        "does not fit is kept, and causes a warning.",
    )
    def schema_drift(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        stored = store.partitions(crawl.name, "succeeded")
        named = crawl.partitions_def is None or names_partitions(context.run)
        audited = [one.dimensions for one in run_partitions(context, crawl)] if named else stored
        others = [one for one in stored if one not in audited][-extract_check.LOOK_BACK :]
        return extract_check.drift_result(extract_check.drift_of(crawl, store, audited, others))

    return [schema_drift]
