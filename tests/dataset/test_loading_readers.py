"""The public readers: one partition, many or all, as pyarrow, pandas and Polars, from disk and from an object store."""

import datetime as dt
import itertools
import shutil
import subprocess
import sys
import warnings

import loopback_s3
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import pytest

from thunderbit_dagster import (
    Crawl,
    Distill,
    HalfPublishedWarning,
    ParquetStore,
    Partition,
    read_partition,
    read_partitions,
    scan,
)
from thunderbit_dagster.storage.errors import (
    HalfPublishedError,
    PartitionNotFoundError,
    SchemaDriftError,
    StorageError,
)
from thunderbit_dagster.storage.schema import SCHEMAS, extracting

SUCCEEDED = SCHEMAS["succeeded"]
NOON = dt.datetime(2026, 11, 2, 12, tzinfo=dt.timezone.utc)
SIZES = {"a": 3, "b": 2, "empty": 0}
DOCS = Crawl(name="docs", urls={name: [] for name in SIZES}, request=Distill())
_names = itertools.count()


def publish(store, dimensions, *, ok=2, bad=1, schemas=SCHEMAS, submission="s", **columns):
    where = "-".join(dimensions.values())
    with store.open_partition("docs", dimensions, schemas=schemas) as writer:
        for position in range(ok + bad):
            row = {
                "url": f"https://example.com/{where}/{position}",
                "position": position,
                "collected_at": NOON,
                "submission_id": submission,
                "run_id": "run",
            }
            if position < ok:
                writer.write_succeeded({**row, "markdown": f"# {position}", **columns})
            else:
                reason = {"status": "FAILED", "error_code": "X", "error_class": "transient", "retryable": True}
                writer.write_failed({**row, **reason})
        return writer.commit({"submission_id": submission})


@pytest.fixture(params=["local", "memory"])
def store(request, tmp_path):
    where = tmp_path / "data" if request.param == "local" else f"memory://loading-{next(_names)}"
    store = ParquetStore(where)
    for name, size in SIZES.items():
        publish(store, {"urls": name}, ok=size)
    return store


@pytest.fixture
def local(tmp_path):
    return ParquetStore(tmp_path / "data")


def cells(frame, column):
    values = frame[column]
    return sorted(values.to_pylist() if hasattr(values, "to_pylist") else values.to_list())


def names(frame):
    return frame.column_names if isinstance(frame, pa.Table) else list(frame.columns)


@pytest.mark.parametrize(("to", "kind"), [("pyarrow", pa.Table), ("pandas", pd.DataFrame), ("polars", pl.DataFrame)])
@pytest.mark.parametrize("partition", ["a", {"urls": "a"}, Partition("a", {"urls": "a"})])
@pytest.mark.parametrize("crawl", [DOCS, "docs"], ids=["crawl", "name"])
def test_one_partition_is_read_by_key_by_dimensions_or_as_a_partition_in_the_library_asked_for(
    local, to, kind, partition, crawl
):
    publish(local, {"urls": "a"}, ok=3)
    frame = read_partition(local, crawl, partition, to=to)
    assert isinstance(frame, kind)
    assert cells(frame, "url") == [f"https://example.com/a/{position}" for position in range(3)]
    assert cells(frame, "urls") == ["a"] * 3
    assert len(read_partition(local, crawl, partition, "failed", to=to)) == 1


@pytest.mark.parametrize("to", ["pyarrow", "pandas", "polars"])
@pytest.mark.parametrize(
    ("wanted", "counts"),
    [(None, {"a": 3, "b": 2}), (["b", "empty", "b"], {"b": 2}), (["empty"], {}), ([], {})],
)
def test_many_partitions_or_all_are_one_frame_with_their_keys_as_text(store, to, wanted, counts):
    frame = read_partitions(store, DOCS, wanted, to=to)
    found = {name: cells(frame, "urls").count(name) for name in set(cells(frame, "urls"))}
    assert found == counts
    assert names(frame) == [*SUCCEEDED.names, "urls"]


@pytest.mark.parametrize("to", ["pyarrow", "polars"])
@pytest.mark.parametrize(("wanted", "count"), [(None, 5), (["a"], 3), (["b", "empty"], 2), (["empty"], 0), ([], 0)])
def test_a_scan_is_lazy_and_has_the_partitions_it_was_asked_for(store, to, wanted, count):
    lazy = scan(store, DOCS, wanted, to=to)
    assert isinstance(lazy, pads.Dataset if to == "pyarrow" else pl.LazyFrame)
    rows = lazy.to_table() if to == "pyarrow" else lazy.collect()
    assert len(rows) == count
    assert names(rows) == [*SUCCEEDED.names, "urls"]


