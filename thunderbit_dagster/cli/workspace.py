"""The folder in which ``dev`` and ``demo`` keep everything, and the environment of their processes."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
from filelock import FileLock, Timeout
from yarl import URL

from thunderbit_dagster.api.account import LOOPBACK_HOSTS
from thunderbit_dagster.cli.processes import Children, answers, free_port
from thunderbit_dagster.starter.crawls import SITE_PORT
from thunderbit_dagster.starter.environment import EMULATOR_PLAN, EMULATOR_PORT, emulator_base_url
from thunderbit_dagster.urls import UrlFile, url_refusal

UI_PORT = 3000
EMULATOR_CREDITS = 1_000_000
START_SECONDS = 60.0
OWN_SETTINGS = (
    "DAGSTER_HOME",
    "THUNDERBIT_API_KEY",
    "THUNDERBIT_BASE_URL",
    "THUNDERBIT_DATA_URI",
    "THUNDERBIT_DEMO_SITE",
    "THUNDERBIT_URLS",
)
"""Variables that would take the demo to a Dagster, an account, data or pages of the user's own."""
DAGSTER_YAML = """\
# Written once by thunderbit-dagster; yours to edit.
telemetry:
  enabled: false
nux:
  enabled: false
# A run whose process is gone is marked failed, so that its work is taken up again.
run_monitoring:
  enabled: true
  poll_interval_seconds: 10
  free_slots_after_run_end_seconds: 60
"""


@dataclass(frozen=True)
class Ports:
    """Where the processes listen; kept from one start to the next, since URLs of the demo site hold one."""

    emulator: int
    site: int
    ui: int


@dataclass(frozen=True)
class Workspace:
    """``dagster_home``, ``emulator``, ``parquet`` and ``logs`` below one folder."""

    root: Path

    @property
    def dagster_home(self) -> Path:
        return Path(os.environ.get("DAGSTER_HOME") or self.root / "dagster_home")

    @property
    def data_uri(self) -> str:
        return os.environ.get("THUNDERBIT_DATA_URI") or str(self.root / "parquet")

    def log(self, name: str) -> Path:
        return self.root / "logs" / f"{name}.log"

    @contextmanager
    def in_use(self) -> Iterator[Ports]:
        """The folder for this process alone, with Dagster's settings and a choice of ports in it.

        Raises:
            click.ClickException: another process has it: two daemons and two emulators would spoil each other's work.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.root / ".lock", timeout=0):
                yield self.prepare()
        except Timeout:
            kept = self.kept_ports()
            at = f", with its UI on {ui_url(kept)}" if kept else ""
            raise click.ClickException(
                f"`thunderbit-dagster dev` or `demo` is running in {self.root}{at}. Stop it first, or choose another "
                "folder with --dir."
            ) from None

    def prepare(self) -> Ports:
        """Make the folder, Dagster's settings and the choice of ports."""
        for folder in (self.root, self.dagster_home):
            folder.mkdir(parents=True, exist_ok=True)
        settings = self.dagster_home / "dagster.yaml"
        if not settings.exists():
            settings.write_text(DAGSTER_YAML)
        return self._ports()

    def _ports(self) -> Ports:
        wanted = self.kept_ports() or Ports(EMULATOR_PORT, SITE_PORT, UI_PORT)
        ports = Ports(free_port(wanted.emulator), free_port(wanted.site), free_port(wanted.ui))
        self._ports_file.write_text(json.dumps(vars(ports)))
        return ports

    @property
    def _ports_file(self) -> Path:
        return self.root / "ports.json"

    def kept_ports(self) -> Ports | None:
        """Where the processes of this folder listen, or did last; None when none ever ran."""
        try:
            return Ports(**json.loads(self._ports_file.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def kept_environment(self) -> dict[str, str]:
        """What the folder's code location was told, for commands beside it; empty when none ever ran."""
        ports = self.kept_ports()
        if ports is None:
            return {}
        emulated = not os.environ.get("THUNDERBIT_API_KEY")
        settings = self.environment(ports, emulated=emulated)
        names = ("THUNDERBIT_BASE_URL", "THUNDERBIT_DATA_URI", "THUNDERBIT_DEMO_SITE")
        return {name: settings[name] for name in names if name in settings}

    def environment(self, ports: Ports, *, emulated: bool) -> dict[str, str]:
        """The environment of the child processes. The emulator never sees the real API's key."""
        env = dict(os.environ) | {
            "DAGSTER_HOME": str(self.dagster_home),
            "THUNDERBIT_DATA_URI": self.data_uri,
            "THUNDERBIT_DEMO_SITE": site_url(ports),
            "DAGSTER_DISABLE_TELEMETRY": "yes",
        }
        if emulated:
            env.pop("THUNDERBIT_API_KEY", None)
            env["THUNDERBIT_BASE_URL"] = emulator_base_url(ports.emulator)
        return env

    def start_emulator(self, children: Children, ports: Ports, origins: Sequence[str] = ()) -> None:
        """Start the demo site and the emulator, and wait until they answer.

        The site comes first: an emulator that finds unfinished jobs goes on with them at once.
        """
        at = ["--port", str(ports.site), "--with-parent"]
        children.start("demo site", [*own_command("site"), *at], self.log("site"))
        children.wait_until(lambda: answers(site_url(ports)), "The demo site", START_SECONDS)
        allowed = [part for origin in (site_url(ports), *origins) for part in ("--allow-origin", origin)]
        settings = ["--port", str(ports.emulator), "--plan", EMULATOR_PLAN, "--credits", str(EMULATOR_CREDITS)]
        place = ["--data-dir", str(self.root / "emulator"), "--with-parent"]
        children.start("emulator", [*own_command("emulator"), *settings, *place, *allowed], self.log("emulator"))
        children.wait_until(lambda: answers(health_url(ports)), "The emulator", START_SECONDS)

    def start_dagster(self, children: Children, ports: Ports, location: Sequence[str], log: Path | None = None) -> None:
        """Start ``dagster dev``: the daemon, the UI and a code server."""
        dagster = [sys.executable, "-m", "dagster", "dev", "-h", "127.0.0.1", "-p", str(ports.ui)]
        children.start("Dagster", [*dagster, *location], log)


def ignore_own_settings() -> None:
    """Leave the user's Dagster, account and data alone, whatever the environment says."""
    for name in OWN_SETTINGS:
        os.environ.pop(name, None)


def own_settings() -> list[str]:
    """What of the user's own is set here, in the environment or in a file ``.env``."""
    given = [name for name in OWN_SETTINGS if os.environ.get(name)]
    return [*given, *([".env"] if Path(".env").exists() else [])]


def own_command(name: str) -> list[str]:
    """One of this command line's commands, run by the same Python."""
    return [sys.executable, "-m", "thunderbit_dagster.cli", name]


def named_origins(urls: Path | None) -> list[str]:
    """The origins on this machine that a user's own list names: naming them is leave to fetch them."""
    if urls is None:
        return []
    parsed = [URL(url) for url in UrlFile(urls).read() if url_refusal(url, allow_private=True) is None]
    return sorted({str(url.origin()) for url in parsed if url.host in LOOPBACK_HOSTS})


def site_url(ports: Ports) -> str:
    return f"http://127.0.0.1:{ports.site}"


def health_url(ports: Ports) -> str:
    return f"http://127.0.0.1:{ports.emulator}/_emulator/health"


def ui_url(ports: Ports) -> str:
    return f"http://127.0.0.1:{ports.ui}"
