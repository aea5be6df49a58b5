"""Dagster assets for the Thunderbit web-distillation API.

A ``Crawl`` becomes three assets: ``submissions`` sends its URLs as batch jobs, and ``succeeded`` and ``failed`` hold
what came back, as Parquet partitions. A sensor watches the jobs, so no run waits for them.
"""

from thunderbit_dagster.api.requests import Distill, Extract
from thunderbit_dagster.build import build_crawl_definitions
from thunderbit_dagster.crawl import Crawl
from thunderbit_dagster.partitions import Partition
from thunderbit_dagster.resource import ThunderbitResource
from thunderbit_dagster.storage.store import ParquetStore
from thunderbit_dagster.urls import UrlFile
from thunderbit_dagster.version import __version__

__all__ = [
    "Crawl",
    "Distill",
    "Extract",
    "ParquetStore",
    "Partition",
    "ThunderbitResource",
    "UrlFile",
    "__version__",
    "build_crawl_definitions",
]
