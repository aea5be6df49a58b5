"""deploy/: the files are valid, fit together, and hold the settings that keep work from being lost."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
from pathlib import Path

import dagster as dg
import pytest
import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
HELM = yaml.safe_load((DEPLOY / "helm" / "values.yaml").read_text())
DAGSTER = yaml.safe_load((DEPLOY / "dagster.yaml").read_text())
PROCESSES = {"code-location", "webserver", "daemon", "webhooks", "worker-1", "worker-2"}


def has_compose():
    found = shutil.which("docker")
    return found and not subprocess.run([found, "compose", "version"], check=False, capture_output=True).returncode


def named_variables(text):
    return set(re.findall(r"\{env: (\w+)\}", text))


def test_compose_starts_every_process_on_one_image_and_waits_for_the_databases():
    services = COMPOSE["services"]
    assert set(services) == PROCESSES | {"postgres", "redis"}
    for name in PROCESSES:
        assert services[name]["image"] == "thunderbit-dagster"
        assert set(services[name]["depends_on"]) >= {"postgres", "redis"}
    assert all("healthcheck" in services[name] for name in ("postgres", "redis"))


def test_every_variable_that_a_file_reads_is_set_by_compose():
    read = set().union(
        *(named_variables((DEPLOY / f"{name}.yaml").read_text()) for name in ("dagster", "celery", "workspace"))
    )
    read |= set(re.findall(r'"env": "(\w+)"', (DEPLOY / "definitions.py").read_text()))
    for name in PROCESSES:
        assert read <= set(COMPOSE["services"][name]["environment"])


def test_secrets_come_from_the_environment_alone():
    required = set(re.findall(r"\$\{(\w+):\?", (DEPLOY / "compose.yaml").read_text()))
    example = dict(
        line.split("=", 1) for line in (DEPLOY / ".env.example").read_text().splitlines() if re.match(r"\w+=", line)
    )
    assert required <= set(example)
    assert not example["POSTGRES_PASSWORD"]
    assert not example["THUNDERBIT_API_KEY"]
    for file in DEPLOY.rglob("*"):
        assert file.suffix == ".pyc" or file.is_dir() or not re.search(r"tb_[0-9a-f]{32}", file.read_text())


def test_what_the_image_installs_and_copies_exists():
    text = (DEPLOY / "Dockerfile").read_text()
    project = (ROOT / "pyproject.toml").read_text()
    for extra in re.search(r"source\[([\w,]+)\]", text)[1].split(","):
        assert re.search(rf"^{extra} = \[", project, re.MULTILINE), extra
    for line in re.findall(r"^COPY (.+)$", text, re.MULTILINE):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), source
    version = re.search(r"FROM python:(3\.\d+)", text)[1]
    assert f"Programming Language :: Python :: {version}" in project


def test_the_workers_read_the_settings_and_have_names_of_their_own():
    commands = [COMPOSE["services"][name]["command"] for name in ("worker-1", "worker-2")]
    assert [command[command.index("-n") + 1] for command in commands] == ["worker-1", "worker-2"]
    for command in commands:
        assert command[command.index("-y") + 1] == "celery.yaml"
    source = yaml.safe_load((DEPLOY / "celery.yaml").read_text())["execution"]["config"]["config_source"]
    assert source["task_acks_late"] is True
    assert source["task_reject_on_worker_lost"] is True
    assert source["worker_prefetch_multiplier"] == 1


def test_the_chart_has_the_settings_of_the_instance():
    daemon, monitoring = HELM["dagsterDaemon"], DAGSTER["run_monitoring"]
    assert daemon["runMonitoring"]["enabled"] is monitoring["enabled"] is True
    assert daemon["runMonitoring"]["freeSlotsAfterRunEndSeconds"] == monitoring["free_slots_after_run_end_seconds"]
    assert daemon["runMonitoring"]["maxRuntimeSeconds"] == monitoring["max_runtime_seconds"]
    assert daemon["runRetries"]["maxRetries"] == DAGSTER["run_retries"]["max_retries"]
    assert daemon["runRetries"]["retryOnAssetOrOpFailure"] is DAGSTER["run_retries"]["retry_on_asset_or_op_failure"]
    assert HELM["additionalInstanceConfig"]["concurrency"]["pools"] == DAGSTER["concurrency"]["pools"]
    assert {one["kind"] for one in HELM["extraManifests"]} == {"Deployment", "Service"}


@pytest.mark.skipif(not has_compose(), reason="docker compose is not installed")
def test_docker_accepts_the_compose_file():
    values = {"POSTGRES_PASSWORD": "x", "THUNDERBIT_API_KEY": "y", "THUNDERBIT_DATA_URI": "s3://b/c"}
    command = ["docker", "compose", "-f", str(DEPLOY / "compose.yaml"), "config", "--quiet"]
    subprocess.run(command, env={"PATH": "/usr/bin:/usr/local/bin", **values}, check=True)


@pytest.mark.slow
def test_dagster_accepts_the_instance_and_the_pools_are_those_of_the_steps(postgres, tmp_path, monkeypatch):
    for name, value in postgres.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "dagster.yaml").write_text((DEPLOY / "dagster.yaml").read_text())
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert instance.run_monitoring_enabled
        assert instance.run_retries_enabled
        assert not instance.run_retries_retry_on_asset_or_op_failure
        monitoring = instance.get_settings("run_monitoring")
        assert monitoring == DAGSTER["run_monitoring"]
        assert instance.get_concurrency_config().pool_config.default_pool_limit == 4


@pytest.mark.slow
@pytest.mark.usefixtures("services_are_installed")
def test_the_code_location_loads_and_its_steps_are_in_the_pools(monkeypatch):
    monkeypatch.setenv("THUNDERBIT_API_KEY", "tb_" + "0" * 32)
    monkeypatch.setenv("THUNDERBIT_DATA_URI", "s3://bucket/crawls")
    defs = runpy.run_path(str(DEPLOY / "definitions.py"))["defs"]
    assets = list(defs.resolve_asset_graph().assets_defs)
    pools = {pool for asset in assets if asset.is_executable for pool in [asset.op.pool] if pool}
    assert pools == {"thunderbit_submit", "thunderbit_collect"}
    jobs = {job.name: job.executor_def.name for job in defs.resolve_all_job_defs()}
    assert {name: executor for name, executor in jobs.items() if executor != "celery"} == {}
