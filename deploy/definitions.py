"""The code location of the deployment: your crawls, with their steps on Celery workers."""

from __future__ import annotations

from dagster_celery import celery_executor

from thunderbit_dagster import Crawl, Distill, UrlFile, build_crawl_definitions
from thunderbit_dagster.settings import resource_from_environment, store_from_environment

on_workers = celery_executor.configured(
    {"broker": {"env": "DAGSTER_CELERY_BROKER"}, "backend": {"env": "DAGSTER_CELERY_BACKEND"}},
)

defs = build_crawl_definitions(
    [Crawl(name="pages", urls=UrlFile("/opt/dagster/app/urls.txt"), shards=16, request=Distill())],
    thunderbit=resource_from_environment(),
    store=store_from_environment(),
    executor=on_workers,
)
