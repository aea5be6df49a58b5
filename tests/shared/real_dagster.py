"""A real Dagster: daemon, webserver and run workers, in a folder of its own."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest
from ports import free_port

from thunderbit_dagster.cli.dagster_api import LAUNCH, DagsterApi
from thunderbit_dagster.cli.processes import Children, http_client
from thunderbit_dagster.cli.workspace import DAGSTER_YAML

START_SECONDS = 120
SENSOR = """
query Sensor($selector: SensorSelector!) {
  sensorOrError(sensorSelector: $selector) { ... on Sensor { sensorState { id } } }
}
"""
STOP_SENSOR = """
mutation Stop($id: String!) { stopSensor(id: $id) { ... on StopSensorMutationResult { instigationState { status } } } }
"""
START_SENSOR = """
mutation Start($selector: SensorSelector!) {
  startSensor(sensorSelector: $selector) { __typename ... on PythonError { message } }
}
"""
LOOK_SECONDS = 0.5


@dataclass
class RealDagster:
    """A running ``dagster dev`` and its instance."""

    api: DagsterApi
    instance: dg.DagsterInstance
    children: Children
    home: Path

    def until(self, reached: Callable[[], bool], what: str, seconds: float = 300) -> None:
        """Wait for something that the daemon does; fail when a process ends or the time is over."""
        stop_by = time.monotonic() + seconds
        while not reached():
            self.children.check()
            if time.monotonic() > stop_by:
                log = (self.home / "dagster.log").read_text()[-3000:]
                pytest.fail(f"{what} did not happen within {seconds} s. Dagster's log ends:\n{log}")
            time.sleep(LOOK_SECONDS)

    def finished(self, run_id: str) -> bool:
        run = self.instance.get_run_by_id(run_id)
        return run is not None and run.is_finished

    def graphql(self, query: str, **variables: object) -> dict[str, object]:
        """One call of the webserver's GraphQL API."""
        body = {"query": query, "variables": variables}
        answer = http_client().post(f"{self.api.url}/graphql", json=body, timeout=60).raise_for_status().json()
        assert "errors" not in answer, answer
        return answer["data"]

    def materialize(self, assets: list[str], partition: str | None = None) -> str:
        """What the button "Materialize" does for some assets, and one partition if they have any; the run's id."""
        name, location = self.api._repositories()[0]
        selector = {"repositoryName": name, "repositoryLocationName": location, "pipelineName": "__ASSET_JOB"}
        selector["assetSelection"] = [{"path": asset.split("/")} for asset in assets]
        tags = [{"key": "dagster/partition", "value": partition}] if partition else []
        params = {"selector": selector, "mode": "default", "executionMetadata": {"tags": tags}}
        launched = self.graphql(LAUNCH, params=params)["launchRun"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        return launched["run"]["runId"]

    def start_sensor(self, sensor: str) -> None:
        """Switch a sensor on, as the UI does."""
        name, location = self.api._repositories()[0]
        selector = {"repositoryName": name, "repositoryLocationName": location, "sensorName": sensor}
        assert self.graphql(START_SENSOR, selector=selector)["startSensor"]["__typename"] == "Sensor"

    def stop_sensor(self, sensor: str) -> None:
        """Switch a sensor off, as the UI does."""
        name, location = self.api._repositories()[0]
        selector = {"repositoryName": name, "repositoryLocationName": location, "sensorName": sensor}
        found = self.graphql(SENSOR, selector=selector)["sensorOrError"]
        stopped = self.graphql(STOP_SENSOR, id=found["sensorState"]["id"])["stopSensor"]
        assert stopped["instigationState"]["status"] == "STOPPED"

    def run_seconds(self) -> dict[str, float]:
        """How long each run took, by job name; the longest of each."""
        longest: dict[str, float] = {}
        for record in self.instance.get_run_records():
            seconds = (record.end_time or time.time()) - (record.start_time or time.time())
            name = record.dagster_run.job_name
            longest[name] = max(seconds, longest.get(name, 0.0))
        return longest


@contextmanager
def real_dagster(home: Path, definitions: Path, env: dict[str, str]) -> Iterator[RealDagster]:
    """``dagster dev`` for a definitions file, until the block ends."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "dagster.yaml").write_text(DAGSTER_YAML)
    port = free_port()
    environment = dict(os.environ) | env | {"DAGSTER_HOME": str(home), "DAGSTER_DISABLE_TELEMETRY": "yes"}
    environment.pop("THUNDERBIT_API_KEY", None)
    command = [sys.executable, "-m", "dagster", "dev", "-h", "127.0.0.1", "-p", str(port), "-f", str(definitions)]
    with Children(environment) as children, dg.DagsterInstance.from_config(str(home)) as instance:
        children.start("Dagster", command, home / "dagster.log")
        api = DagsterApi(f"http://127.0.0.1:{port}")
        children.wait_until(api.is_loaded, "Dagster", START_SECONDS)
        yield RealDagster(api, instance, children, home)
