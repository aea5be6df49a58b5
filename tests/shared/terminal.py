"""A reader's terminal, in which the commands of a page really run: what serves is left running until the page ends."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from dg_project import BIN, Project
from ports import free_port
from typing_extensions import Self

from thunderbit_dagster.cli.dagster_api import DagsterApi
from thunderbit_dagster.cli.processes import Child, Children, answers

ELSEWHERE = {
    "make": "the gate runs what the Makefile does",
    ".ci/run": "it is the gate",
    "pip": "scripts/packaging.py installs the built package into fresh environments",
}
"""Programs that are not run here, and who runs them."""
START_SECONDS = 120
PORTS = ("8710", "8711", "8720")
"""As the pages have them: emulator, demo site, webhook receiver. Each may be taken on a machine that runs tests."""


class Terminal:
    """One shell: a folder, an environment, and the processes that were started in it.

    Args:
        folder: Where it is opened.
        env: Its variables; `export` adds some.

    Attributes:
        stand_ins: What is typed in place of words of the page.
    """

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.folder = folder
        self.ports = {port: str(free_port()) for port in PORTS}
        self.ui = free_port()
        self.stand_ins = dict(self.ports)
        self.env = {**env, "PATH": f"{BIN}{os.pathsep}{env['PATH']}", "COLUMNS": "200"}
        self.servers: dict[str, Child] = {}
        self.project: Project | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for port in list(self.servers)[::-1]:
            self.stop(port)

    def stop(self, port: str) -> None:
        """Ctrl+C for the server of a port; none may have ended, or broken, by then."""
        server = self.servers.pop(port)
        try:
            server.check()
            assert server.log is not None
            # Before the stop: a run that Dagster is just launching fails with it.
            said = server.log.read_text()
        finally:
            server.stop()
        assert "Traceback" not in said

    def says(self, text: str) -> str:
        """A text of the page, as this reader types it."""
        for word, stand_in in self.stand_ins.items():
            text = text.replace(word, stand_in)
        return text

    def write(self, definitions: str) -> None:
        """Save the reader's `definitions.py`."""
        (self.folder / "definitions.py").write_text(self.says(definitions))

    def type(self, command: str) -> str:
        """Run a command of the page; what it printed."""
        words = shlex.split(self.says(command))
        if words[0] in ELSEWHERE:
            return ""
        if words[0] == "cd":
            self.folder /= words[1]
            return ""
        if words[0] == "export":
            self.env.update(word.split("=", 1) for word in words[1:])
            return ""
        for port in set(words) & set(self.servers):
            self.stop(port)
        serve = self._server(words)
        return serve() if serve else self.run(words)

    def run(self, words: list[str]) -> str:
        """Run something that ends; it has to succeed."""
        if words[:2] == ["dg", "scaffold"]:
            self._new_project()
        if words[1:2] == ["doctor"] and "--yes" in words and "--webhook-port" not in words:
            words = [*words, "--webhook-port", self.ports["8720"]]
        done = subprocess.run(
            [BIN / words[0], *words[1:]], cwd=self.folder, env=self.env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def _new_project(self) -> None:
        self.folder = self.folder.parent / f"project-{free_port()}"
        self.project = Project(self.folder, self.env)
        self.env = self.project.env

    def _server(self, words: list[str]) -> Callable[[], str] | None:
        """How a command is started that does not end by itself; None when it does."""
        match words[1:]:
            case ["dev", *_]:
                return lambda: self._dagster(words)
            case ["site", *_]:
                return lambda: self._listens(words, self.ports["8711"])
            case ["emulator", *_]:
                return lambda: self._listens(words, self.ports["8710"])
            case ["webhooks", "serve", *_]:
                return lambda: self._listens(words, self.ports["8720"])
        return None

    def _listens(self, words: list[str], port: str) -> str:
        at = [] if "--port" in words else ["--port", port]
        self._start([*words, *at], port, lambda: answers(f"http://127.0.0.1:{port}/healthz"))
        return ""

    def _dagster(self, words: list[str]) -> str:
        """`thunderbit-dagster dev` or `dg dev`, with its code location loaded."""
        at = ["--host", "127.0.0.1", "--port", str(self.ui)]
        if words[0] == "thunderbit-dagster":
            at = []
            kept = self.folder / "data" / "ports.json"
            kept.parent.mkdir(exist_ok=True)
            ports = {"emulator": int(self.ports["8710"]), "site": int(self.ports["8711"]), "ui": self.ui}
            kept.write_text(json.dumps(ports))
        self._start([*words, *at], str(self.ui), DagsterApi(f"http://127.0.0.1:{self.ui}").is_loaded)
        return ""

    def _start(self, words: list[str], port: str, ready: Callable[[], bool]) -> None:
        log = self.folder / f"{port}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [BIN / words[0], *words[1:]],
                cwd=self.folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        server = self.servers[port] = Child(shlex.join(words), process, log)
        Children(self.env, [server]).wait_until(ready, server.name, START_SECONDS)
