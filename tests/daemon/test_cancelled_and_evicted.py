"""A real run worker, cancelled through the UI's API or told to end by its platform, and what becomes of its jobs."""

from __future__ import annotations

import os
import re
import signal
import textwrap
from pathlib import Path

import dagster as dg
import pytest
from page_server import serve_pages
from real_dagster import RealDagster, real_dagster

from thunderbit_dagster import ParquetStore
from thunderbit_dagster.cli.dagster_api import LAUNCH
from thunderbit_dagster.emulator import Emulator, Faults, Rule
from thunderbit_dagster.runs.names import SENSOR_NAME

pytestmark = pytest.mark.slow

ASSETS = ["site/submissions", "site/succeeded", "site/failed"]
URLS = 8
TERMINATE = """
mutation Terminate($id: String!) {
  terminateRun(runId: $id) { __typename ... on PythonError { message } ... on TerminateRunFailure { message } }
}
"""
REEXECUTE = """
mutation Again($params: ReexecutionParams!) {
  launchRunReexecution(reexecutionParams: $params) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  }
}
"""
DEFINITIONS = """
from thunderbit_dagster import Crawl, Distill, ParquetStore, ThunderbitResource, build_crawl_definitions

urls = {{key: [f"{pages}/{{key}}/{{n}}" for n in range({urls})] for key in "ab"}}
defs = build_crawl_definitions(
    [Crawl(name="site", urls=urls, request=Distill(), batch_size={batch_size})],
    thunderbit=ThunderbitResource(api_key="{key}", base_url="{api}", requests_per_minute=1000),
    store=ParquetStore("{data}"),
    sensor_interval_seconds=5,
)
"""


def write_definitions(folder: Path, emulator: Emulator, pages: str, batch_size: int) -> Path:
    file = folder / "site_definitions.py"
    values = {"key": emulator.api_key, "api": emulator.base_url, "data": folder / "parquet"}
    file.write_text(textwrap.dedent(DEFINITIONS.format(pages=pages, urls=URLS, batch_size=batch_size, **values)))
    return file


def requests(emulator: Emulator, method: str) -> list[str]:
    return [request.path.rsplit("/", 1)[-1] for request in emulator.requests if request.method == method]


def terminate(dagster: RealDagster, run_id: str) -> None:
    answer = dagster.graphql(TERMINATE, id=run_id)["terminateRun"]
    assert answer["__typename"] == "TerminateRunSuccess", answer


def evict(dagster: RealDagster, run_id: str) -> None:
    """SIGTERM to the run worker's process, as a container platform sends it."""
    said = " ".join(entry.user_message for entry in dagster.instance.all_logs(run_id))
    os.kill(int(re.search(r"pid:? (\d+)", said).group(1)), signal.SIGTERM)


