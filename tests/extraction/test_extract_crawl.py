"""A crawl that extracts, from the schema to typed Parquet: what fits, what does not, and what changed since."""

import datetime as dt
import json

import dagster as dg
import duckdb
import pyarrow as pa
import pytest
from crawl_world import Line, crawl, one_partition, records
from pydantic import BaseModel, Field

from thunderbit_dagster import Distill, Extract, build_crawl_definitions
from thunderbit_dagster.emulator import Rule
from thunderbit_dagster.extraction.models import models_of


class Offer(BaseModel):
    price: float = Field(description="What it costs")
    currency: str | None = None


class Product(BaseModel):
    name: str
    sku: str
    rating: float | None = Field(None, description="Stars given")
    review_count: int | None = None
    available: bool | None = None
    published: dt.date | None = None
    images: list[str] = []
    offers: list[Offer] = []


class Grown(Product):
    brand: str | None = None


class Changed(BaseModel):
    name: str
    sku: int | None = None


def thing(name: str, **more: object) -> dict[str, object]:
    return {
        "@type": "Product",
        "name": name,
        "sku": f"S-{name}",
        "brand": "Acme",
        "image": ["/a.jpg", "/b.jpg"],
        "datePublished": "2026-02-03",
        "aggregateRating": {"ratingValue": "4.5", "reviewCount": 12},
        "offers": {"price": "1,299.00", "priceCurrency": "EUR", "availability": "https://schema.org/InStock"},
        **more,
    }


def shop_page(*things: object) -> str:
    script = json.dumps(list(things))
    return (
        f"<html><head><title>Shop</title><script type='application/ld+json'>{script}</script></head>"
        "<body><main><h1>Shop</h1><p>Things to buy.</p></main></body></html>"
    )


def products(line: Line) -> list[list[dict[str, object]]]:
    return [row["items"] for row in line.rows("succeeded")]


def drift(run: dg.ExecuteInProcessResult) -> dg.AssetCheckEvaluation:
    [found] = [check for check in run.get_asset_check_evaluations() if check.check_name == "schema_drift"]
    return found


def numbers(check: dg.AssetCheckEvaluation) -> dict[str, object]:
    return {name: value.value for name, value in check.metadata.items() if isinstance(value, dg.IntMetadataValue)}


def test_a_page_of_several_things_becomes_typed_items(line, pages):
    urls = [pages.page(shop_page(thing("Lamp"), thing("Buoy"))), pages.page(shop_page(thing("Bell")))]
    shop = line(one_partition(urls, request=Extract(schema=Product)))
    [run] = shop.through()
    assert [[item["name"] for item in page] for page in products(shop)] == [["Lamp", "Buoy"], ["Bell"]]
    assert products(shop)[1] == [
        {
            "name": "Bell",
            "sku": "S-Bell",
            "rating": 4.5,
            "review_count": 12,
            "available": True,
            "published": dt.date(2026, 2, 3),
            "images": ["/a.jpg", "/b.jpg"],
            "offers": [{"price": 1299.0, "currency": "EUR"}],
        }
    ]
    assert {(row["extract_outcome"], str(row["extract_errors"])) for row in shop.rows("succeeded")} == {("valid", "[]")}
    stored = shop.store.read(shop.crawl.name, "succeeded", {"urls": "all"}, ["items"])
    assert sorted(model.name for model in models_of(stored, Product)) == ["Bell", "Buoy", "Lamp"]
    assert drift(run).passed
    assert numbers(drift(run)) == {
        "items": 3,
        "invalid items": 0,
        "pages with invalid output": 0,
        "files compared": 1,
        "fields changed": 0,
        "fields added": 0,
    }


