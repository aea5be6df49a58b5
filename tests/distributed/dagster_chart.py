"""What Dagster's chart makes of values: which keys it knows, and the dagster.yaml of its ConfigMap.

After `templates/configmap-instance.yaml`, `templates/helpers/instance/` and `schema/` of the chart, as of 1.12.12, for
the settings that deploy/helm sets. The storages, which the chart makes of `postgresql`, are left out.
"""

from __future__ import annotations

from collections.abc import Iterator

DEPLOYMENT = "dagster-user-deployments.deployments[]"
KEYS = {
    "": {
        "additionalInstanceConfig",
        "busybox",
        "computeLogManager",
        "concurrency",
        "dagster-user-deployments",
        "dagsterDaemon",
        "dagsterWebserver",
        "flower",
        "generateCeleryConfigSecret",
        "generatePostgresqlPasswordSecret",
        "global",
        "imagePullSecrets",
        "ingress",
        "migrate",
        "postgresql",
        "pythonLogs",
        "rabbitmq",
        "redis",
        "retention",
        "runLauncher",
        "scheduler",
        "serviceAccount",
        "telemetry",
    },
    "global": {"celeryConfigSecretName", "dagsterHome", "postgresqlSecretName", "serviceAccountName"},
    "postgresql": {
        "enabled",
        "image",
        "postgresqlDatabase",
        "postgresqlHost",
        "postgresqlParams",
        "postgresqlPassword",
        "postgresqlScheme",
        "postgresqlUsername",
        "service",
    },
    "dagsterWebserver": {"env", "envConfigMaps", "envSecrets", "image", "replicaCount", "resources", "service"},
    "dagsterDaemon": {
        "enabled",
        "env",
        "envConfigMaps",
        "envSecrets",
        "image",
        "resources",
        "runCoordinator",
        "runMonitoring",
        "runRetries",
        "schedules",
        "sensors",
    },
    "dagsterDaemon.runCoordinator": {"config", "enabled", "type"},
    "dagsterDaemon.runMonitoring": {
        "cancelTimeoutSeconds",
        "enabled",
        "freeSlotsAfterRunEndSeconds",
        "maxResumeRunAttempts",
        "maxRuntimeSeconds",
        "pollIntervalSeconds",
        "startTimeoutSeconds",
    },
    "dagsterDaemon.runRetries": {"enabled", "maxRetries", "retryOnAssetOrOpFailure"},
    "concurrency": {"enabled", "pools", "runs"},
    "concurrency.pools": {"defaultLimit", "granularity", "opGranularityRunBuffer"},
    "concurrency.runs": {"maxConcurrentRuns", "tagConcurrencyLimits"},
    "runLauncher": {"config", "type"},
    "runLauncher.config": {"celeryK8sRunLauncher", "customRunLauncher", "k8sRunLauncher"},
    "runLauncher.config.k8sRunLauncher": {
        "envConfigMaps",
        "envSecrets",
        "envVars",
        "failPodOnRunFailure",
        "image",
        "imagePullPolicy",
        "jobNamespace",
        "kubeconfigFile",
        "labels",
        "loadInclusterConfig",
        "resources",
        "runK8sConfig",
        "schedulerName",
        "securityContext",
        "volumeMounts",
        "volumes",
    },
    "runLauncher.config.k8sRunLauncher.runK8sConfig": {
        "containerConfig",
        "jobMetadata",
        "jobSpecConfig",
        "podSpecConfig",
        "podTemplateSpecMetadata",
    },
    "retention": {"autoMaterialize", "enabled", "schedule", "sensor"},
    "retention.sensor": {"purgeAfterDays"},
    "retention.schedule": {"purgeAfterDays"},
    "telemetry": {"enabled"},
    "dagster-user-deployments": {"deployments", "enableSubchart", "enabled", "imagePullSecrets"},
    DEPLOYMENT: {
        "codeServerArgs",
        "dagsterApiGrpcArgs",
        "env",
        "envConfigMaps",
        "envSecrets",
        "image",
        "includeConfigInLaunchedRuns",
        "labels",
        "name",
        "podSecurityContext",
        "port",
        "resources",
        "securityContext",
        "volumeMounts",
        "volumes",
    },
    f"{DEPLOYMENT}.image": {"pullPolicy", "repository", "tag"},
    f"{DEPLOYMENT}.includeConfigInLaunchedRuns": {"enabled"},
}
"""The keys that the chart reads, by the path of the mapping they stand in; what has no entry is passed on as it is."""

