"""deploy/: the files are valid, fit together, and hold the settings that keep work from being lost."""

from __future__ import annotations

import copy
import os
import re
import runpy
import shutil
import subprocess
from pathlib import Path

import dagster as dg
import dagster_chart
import pytest
import yaml
from click.testing import CliRunner

from thunderbit_dagster.api.codes import PLANS
from thunderbit_dagster.cli import main
from thunderbit_dagster.webhooks.receiver import HEALTH_PATH

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
HELM = yaml.safe_load((DEPLOY / "helm" / "values.yaml").read_text())
MANIFESTS = {one["kind"]: one for one in yaml.safe_load_all((DEPLOY / "helm" / "webhooks.yaml").read_text())}
(RECEIVER,) = MANIFESTS["Deployment"]["spec"]["template"]["spec"]["containers"]
DAGSTER = yaml.safe_load((DEPLOY / "dagster.yaml").read_text())
PROCESSES = {"code-location", "webserver", "daemon", "webhooks", "worker-1", "worker-2"}


def compose_command():
    """Compose as Docker's plugin or as a program of its own, which needs no daemon to check a file; [] without."""
    for command in (["docker", "compose"], ["docker-compose"]):
        found = shutil.which(command[0])
        if found and not subprocess.run([*command, "version"], check=False, capture_output=True).returncode:
            return [found, *command[1:]]
    return []


def compose_config(values):
    """What Compose says to the file in this environment. Its version 1 has no `name` at the top, and needs none."""
    text = re.sub(r"^name: .+\n", "", (DEPLOY / "compose.yaml").read_text(), flags=re.MULTILINE)
    command = [*compose_command(), "--project-directory", str(DEPLOY), "-f", "-", "config", "--quiet"]
    env = {"PATH": os.environ["PATH"], **values}
    return subprocess.run(command, env=env, input=text, text=True, capture_output=True, check=False)


def instance_with(folder, settings):
    """The instance of a dagster.yaml; its storages are SQLite where it names none."""
    folder.mkdir()
    (folder / "dagster.yaml").write_text(yaml.safe_dump(settings))
    return dg.DagsterInstance.from_config(str(folder))


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


def test_every_setting_of_the_example_reaches_the_containers():
    offered = set(re.findall(r"^#?(\w+)=", (DEPLOY / ".env.example").read_text(), re.MULTILINE))
    used = set(re.findall(r"\$\{(\w+):", (DEPLOY / "compose.yaml").read_text()))
    for name in PROCESSES:
        assert offered <= used | COMPOSE["services"][name]["environment"].keys()


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


def test_the_chart_knows_every_value():
    assert list(dagster_chart.unknown_keys(HELM)) == []
    assert list(dagster_chart.unknown_keys({"extraManifests": [], "telemetry": {"off": True}})) == [
        "extraManifests",
        "telemetry.off",
    ]


def test_dagster_starts_with_what_the_chart_makes_of_the_values_and_with_the_limits_of_the_instance(tmp_path):
    there = instance_with(tmp_path / "chart", dagster_chart.instance_settings(HELM))
    here = instance_with(tmp_path / "deploy", {key: DAGSTER[key] for key in DAGSTER if key != "storage"})
    with there as chart, here as compose:
        assert type(chart.run_coordinator).__name__ == "QueuedRunCoordinator"
        assert chart.get_concurrency_config() == compose.get_concurrency_config()
        assert chart.get_concurrency_config().run_queue_config.max_concurrent_runs == 10
        for section in ("run_retries", "retention", "telemetry"):
            assert chart.get_settings(section) == compose.get_settings(section)
        # A pod may have to pull its image first.
        of_pods = {"start_timeout_seconds": 300, "max_resume_run_attempts": 0}
        assert chart.get_settings("run_monitoring") == {**compose.get_settings("run_monitoring"), **of_pods}


def test_a_limit_of_runs_in_two_places_is_refused(tmp_path):
    values = copy.deepcopy(HELM)
    values["dagsterDaemon"]["runCoordinator"]["config"] = {"queuedRunCoordinator": {"maxConcurrentRuns": 10}}
    with pytest.raises(ValueError, match="Cannot set both"):
        dagster_chart.instance_settings(values)
    pools = {"pools": {"granularity": "op", "default_limit": 4}}
    values |= {"concurrency": {"enabled": False}, "additionalInstanceConfig": {"concurrency": pools}}
    with pytest.raises(dg.DagsterInvalidConfigError, match="max_concurrent_runs"):
        instance_with(tmp_path / "both", dagster_chart.instance_settings(values))