def reexecute_from_failure(dagster: RealDagster, run_id: str) -> str:
    params = {"parentRunId": run_id, "strategy": "FROM_FAILURE"}
    launched = dagster.graphql(REEXECUTE, params=params)["launchRunReexecution"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    return launched["run"]["runId"]


def launch_job(dagster: RealDagster, job: str, partition: str) -> str:
    """What the launchpad of a partitioned job does; the run's id."""
    name, location = dagster.api._repositories()[0]
    selector = {"repositoryName": name, "repositoryLocationName": location, "pipelineName": job}
    tags = [{"key": "dagster/partition", "value": partition}]
    params = {"selector": selector, "runConfigData": {}, "mode": "default", "executionMetadata": {"tags": tags}}
    launched = dagster.graphql(LAUNCH, params=params)["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    return launched["run"]["runId"]


def status(dagster: RealDagster, run_id: str) -> dg.DagsterRunStatus:
    dagster.until(lambda: dagster.finished(run_id), "the end of the run")
    return dagster.instance.get_run_by_id(run_id).status


def log_of(dagster: RealDagster, run_id: str) -> str:
    return "\n".join(entry.user_message for entry in dagster.instance.all_logs(run_id))


def is_published(dagster: RealDagster, partition: str) -> bool:
    return partition in dagster.instance.get_materialized_partitions(dg.AssetKey(["site", "failed"]))


def rows(folder: Path, partition: str) -> tuple[int, list[str]]:
    """How many pages succeeded, and the error codes of the others."""
    store = ParquetStore(folder / "parquet")
    succeeded = store.read("site", "succeeded", {"urls": partition}).to_pylist()
    failed = store.read("site", "failed", {"urls": partition}).to_pylist()
    assert sorted(row["position"] for row in [*succeeded, *failed]) == list(range(URLS))
    return len(succeeded), [row["error_code"] for row in failed]


def test_a_run_that_waits_for_its_job_is_cancelled_or_evicted(tmp_path: Path) -> None:
    with serve_pages() as pages, Emulator(plan="pro", hold=True, allow_origins=(pages,)) as emulator:
        definitions = write_definitions(tmp_path, emulator, pages, batch_size=100)
        with real_dagster(tmp_path / "home", definitions, {}) as dagster:
            dagster.stop_sensor(SENSOR_NAME)

            evicted = dagster.materialize(ASSETS, "a")
            dagster.until(lambda: "Waiting for 1 running" in log_of(dagster, evicted), "the wait for the job")
            evict(dagster, evicted)
            assert status(dagster, evicted) is dg.DagsterRunStatus.FAILURE
            assert "left alone" in log_of(dagster, evicted)
            assert requests(emulator, "DELETE") == []
            again = reexecute_from_failure(dagster, evicted)
            emulator.release(URLS)
            assert status(dagster, again) is dg.DagsterRunStatus.SUCCESS
            assert len(requests(emulator, "POST")) == 1
            assert rows(tmp_path, "a") == (URLS, [])

            cancelled = dagster.materialize(ASSETS, "b")
            dagster.until(lambda: "Waiting for 1 running" in log_of(dagster, cancelled), "the wait for the job")
            emulator.release(3)
            dagster.until(lambda: emulator.jobs[-1].completed == 3, "three finished pages")
            terminate(dagster, cancelled)
            assert status(dagster, cancelled) is dg.DagsterRunStatus.CANCELED
            assert requests(emulator, "DELETE") == [emulator.jobs[-1].id]
            assert emulator.jobs[-1].status.value == "CANCELLED"
            assert "3 of 8 rows were finished, are billed and are kept" in log_of(dagster, cancelled)
            dagster.start_sensor(SENSOR_NAME)
            dagster.until(lambda: is_published(dagster, "b"), "the collection of the finished rows")
    assert rows(tmp_path, "b") == (3, ["JOB_CANCELLED"] * 5)
    assert len(requests(emulator, "DELETE")) == 1


def test_a_run_that_is_submitting_is_cancelled_or_evicted(tmp_path: Path) -> None:
    slow = Faults(rules=(Rule("delay", method="POST", nth=(3, 7), seconds=10.0),))
    with serve_pages() as pages, Emulator(plan="pro", hold=True, allow_origins=(pages,), faults=slow) as emulator:
        definitions = write_definitions(tmp_path, emulator, pages, batch_size=2)
        with real_dagster(tmp_path / "home", definitions, {}) as dagster:
            cancelled = dagster.materialize(["site/submissions"], "a")
            dagster.until(lambda: len(emulator.jobs) == 2, "the third submit")
            terminate(dagster, cancelled)
            assert status(dagster, cancelled) is dg.DagsterRunStatus.CANCELED
            assert len(requests(emulator, "POST")) == len(emulator.jobs) == 3
            assert sorted(requests(emulator, "DELETE")) == sorted(job.id for job in emulator.jobs)
            assert "Not everything was sent of a" in log_of(dagster, cancelled)
            assert not is_published(dagster, "a")
            assert status(dagster, dagster.materialize(["site/submissions"], "a")) is dg.DagsterRunStatus.SUCCESS
            emulator.release(2)
            dagster.until(lambda: is_published(dagster, "a"), "the collection of the submission that was continued")
            assert rows(tmp_path, "a") == (2, ["JOB_CANCELLED"] * 6)

            evicted = dagster.materialize(["site/submissions"], "b")
            dagster.until(lambda: len(emulator.jobs) == 6, "the third submit of the partition")
            evict(dagster, evicted)
            assert status(dagster, evicted) is dg.DagsterRunStatus.FAILURE
            assert "left alone" in log_of(dagster, evicted)
            again = reexecute_from_failure(dagster, evicted)
            assert status(dagster, again) is dg.DagsterRunStatus.SUCCESS
            assert len(requests(emulator, "POST")) == 8

            emulator.release(1)
            dagster.until(lambda: sum(job.completed for job in emulator.jobs[4:]) == 1, "a finished page")
            assert status(dagster, launch_job(dagster, "site_cancel", "b")) is dg.DagsterRunStatus.SUCCESS
            assert len(requests(emulator, "DELETE")) == 3 + 4
            dagster.until(lambda: is_published(dagster, "b"), "the collection after the cancellation by hand")
    assert rows(tmp_path, "b") == (1, ["JOB_CANCELLED"] * 7)
