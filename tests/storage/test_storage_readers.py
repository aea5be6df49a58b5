"""What pyarrow, pandas, DuckDB and Polars make of the files, with nothing of ours in between."""

import datetime as dt
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from storage_rows import publish, succeeded

from thunderbit_dagster.storage.schema import SCHEMAS

HOURS = ("2026-11-02-13:00", "2026-10-25-02:00+0100")
SOURCES = ("guides", "docs.python.org")


def by_pyarrow(root):
    return ds.dataset(root, partitioning="hive").to_table().to_pylist()


def by_pandas(root):
    return pd.read_parquet(root).to_dict("records")


def by_duckdb(root):
    query = f"select * from read_parquet('{root}/**/*.parquet', hive_partitioning = true)"  # noqa: S608
    return duckdb.connect().sql(query).to_arrow_table().to_pylist()


def by_polars(root):
    return pl.scan_parquet(f"{root}/**/*.parquet", hive_partitioning=True).collect().to_dicts()


def by_polars_directory(root):
    return pl.read_parquet(root, hive_partitioning=True).to_dicts()


READERS = [by_pyarrow, by_pandas, by_duckdb, by_polars, by_polars_directory]


@pytest.fixture
def data(local, tmp_path):
    for hour in HOURS:
        for source in SOURCES:
            bad = 2 if source == "guides" else 0
            publish(local, "1", dimensions={"date": hour, "urls": source}, bad=bad, markdown="\0 \U0001f600 é")
    return tmp_path / "data" / "docs"


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(("table", "count"), [("succeeded", 12), ("failed", 4)])
def test_the_whole_table_reads_alike_everywhere(data, local, read, table, count):
    rows = read(data / table)
    assert len(rows) == count == local.scan("docs", table).count_rows()
    assert set(rows[0]) == {*SCHEMAS[table].names, "date", "urls"}
    assert {row["date"] for row in rows} == set(HOURS)
    assert {row["urls"] for row in rows} == ({"guides"} if table == "failed" else set(SOURCES))
    assert {row["collected_at"].astimezone(dt.timezone.utc).hour for row in rows} == {12}


@pytest.mark.parametrize("read", READERS)
def test_texts_are_the_same_everywhere(data, read):
    assert {row["markdown"] for row in read(data / "succeeded")} == {"\0 \U0001f600 é"}


@pytest.mark.parametrize("read", READERS)
def test_a_table_of_empty_partitions_reads_as_empty(local, tmp_path, read):
    publish(local, "1", bad=0)
    assert read(tmp_path / "data" / "docs" / "failed") == []


def test_an_empty_partition_has_every_column_everywhere(local, tmp_path):
    publish(local, "1", ok=0)
    root = tmp_path / "data" / "docs" / "succeeded"
    expected = [*SCHEMAS["succeeded"].names, "date", "urls"]
    by_glob = duckdb.connect().read_parquet(f"{root}/**/*.parquet", hive_partitioning=True)
    assert ds.dataset(root, partitioning="hive").schema.names == expected
    assert list(pd.read_parquet(root).columns) == expected
    assert by_glob.columns == expected
    assert pl.read_parquet(f"{root}/**/*.parquet", hive_partitioning=True).columns == expected


@pytest.mark.parametrize(
    "open_one",
    [
        lambda path: pq.ParquetFile(path).read().num_rows,
        lambda path: len(pd.read_parquet(path)),
        lambda path: duckdb.connect().execute("select count(*) from read_parquet(?)", [str(path)]).fetchone()[0],
        lambda path: pl.read_parquet(path, glob=False).height,
    ],
)
def test_one_partition_opens_by_its_path(data, open_one):
    path = data / "succeeded" / "date=2026-11-02-13%3A00" / "urls=guides" / "rows.parquet"
    assert open_one(path) == 3


@pytest.mark.parametrize("read", READERS)
def test_a_half_written_partition_is_in_nobodys_way(data, local, read):
    with local.open_partition("docs", {"date": HOURS[0], "urls": "guides"}, flush_bytes=1) as writer:
        writer.write_succeeded(succeeded(0))
        assert len(read(data / "succeeded")) == 12
        everything = [path for path in data.parent.rglob("*.parquet") if "_staging" in Path(path).parts]
        assert everything == []
