"""kill -9 in the middle of the demo: started again, it ends in the same Parquet and pays no job twice."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import dagster as dg
import pytest
from ports import free_port

from thunderbit_dagster import ParquetStore
from thunderbit_dagster.cli.workspace import DAGSTER_YAML
from thunderbit_dagster.ledger.event_log import LedgerReader
from thunderbit_dagster.ledger.records import Intent, Recorded, Sealed
from thunderbit_dagster.starter.crawls import demo_crawl

pytestmark = pytest.mark.slow

LOOK_SECONDS = 0.02
DEMO_SECONDS = 300
CRAWL = demo_crawl()

Rows = dict[str, set[tuple[str, str]]]


@dataclass
class DemoRun:
    """A demo in a folder, started once or more."""

    folder: Path
    process: subprocess.Popen[bytes] | None = None
    outputs: list[str] = field(default_factory=list)

    def start(self) -> None:
        command = [sys.executable, "-m", "thunderbit_dagster.cli", "demo", "--dir", str(self.folder / "data")]
        with (self.folder / "demo.out").open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)

    def end(self) -> int:
        code = self.process.wait(DEMO_SECONDS)
        self.outputs.append((self.folder / "demo.out").read_text())
        return code

    def complete(self) -> None:
        """Start it until it ends well, as a person told to "run the same command again" would."""
        for _ in range(3):
            self.start()
            if self.end() == 0:
                return
        pytest.fail("The demo did not recover:\n" + "\n---\n".join(self.outputs))

    @property
    def home(self) -> Path:
        return self.folder / "data" / "dagster_home"

    def descendants(self) -> dict[int, str]:
        """Pid to command line of everything the demo has started."""
        parents, commands = {}, {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                    commands[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
                except (OSError, IndexError):
                    continue
        family = {self.process.pid}
        while more := {pid for pid, parent in parents.items() if parent in family and pid not in family}:
            family |= more
        return {pid: commands[pid] for pid in family}


LOOP = "/changelog/nightly"
"""Its twenty redirects outlast the page's timeout where the machine has too much to do; then the code is another."""


def _rows(folder: Path) -> Rows:
    """Path and content hash or error code: what must not differ between runs."""
    store = ParquetStore(folder / "data" / "parquet")
    succeeded = store.scan("demo", "succeeded").to_table(columns=["url", "content_hash"]).to_pylist()
    failed = store.scan("demo", "failed").to_table(columns=["url", "error_code"]).to_pylist()
    return {
        "succeeded": {(urlsplit(row["url"]).path, row["content_hash"]) for row in succeeded},
        "failed": {(path := urlsplit(row["url"]).path, "" if path == LOOP else row["error_code"]) for row in failed},
    }


@pytest.fixture(scope="module")
def ports() -> str:
    """One choice for all demos: addresses are part of the pages' links, and so of their text."""
    return json.dumps({"emulator": free_port(), "site": free_port(), "ui": free_port()})


def _demo(folder: Path, ports: str) -> DemoRun:
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "ports.json").write_text(ports)
    demo = DemoRun(folder)
    demo.home.mkdir()
    (demo.home / "dagster.yaml").write_text(DAGSTER_YAML)
    # Made before anyone else can: SQLite tables that two processes make at once are broken.
    with dg.DagsterInstance.from_config(str(demo.home)):
        return demo


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, ports: str) -> Rows:
    demo = _demo(tmp_path_factory.mktemp("undisturbed"), ports)
    demo.start()
    assert demo.end() == 0, demo.outputs
    rows = _rows(demo.folder)
    assert len(rows["succeeded"]) + len(rows["failed"]) == 113
    return rows


def _events(instance: dg.DagsterInstance, kind: type, *, observations: bool = True) -> list:
    entries = LedgerReader(instance, CRAWL).since("submissions", 0, observations=observations)
    return [entry for entry in entries if isinstance(entry.record, kind)]


def _submitting(instance: dg.DagsterInstance) -> bool:
    return bool(_events(instance, Intent))


def _running(instance: dg.DagsterInstance) -> bool:
    return bool(_events(instance, Sealed, observations=False))


def _collecting(instance: dg.DagsterInstance) -> bool:
    wanted = dg.RunsFilter(job_name="demo_collect", statuses=[dg.DagsterRunStatus.STARTED])
    return bool(instance.get_runs(wanted))


def _command(words: str) -> Callable[[DemoRun, dg.DagsterInstance], list[int]]:
    return lambda demo, _: [pid for pid, command in demo.descendants().items() if words in command]


def _worker(demo: DemoRun, instance: dg.DagsterInstance) -> list[int]:
    """The process of the newest run that has begun, by what Dagster says of it."""
    del demo
    run = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]), limit=1)[0]
    said = " ".join(entry.message for entry in instance.all_logs(run.run_id))
    return [int(pid) for pid in re.findall(r"pid:? (\d+)", said)[-1:]]


@dataclass(frozen=True)
class Kill:
    """When a process is killed, which, and whether the demo ends with it."""

    reached: Callable[[dg.DagsterInstance], bool]
    victims: Callable[[DemoRun, dg.DagsterInstance], list[int]]
    ends_demo: bool = True

    def happen(self, demo: DemoRun, instance: dg.DagsterInstance) -> None:
        stop_by = time.monotonic() + DEMO_SECONDS
        while not self.reached(instance):
            assert demo.process.poll() is None, (demo.folder / "demo.out").read_text()
            assert time.monotonic() < stop_by
            time.sleep(LOOK_SECONDS)
        killed = self.victims(demo, instance)
        assert killed, demo.descendants()
        for pid in killed:
            os.kill(pid, signal.SIGKILL)


KILLS = {
    "run-worker-while-submitting": Kill(_submitting, _worker, ends_demo=False),
    "emulator-while-jobs-run": Kill(_running, _command("cli emulator")),
    "daemon-while-collecting": Kill(_collecting, _command("dagster._daemon")),
    "run-worker-while-collecting": Kill(_collecting, _worker, ends_demo=False),
    "emulator-while-submitting": Kill(_submitting, _command("cli emulator")),
    "daemon-while-jobs-run": Kill(_running, _command("dagster._daemon")),
}
ROUNDS = [pytest.param(list(KILLS.values())[:3], id="three-one-after-the-other")]
if "RELIABILITY_ROUNDS" in os.environ:
    ROUNDS += [pytest.param([kill], id=name) for name, kill in KILLS.items()]


@pytest.mark.parametrize("kills", ROUNDS)
def test_started_again_it_ends_in_the_same_parquet(tmp_path, ports, undisturbed, kills) -> None:
    demo = _demo(tmp_path / "killed", ports)
    demo.start()
    with dg.DagsterInstance.from_config(str(demo.home)) as instance:
        for number, kill in enumerate(kills, 1):
            kill.happen(demo, instance)
            if kill.ends_demo and number < len(kills):
                assert demo.end() != 0
                demo.start()
        if demo.end() != 0:
            demo.complete()
        assert _rows(demo.folder) == undisturbed
        _assert_no_url_is_in_two_recorded_jobs(instance)


def _assert_no_url_is_in_two_recorded_jobs(instance: dg.DagsterInstance) -> None:
    recorded = {entry.record.intent_id for entry in _events(instance, Recorded)}
    intents = [entry.record for entry in _events(instance, Intent)]
    submitted = Counter(item.url for intent in intents if intent.intent_id in recorded for item in intent.items)
    assert len(submitted) == 113
    assert set(submitted.values()) == {1}
