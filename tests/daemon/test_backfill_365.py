"""Dates, up to a year of them, backfilled by the real daemon: few runs, full batch jobs, every row in its partition."""

from __future__ import annotations

import os
import textwrap
from collections import Counter
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner
from page_server import serve_pages
from real_dagster import RealDagster, real_dagster

from thunderbit_dagster import ParquetStore
from thunderbit_dagster.cli import main
from thunderbit_dagster.emulator import Emulator

pytestmark = pytest.mark.slow

PER_DATE = 10
DATES = [str(key) for key in dg.DailyPartitionsDefinition("2025-01-01", end_date="2026-01-01").get_partition_keys()]
SOME_DATES = DATES if "RELIABILITY_ROUNDS" in os.environ else DATES[:100]
"""A year takes each way several minutes."""
DEFINITIONS = """
import dagster as dg

from thunderbit_dagster import Crawl, Distill, ParquetStore, ThunderbitResource, build_crawl_definitions


def of_date(partition):
    return [f"{pages}/{{partition.date}}/{{n}}" for n in range({per_date})]


defs = build_crawl_definitions(
    [
        Crawl(
            name="year",
            urls=of_date,
            request=Distill(),
            cadence=dg.DailyPartitionsDefinition("2025-01-01", end_date="2026-01-01"),
        )
    ],
    thunderbit=ThunderbitResource(api_key="{key}", base_url="{api}", requests_per_minute=1000),
    store=ParquetStore("{data}"),
    sensor_interval_seconds=5,
)
"""
BACKFILL = """
mutation Backfill($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message }
  }
}
"""


def write_definitions(folder: Path, emulator: Emulator, pages: str) -> Path:
    file = folder / "year_definitions.py"
    values = {"key": emulator.api_key, "api": emulator.base_url, "data": folder / "parquet", "per_date": PER_DATE}
    file.write_text(textwrap.dedent(DEFINITIONS.format(pages=pages, **values)))
    return file


def launch_backfill(dagster: RealDagster, assets: list[str], keys: list[str]) -> str:
    """What the button "Materialize" does for many partitions; the backfill's id."""
    selection = [{"path": asset.split("/")} for asset in assets]
    answer = dagster.graphql(BACKFILL, params={"assetSelection": selection, "partitionNames": keys})
    launched = answer["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched
    return launched["backfillId"]


def published(dagster: RealDagster, asset: str) -> set[str]:
    return set(dagster.instance.get_materialized_partitions(dg.AssetKey(["year", asset])))


def backfill_status(dagster: RealDagster, backfill: str) -> str:
    query = (
        "query B($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } } }"
    )
    return dagster.graphql(query, id=backfill)["partitionBackfillOrError"]["status"]


def check_rows(folder: Path, pages: str, dates: list[str]) -> None:
    """Every date holds its own pages and nothing else."""
    store = ParquetStore(folder / "parquet")
    for date in dates:
        rows = store.read("year", "succeeded", {"date": date}).to_pylist()
        assert sorted(row["url"] for row in rows) == sorted(f"{pages}/{date}/{n}" for n in range(PER_DATE))
        assert store.read("year", "failed", {"date": date}).num_rows == 0


def sizes_of(urls: int) -> list[int]:
    """Full batch jobs and the rest."""
    return [*([urls % 100] if urls % 100 else []), *[100] * (urls // 100)]


@pytest.mark.parametrize("assets", [["submissions"], ["submissions", "succeeded", "failed"]], ids=["submit", "all"])
def test_many_dates_are_full_batch_jobs_and_a_handful_of_runs(tmp_path: Path, assets: list[str]) -> None:
    with serve_pages() as pages, Emulator(plan="enterprise", credits=1_000_000, allow_origins=(pages,)) as emulator:
        definitions = write_definitions(tmp_path, emulator, pages)
        with real_dagster(tmp_path / "home", definitions, {}) as dagster:
            backfill = launch_backfill(dagster, [f"year/{asset}" for asset in assets], SOME_DATES)
            dagster.until(lambda: published(dagster, "failed") == set(SOME_DATES), "the collection of the year", 400)
            dagster.until(lambda: all(run.is_finished for run in dagster.instance.get_runs()), "the end of the runs")
            dagster.until(lambda: backfill_status(dagster, backfill).startswith("COMPLETED"), "the end of the backfill")
            runs = Counter(run.job_name for run in dagster.instance.get_runs())
            failed = [run for run in dagster.instance.get_runs() if not run.is_success]
            assert published(dagster, "submissions") == published(dagster, "succeeded") == set(SOME_DATES)
        sizes = sorted(job.total for job in emulator.jobs)
    assert sizes == sizes_of(PER_DATE * len(SOME_DATES))
    assert sum(runs.values()) <= 10, runs
    assert not failed
    check_rows(tmp_path, pages, SOME_DATES)


def test_every_third_date_is_one_run_to_submit_and_one_to_collect(tmp_path: Path, monkeypatch) -> None:
    with serve_pages() as pages, Emulator(plan="enterprise", credits=1_000_000, allow_origins=(pages,)) as emulator:
        definitions = write_definitions(tmp_path, emulator, pages)
        with real_dagster(tmp_path / "home", definitions, {}) as dagster:
            monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
            asked = [
                "backfill",
                "year",
                "-f",
                str(definitions),
                "--from",
                SOME_DATES[0],
                "--to",
                SOME_DATES[-1],
                "--every",
                "3",
            ]
            told = CliRunner().invoke(main, [*asked, "--yes", "--url", dagster.api.url], catch_exceptions=False)
            assert told.exit_code == 0, told.output
            sparse = SOME_DATES[::3]
            dagster.until(lambda: published(dagster, "failed") == set(sparse), "the collection of the dates", 400)
            dagster.until(lambda: all(run.is_finished for run in dagster.instance.get_runs()), "the end of the runs")
            runs = Counter(run.job_name for run in dagster.instance.get_runs())
            assert all(run.is_success for run in dagster.instance.get_runs())
            assert published(dagster, "submissions") == published(dagster, "succeeded") == set(sparse)
        assert sorted(job.total for job in emulator.jobs) == sizes_of(PER_DATE * len(sparse))
    assert set(runs) == {"year_backfill", "year_collect_partitions"}
    assert sum(runs.values()) <= 3, runs
    check_rows(tmp_path, pages, sparse)