def test_a_filter_on_the_keys_of_a_scanned_dataset_reads_only_those_partitions(local):
    for name in SIZES:
        publish(local, {"urls": name})
    dataset = scan(local, DOCS)
    assert len(list(dataset.get_fragments(filter=pc.field("urls") == "b"))) == 1
    assert dataset.to_table(columns=["url"], filter=pc.field("urls") == "b").num_rows == 2


@pytest.mark.parametrize(
    "query",
    [
        lambda frame: frame.filter(pl.col("urls") == "a"),
        lambda frame: frame.filter(~pl.col("title").is_in(["One"])),
        lambda frame: frame.filter(pl.col("title") != "One").select("urls"),
        lambda frame: frame.select(pl.len()),
        lambda frame: frame.select("urls").unique().sort("urls"),
        lambda frame: frame.head(3).select("position", "urls"),
        lambda frame: frame.filter(pl.col("position") > 0).head(2),
        lambda frame: frame.group_by("urls").agg(pl.len(), pl.col("markdown").str.len_chars().sum()).sort("urls"),
    ],
    ids=["key", "is-in", "other", "count", "only-keys", "head", "filtered-head", "group"],
)
def test_a_lazy_polars_frame_answers_as_the_frame_in_memory_does(local, query):
    publish(local, {"urls": "a"}, ok=3, title="One")
    publish(local, {"urls": "b"}, ok=2, title="Two")
    publish(local, {"urls": "c"}, ok=2)  # titles are null
    eager = read_partitions(local, "docs", to="polars")
    assert query(scan(local, "docs", to="polars")).collect().equals(query(eager.lazy()).collect())


def test_a_lazy_polars_frame_reads_only_the_columns_that_a_query_needs(local, monkeypatch):
    publish(local, {"urls": "a"})
    lazy, asked = scan(local, "docs", to="polars"), []
    read = ParquetStore.read

    def spy(self, crawl, table, dimensions, columns=None, **options):
        asked.append(columns)
        return read(self, crawl, table, dimensions, columns, **options)

    monkeypatch.setattr(ParquetStore, "read", spy)
    assert lazy.select("url", "urls").collect().shape == (2, 2)
    assert asked == [["url"]]


@pytest.mark.parametrize("to", ["pyarrow", "pandas", "polars"])
@pytest.mark.parametrize("wanted", [None, []])
def test_only_the_columns_asked_for_are_read_and_the_keys_come_after_them(store, to, wanted):
    assert names(read_partitions(store, DOCS, wanted, columns=["url", "markdown"], to=to))[:2] == ["url", "markdown"]
    assert len(names(read_partitions(store, DOCS, wanted, columns=["url", "markdown"], to=to))) == 3
    assert names(read_partitions(store, DOCS, wanted, columns=["urls", "url"], to=to)) == ["url", "urls"]
    with pytest.raises(StorageError, match="There is no column nonsense"):
        read_partitions(store, DOCS, wanted, columns=["nonsense"])


def test_dates_and_hours_stay_text_and_lists_stay_lists(local):
    where = {"date": "2026-11-02-13:00", "urls": "007"}
    publish(local, where, links=[{"text": "t", "href": "h"}])
    table = read_partition(local, "docs", "2026-11-02-13:00|007")
    assert table.select(["date", "urls"]).to_pylist() == [where] * 2
    frame = scan(local, "docs", to="polars").collect()
    assert frame.schema["date"] == frame.schema["urls"] == pl.String
    assert frame["links"].to_list()[0] == [{"text": "t", "href": "h"}]
    assert frame.schema["collected_at"] == pl.Datetime("us", "UTC")


def test_a_crawl_without_partitions_needs_no_key(local):
    publish(local, {})
    assert read_partition(local, "docs").num_rows == read_partitions(local, "docs").num_rows == 2
    assert scan(local, "docs").count_rows() == scan(local, "docs", to="polars").collect().height == 2
    assert read_partition(local, "docs").column_names == SUCCEEDED.names
    with pytest.raises(PartitionNotFoundError, match="has no partitions"):
        read_partition(local, "docs", {"urls": "a"})


@pytest.mark.parametrize("read", [read_partition, lambda *where: read_partitions(*where[:2], where[2:])])
@pytest.mark.parametrize("crawl", [DOCS, "docs"], ids=["crawl", "name"])
def test_a_missing_partition_is_an_error_that_names_what_is_there(store, read, crawl):
    with pytest.raises(PartitionNotFoundError, match=r"no partition typo.*Published are a, b, empty\."):
        read(store, crawl, "typo")
    with pytest.raises(PartitionNotFoundError, match="rows of a crawl without partitions"):
        read(store, crawl, {})
    with pytest.raises(PartitionNotFoundError, match="typo"):
        scan(store, crawl, ["a", "typo"])


