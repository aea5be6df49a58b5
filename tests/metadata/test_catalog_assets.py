"""What the catalog says of a crawl's assets: kinds, owners, columns, lineage, freshness, and the line of the crawl."""

import inspect
import warnings
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
from crawl_world import crawl
from pydantic import BaseModel, Field

from thunderbit_dagster import (
    Crawl,
    Distill,
    Extract,
    ParquetStore,
    ThunderbitResource,
    build_crawl_definitions,
    column_lineage,
)
from thunderbit_dagster.metadata.catalog import column_schema
from thunderbit_dagster.storage.schema import SCHEMAS

SUCCEEDED = SCHEMAS["succeeded"]
FAILED = SCHEMAS["failed"]

DAILY = dg.DailyPartitionsDefinition("2026-11-01")
WEEKDAYS = dg.TimeWindowPartitionsDefinition(start="2026-11-02", fmt="%Y-%m-%d", cron_schedule="0 6 * * 1-5")


class Offer(BaseModel):
    price: float = Field(description="What it costs")


class Product(BaseModel):
    name: str
    offers: list[Offer] = []


def docs_crawl(**options):
    return Crawl(**{"name": "docs", "urls": ["https://example.com/"], "request": Distill(), **options})


def specs(crawl, base_uri="data"):
    thunderbit = ThunderbitResource(api_key=dg.EnvVar("THUNDERBIT_API_KEY"))
    definitions = build_crawl_definitions([crawl], thunderbit=thunderbit, store=ParquetStore(base_uri))
    return {spec.key.path[-1]: spec for asset in definitions.assets for spec in asset.specs}


def columns(spec):
    return {column.name: column for column in spec.metadata["dagster/column_schema"].columns}


@pytest.mark.parametrize(
    ("base_uri", "kinds", "storage"),
    [
        ("data", set(), "file"),
        ("s3://bucket/crawls", {"s3"}, "s3"),
        ("gs://bucket/crawls", {"gcs"}, "gcs"),
        ("az://container/crawls", {"azure"}, "azure"),
    ],
)
def test_tables_say_what_they_are_and_where_they_lie(base_uri, kinds, storage):
    found = specs(docs_crawl(), base_uri)
    for table in ("succeeded", "failed"):
        spec = found[table]
        assert spec.kinds == {"thunderbit", "parquet", *kinds}
        assert spec.metadata["dagster/storage_kind"] == storage
        assert spec.metadata["dagster/table_name"] == f"docs.{table}"
        assert spec.metadata["dagster/uri"] == f"{ParquetStore(base_uri).base_uri}/docs/{table}"
    assert found["submissions"].kinds == {"thunderbit"}


def test_every_asset_has_the_owners_tags_group_and_description_of_its_crawl():
    crawl = docs_crawl(
        owners=["team:search", "ada@example.com"], tags={"domain": "docs"}, group="web", description="Our docs."
    )
    for spec in specs(crawl).values():
        assert list(spec.owners) == ["team:search", "ada@example.com"]
        assert spec.tags["domain"] == "docs"
        assert spec.group_name == "web"
        assert spec.description.startswith("Our docs.\n\n")
    for spec in specs(docs_crawl()).values():
        assert (spec.group_name, list(spec.owners)) == ("docs", [])


@pytest.mark.parametrize(("table", "schema"), [("succeeded", SUCCEEDED), ("failed", FAILED)])
def test_every_column_has_its_type_and_a_description_before_anything_was_crawled(table, schema):
    shown = columns(specs(docs_crawl())[table])
    assert list(shown) == schema.names
    assert all(column.description for column in shown.values())
    assert shown["url"].constraints.nullable is False
    assert shown["completed_at"].type == "timestamp[us, tz=UTC]"
    for column in ("submitted_at", "completed_at"):
        assert "as of this time" in shown[column].description
        assert "whatever the partition's date" in shown[column].description


@pytest.mark.parametrize(("table", "schema"), [("succeeded", SUCCEEDED), ("failed", FAILED)])
def test_the_columns_before_a_crawl_are_those_of_the_files_after_it(table, schema):
    assert specs(docs_crawl())[table].metadata["dagster/column_schema"] == column_schema(schema)