def test_the_columns_of_the_schema_are_shown_before_and_after_a_run(line, pages):
    shop = line(one_partition([pages.page(shop_page(thing("Lamp")))], request=Extract(schema=Product)))
    [spec] = [spec for spec in shop.definitions.resolve_all_asset_specs() if spec.key == shop.crawl.key("succeeded")]
    shop.through()
    after = shop.metadata("succeeded")["dagster/column_schema"].schema
    assert spec.metadata["dagster/column_schema"] == after
    shown = {column.name: (column.type, column.description) for column in after.columns}
    assert shown["items"][0] == "list<item: struct>"
    assert shown["items[].rating"] == ("double", "Stars given")
    assert shown["items[].published"][0] == "date32[day]"
    assert shown["items[].offers"][0] == "list<item: struct>"
    assert shown["items[].offers[].price"] == ("double", "What it costs")
    assert {"extract_outcome", "extract_errors", "extract_errors[].field"} <= shown.keys()


def test_a_crawl_that_distills_has_neither_typed_columns_nor_the_check(line, pages):
    docs = line(one_partition(pages.urls(1), request=Distill()))
    [run] = docs.through()
    assert "schema_drift" not in {check.check_name for check in run.get_asset_check_evaluations()}
    assert "items" not in docs.rows("succeeded")[0]


def test_output_that_does_not_fit_stays_in_succeeded_with_its_raw_data_and_a_reason(line, pages, spoiled):
    good, wrong, lacking = (pages.page(shop_page(thing(name))) for name in ("Lamp", "Buoy", "Bell"))
    emulator = spoiled(
        Rule("invalid_output", url=wrong, field="rating"),
        Rule("invalid_output", url=wrong, field="sku"),
        Rule("missing_output", url=lacking, field="name"),
        Rule("foreign_output", url=good, field="weight"),
    )
    shop = line(one_partition([good, wrong, lacking], request=Extract(schema=Product)), emulator=emulator)
    shop.through()
    rows = shop.rows("succeeded")
    assert shop.rows("failed") == []
    assert [row["extract_outcome"] for row in rows] == ["valid", "invalid_output", "invalid_output"]
    assert [[(e["item"], e["field"], e["rule"]) for e in row["extract_errors"]] for row in rows] == [
        [],
        [(0, "rating", "type"), (0, "sku", "type")],
        [(0, "name", "required")],
    ]
    assert [len(row["items"]) for row in rows] == [1, 0, 0]
    assert json.loads(rows[1]["data"])[0]["rating"] == "unreadable"
    assert json.loads(rows[0]["data"])[0]["weight"] == "of no use"
    assert {row["credits"] for row in rows} == {20}
    metadata = shop.metadata("succeeded")
    assert (metadata["items"].value, metadata["invalid items"].value) == (1, 2)
    assert metadata["pages with invalid output"].value == 2
    assert metadata["values of fields outside the schema"].value == 1
    assert metadata["credits used"].value == 60


def test_output_that_does_not_fit_is_a_warning_of_the_check_with_its_fields(line, pages, spoiled):
    urls = [pages.page(shop_page(thing("Lamp"), thing("Buoy"))) for _ in range(2)]
    emulator = spoiled(Rule("invalid_output", field="rating"), Rule("foreign_output", url=urls[0], field="weight"))
    shop = line(one_partition(urls, request=Extract(schema=Product)), emulator=emulator)
    [run] = shop.through()
    check = drift(run)
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert (numbers(check)["invalid items"], numbers(check)["pages with invalid output"]) == (4, 2)
    assert records(check.metadata["invalid output by field"]) == [{"field": "rating", "rule": "type", "faults": 4}]
    assert records(check.metadata["fields outside the schema"]) == [{"field": "weight", "values": 2}]
    assert [one.passed for one in run.get_asset_check_evaluations() if one.check_name == "conservation"] == [True]


def test_every_repetition_of_a_url_has_the_same_items_and_counts_them_once(line, pages):
    url = pages.page(shop_page(thing("Lamp")))
    shop = line(one_partition([url, url], request=Extract(schema=Product)))
    shop.through()
    assert products(shop)[0] == products(shop)[1]
    assert shop.metadata("succeeded")["items"].value == 1


def again(before: Line, line, request: Extract) -> Line:
    """The same crawl over the same store, with another schema."""
    crawled = crawl(before.crawl.urls, request=request, name=before.crawl.name)
    return line(crawled)


