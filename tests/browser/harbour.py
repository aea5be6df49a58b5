"""The emulator, its demo site and `dagster dev` with twelve partitions, as processes of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import dagster as dg
from ports import free_port

from thunderbit_dagster.cli.dagster_api import DagsterApi
from thunderbit_dagster.cli.processes import Children
from thunderbit_dagster.cli.workspace import Ports, Workspace, site_url, ui_url

DEFINITIONS = Path(__file__).with_name("harbour_definitions.py")
START_SECONDS = 180
REDIRECTIONS = {"DAGSTER_HOME": "", "THUNDERBIT_API_KEY": "", "THUNDERBIT_DATA_URI": ""}


@dataclass(frozen=True)
class Harbour:
    """Where the processes listen, and the file that one partition lacks."""

    ui: str
    site: str
    partners: Path


@contextmanager
def running_harbour(root: Path) -> Iterator[Harbour]:
    """Everything on free ports with its data below a folder, until the block ends."""
    with mock.patch.dict(os.environ, REDIRECTIONS):
        workspace, ports = Workspace(root), Ports(free_port(), free_port(), free_port())
        workspace.prepare()
        harbour = Harbour(ui_url(ports), site_url(ports), root / "partners.txt")
        environment = workspace.environment(ports, emulated=True) | {"PARTNERS_FILE": str(harbour.partners)}
        # Made before anyone else can: SQLite tables that two processes make at once are broken.
        dg.DagsterInstance.from_config(str(workspace.dagster_home)).dispose()
        with Children(environment) as children:
            workspace.start_emulator(children, ports)
            workspace.start_dagster(children, ports, ["-f", str(DEFINITIONS)], workspace.log("dagster"))
            children.wait_until(DagsterApi(harbour.ui).is_loaded, "Dagster", START_SECONDS)
            yield harbour
