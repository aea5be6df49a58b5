"""A user's project that uses every public name, checked as strictly as mypy can. Not run, only read by the checker.

Where a line is wrong on purpose, the checker must say so: an ignore that is not needed is an error, too.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

import dagster as dg
from typing_extensions import assert_type
from user_glue import Product, products

import thunderbit_dagster
from thunderbit_dagster import (
    AssetColumn,
    Changes,
    Crawl,
    Distill,
    DynamicUrls,
    Extract,
    HalfPublishedError,
    HalfPublishedWarning,
    JobRef,
    ParquetStore,
    Partition,
    PartitionNotFoundError,
    Schedule,
    SchemaDriftError,
    Sitemap,
    StorageError,
    ThunderbitCrawlComponent,
    ThunderbitError,
    ThunderbitParquetIOManager,
    ThunderbitResource,
    UrlFile,
    __version__,
    build_crawl_definitions,
    column_lineage,
    resource_from_environment,
    store_from_environment,
)
from thunderbit_dagster.api.client import ThunderbitClient
from thunderbit_dagster.api.codes import JobKind, JobStatus, RowStatus
from thunderbit_dagster.api.errors import ApiError, InsufficientCreditsError
from thunderbit_dagster.api.models import Document, Job, JobPage, Row, RowError

assert_type(__version__, str)
assert_type(Changes(confirm=2, ignore=[r"Weather: .*"]), Changes)
assert_type(thunderbit_dagster.__version__, str)

distill = Distill(metadata=True, summary=True, render_mode="full", include_tags=("main",), timeout=20_000)
assert_type(distill, Distill)
assert_type(distill.credits_per_url(), int)
assert_type(distill.kind, JobKind)
assert_type(distill.fingerprint(), str)
assert_type(distill.body(), dict[str, object])
extract = Extract(schema=Product, country_code="DE")
assert_type(extract, Extract)
by_json_schema = Extract(schema={"type": "object", "properties": {"name": {"type": "string"}}})


def pages_of(partition: Partition) -> list[str]:
    assert_type(partition.key, str | None)
    assert_type(partition.urls, str | None)
    assert_type(partition.date, str | None)
    assert_type(partition.dimensions, Mapping[str, str])
    return [f"https://example.com/{partition.urls}"]


def pages() -> list[str]:
    return ["https://example.com/"]


daily = dg.DailyPartitionsDefinition("2026-11-01")
spread = Schedule("0 6 * * *", timezone="Europe/Berlin", spread=timedelta(hours=2), catch_up=3)
assert_type(spread.spread, timedelta)
sources: Mapping[str, Sequence[str] | UrlFile | Sitemap | AssetColumn] = {
    "list": ["https://example.com/a"],
    "file": UrlFile("urls.txt"),
    "sitemap": Sitemap("https://example.com/sitemap.xml", since=timedelta(days=1), include=["/docs/*"]),
    "asset": AssetColumn("links", column="href"),
}
crawls = [
    Crawl(name="mapping", urls=sources, request=distill, cadence=daily, schedule=spread),
    Crawl(name="listed", urls=["https://example.com/"], request=extract, shards=4),
    Crawl(name="called", urls=pages, request=by_json_schema, job_deadline=timedelta(hours=6)),
    Crawl(name="called_with", urls={"a": pages_of}, request=distill, schedule=False, max_credits_per_partition=100),
    Crawl(name="dynamic", urls=DynamicUrls("customers", pages_of), request=distill),
]
assert_type(crawls, list[Crawl])
assert_type(crawls[0].key("succeeded"), dg.AssetKey)
assert_type(crawls[0].name, str)
assert_type(crawls[0].request, Distill | Extract)

thunderbit = ThunderbitResource(
    api_key="tb_0123456789abcdef0123456789abcdef",
    requests_per_minute=100,
    on_lost_reply="fail",
    max_credits_per_day=1_000,
)
store = ParquetStore(base_uri="data")
assert_type(store.base_uri, str)
assert_type(store.uri("mapping", "succeeded", {"urls": "list"}), str)
assert_type(store.partitions("mapping", "failed"), list[dict[str, str]])
assert_type(store.crawls(), list[str])
assert_type(resource_from_environment(), ThunderbitResource)
assert_type(store_from_environment(), ParquetStore)

manager = ThunderbitParquetIOManager(base_uri="data", on_half_published="warn")
assert_type(manager.base_uri, str | None)
assert_type(column_lineage(crawls[0], {"text": "markdown", "source": ["url", "title"]}), dg.TableColumnLineage)
half: type[UserWarning] = HalfPublishedWarning
assert_type(JobRef.parse("distill/batch_1"), JobRef)
assert_type(JobRef(JobKind.DISTILL, "batch_1").id, str)

defs = build_crawl_definitions(crawls, thunderbit=thunderbit, store=store, sensor_interval_seconds=30)
assert_type(defs, dg.Definitions)


def use_the_resource(resource: ThunderbitResource) -> Iterator[str]:
    document = resource.distill("https://example.com/", distill)
    assert_type(document, Document)
    assert_type(document.markdown, str | None)
    assert_type(resource.extract("https://example.com/", extract).data, list[Mapping[str, object]] | None)
    job = resource.submit_distill(["https://example.com/"])
    assert_type(job, Job)
    assert_type(job.ref, JobRef)
    assert_type(job.status, JobStatus)
    assert_type(job.created_at, datetime | None)
    assert_type(resource.submit_extract(["https://example.com/"], extract), Job)
    page = resource.get_job(job.ref, page=0, page_size=100)
    assert_type(page, JobPage)
    assert_type(page.rows, tuple[Row, ...])
    for row in resource.stream_rows(job.ref, interval=5.0):
        assert_type(row.status, RowStatus)
        assert_type(row.error, RowError | None)
        yield row.url
    assert_type(resource.iter_rows(job.ref), Iterator[Row])
    assert_type(resource.cancel_job(job.ref), Job)
    assert_type(resource.client, ThunderbitClient)


def what_went_wrong(error: ThunderbitError) -> tuple[str, bool]:
    if isinstance(error, InsufficientCreditsError):
        return "top up", False
    if isinstance(error, ApiError):
        assert_type(error.status, int)
        assert_type(error.retry_after, float | None)
        return error.code, error.maybe_accepted
    return str(error), error.maybe_accepted


def what_can_be_read() -> Sequence[tuple[str, float]]:
    try:
        found = products(store_from_environment())
        assert_type(found, Iterator[Product])
        return [(one.name, one.price) for one in found]
    except (PartitionNotFoundError, HalfPublishedError, SchemaDriftError) as error:
        known: StorageError = error
        return [(str(known), 0.0)]


class OwnComponent(ThunderbitCrawlComponent):
    """A component of a user's own, with other groups."""

    def get_asset_spec(self, spec: dg.AssetSpec, crawl: Crawl) -> dg.AssetSpec:
        return spec.replace_attributes(group_name=crawl.name)


component = OwnComponent(crawls=crawls, thunderbit=thunderbit, store=store)
assert_type(component.get_asset_spec(dg.AssetSpec("a"), crawls[0]), dg.AssetSpec)

Crawl(name=1, urls=["https://example.com/"], request=distill)  # type: ignore[arg-type]
Crawl(name="a", urls=7, request=distill)  # type: ignore[arg-type]
Crawl(name="a", urls=[], request="distill")  # type: ignore[arg-type]
Distill(render_mode="fast")  # type: ignore[arg-type]
Distill(no_such_option=True)  # type: ignore[call-arg]
ThunderbitResource(api_key="tb_", on_lost_reply="hope")  # type: ignore[arg-type]
build_crawl_definitions(crawls, thunderbit=store, store=store)  # type: ignore[arg-type]
JobRef("distill", "batch_1")  # type: ignore[arg-type]
missing: object = thunderbit_dagster.no_such_name  # type: ignore[attr-defined]
