"""Importing and loading open no connection, and a run that finds no emulator says how to start it."""

import socket
import subprocess
import sys
from functools import partial
from pathlib import Path

from crawl_world import error_text

from thunderbit_dagster.api.client import ThunderbitClient
from thunderbit_dagster.starter.crawls import starter_definitions

PROJECT = Path(__file__).parents[2]
NO_SOCKETS = """
import sys
def forbid(event, arguments):
    if event in ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto"):
        raise SystemExit(f"{event} {arguments[1:]}")
sys.addaudithook(forbid)
import thunderbit_dagster
import definitions
import thunderbit_dagster.starter.location
assert definitions.defs.get_repository_def().get_sensor_def("thunderbit_jobs")
print("loaded")
"""


def test_importing_the_package_and_loading_the_definitions_open_no_socket(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", NO_SOCKETS],
        cwd=PROJECT,
        env={"PATH": "", "HOME": str(tmp_path), "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.stdout.strip(), ended.returncode) == ("loaded", 0), ended.stderr


def test_a_run_that_finds_no_emulator_says_how_to_start_it(monkeypatch, instance, tmp_path):
    with socket.socket() as taken:  # bound and not listening: every connection is refused
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("THUNDERBIT_BASE_URL", f"http://127.0.0.1:{taken.getsockname()[1]}/openapi/v1")
        monkeypatch.setenv("THUNDERBIT_DATA_URI", str(tmp_path))
        impatient = partial(ThunderbitClient, sleep=lambda _: None)
        monkeypatch.setattr("thunderbit_dagster.api.client.ThunderbitClient", impatient)
        job = starter_definitions().get_repository_def().get_job("demo_submit")
        run = job.execute_in_process(instance=instance, partition_key="guides", raise_on_error=False)
    assert not run.success
    said = error_text(run)
    assert "emulator" in said
    assert "thunderbit-dagster dev" in said or "thunderbit-dagster emulator" in said