def test_nothing_published_is_said_and_all_of_nothing_is_an_empty_frame(tmp_path):
    with pytest.raises(PartitionNotFoundError, match="Nothing is published there"):
        read_partition(tmp_path, "docs", {"urls": "a"})
    assert read_partitions(tmp_path, DOCS).column_names == [*SUCCEEDED.names, "urls"]
    assert scan(tmp_path, DOCS, to="polars").collect().columns == [*SUCCEEDED.names, "urls"]


READERS = [read_partition, read_partitions, scan]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("crawl", [DOCS, "docs"], ids=["crawl", "name"])
@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"to": "spark"}, "`to` must be 'pyarrow' or .*'polars', not 'spark'"),
        ({"table": "changes"}, "`table` must be 'succeeded' or 'failed', not 'changes'"),
        ({"table": None}, "`table` must be 'succeeded' or 'failed', not None"),
        ({"on_half_published": "x"}, "`on_half_published` must be 'refuse' or 'warn', not 'x'"),
    ],
    ids=["to", "table", "no-table", "half"],
)
def test_an_argument_that_is_none_of_the_choices_is_refused_with_them(local, read, crawl, how, words):
    publish(local, {"urls": "a"})
    with pytest.raises(ValueError, match=words):
        read(local, crawl, None, **how)


def test_a_scan_cannot_be_pandas(local):
    publish(local, {"urls": "a"})
    with pytest.raises(ValueError, match="`to` must be 'pyarrow' or 'polars', not 'pandas'"):
        scan(local, DOCS, to="pandas")


@pytest.mark.parametrize(
    "read",
    [
        lambda store, columns: read_partition(store, DOCS, "a", columns=columns),
        lambda store, columns: read_partitions(store, DOCS, [], columns=columns),
        lambda store, columns: store.read("docs", "succeeded", {"urls": "a"}, columns),
    ],
    ids=["one", "none", "store"],
)
def test_columns_are_a_list_of_names_and_no_text(local, read):
    publish(local, {"urls": "a"})
    with pytest.raises(ValueError, match="`columns` must be a list of texts or None, not 'url'"):
        read(local, "url")
    with pytest.raises(ValueError, match="`columns` must be a list of texts or None, not a value of type list"):
        read(local, [1])
    assert read(local, ("url",)).column_names[0] == "url"


@pytest.mark.parametrize("read", [read_partitions, scan])
@pytest.mark.parametrize(
    "one", ["a", {"urls": "a"}, Partition("a", {"urls": "a"})], ids=["key", "dimensions", "object"]
)
def test_one_partition_is_no_list_of_partitions(local, read, one):
    publish(local, {"urls": "a"})
    with pytest.raises(ValueError, match="`partitions` must be a list of partitions or None, not "):
        read(local, DOCS, one)
    with pytest.raises(
        ValueError, match="`partition` must be a partition's key, its dimensions or a Partition or None, not 7"
    ):
        read(local, DOCS, [7])


@pytest.mark.parametrize("read", [read_partitions, scan])
def test_a_crawl_that_is_given_by_name_must_be_there(store, read):
    with pytest.raises(PartitionNotFoundError, match=r"nothing of a crawl 'dcos' in .*There are: docs\."):
        read(store, "dcos")
    assert len(read(store, "docs").to_table() if read is scan else read(store, "docs")) == 5


def test_a_crawl_is_looked_for_among_folders_that_are_none_and_in_places_that_are_not_there_yet(tmp_path):
    with pytest.raises(PartitionNotFoundError, match="There is no crawl at all"):
        read_partitions(tmp_path / "nowhere", "docs")
    (tmp_path / "_other").mkdir()
    (tmp_path / "file").touch()
    assert ParquetStore(tmp_path).crawls() == []


def half(local, tmp_path):
    """Two commits, of which only one table of the second was made visible."""
    publish(local, {"urls": "a"}, submission="old", ok=1)
    failed = tmp_path / "data" / "docs" / "failed" / "urls=a" / "rows.parquet"
    shutil.copy(failed, tmp_path / "old.parquet")
    publish(local, {"urls": "a"}, submission="new", ok=3)
    shutil.copy(tmp_path / "old.parquet", failed)
    publish(local, {"urls": "b"})