def test_the_pods_together_stay_below_the_account_s_limit():
    (location,) = HELM["dagster-user-deployments"]["deployments"]
    pods = HELM["concurrency"]["runs"]["maxConcurrentRuns"] + 1
    each = int(location["env"]["THUNDERBIT_REQUESTS_PER_MINUTE"])
    assert PLANS["free"].requests_per_minute < pods * each <= PLANS["pro"].requests_per_minute


def test_only_who_needs_a_key_gets_it():
    (location,) = HELM["dagster-user-deployments"]["deployments"]
    assert location["includeConfigInLaunchedRuns"]["enabled"]
    assert {one["name"] for one in location["envSecrets"]} == {"thunderbit", "thunderbit-storage"}
    assert not {"env", "envSecrets"} & (HELM["dagsterDaemon"].keys() | HELM["dagsterWebserver"].keys())
    assert {one["valueFrom"]["secretKeyRef"]["key"] for one in RECEIVER["env"]} == {
        "THUNDERBIT_WEBHOOK_SECRET",
        "postgresql-password",
    }


def test_the_receiver_s_pod_runs_a_command_that_exists_and_its_service_reaches_it():
    program, *arguments = RECEIVER["command"]
    assert program == "thunderbit-dagster"
    shown = CliRunner().invoke(main, [*arguments, "--help"])
    assert shown.exit_code == 0, shown.output
    assert arguments[-2:] == ["--port", str(RECEIVER["ports"][0]["containerPort"])]
    assert RECEIVER["readinessProbe"]["httpGet"]["path"] == HEALTH_PATH
    labels = MANIFESTS["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert MANIFESTS["Service"]["spec"]["selector"] == labels
    assert MANIFESTS["Service"]["spec"]["ports"][0]["targetPort"] == RECEIVER["ports"][0]["containerPort"]


def test_pods_of_the_image_have_a_home_that_its_user_may_write_to():
    text = (DEPLOY / "Dockerfile").read_text()
    home = re.search(r"DAGSTER_HOME=(\S+)", text)[1]
    assert HELM["global"]["dagsterHome"] == home
    assert [mount["mountPath"] for mount in RECEIVER["volumeMounts"]] == [f"{home}/dagster.yaml"]
    assert re.search(r"chown -R dagster (\S+)", text)[1] == home.rpartition("/")[0]


def test_the_receiver_has_the_image_and_the_names_of_the_chart():
    (location,) = HELM["dagster-user-deployments"]["deployments"]
    assert RECEIVER["image"] == f"{location['image']['repository']}:{location['image']['tag']}"
    release = re.search(r"helm upgrade --install (\S+) dagster/dagster", (DEPLOY / "helm" / "values.yaml").read_text())[
        1
    ]
    (volume,) = MANIFESTS["Deployment"]["spec"]["template"]["spec"]["volumes"]
    assert volume["configMap"]["name"] == f"{release}-instance"
    assert f"{release}-postgresql-secret" in {one["valueFrom"]["secretKeyRef"]["name"] for one in RECEIVER["env"]}


@pytest.mark.slow
@pytest.mark.skipif(not compose_command(), reason="docker compose is not installed")
def test_docker_accepts_the_compose_file():
    values = {"POSTGRES_PASSWORD": "x", "THUNDERBIT_API_KEY": "y", "THUNDERBIT_DATA_URI": "s3://b/c"}
    accepted = compose_config(values)
    assert accepted.returncode == 0, accepted.stderr
    for name in values:
        refused = compose_config({key: value for key, value in values.items() if key != name})
        assert refused.returncode
        assert name in refused.stderr


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
    monkeypatch.setenv("DAGSTER_CELERY_BROKER", "redis://127.0.0.1:6379/0")
    defs = runpy.run_path(str(DEPLOY / "definitions.py"))["defs"]
    assets = list(defs.resolve_asset_graph().assets_defs)
    pools = {pool for asset in assets if asset.is_executable for pool in [asset.op.pool] if pool}
    assert pools == {"thunderbit_submit", "thunderbit_collect"}
    jobs = {job.name: job.executor_def.name for job in defs.resolve_all_job_defs()}
    assert {name: executor for name, executor in jobs.items() if executor != "celery"} == {}
    monkeypatch.delenv("DAGSTER_CELERY_BROKER")
    in_pods = runpy.run_path(str(DEPLOY / "definitions.py"))["defs"]
    assert "celery" not in {job.executor_def.name for job in in_pods.resolve_all_job_defs()}
