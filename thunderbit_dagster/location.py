"""The starter code location as a module: ``dagster dev -m thunderbit_dagster.location``."""

from __future__ import annotations

from thunderbit_dagster.starter import starter_definitions

defs = starter_definitions()
