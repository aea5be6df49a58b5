"""A project as `create-dagster project` lays it out, and its `dg`."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

BIN = Path(sys.executable).parent
# What `create-dagster project` writes, as far as `dg` reads it.
PYPROJECT = """
[project]
name = "my-project"
version = "0.1.0"

[tool.dg]
directory_type = "project"

[tool.dg.project]
root_module = "my_project"
registry_modules = ["my_project.components.*"]
"""
DEFINITIONS = """
from pathlib import Path

from dagster import definitions, load_from_defs_folder


@definitions
def defs():
    return load_from_defs_folder(path_within_project=Path(__file__).parent)
"""


class Project:
    """What is on the disk, and the environment of its commands."""

    def __init__(self, root, env):
        self.root = root
        self.package = root / "src" / "my_project"
        for folder in ("defs", "components"):
            (self.package / folder).mkdir(parents=True)
            (self.package / folder / "__init__.py").touch()
        (self.package / "__init__.py").touch()
        (self.package / "definitions.py").write_text(DEFINITIONS)
        (root / "pyproject.toml").write_text(PYPROJECT)
        # In place of installing the project.
        self.env = {**env, "PYTHONPATH": str(root / "src"), "PATH": f"{BIN}{os.pathsep}{env['PATH']}", "COLUMNS": "200"}

    def run(self, command, *, succeeds=True):
        words = shlex.split(command)
        done = subprocess.run(
            [BIN / words[0], *words[1:]], cwd=self.root, env=self.env, capture_output=True, text=True, check=False
        )
        assert (done.returncode == 0) is succeeds, done.stdout + done.stderr
        return done.stdout + done.stderr