def test_a_schema_that_has_grown_reads_old_partitions_with_nulls_everywhere(line, pages):
    urls = {day: [pages.page(shop_page(thing(day)))] for day in ("old", "new")}
    first = line(crawl(urls, request=Extract(schema=Product)))
    first.through("old")
    second = again(first, line, Extract(schema=Grown))
    [run] = second.through("new")
    assert drift(run).passed
    assert (numbers(drift(run))["files compared"], numbers(drift(run))["fields added"]) == (2, 1)
    [row] = records(drift(run).metadata["fields of older files"])
    assert (row["field"], row["change"], row["now"]) == ("items[].brand", "added", "string")
    root = first.root / "data" / first.crawl.name / "succeeded"
    query = f"""select urls, name, brand from (select urls, unnest(items, max_depth := 2)
        from read_parquet('{root}/**/*.parquet', union_by_name = true, hive_partitioning = true))"""  # noqa: S608
    assert {row[0]: row[1:] for row in duckdb.connect().sql(query).fetchall()} == {
        "old": ("old", None),
        "new": ("new", "Acme"),
    }
    scanned = second.store.scan(second.crawl.name, "succeeded").to_table(columns=["urls", "items"]).to_pylist()
    assert {row["urls"] for row in scanned} == {"old", "new"}


def test_a_changed_type_and_a_removed_field_are_named_by_the_check_and_the_old_partition_stays(line, pages):
    urls = {day: [pages.page(shop_page(thing(day, sku=7)))] for day in ("old", "new")}
    first = line(crawl(urls, request=Extract(schema=Product)))
    first.through("old")
    second = again(first, line, Extract(schema=Changed))
    [run] = second.through("new")
    assert not drift(run).passed
    changes = {row["field"]: row for row in records(drift(run).metadata["fields of older files"])}
    sku = changes["items[].sku"]
    assert (sku["change"], sku["in the file"], sku["now"], sku["files"]) == ("changed", "string", "int64", 1)
    assert changes["items[].rating"]["change"] == "removed"
    assert second.rows("succeeded", urls="new")[0]["items"] == [{"name": "new", "sku": 7}]
    assert second.rows("succeeded", urls="old")[0]["items"][0]["sku"] == "7"


def test_executed_on_its_own_the_check_counts_every_partition_in_storage(line, pages, spoiled):
    urls = {name: [pages.page(shop_page(thing(name)))] for name in ("a", "b", "c")}
    emulator = spoiled(Rule("missing_output", url=urls["b"][0], field="name"))
    shop = line(crawl(urls, request=Extract(schema=Product)), emulator=emulator)
    shop.through()
    audit = dg.define_asset_job("audit", selection=dg.AssetSelection.checks_for_assets(shop.crawl.key("succeeded")))
    repository = dg.Definitions.merge(shop.definitions, dg.Definitions(jobs=[audit])).get_repository_def()
    found = repository.get_job("audit").execute_in_process(instance=shop.instance)
    assert numbers(drift(found))["items"] == 2
    assert numbers(drift(found))["files compared"] == 3
    assert not drift(found).passed


@pytest.mark.parametrize("schema", [{"properties": {"Name": {}, "name": {}}}])
def test_a_schema_whose_columns_no_sql_engine_can_read_fails_when_definitions_load(line, schema):
    shop = line(one_partition(["https://example.com/"], request=Extract(schema=schema)))
    with pytest.raises(ValueError, match="only in case"):
        build_crawl_definitions([shop.crawl], thunderbit=shop.thunderbit, store=shop.store)


def test_the_parquet_of_an_empty_partition_has_the_typed_columns(line):
    shop = line(one_partition([], request=Extract(schema=Product)))
    shop.through()
    schema = shop.store.read(shop.crawl.name, "succeeded", {"urls": "all"}).schema
    assert pa.types.is_list(schema.field("items").type)
    assert "published" in {field.name for field in schema.field("items").type.value_type}
