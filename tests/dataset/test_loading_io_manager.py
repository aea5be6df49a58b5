"""A downstream asset gets a crawl's rows in the type of its parameter, whatever its own partitions are."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any, Optional

import dagster as dg
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as pads
import pytest
from crawl_world import QUIET, Line, crawl, resource

from thunderbit_dagster import ThunderbitParquetIOManager
from thunderbit_dagster.dataset.io_manager import target_of
from thunderbit_dagster.storage.errors import HalfPublishedError, PartitionNotFoundError, StorageError

KINDS = [pd.DataFrame, pa.Table, pads.Dataset, pl.DataFrame, pl.LazyFrame]


@pytest.fixture(scope="module")
def docs(instance, emulator, pages, tmp_path_factory):
    """A crawl of which `a` and `b` were collected, and `later` was not."""
    lists = {"a": [*pages.urls(2), *pages.urls(1, "missing")], "b": pages.urls(1), "later": pages.urls(1)}
    docs = Line(instance, emulator, tmp_path_factory.mktemp("docs"), [crawl(lists)], resource(emulator))
    docs.through("a", "b")
    return docs


@pytest.fixture(scope="module")
def whole(instance, emulator, pages, tmp_path_factory):
    """A crawl without partitions."""
    whole = Line(instance, emulator, tmp_path_factory.mktemp("whole"), [crawl(pages.urls(2))], resource(emulator))
    whole.through()
    return whole


def loaded(line, annotation, *, table="succeeded", partitions=None, key=None, tags=None, metadata=None, **options):
    """What an asset gets for a parameter with this annotation, in a run of its own; an error is raised as it is."""
    got = []

    def downstream(rows) -> None:
        got.append(rows)

    downstream.__annotations__["rows"] = annotation
    ins = {"rows": dg.AssetIn(line.crawl.key(table), metadata=metadata, **options)}
    asset = dg.asset(ins=ins, partitions_def=partitions, backfill_policy=dg.BackfillPolicy.single_run())(downstream)
    run_of(line, asset, key=key, tags=tags)
    return got[0]


def run_of(line, *assets, key=None, tags=None, resources=None):
    definitions = dg.Definitions.merge(line.definitions, dg.Definitions(assets=assets, resources=resources))
    run = dg.materialize(
        definitions.assets,
        selection=list(assets),
        instance=line.instance,
        resources=definitions.resources,
        partition_key=key,
        tags=tags,
        run_config=QUIET,
    )
    assert run.success
    return run


def rows_of(value):
    """The rows of any kind of table, as pandas has them."""
    if isinstance(value, pl.LazyFrame):
        value = value.collect()
    if isinstance(value, pads.Dataset):
        value = value.to_table()
    return value if isinstance(value, pd.DataFrame) else value.to_pandas()


@pytest.mark.parametrize("kind", KINDS)
def test_an_asset_of_the_same_partitions_gets_the_rows_of_its_own_in_the_type_of_its_annotation(docs, kind):
    got = loaded(docs, kind, partitions=docs.crawl.partitions_def, key="a")
    assert isinstance(got, kind)
    assert list(rows_of(got)["url"]) == docs.urls("succeeded", urls="a")
    assert set(rows_of(got)["urls"]) == {"a"}
    assert rows_of(got)["markdown"].str.startswith("# Page").all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_range_run_gets_the_rows_of_all_its_partitions_together(docs, kind):
    tags = {"dagster/asset_partition_range_start": "a", "dagster/asset_partition_range_end": "b"}
    got = rows_of(loaded(docs, kind, partitions=docs.crawl.partitions_def, tags=tags))
    assert sorted(got["urls"]) == ["a", "a", "b"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_dict_has_a_table_for_each_partition_by_its_key(docs, kind):
    tags = {"dagster/asset_partition_range_start": "a", "dagster/asset_partition_range_end": "b"}
    got = loaded(docs, dict[str, kind], partitions=docs.crawl.partitions_def, tags=tags)
    assert all(isinstance(one, kind) for one in got.values())
    assert {key: list(rows_of(one)["url"]) for key, one in got.items()} == {
        key: docs.urls("succeeded", urls=key) for key in ("a", "b")
    }


def test_failed_is_loaded_as_succeeded_is(docs):
    got = loaded(docs, pd.DataFrame, table="failed", partitions=docs.crawl.partitions_def, key="a")
    assert list(got["url"]) == docs.urls("failed", urls="a")
    assert list(got["error_code"]) == ["SCRAPE_TARGET_NOT_FOUND"]


@pytest.mark.parametrize("annotation", [Any, pd.DataFrame | None, Optional[pd.DataFrame]])  # noqa: UP045 - both spellings
def test_without_an_annotation_or_with_none_it_is_pandas(docs, annotation):
    got = loaded(docs, annotation, partitions=docs.crawl.partitions_def, key="b")
    assert isinstance(got, pd.DataFrame)
    assert len(got) == 1


def test_an_unpartitioned_asset_is_refused_while_a_partition_is_missing_and_told_which(docs):
    with pytest.raises(PartitionNotFoundError, match=r"no partition later .*Published are a, b\."):
        loaded(docs, pd.DataFrame)


def test_an_unpartitioned_asset_gets_all_partitions_but_those_that_may_be_missing(docs):
    lenient = {"allow_missing_partitions": True}
    assert sorted(loaded(docs, pl.DataFrame, metadata=lenient)["urls"]) == ["a", "a", "b"]
    assert sorted(loaded(docs, dict[str, pa.Table], metadata=lenient)) == ["a", "b"]


def test_with_nothing_there_an_optional_parameter_is_none_and_another_an_empty_table(docs):
    own = docs.crawl.partitions_def
    lenient = {"allow_missing_partitions": True}
    assert loaded(docs, pd.DataFrame | None, partitions=own, key="later", metadata=lenient) is None
    empty = loaded(docs, pd.DataFrame, partitions=own, key="later", metadata=lenient)
    assert len(empty) == 0
    assert {"url", "markdown", "urls"} <= set(empty.columns)


def test_a_partition_mapping_decides_which_partitions_an_asset_gets(docs):
    only_b = dg.SpecificPartitionsPartitionMapping(["b"])
    assert list(loaded(docs, pa.Table, partition_mapping=only_b)["urls"].to_pylist()) == ["b"]
    assert list(loaded(docs, dict[str, pa.Table], partition_mapping=only_b)) == ["b"]


def test_only_the_columns_that_the_input_names_are_loaded(docs):
    got = loaded(docs, pd.DataFrame, partitions=docs.crawl.partitions_def, key="a", metadata={"columns": ["url"]})
    assert list(got.columns) == ["url", "urls"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_columns_of_the_input_are_those_of_every_kind_of_table(docs, kind):
    own, wanted = docs.crawl.partitions_def, {"columns": ["urls", "title", "url"]}
    got = loaded(docs, kind, partitions=own, key="a", metadata=wanted)
    assert isinstance(got, kind)
    assert list(rows_of(got).columns) == ["title", "url", "urls"]
    assert list(rows_of(got)["url"]) == docs.urls("succeeded", urls="a")
    by_key = loaded(docs, dict[str, kind], partitions=own, key="a", metadata=wanted)
    assert list(rows_of(by_key["a"]).columns) == ["title", "url", "urls"]


@pytest.mark.parametrize("kind", [pd.DataFrame, pads.Dataset, pl.LazyFrame])
def test_columns_that_do_not_exist_or_are_no_list_are_refused_before_anything_is_loaded(docs, kind):
    own = docs.crawl.partitions_def
    with pytest.raises(StorageError, match="There is no column nonsense"):
        loaded(docs, kind, partitions=own, key="a", metadata={"columns": ["nonsense"]})
    with pytest.raises(ValueError, match="The input rows: `columns` must be a list of texts or None, not 'url'"):
        loaded(docs, kind, partitions=own, key="a", metadata={"columns": "url"})


@pytest.mark.parametrize("annotation", [Any, dict, pd.DataFrame])
def test_submissions_have_no_rows_and_the_error_says_what_does(docs, annotation):
    with pytest.raises(TypeError, match=r"/submissions has no rows to load.*`succeeded` or `failed`.*`deps`"):
        loaded(docs, annotation, table="submissions", partitions=docs.crawl.partitions_def, key="a")


def test_a_crawl_without_partitions_is_loaded_whole(whole):
    assert len(loaded(whole, pl.DataFrame)) == 2
    with pytest.raises(TypeError, match="`rows` is a dict with one value per partition"):
        loaded(whole, dict[str, pl.DataFrame])


def test_dates_and_url_partitions_are_loaded_by_date_for_an_asset_of_dates(line, pages):
    daily = dg.DailyPartitionsDefinition("2026-11-01", end_date="2026-11-03")
    docs = line(crawl({"a": pages.urls(1), "b": pages.urls(2)}, cadence=daily))
    docs.through("2026-11-01|a", "2026-11-02|b")
    got = loaded(docs, pd.DataFrame, partitions=daily, key="2026-11-02")
    assert sorted(zip(got["date"], got["urls"], strict=True)) == [("2026-11-02", name) for name in ("a", "b", "b")]
    by_key = loaded(docs, Mapping[str, pa.Table], partitions=daily, key="2026-11-01")
    assert {key: table.num_rows for key, table in by_key.items()} == {"2026-11-01|a": 1, "2026-11-01|b": 2}


def test_one_run_collects_and_loads_and_the_crawl_itself_stores_nothing_but_parquet(line, pages):
    docs, got = line({"a": pages.urls(2)}), []

    @dg.asset(
        ins={"succeeded": dg.AssetIn(docs.crawl.key("succeeded"))},
        partitions_def=docs.crawl.partitions_def,
        backfill_policy=docs.crawl.backfill_policy,
    )
    def chunks(succeeded: pd.DataFrame) -> None:
        got.append(succeeded)

    definitions = dg.Definitions.merge(docs.definitions, dg.Definitions(assets=[chunks]))
    run = dg.materialize(
        definitions.assets,
        instance=docs.instance,
        resources=definitions.resources,
        partition_key="a",
        run_config=QUIET,
    )
    assert run.success
    assert list(got[0]["url"]) == docs.urls("succeeded")
    assert not [event for event in run.all_events if event.event_type_value == "HANDLED_OUTPUT"]


def test_a_half_published_partition_is_refused_unless_a_manager_of_ones_own_only_warns(line, pages, tmp_path):
    docs = line({"a": pages.urls(1)})
    docs.through("a")
    failed = tmp_path / "data" / docs.crawl.name / "failed" / "urls=a" / "rows.parquet"
    shutil.copy(failed, tmp_path / "old")
    docs.through("a")
    shutil.copy(tmp_path / "old", failed)
    partitions = docs.crawl.partitions_def
    with pytest.raises(HalfPublishedError, match="different commits"):
        loaded(docs, pd.DataFrame, partitions=partitions, key="a")

    @dg.asset(
        ins={"rows": dg.AssetIn(docs.crawl.key("succeeded"), input_manager_key="lenient")}, partitions_def=partitions
    )
    def lenient_asset(rows: pd.DataFrame) -> None:
        assert len(rows) == 1

    resources = {"lenient": ThunderbitParquetIOManager(on_half_published="warn")}
    run = run_of(docs, lenient_asset, key="a", resources=resources)
    assert any("different commits" in (one.user_message or "") for one in docs.instance.all_logs(run.run_id))


def test_a_crawl_of_another_code_location_is_loaded_with_the_base_uri(docs):
    got = []
    elsewhere = dg.AssetSpec(docs.crawl.key("succeeded"), partitions_def=docs.crawl.partitions_def)
    external = elsewhere.with_io_manager_key("crawls")

    @dg.asset(ins={"rows": dg.AssetIn(external.key)}, partitions_def=docs.crawl.partitions_def)
    def downstream(rows: pa.Table) -> None:
        got.append(rows)

    def run(**settings):
        return dg.materialize(
            [external, downstream],
            selection=[downstream],
            instance=docs.instance,
            resources={"crawls": ThunderbitParquetIOManager(**settings)},
            partition_key="b",
            run_config=QUIET,
        )

    assert run(base_uri=docs.store.base_uri).success
    assert got[0]["url"].to_pylist() == docs.urls("succeeded", urls="b")
    with pytest.raises(TypeError, match="give `base_uri`"):
        run()


def test_crawls_of_several_stores_are_loaded_each_from_its_own(docs, whole):
    counts = []

    @dg.asset(
        ins={"one": dg.AssetIn(docs.crawl.key("failed")), "two": dg.AssetIn(whole.crawl.key("succeeded"))},
        partitions_def=docs.crawl.partitions_def,
    )
    def both(one: pd.DataFrame, two: pl.DataFrame) -> None:
        counts.append((len(one), len(two)))

    run = dg.materialize(
        [*docs.definitions.assets, *whole.definitions.assets, both],
        selection=[both],
        instance=docs.instance,
        resources=docs.definitions.resources,
        partition_key="a",
        run_config=QUIET,
    )
    assert run.success
    assert counts == [(1, 2)]


def test_a_crawl_whose_key_was_changed_is_found_where_its_definition_says(docs):
    got = []
    [collection] = [one for one in docs.definitions.assets if docs.crawl.key("succeeded") in one.keys]
    moved = collection.with_attributes(
        asset_key_replacements={docs.crawl.key("succeeded"): dg.AssetKey(["raw", "pages"])}
    )

    @dg.asset(ins={"rows": dg.AssetIn(["raw", "pages"])}, partitions_def=docs.crawl.partitions_def)
    def downstream(rows: pa.Table) -> None:
        got.append(rows.num_rows)

    dg.materialize(
        [moved, downstream],
        selection=[downstream],
        instance=docs.instance,
        resources=docs.definitions.resources,
        partition_key="a",
        run_config=QUIET,
    )
    assert got == [2]


@pytest.mark.parametrize(
    "annotation", [list[dict], str, dict[int, pd.DataFrame], pd.Series, pd.DataFrame | pl.DataFrame]
)
def test_other_annotations_are_refused_with_those_that_are_possible(annotation):
    with pytest.raises(TypeError, match=r"`rows` is annotated .* pandas\.DataFrame, pyarrow\.Table"):
        target_of(annotation, "rows")


def test_an_asset_of_ones_own_cannot_be_stored_with_it(docs):
    @dg.asset(io_manager_key="thunderbit_io_manager")
    def mine() -> int:
        return 1

    with pytest.raises(TypeError, match="mine: `thunderbit_io_manager` only reads"):
        run_of(docs, mine)


def test_what_is_loaded_is_no_event_of_the_crawl(docs):
    before = docs.instance.fetch_observations(docs.crawl.key("succeeded"), limit=50).records
    loaded(docs, pd.DataFrame, partitions=docs.crawl.partitions_def, key="a")
    after = docs.instance.fetch_observations(docs.crawl.key("succeeded"), limit=50).records
    assert [one.storage_id for one in after] == [one.storage_id for one in before]
