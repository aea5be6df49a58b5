"""What the demo crawled is in the UI that its last line starts, also where settings of the user's lead elsewhere."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from ports import free_port
from real_dagster import RealDagster

from thunderbit_dagster.cli.dagster_api import DagsterApi
from thunderbit_dagster.cli.processes import Child, Children
from thunderbit_dagster.cli.workspace import Workspace, ui_url

pytestmark = pytest.mark.slow

BIN = Path(sys.executable).parent
DEMO_SECONDS = 300
START_SECONDS = 120
# What would lead both away from the demo, or spend the user's credits.
OWN = {"DAGSTER_HOME": "own_home", "THUNDERBIT_DATA_URI": "own_data", "THUNDERBIT_API_KEY": f"tb_{'a' * 32}"}
MATERIALIZED = "{ assetNodes { assetKey { path } partitionStats { numMaterialized } } }"


def test_what_the_demo_crawled_is_in_the_ui_of_the_command_that_it_ends_with(tmp_path) -> None:
    own = {name: str(tmp_path / value) for name, value in OWN.items()} | {
        "THUNDERBIT_API_KEY": OWN["THUNDERBIT_API_KEY"]
    }
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in own.items()))
    (tmp_path / "definitions.py").write_text("raise RuntimeError('the demo has no use for this file')\n")
    workspace = Workspace(tmp_path / "data")
    workspace.root.mkdir()
    ports = {name: free_port() for name in ("emulator", "site", "ui")}
    (workspace.root / "ports.json").write_text(json.dumps(ports))
    env = os.environ | own | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}

    demo = [BIN / "thunderbit-dagster", "demo"]
    done = subprocess.run(
        demo, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=DEMO_SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    [then] = [line.removeprefix("Dagster UI").strip() for line in done.stdout.splitlines() if "Dagster UI  " in line]
    assert then == "thunderbit-dagster dev --demo"
    assert not (tmp_path / "own_data").exists()
    assert not (tmp_path / "own_home").exists()

    log = tmp_path / "dev.log"
    with log.open("wb") as out:
        dev = subprocess.Popen(shlex.split(then), cwd=tmp_path, env=env, stdout=out, stderr=subprocess.STDOUT)
    try:
        kept = workspace.kept_ports()
        assert kept is not None
        api = DagsterApi(ui_url(kept))
        children = Children(env, children=[Child("dev", dev, log)])
        children.wait_until(api.is_loaded, "Dagster", START_SECONDS)
        shown = RealDagster(api, None, children, tmp_path).graphql(MATERIALIZED)["assetNodes"]
    finally:
        dev.send_signal(signal.SIGTERM)
        dev.wait(60)
    assert {node["assetKey"]["path"][-1]: node["partitionStats"]["numMaterialized"] for node in shown} == {
        "submissions": 4,
        "succeeded": 4,
        "failed": 4,
    }
    assert not (tmp_path / "own_home").exists()
