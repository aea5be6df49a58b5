"""Who waits for a batch job: the sensor when it is on, the run itself when nobody else does."""

from __future__ import annotations

import textwrap
import time
from pathlib import Path

import dagster as dg
import pytest
from page_server import serve_pages
from real_dagster import RealDagster, real_dagster

from thunderbit_dagster import ParquetStore
from thunderbit_dagster.emulator import Emulator
from thunderbit_dagster.runs.names import SENSOR_NAME

pytestmark = pytest.mark.slow

ASSETS = ["site/submissions", "site/succeeded", "site/failed"]
JOB_SECONDS = 60
DEFINITIONS = """
from thunderbit_dagster import Crawl, Distill, ParquetStore, ThunderbitResource, build_crawl_definitions

defs = build_crawl_definitions(
    [Crawl(name="site", urls={{"a": [f"{pages}/a/{{n}}" for n in range(8)]}}, request=Distill())],
    thunderbit=ThunderbitResource(api_key="{key}", base_url="{api}", requests_per_minute=100),
    store=ParquetStore("{data}"),
    sensor_interval_seconds=5,
)
"""


def _write_definitions(folder: Path, emulator: Emulator, pages: str) -> Path:
    file = folder / "site_definitions.py"
    text = DEFINITIONS.format(pages=pages, key=emulator.api_key, api=emulator.base_url, data=folder / "parquet")
    file.write_text(textwrap.dedent(text))
    return file


def _is_materialized(dagster: RealDagster, asset: str) -> bool:
    key = dg.AssetKey(asset.split("/"))
    return "a" in dagster.instance.get_materialized_partitions(key)


def _sensor_has_ticked(dagster: RealDagster) -> bool:
    states = dagster.instance.all_instigator_state()
    return any(s.instigator_name == SENSOR_NAME and s.instigator_data.last_tick_timestamp for s in states)


def test_with_the_sensor_on_no_run_waits_for_a_job_that_takes_a_minute(tmp_path: Path) -> None:
    with serve_pages() as pages, Emulator(plan="pro", hold=True, allow_origins=(pages,)) as emulator:
        definitions = _write_definitions(tmp_path, emulator, pages)
        with real_dagster(tmp_path / "home", definitions, {}) as dagster:
            dagster.until(lambda: _sensor_has_ticked(dagster), "a tick of the sensor")
            began = time.monotonic()
            run = dagster.materialize(ASSETS, "a")
            dagster.until(lambda: dagster.finished(run), "the end of the run")
            assert dagster.instance.get_run_by_id(run).status is dg.DagsterRunStatus.SUCCESS
            assert _is_materialized(dagster, "site/submissions")
            assert not _is_materialized(dagster, "site/succeeded")
            dagster.until(lambda: time.monotonic() - began > JOB_SECONDS, "the minute that the job takes")
            emulator.release()
            dagster.until(lambda: _is_materialized(dagster, "site/failed"), "the collection by the sensor's run")
            dagster.until(lambda: all(r.is_finished for r in dagster.instance.get_runs()), "the end of the collect run")
            seconds = dagster.run_seconds()
    assert max(seconds.values()) < JOB_SECONDS / 2, seconds
    assert len(emulator_submits(emulator)) == 1
    assert ParquetStore(tmp_path / "parquet").footer("site", "succeeded", {"urls": "a"}).num_rows == 8


def test_with_the_sensor_off_materialize_all_completes_by_itself(tmp_path: Path) -> None:
    with serve_pages() as pages, Emulator(plan="pro", hold=True, allow_origins=(pages,)) as emulator:
        definitions = _write_definitions(tmp_path, emulator, pages)
        with real_dagster(tmp_path / "home", definitions, {}) as dagster:
            dagster.stop_sensor(SENSOR_NAME)
            run = dagster.materialize(ASSETS, "a")
            dagster.until(lambda: _is_materialized(dagster, "site/submissions"), "the submission")
            assert not dagster.finished(run)
            emulator.release()
            dagster.until(lambda: dagster.finished(run), "the end of the run")
            assert dagster.instance.get_run_by_id(run).status is dg.DagsterRunStatus.SUCCESS
            assert len(dagster.instance.get_runs()) == 1
    assert ParquetStore(tmp_path / "parquet").footer("site", "succeeded", {"urls": "a"}).num_rows == 8


def emulator_submits(emulator: Emulator) -> list[object]:
    return [request for request in emulator.requests if request.method == "POST"]