@pytest.mark.parametrize(
    "read",
    [
        lambda store, **how: read_partition(store, DOCS, "a", **how),
        lambda store, **how: read_partitions(store, DOCS, **how),
        lambda store, **how: scan(store, DOCS, **how).to_table(),
        lambda store, **how: scan(store, DOCS, to="polars", **how).collect().to_arrow(),
    ],
    ids=["one", "all", "dataset", "lazy"],
)
@pytest.mark.parametrize("gone", [False, True])
def test_a_half_published_partition_is_refused_or_read_with_a_warning(local, tmp_path, read, gone):
    half(local, tmp_path)
    if gone:
        (tmp_path / "data" / "docs" / "failed" / "urls=a" / "rows.parquet").unlink()
    with pytest.raises(HalfPublishedError, match=r"docs \(urls=a\).*Materialize docs/succeeded"):
        read(local)
    with pytest.warns(HalfPublishedWarning, match="docs") as warned:
        rows = read(local, on_half_published="warn")
    assert [row["submission_id"] for row in rows.to_pylist() if row["urls"] == "a"] == ["new"] * 3
    assert warned[0].filename == __file__


def test_whole_partitions_are_read_without_a_warning_next_to_a_half_one(local, tmp_path):
    half(local, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_partition(local, DOCS, "b").num_rows == 2


def shop(*fields):
    return {**SCHEMAS, "succeeded": extracting(pa.struct(list(fields)))}


NAME, PRICE, STARS = ("name", pa.string()), ("price", pa.float64()), ("stars", pa.int64())


def test_partitions_of_different_extraction_schemas_are_read_with_the_fields_of_all(local):
    publish(local, {"urls": "z"}, schemas=shop(NAME), ok=1, items=[{"name": "old"}])
    publish(local, {"urls": "a"}, schemas=shop(NAME, PRICE, STARS), ok=1, items=[{"name": "new", "price": 1.5}])
    publish(local, {"urls": "m"}, ok=1)
    wanted = {
        "a": [{"name": "new", "price": 1.5, "stars": None}],
        "m": None,
        "z": [{"name": "old", "price": None, "stars": None}],
    }
    for frame in (read_partitions(local, "docs"), scan(local, "docs", to="polars").collect().to_arrow()):
        assert {row["urls"]: row["items"] for row in frame.to_pylist()} == wanted


def test_a_field_of_another_type_is_an_error_that_names_it_and_the_other_columns_can_be_read(local):
    publish(local, {"urls": "a"}, schemas=shop(("sku", pa.string())), ok=1, items=[{"sku": "S-1"}])
    publish(local, {"urls": "b"}, schemas=shop(("sku", pa.int64())), ok=1, items=[{"sku": 7}])
    with pytest.raises(SchemaDriftError, match=r"items\[\]\.sku"):
        read_partitions(local, "docs")
    assert read_partitions(local, "docs", columns=["url", "data"]).num_rows == 2


@pytest.mark.parametrize(("first", "second"), [("a", "b"), ("b", "a")])
def test_integers_and_numbers_of_two_partitions_are_numbers_whichever_was_first(local, first, second):
    publish(local, {"urls": first}, schemas=shop(("price", pa.float64())), ok=1, items=[{"price": 1.5}])
    publish(local, {"urls": second}, schemas=shop(("price", pa.int64())), ok=1, items=[{"price": 2}])
    rows = read_partitions(local, "docs", [first, second])["items"].to_pylist()
    assert rows == [[{"price": 1.5}], [{"price": 2.0}]]


WITHOUT_POLARS = """
import sys
sys.modules["polars"] = None
from thunderbit_dagster import read_partition, scan
for ask in (lambda: read_partition({uri!r}, "docs", to="polars"), lambda: scan({uri!r}, "docs", to="polars")):
    try:
        ask()
    except ImportError as error:
        print(error)
print(read_partition({uri!r}, "docs", to="pandas").shape[0])
"""


def test_without_polars_the_error_says_how_to_install_it_and_the_rest_works(local):
    publish(local, {})
    script = WITHOUT_POLARS.format(uri=local.base_uri)
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    advice = "Polars is not installed: pip install 'thunderbit-dagster[polars]'"
    assert said.splitlines() == [advice, advice, "2"]


@pytest.mark.slow
def test_a_real_s3_server_is_read_through_the_same_door_by_every_library(tmp_path, monkeypatch):
    with loopback_s3.s3_server(tmp_path) as url:
        for name, value in loopback_s3.environment(url).items():
            monkeypatch.setenv(name, value)
        store = ParquetStore(f"s3://{loopback_s3.BUCKET}/loading")
        for name, size in SIZES.items():
            publish(store, {"urls": name}, ok=size)
        assert read_partition(store, DOCS, "a", to="pandas")["urls"].tolist() == ["a"] * 3
        assert read_partitions(store, "docs", ["a", "b"], to="polars").height == 5
        assert scan(store, "docs").count_rows() == 5
        lazy = scan(store, DOCS, to="polars").filter(pl.col("urls") == "b").select("url")
        assert lazy.collect().height == 2
        with pytest.raises(PartitionNotFoundError, match=r"s3://crawls/loading/docs/succeeded\. Published are a, b"):
            read_partition(store, DOCS, "typo")
