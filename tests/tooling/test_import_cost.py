"""The package is imported by `dg` in every project that has it installed, so importing it must be cheap."""

from __future__ import annotations

import subprocess
import sys
import time

ROUNDS = 3
MOST = 1.3


def _seconds(statement: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-W", "ignore", "-c", statement], check=True)
    return time.perf_counter() - began


def test_importing_the_package_costs_at_most_a_third_more_than_dagster() -> None:
    pairs = [(_seconds("import thunderbit_dagster"), _seconds("import dagster")) for _ in range(ROUNDS)]
    assert min(ours for ours, _ in pairs) <= MOST * min(dagster for _, dagster in pairs), pairs


def test_every_public_name_can_be_imported() -> None:
    names = (
        "import thunderbit_dagster as t; assert all(getattr(t, n) for n in t.__all__) and set(t.__all__) <= set(dir(t))"
    )
    subprocess.run([sys.executable, "-W", "error::ImportWarning", "-c", names], check=True)
