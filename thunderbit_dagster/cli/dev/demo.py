"""``thunderbit-dagster demo``: the whole line on this machine, through a real Dagster daemon."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import click
import dagster as dg
from rich.console import Console
from rich.live import Live

from thunderbit_dagster.cli.dagster_api import DagsterApi, DagsterApiError
from thunderbit_dagster.cli.dev.progress import Follower, progress_view
from thunderbit_dagster.cli.dev.summary import (
    Usage,
    audit_all,
    failure_counts,
    print_failures,
    print_partitions,
    print_usage,
    read_usage,
)
from thunderbit_dagster.cli.processes import ChildEndedError, Children
from thunderbit_dagster.cli.selection import FOLDER
from thunderbit_dagster.cli.workspace import (
    Ports,
    Workspace,
    ignore_own_settings,
    named_origins,
    own_settings,
    ui_url,
)
from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.ledger.event_log import LedgerReader
from thunderbit_dagster.partitions import Partition, group_into_ranges
from thunderbit_dagster.runs.names import submit_job_name
from thunderbit_dagster.runs.partitions import range_tags
from thunderbit_dagster.starter.crawls import demo_crawl, own_crawl
from thunderbit_dagster.storage.store import ParquetStore

_LOOK_SECONDS = 1.0
_ACTIVE = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
DAGSTER_START_SECONDS = 180.0
MAX_LAUNCHES = 4
CONTINUE = "Nothing is lost: run the same command again, and the crawl continues where it stopped."


@click.command()
@click.option("--urls", type=click.Path(exists=True, path_type=Path), help="Crawl the URLs in this file, one per line.")
@click.option("--dir", "root", type=click.Path(path_type=Path), default=FOLDER, show_default=True)
@click.option("--allow-origin", "origins", multiple=True, metavar="ORIGIN", help="As for `emulator`.")
@click.option("--timeout", default=1_200.0, show_default=True, help="Seconds that the crawl may take.")
@click.option("--dev-command", hidden=True, help="What starts `dev` here when no setting of the user's interferes.")
def demo(urls: Path | None, root: Path, origins: tuple[str, ...], timeout: float, dev_command: str | None) -> None:
    """Crawl the bundled site (or your own list) with emulator, Dagster daemon and sensor, and show the results.

    Exits with code 0 only if every submitted URL ended up in `succeeded` or `failed`.
    """
    workspace = Workspace(root.resolve())
    show = dev_command if dev_command and not own_settings() else next_command(root, urls)
    ignore_own_settings()
    crawl = own_crawl(str(urls.resolve())) if urls else demo_crawl()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console()
    try:
        holds = Demo(workspace, crawl, console, timeout, show).run(urls, origins)
    except (ChildEndedError, DagsterApiError, TimeoutError) as error:
        raise click.ClickException(f"{error}\n{CONTINUE}") from error
    except KeyboardInterrupt:
        raise click.ClickException(f"Stopped. {CONTINUE}") from None
    raise SystemExit(0 if holds else 1)


@dataclass(frozen=True)
class Session:
    """One crawl of the demo, from its first start to its end, over any number of interruptions."""

    file: Path
    began: float

    @classmethod
    def open(cls, workspace: Workspace, crawl: Crawl) -> Session:
        """The unfinished session of an earlier start, or a new one."""
        file = workspace.root / f"session-{crawl.name}.json"
        try:
            return cls(file, float(json.loads(file.read_text())["began"]))
        except (OSError, ValueError, KeyError, TypeError):
            session = cls(file, time.time())
            file.write_text(json.dumps({"began": session.began}))
            return session

    def close(self) -> None:
        """The crawl is complete; the next start is a new one."""
        self.file.unlink(missing_ok=True)


@dataclass
class Demo:
    """The demo in its folder."""

    workspace: Workspace
    crawl: Crawl
    console: Console
    timeout: float
    show: str
    """The command that shows in the UI what was crawled."""

    def run(self, urls: Path | None, origins: tuple[str, ...]) -> bool:
        """Start everything, crawl, report; whether conservation holds."""
        began = time.monotonic()
        with self.workspace.in_use() as ports:
            usage = self._start(ports, urls, origins)
        return self._report(usage, time.monotonic() - began)

    def _start(self, ports: Ports, urls: Path | None, origins: tuple[str, ...]) -> Usage:
        session = Session.open(self.workspace, self.crawl)
        env = self.workspace.environment(ports, emulated=True)
        if urls:
            env["THUNDERBIT_URLS"] = str(urls.resolve())
        # Dagster reads a file `.env` where it is started, and there may be one of the user's own here.
        with Children(env, self.workspace.root) as children:
            self.console.print("Starting the emulator and the demo site ...")
            self.workspace.start_emulator(children, ports, [*origins, *named_origins(urls)])
            before = read_usage(emulator_url(ports))
            self.console.print(f"Starting Dagster (daemon and UI on {ui_url(ports)}) ...")
            log = self.workspace.log("dagster")
            self.workspace.start_dagster(children, ports, ["-m", "thunderbit_dagster.starter.location"], log)
            api = DagsterApi(ui_url(ports))
            children.wait_until(api.is_loaded, "Dagster", DAGSTER_START_SECONDS)
            self._crawl(children, api, session)
            usage = read_usage(emulator_url(ports)).since(before)
        session.close()
        return usage

    def _crawl(self, children: Children, api: DagsterApi, session: Session) -> None:
        """Submit what this session has not submitted, and follow it until all is published."""
        stop_by = time.monotonic() + self.timeout
        with dg.DagsterInstance.from_config(str(self.workspace.dagster_home)) as instance:
            follower = Follower(instance, self.crawl, session.began)
            submitter = Submitter(instance, api, self.crawl)
            with Live(console=self.console, refresh_per_second=4) as live:
                while True:
                    states = follower.states()
                    live.update(progress_view(states, session.began))
                    if all(state.published for state in states) and not submitter.is_active():
                        return
                    children.check()
                    submitter.ensure([state.partition for state in states if state.needs_submit])
                    if time.monotonic() > stop_by:
                        raise TimeoutError(f"The crawl did not finish within {self.timeout:.0f} s.")
                    time.sleep(_LOOK_SECONDS)

    def _report(self, usage: Usage, seconds: float) -> bool:
        store = ParquetStore(self.workspace.data_uri)
        with dg.DagsterInstance.from_config(str(self.workspace.dagster_home)) as instance:
            partitions = Follower(instance, self.crawl, 0).partitions
            audits = audit_all(self.crawl, store, LedgerReader(instance, self.crawl), partitions)
        print_partitions(self.console, audits)
        print_failures(self.console, failure_counts(self.crawl, store, partitions))
        print_usage(self.console, usage, seconds)
        table = Path(self.workspace.data_uri) / self.crawl.name / "succeeded"
        self.console.print(f"Parquet     {table.parent}", soft_wrap=True)
        self.console.print(f"Read it     pandas.read_parquet({str(table)!r})", soft_wrap=True)
        self.console.print(f"Dagster UI  {self.show}", soft_wrap=True, markup=False, highlight=False)
        return not any(one.fault for one in audits)


@dataclass
class Submitter:
    """Has the daemon run the submit job until every partition is submitted; a run that died is replaced."""

    instance: dg.DagsterInstance
    api: DagsterApi
    crawl: Crawl
    launches: int = 0

    def ensure(self, partitions: list[Partition]) -> None:
        """Launch runs for partitions that are not submitted, unless a run is at it.

        Raises:
            ChildEndedError: the runs keep failing.
        """
        job = submit_job_name(self.crawl)
        if not partitions or self.is_active(job):
            return
        if self.launches == MAX_LAUNCHES:
            raise ChildEndedError(f"{MAX_LAUNCHES} runs of {job} failed; see Dagster's UI for their errors.")
        self.launches += 1
        for tags in self._tags(partitions):
            self.api.launch(job, tags)

    def is_active(self, job: str | None = None) -> bool:
        """Whether a run is under way: of a job, or any."""
        return bool(self.instance.get_runs(dg.RunsFilter(job_name=job, statuses=_ACTIVE), limit=1))

    def _tags(self, partitions: list[Partition]) -> list[dict[str, str]]:
        keys = [partition.key for partition in partitions if partition.key is not None]
        if not keys:
            return [{}]
        ranges = group_into_ranges(keys, self.crawl.axes, self.crawl.max_partitions_per_run)
        return [range_tags(one.start, one.end) for one in ranges]


def next_command(root: Path, urls: Path | None) -> str:
    """The command that shows the demo in the UI, as it can be typed in this folder."""
    words = [*program(), "dev", "--demo"]
    if root != FOLDER:
        words += ["--dir", str(root)]
    if urls:
        words += ["--urls", str(urls)]
    return shlex.join(words)


def program() -> list[str]:
    """How this command line is called from here: by its name when the PATH leads to it, else as it was just now."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return [sys.executable, "-m", "thunderbit_dagster.cli"]
    found = shutil.which(called.name)
    return [called.name if found and called.exists() and called.samefile(found) else str(called)]


def emulator_url(ports: Ports) -> str:
    """The emulator itself, not its API."""
    return f"http://127.0.0.1:{ports.emulator}"
