"""What a crawl wrote opens in pyarrow, pandas, DuckDB and Polars, with the same counts."""

import dagster as dg
import duckdb
import pandas as pd
import polars as pl
import pyarrow.dataset as pads
from crawl_world import crawl


def test_the_partitions_of_a_crawl_open_in_four_readers_with_the_same_counts(line, pages, tmp_path):
    guides, reference = [*pages.urls(3), *pages.urls(1, "missing")], [*pages.urls(2), "nonsense"]
    lists = {"guides": guides, "empty": [], "reference": reference}
    daily = dg.DailyPartitionsDefinition("2026-11-01", end_date="2026-11-03")
    docs = line(crawl(lists, cadence=daily))
    docs.through("2026-11-01|guides", "2026-11-02|reference")
    wanted = {
        "succeeded": {"guides": 3, "reference": 2},
        "failed": {"guides": 1, "reference": 1},
    }
    for table, counts in wanted.items():
        folder = tmp_path / "data" / docs.crawl.name / table
        glob = f"{folder}/**/*.parquet"
        assert len(list(folder.rglob("*.parquet"))) == 6
        by_arrow = pads.dataset(folder, partitioning="hive").to_table().to_pandas()
        by_pandas = pd.read_parquet(folder)
        by_polars = pl.read_parquet(glob, hive_partitioning=True).to_pandas()
        by_duckdb = duckdb.read_parquet(glob, hive_partitioning=True).pl().to_pandas()
        for frame in (by_arrow, by_pandas, by_polars, by_duckdb):
            assert frame.groupby("urls", observed=True).size().to_dict() == {
                name: 2 * count for name, count in counts.items()
            }
            assert frame["date"].astype(str).str[:10].value_counts().to_dict() == {
                "2026-11-01": sum(counts.values()),
                "2026-11-02": sum(counts.values()),
            }
        assert docs.store.scan(docs.crawl.name, table).count_rows() == 2 * sum(counts.values())
