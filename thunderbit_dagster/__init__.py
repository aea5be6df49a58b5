"""Dagster assets for the Thunderbit web-distillation API.

A ``Crawl`` becomes three assets: ``submissions`` sends its URLs as batch jobs, and ``succeeded`` and ``failed`` hold
what came back, as Parquet partitions. A sensor watches the jobs, so no run waits for them.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from thunderbit_dagster.version import __version__

if TYPE_CHECKING:
    from thunderbit_dagster.api.errors import ThunderbitError
    from thunderbit_dagster.api.models import JobRef
    from thunderbit_dagster.api.requests import Distill, Extract
    from thunderbit_dagster.component import ThunderbitCrawlComponent
    from thunderbit_dagster.crawl.changes import Changes
    from thunderbit_dagster.crawl.crawl import Crawl
    from thunderbit_dagster.crawl.schedule import Schedule
    from thunderbit_dagster.dataset.changes import read_changes
    from thunderbit_dagster.dataset.io_manager import ThunderbitParquetIOManager
    from thunderbit_dagster.dataset.loading import HalfPublishedWarning, read_partition, read_partitions, scan
    from thunderbit_dagster.definitions import build_crawl_definitions
    from thunderbit_dagster.extraction.models import models_of
    from thunderbit_dagster.metadata.catalog import column_lineage
    from thunderbit_dagster.partitions import Partition
    from thunderbit_dagster.resource import ThunderbitResource
    from thunderbit_dagster.starter.environment import resource_from_environment, store_from_environment
    from thunderbit_dagster.storage.errors import (
        HalfPublishedError,
        PartitionNotFoundError,
        SchemaDriftError,
        StorageError,
    )
    from thunderbit_dagster.storage.store import ParquetStore
    from thunderbit_dagster.urls import AssetColumn, DynamicUrls, Sitemap, UrlFile

__all__ = [
    "AssetColumn",
    "Changes",
    "Crawl",
    "Distill",
    "DynamicUrls",
    "Extract",
    "HalfPublishedError",
    "HalfPublishedWarning",
    "JobRef",
    "ParquetStore",
    "Partition",
    "PartitionNotFoundError",
    "Schedule",
    "SchemaDriftError",
    "Sitemap",
    "StorageError",
    "ThunderbitCrawlComponent",
    "ThunderbitError",
    "ThunderbitParquetIOManager",
    "ThunderbitResource",
    "UrlFile",
    "__version__",
    "build_crawl_definitions",
    "column_lineage",
    "models_of",
    "read_changes",
    "read_partition",
    "read_partitions",
    "resource_from_environment",
    "scan",
    "store_from_environment",
]

# Loaded at first use: `dg` imports this package in every project that has it installed, and the command line and the
# emulator need neither Dagster nor Arrow.
_HOMES = {
    "AssetColumn": "urls",
    "Changes": "crawl.changes",
    "Crawl": "crawl.crawl",
    "Distill": "api.requests",
    "DynamicUrls": "urls",
    "Extract": "api.requests",
    "HalfPublishedError": "storage.errors",
    "HalfPublishedWarning": "dataset.loading",
    "JobRef": "api.models",
    "ParquetStore": "storage.store",
    "Partition": "partitions",
    "PartitionNotFoundError": "storage.errors",
    "Schedule": "crawl.schedule",
    "SchemaDriftError": "storage.errors",
    "Sitemap": "urls",
    "StorageError": "storage.errors",
    "ThunderbitCrawlComponent": "component",
    "ThunderbitError": "api.errors",
    "ThunderbitParquetIOManager": "dataset.io_manager",
    "ThunderbitResource": "resource",
    "UrlFile": "urls",
    "build_crawl_definitions": "definitions",
    "column_lineage": "metadata.catalog",
    "models_of": "extraction.models",
    "read_changes": "dataset.changes",
    "read_partition": "dataset.loading",
    "read_partitions": "dataset.loading",
    "resource_from_environment": "starter.environment",
    "scan": "dataset.loading",
    "store_from_environment": "starter.environment",
}


if not TYPE_CHECKING:  # to a type checker it would mean that every name exists

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value: object = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return __all__