MONITORING = {
    "startTimeoutSeconds": "start_timeout_seconds",
    "cancelTimeoutSeconds": "cancel_timeout_seconds",
    "maxRuntimeSeconds": "max_runtime_seconds",
    "maxResumeRunAttempts": "max_resume_run_attempts",
    "pollIntervalSeconds": "poll_interval_seconds",
    "freeSlotsAfterRunEndSeconds": "free_slots_after_run_end_seconds",
}
RETRIES = {"maxRetries": "max_retries", "retryOnAssetOrOpFailure": "retry_on_asset_or_op_failure"}
POOLS = {
    "defaultLimit": "default_limit",
    "granularity": "granularity",
    "opGranularityRunBuffer": "op_granularity_run_buffer",
}
RUNS = {"maxConcurrentRuns": "max_concurrent_runs", "tagConcurrencyLimits": "tag_concurrency_limits"}


def unknown_keys(values: object, path: str = "") -> Iterator[str]:
    """The paths of values that the chart would pass over in silence."""
    if isinstance(values, list):
        for one in values:
            yield from unknown_keys(one, f"{path}[]")
    if not isinstance(values, dict):
        return
    for key, value in values.items():
        below = f"{path}.{key}".removeprefix(".")
        if path in KEYS and key not in KEYS[path]:
            yield below
        yield from unknown_keys(value, below)


def instance_settings(values):
    """The dagster.yaml, but for the storages. Refuses what the chart's templates refuse."""
    daemon = values["dagsterDaemon"]
    return {
        "run_launcher": {"module": "dagster_k8s", "class": values["runLauncher"]["type"]},
        "run_coordinator": _coordinator(values),
        "run_monitoring": {
            "enabled": daemon["runMonitoring"]["enabled"],
            **_named(daemon["runMonitoring"], MONITORING),
        },
        "run_retries": {"enabled": daemon["runRetries"]["enabled"], **_named(daemon["runRetries"], RETRIES)},
        "telemetry": {"enabled": values["telemetry"]["enabled"]},
        "retention": {
            kind: {"purge_after_days": values["retention"][kind]["purgeAfterDays"]} for kind in ("sensor", "schedule")
        },
        **_concurrency(values),
        **values.get("additionalInstanceConfig", {}),
    }


def _coordinator(values):
    given = values["dagsterDaemon"]["runCoordinator"]
    config = given.get("config", {}).get("queuedRunCoordinator", {})
    limit = config.get("maxConcurrentRuns")
    settings = {"module": "dagster.core.run_coordinator", "class": given["type"], "config": {}}
    if limit is not None or not values.get("concurrency", {}).get("enabled"):
        settings["config"]["max_concurrent_runs"] = -1 if limit is None else limit
    return settings


def _concurrency(values):
    given = values.get("concurrency", {})
    if not given.get("enabled"):
        return {}
    queue = values["dagsterDaemon"]["runCoordinator"].get("config", {}).get("queuedRunCoordinator", {})
    if "maxConcurrentRuns" in queue and "maxConcurrentRuns" in given["runs"]:
        raise ValueError("Cannot set both concurrency.runs.maxConcurrentRuns and that of queuedRunCoordinator")
    return {"concurrency": {"pools": _named(given["pools"], POOLS), "runs": _named(given["runs"], RUNS)}}


def _named(values, names):
    return {names[key]: value for key, value in values.items() if key in names}
