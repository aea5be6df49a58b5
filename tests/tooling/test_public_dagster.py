from pathlib import Path

import public_dagster
import pytest


@pytest.mark.parametrize(
    "line",
    [
        "import dagster as dg; dg.asset",
        "import dagster; dagster.__version__",
        "import dagster.components as dc",
        "from dagster import AssetKey",
        "from dagster import components",
        "from dagster.components import Component",
        "from dagsterish._core import x",
        "from ._core import x",
        "import os; os._exit(1)",
    ],
)
def test_public_names_pass(line: str):
    assert list(public_dagster.violations(line)) == []


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("import dagster._core", "dagster._core.*"),
        ("import dagster.core as core", "dagster.core.*"),
        ("from dagster._core.storage import x", "dagster._core.storage.x"),
        ("from dagster._check import y", "dagster._check.y"),
        ("from dagster import _check", "dagster._check"),
        ("from dagster.utils import x", "dagster.utils.x"),
        ("from dagster_shared import x", "dagster_shared.x"),
        ("import dagster as dg\ndg._core.x", "dagster._core"),
    ],
)
def test_internals_are_named_with_their_line(line: str, name: str):
    assert list(public_dagster.violations(line)) == [(line.count("\n") + 1, name)]


def test_exit_status(tmp_path: Path):
    (tmp_path / "good.py").write_text("import dagster as dg\n")
    assert public_dagster.main([str(tmp_path)]) == 0
    (tmp_path / "bad.py").write_text("from dagster._core import x\n")
    assert public_dagster.main([str(tmp_path)]) == 1


def test_no_file_at_all_is_a_failure(tmp_path: Path):
    assert public_dagster.main([str(tmp_path)]) == 1
