"""The deployment of `deploy/`, its processes on one machine: code server, daemon, webserver and Celery workers."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import pytest
import yaml
from ports import free_port

from thunderbit_dagster.cli.dagster_api import DagsterApi
from thunderbit_dagster.cli.processes import Child, Children, http_client

DEPLOY = Path(__file__).parents[2] / "deploy"
LOCATION = Path(__file__).with_name("crawl_location.py")
START_SECONDS = 180
LOOK_SECONDS = 0.25
LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  }
}
"""


@dataclass
class Deployment:
    """What runs, and the instance that all of it shares."""

    home: Path
    env: dict[str, str]
    children: Children
    instance: dg.DagsterInstance
    api: DagsterApi
    workers: dict[str, Child] = field(default_factory=dict)

    def until(self, reached: Callable[[], bool], what: str, seconds: float = 180) -> None:
        """Wait for something that the processes do; fail when one ends or the time is over."""
        stop_by = time.monotonic() + seconds
        while not reached():
            self.children.check()
            if time.monotonic() > stop_by:
                pytest.fail(f"{what} did not happen within {seconds} s.\n{self.last_words()}")
            time.sleep(LOOK_SECONDS)

    def last_words(self) -> str:
        """The ends of all logs, the runs, and why runs have failed."""
        logs = [f"== {log.name}\n{log.read_text(errors='replace')[-1500:]}" for log in sorted(self.home.glob("*.log"))]
        runs = self.instance.get_runs()
        return "\n".join(
            [
                *logs,
                *(f"{run.run_id} {run.job_name} {run.status}" for run in runs),
                *(self._why_failed(run) for run in runs if run.status is dg.DagsterRunStatus.FAILURE),
            ]
        )

    def _why_failed(self, run: dg.DagsterRun) -> str:
        failures = [one for one in self.instance.all_logs(run.run_id) if one.dagster_event and one.is_dagster_event]
        words = [one.dagster_event.step_failure_data.error for one in failures if one.dagster_event.is_step_failure]
        return "\n".join([f"== {run.job_name} {run.run_id}", *(str(error)[:3000] for error in words)])

    def start_worker(self, name: str) -> None:
        """One more Celery worker, with a request budget of its own, as on a machine of its own."""
        env = {"THUNDERBIT_STATE_DIR": str(self.home / f"state-{name}")}
        command = ["dagster_celery.cli", "worker", "start", "-A", "dagster_celery.app"]
        options = ["-y", str(self.home / "celery.yaml"), "-n", name, "--", "--concurrency", "1"]
        self.children.env.update(env)
        code = f"from {command[0]} import main; main()"
        log = self.home / f"{name}.log"
        self.workers[name] = self.children.start(name, [sys.executable, "-c", code, *command[1:], *options], log)
        self.children.wait_until(lambda: " ready." in log.read_text(errors="replace"), name, START_SECONDS)

    def kill_worker(self, name: str) -> None:
        """SIGKILL to a worker and all its processes, as when its machine is gone."""
        child = self.workers.pop(name)
        self.children.children.remove(child)
        os.killpg(child.process.pid, signal.SIGKILL)
        child.process.wait()

    def launch(self, job: str, partition: str, *assets: str) -> str:
        """A run of a job for one partition, as the UI launches it; its id."""
        name, location = self.api._repositories()[0]
        selector = {"repositoryName": name, "repositoryLocationName": location, "pipelineName": job}
        if assets:
            selector["assetSelection"] = [{"path": asset.split("/")} for asset in assets]
        tags = [{"key": "dagster/partition", "value": partition}]
        params = {"selector": selector, "mode": "default", "runConfigData": {}, "executionMetadata": {"tags": tags}}
        body = {"query": LAUNCH, "variables": {"params": params}}
        answer = http_client().post(f"{self.api.url}/graphql", json=body, timeout=60).json()
        launched = answer["data"]["launchRun"]
        assert launched["__typename"] == "LaunchRunSuccess", answer
        return launched["run"]["runId"]

    def status(self, run_id: str) -> dg.DagsterRunStatus:
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return run.status

    def workers_of(self, run_id: str) -> list[str]:
        """The workers that began a step of a run, in order."""
        return [
            str(entry.dagster_event.event_specific_data.metadata["Celery worker"].value).split("@")[0]
            for entry in self.instance.all_logs(run_id)
            if entry.dagster_event and "in celery worker" in (entry.dagster_event.message or "")
        ]

    def materialized(self, *asset: str) -> set[str]:
        return set(self.instance.get_materialized_partitions(dg.AssetKey(list(asset))))


@contextmanager
def deployment(home: Path, env: dict[str, str], *, redelivered_after: int, workers: int = 2) -> Iterator[Deployment]:
    """The deployment with steps of dead workers redelivered after so many seconds, until the block ends."""
    home.mkdir()
    (home / "dagster.yaml").write_text((DEPLOY / "dagster.yaml").read_text())
    (home / "celery.yaml").write_text(_celery_settings(redelivered_after))
    code, web = free_port(), free_port()
    env = {
        **env,
        "DAGSTER_HOME": str(home),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
        "CODE_LOCATION_HOST": "127.0.0.1",
        "CODE_LOCATION_PORT": str(code),
        "TEST_DEPLOY_LOCATION": str(DEPLOY / "definitions.py"),
        "THUNDERBIT_STATE_DIR": str(home / "state"),
        # dagster-celery starts `celery` by its name.
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    workspace = ["-w", str(DEPLOY / "workspace.yaml")]
    with pytest.MonkeyPatch.context() as patch, Children(dict(os.environ) | env) as children:
        for name, value in env.items():
            patch.setenv(name, value)
        with dg.DagsterInstance.from_config(str(home)) as instance:
            api = DagsterApi(f"http://127.0.0.1:{web}")
            world = Deployment(home, env, children, instance, api)
            served = ["-f", str(LOCATION), "-h", "127.0.0.1", "-p", str(code)]
            children.start("code", _dagster("dagster", "api", "grpc", *served), home / "code.log")
            shown = ["-h", "127.0.0.1", "-p", str(web), *workspace]
            children.start("webserver", _dagster("dagster_webserver", *shown), home / "webserver.log")
            children.start("daemon", _dagster("dagster._daemon", "run", *workspace), home / "daemon.log")
            for number in range(1, workers + 1):
                world.start_worker(f"worker{number}")
            children.wait_until(api.is_loaded, "the code location", START_SECONDS)
            yield world


def _dagster(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def _celery_settings(redelivered_after: int) -> str:
    settings = yaml.safe_load((DEPLOY / "celery.yaml").read_text())
    options = settings["execution"]["config"]["config_source"]["broker_transport_options"]
    options |= {"visibility_timeout": redelivered_after, "unacked_restore_interval": 1, "unacked_restore_throttle": 1}
    return yaml.safe_dump(settings)
