"""Loading in runs whose steps are processes of their own, as Dagster's default executor has them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent / "project.py"


@pytest.mark.slow
def test_steps_in_processes_of_their_own_load_what_another_process_or_another_run_published(emulator, pages, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(home),
        "OUT": str(tmp_path),
        "URLS": " ".join([*pages.urls(2), *pages.urls(1, "missing")]),
        "KEY": emulator.api_key,
        "BASE_URL": emulator.base_url,
    }

    def materialize(select, *options):
        command = [sys.executable, "-m", "dagster", "asset", "materialize", "-f", str(PROJECT), "--select", select]
        done = subprocess.run([*command, *options], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-4000:]

    materialize("key:docs/submissions or key:docs/succeeded or key:docs/failed or key:chunks", "--partition", "a")
    materialize("key:index")
    written = {path.name.split("-")[0]: path.read_text() for path in tmp_path.glob("*-*")}
    assert written == {"chunks": "2 1", "index": "{'a': 2}"}
