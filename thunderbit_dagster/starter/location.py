"""The starter code location as a module: ``dagster dev -m thunderbit_dagster.starter.location``."""

from __future__ import annotations

from thunderbit_dagster.starter.crawls import starter_definitions

defs = starter_definitions()