def test_the_fields_of_an_extraction_are_columns_with_their_own_descriptions():
    shown = columns(specs(docs_crawl(request=Extract(schema=Product)))["succeeded"])
    assert shown["items[].offers[].price"].description == "What it costs"
    assert "items" not in columns(specs(docs_crawl())["succeeded"])


@pytest.mark.parametrize(
    ("cadence", "hours"), [(DAILY, 24), (WEEKDAYS, 72), (dg.HourlyPartitionsDefinition("2026-11-01-00:00"), 1)]
)
def test_a_cadence_expects_something_new_in_each_of_its_windows(cadence, hours):
    found = specs(docs_crawl(cadence=cadence))
    expected = dg.FreshnessPolicy.time_window(
        fail_window=timedelta(hours=2 * hours), warn_window=timedelta(hours=1.5 * hours)
    )
    assert found["succeeded"].freshness_policy == found["failed"].freshness_policy == expected
    assert found["submissions"].freshness_policy is None


ENDED = dg.DailyPartitionsDefinition("2026-11-01", end_date="2026-12-01")


@pytest.mark.parametrize(
    ("settings", "hours"),
    [
        ({"cadence": DAILY, "schedule": "0 6 * * 1"}, 168),
        ({"cadence": DAILY, "schedule": "0 * * * *"}, 24),
        ({"cadence": DAILY, "schedule": False}, 24),
        ({"cadence": WEEKDAYS, "schedule": "0 8 * * *"}, 72),
        ({"schedule": "0 6 * * 1-5"}, 72),
        ({"schedule": "0 * * * *"}, 1),
        ({"cadence": ENDED}, None),
        ({"cadence": ENDED, "schedule": "0 6 * * 1"}, None),
        ({"schedule": "0 * * * *", "freshness": "never"}, None),
    ],
)
def test_a_schedule_is_not_stale_between_its_ticks(settings, hours):
    expected = hours and dg.FreshnessPolicy.time_window(
        fail_window=timedelta(hours=2 * hours), warn_window=timedelta(hours=1.5 * hours)
    )
    assert specs(docs_crawl(**settings))["succeeded"].freshness_policy == expected


def test_nothing_is_expected_without_a_cadence_or_when_told_so_and_a_policy_of_ones_own_counts():
    own = dg.FreshnessPolicy.cron("0 9 * * *", timedelta(hours=3))
    assert specs(docs_crawl())["succeeded"].freshness_policy is None
    assert specs(docs_crawl(cadence=DAILY, freshness="never"))["succeeded"].freshness_policy is None
    assert specs(docs_crawl(freshness=own))["succeeded"].freshness_policy == own
    with pytest.raises(ValueError, match="`freshness` must be"):
        docs_crawl(freshness="daily")


def references(spec):
    return spec.metadata["dagster/code_references"].code_references


def test_every_asset_links_to_the_line_that_declares_its_crawl():
    line = inspect.currentframe().f_lineno + 1
    crawl = Crawl(name="docs", urls=[], request=Distill())
    for spec in specs(crawl).values():
        [reference] = references(spec)
        assert (reference.file_path, reference.line_number) == (str(Path(__file__)), line)
        assert reference.label == "Crawl docs"


def test_a_crawl_that_is_equal_but_declared_elsewhere_is_the_same_crawl():
    one, other = (
        Crawl(name="docs", urls=[], request=Distill()),
        Crawl(name="docs", urls=[], request=Distill()),
    )
    assert one == other
    assert one.declared_at != other.declared_at
    assert "declared_at" not in repr(one)


def test_links_become_links_into_git_as_dagster_does_it(tmp_path):
    crawl = Crawl(name="docs", urls=[], request=Distill())
    thunderbit = ThunderbitResource(api_key=dg.EnvVar("THUNDERBIT_API_KEY"))
    definitions = build_crawl_definitions([crawl], thunderbit=thunderbit, store=ParquetStore(tmp_path))
    root = Path(__file__).parents[2]
    linked = dg.link_code_references_to_git(
        definitions.assets,
        git_url="https://github.com/acme/crawls",
        git_branch="main",
        file_path_mapping=dg.AnchorBasedFilePathMapping(local_file_anchor=root, file_anchor_path_in_repository=""),
    )
    [reference] = references(next(iter(linked[1].specs)))
    where = f"tests/metadata/{Path(__file__).name}#L{crawl.declared_at[1]}"
    assert reference.url == f"https://github.com/acme/crawls/tree/main/{where}"


