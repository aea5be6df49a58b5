"""A user's project type-checks without an error and without Any, against the package as it is installed."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import thunderbit_dagster

HERE = Path(__file__).parent
PROJECT = ("user_project.py", "user_glue.py")


def imported_names():
    tree = ast.parse("".join((HERE / name).read_text() for name in PROJECT))
    froms = [
        node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == "thunderbit_dagster"
    ]
    return {alias.name for node in froms for alias in node.names}


def check(folder, *more):
    for name in PROJECT:
        shutil.copy(HERE / name, folder)
    command = ["-m", "mypy", "--config-file", str(HERE / "mypy.ini"), "--cache-dir", str(folder / "cache")]
    # In a folder of its own, so that the package is the installed one, found by its py.typed.
    done = subprocess.run(
        [sys.executable, *command, *PROJECT, *more], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    return done


def test_the_project_uses_every_public_name():
    assert imported_names() == set(thunderbit_dagster.__all__)
    assert (Path(thunderbit_dagster.__file__).parent / "py.typed").exists()


@pytest.mark.slow  # mypy comes with the extra `check`, and reads all of Dagster
def test_a_users_project_has_no_type_errors_and_no_any(tmp_path):
    (tmp_path / "leak.py").write_text("import json\n\nleaked = json.loads('1')\n")
    done = check(tmp_path, "leak.py")
    # The checker is as strict as it is meant to be: it sees the leak that was put there, and no other.
    found = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert found, done.stdout
    assert all(line.startswith("leak.py:3:") for line in found), done.stdout
