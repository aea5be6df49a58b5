"""Dagster loads a code location in every process, and `dg` this package in every project: both must be cheap."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROUNDS = 3
# On an idle machine it is 1.3 for all of them, as `python -m benchmarks --only loading` shows; tests share theirs.
MOST = 1.5
BASE = "import dagster"
NAMES = "from thunderbit_dagster import Crawl, Distill, ParquetStore, ThunderbitResource, build_crawl_definitions"
STATEMENTS = ("import thunderbit_dagster", NAMES, "import definitions")
# What only a run needs.
LATE = (
    "httpx",
    "jsonschema_rs",
    "numpy",
    "pandas",
    "pyarrow",
    "thunderbit_dagster.api.client",
    "thunderbit_dagster.collection.asset",
    "thunderbit_dagster.ledger.event_log",
    "thunderbit_dagster.polling.sensor",
    "thunderbit_dagster.submission.asset",
)


def _run(statement: str) -> str:
    command = [sys.executable, "-W", "ignore", "-c", statement]
    return subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True).stdout


def _seconds(statement: str) -> float:
    """What the processor was busy with: other tests run meanwhile."""
    before = os.times()
    _run(statement)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


@pytest.mark.slow
def test_importing_the_package_or_a_code_location_costs_little_more_than_dagster() -> None:
    rounds = [{one: _seconds(one) for one in (BASE, *STATEMENTS)} for _ in range(ROUNDS)]
    best = {one: min(seconds[one] for seconds in rounds) for one in (BASE, *STATEMENTS)}
    assert [one for one in STATEMENTS if best[one] > MOST * best[BASE]] == [], best


def test_loading_a_code_location_imports_nothing_that_only_a_run_needs() -> None:
    found = _run(f"import sys, definitions; print(*(name for name in {LATE!r} if name in sys.modules))")
    assert found.split() == []


@pytest.mark.parametrize("statement", ["import pyarrow", "import httpx"])
def test_a_module_that_is_imported_late_is_the_module_itself(statement: str) -> None:
    name = statement.split()[1]
    _run(
        f"from thunderbit_dagster.lazy import LazyModule; import sys; late = LazyModule({name!r}); "
        f"assert {name!r} not in sys.modules; late.__version__; {statement}; "
        f"assert vars({name}).items() >= {{'__version__': late.__version__}}.items()"
    )


def test_every_public_name_can_be_imported() -> None:
    names = (
        "import thunderbit_dagster as t; assert all(getattr(t, n) for n in t.__all__) and set(t.__all__) <= set(dir(t))"
    )
    subprocess.run([sys.executable, "-W", "error::ImportWarning", "-c", names], check=True)


def test_every_name_of_the_api_can_be_imported() -> None:
    _run("import thunderbit_dagster.api as api; assert all(getattr(api, name) for name in api.__all__)")
