"""A `dagster dev` of our own, as users have it: daemon, code server and UI, with default settings."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import httpx

from thunderbit_dagster.cli.dagster_api import DagsterApi
from thunderbit_dagster.cli.processes import Children, free_port
from thunderbit_dagster.runs.names import SENSOR_NAME

START_SECONDS = 180.0
LOOK_SECONDS = 1.0
WEBHOOK_SECRET = "a-secret-of-the-benchmarks"  # noqa: S105 - it protects nothing
BACKFILL = """
mutation Backfill($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message }
  }
}
"""


class DeploymentError(Exception):
    """Dagster did not do what was waited for."""


@dataclass
class Deployment:
    """A running Dagster, and its instance."""

    api: DagsterApi
    instance: dg.DagsterInstance
    children: Children
    log: Path

    def until(self, reached: Callable[[], bool], what: str, seconds: float) -> None:
        """Wait for something that Dagster does.

        Raises:
            DeploymentError: the time is over.
        """
        stop_by = time.monotonic() + seconds
        while not reached():
            self.children.check()
            if time.monotonic() > stop_by:
                raise DeploymentError(f"{what} did not happen in {seconds:.0f} s. {self.log.read_text()[-2000:]}")
            time.sleep(LOOK_SECONDS)

    def has_ticked(self) -> bool:
        """Whether the job sensor has had its first tick."""
        states = self.instance.all_instigator_state()
        return any(one.instigator_name == SENSOR_NAME and one.instigator_data is not None for one in states)

    def published(self, crawl: str) -> set[str]:
        return set(self.instance.get_materialized_partitions(dg.AssetKey([crawl, "failed"])))

    def last_published(self, crawl: str) -> float:
        """When Dagster was last told of a published partition."""
        record = self.instance.fetch_materializations(dg.AssetKey([crawl, "failed"]), limit=1).records[0]
        return record.timestamp

    def launch_backfill(self, asset: str, partitions: list[str]) -> None:
        """What the button "Materialize" does for many partitions of an asset."""
        params = {"assetSelection": [{"path": asset.split("/")}], "partitionNames": partitions}
        body = {"query": BACKFILL, "variables": {"params": params}}
        answer = httpx.post(f"{self.api.url}/graphql", json=body, timeout=60, trust_env=False).raise_for_status().json()
        launched = answer["data"]["launchPartitionBackfill"]
        if launched["__typename"] != "LaunchBackfillSuccess":
            raise DeploymentError(str(launched))


@contextmanager
def deployment(definitions: Path, home: Path, variables: Mapping[str, str], *, webhooks: bool) -> Iterator[Deployment]:
    """``dagster dev`` for a definitions file, and the webhook receiver when asked for, until the block ends."""
    home.mkdir(parents=True)
    port = free_port(0)
    env = {**os.environ, **variables, "DAGSTER_HOME": str(home), "DAGSTER_DISABLE_TELEMETRY": "yes"}
    if webhooks:
        receiver_port = free_port(0)
        env["THUNDERBIT_WEBHOOK_URL"] = f"http://127.0.0.1:{receiver_port}/webhooks/thunderbit"
        env["THUNDERBIT_WEBHOOK_SECRET"] = WEBHOOK_SECRET
    log = home.parent / "dagster.log"
    command = [sys.executable, "-m", "dagster", "dev", "-h", "127.0.0.1", "-p", str(port), "-f", str(definitions)]
    with Children(env) as children, dg.DagsterInstance.from_config(str(home)) as instance:
        children.start("Dagster", command, log)
        api = DagsterApi(f"http://127.0.0.1:{port}")
        children.wait_until(api.is_loaded, "Dagster", START_SECONDS)
        if webhooks:
            serve = [sys.executable, "-m", "thunderbit_dagster.cli", "webhooks", "serve", "--port", str(receiver_port)]
            children.start("webhook receiver", serve, home.parent / "webhooks.log")
        running = Deployment(api, instance, children, log)
        running.until(running.has_ticked, "a tick of the sensor", START_SECONDS)
        yield running
