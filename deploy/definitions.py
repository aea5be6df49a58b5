"""The code location of the deployment: your crawls, with their steps on Celery workers when there is a broker."""

from __future__ import annotations

import os

from dagster_celery import celery_executor

from thunderbit_dagster import (
    Crawl,
    Distill,
    UrlFile,
    build_crawl_definitions,
    resource_from_environment,
    store_from_environment,
)

on_workers = celery_executor.configured(
    {"broker": {"env": "DAGSTER_CELERY_BROKER"}, "backend": {"env": "DAGSTER_CELERY_BACKEND"}},
)

defs = build_crawl_definitions(
    [Crawl(name="pages", urls=UrlFile("/opt/dagster/app/urls.txt"), shards=16, request=Distill())],
    thunderbit=resource_from_environment(),
    store=store_from_environment(),
    # In Kubernetes each run has a pod, and its steps run there.
    executor=on_workers if os.environ.get("DAGSTER_CELERY_BROKER") else None,
)