def test_definitions_load_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error", dg.BetaWarning)
        warnings.simplefilter("error", dg.PreviewWarning)
        assert specs(docs_crawl(success_rate=(0.9, 0.5), owners=["team:search"]))


def test_the_lineage_of_columns_downstream_is_written_by_their_names():
    crawl = docs_crawl()
    lineage = column_lineage(crawl, {"text": "markdown", "source": ["url", "title"]})
    succeeded = crawl.key("succeeded")
    assert lineage == dg.TableColumnLineage(
        {
            "text": [dg.TableColumnDep(succeeded, "markdown")],
            "source": [dg.TableColumnDep(succeeded, "url"), dg.TableColumnDep(succeeded, "title")],
        }
    )
    failed = column_lineage(crawl, {"reason": "error_code"}, "failed")
    assert failed.deps_by_column["reason"] == [dg.TableColumnDep(crawl.key("failed"), "error_code")]


def test_lineage_reaches_into_extracted_rows_and_refuses_columns_that_are_not_there():
    shop = docs_crawl(request=Extract(schema=Product))
    lineage = column_lineage(shop, {"price": "items[].offers[].price"})
    assert lineage.deps_by_column["price"][0].column_name == "items[].offers[].price"
    with pytest.raises(ValueError, match=r"docs/succeeded has no column items, mark\. There are: url, "):
        column_lineage(docs_crawl(), {"text": ["mark", "items"]})


@pytest.mark.parametrize(
    ("columns", "table", "text"),
    [
        ({"text": "markdown"}, "changes", "`table` must be 'succeeded' or 'failed', not 'changes'"),
        (["text"], "failed", "`columns` must be a mapping"),
    ],
)
def test_lineage_of_what_there_is_not_is_refused_by_name(columns, table, text):
    crawl = Crawl(name="docs", urls=[], request=Distill())
    with pytest.raises(ValueError, match=text):
        column_lineage(crawl, columns, table)


def row_counts(metadata):
    return {name: value.value for name, value in metadata.items() if name.endswith("row_count")}


def test_rows_are_counted_under_the_one_of_dagsters_keys_that_says_of_what(line, pages):
    cut, whole = line({"a": pages.urls(3), "b": pages.urls(1)}), line(crawl(pages.urls(2)))
    cut.through("a", "b")
    whole.through()
    assert row_counts(cut.metadata("succeeded", "a")) == {"dagster/partition_row_count": 3}
    assert row_counts(cut.metadata("failed", "b")) == {"dagster/partition_row_count": 0}
    assert row_counts(whole.metadata("succeeded")) == {"dagster/row_count": 2}


def test_what_people_ask_for_stands_first_and_the_record_of_the_machine_last(line, pages):
    docs = line(crawl({"a": [*pages.urls(2), *pages.urls(1, "missing")]}, cadence=DAILY))
    docs.through("2026-11-01|a", "2026-11-01|a")
    order = {asset: list(docs.metadata(asset, "2026-11-01|a")) for asset in ("submissions", "succeeded", "failed")}
    assert order["submissions"][:2] == ["urls submitted", "urls refused"]
    assert order["succeeded"][:3] == ["success rate", "urls submitted", "dagster/partition_row_count"]
    assert order["failed"][:3] == ["urls submitted", "dagster/partition_row_count", "permanent failures"]
    assert {names[-1] for names in order.values()} == {"thunderbit/record"}
    # The API sent one row for each URL, so there is nothing to say of others.
    assert not any("dropped" in name for names in order.values() for name in names)


def test_definitions_load_without_a_warning_of_dagsters():
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        specs(docs_crawl(shards=2))
    assert [str(one.message) for one in told] == []
