"""``thunderbit-dagster demo``: the whole line on this machine, through a real Dagster daemon."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import click
import dagster as dg
from rich.console import Console
from rich.live import Live

from thunderbit_dagster.build import submit_job_name
from thunderbit_dagster.cli.dagster_api import DagsterApi, DagsterApiError
from thunderbit_dagster.cli.follow import Follower, progress_view
from thunderbit_dagster.cli.processes import ChildEndedError, Children
from thunderbit_dagster.cli.report import (
    Usage,
    audit_all,
    failure_counts,
    print_failures,
    print_partitions,
    print_usage,
    read_usage,
)
from thunderbit_dagster.cli.workspace import Ports, Workspace, named_origins, ui_url
from thunderbit_dagster.crawl import Crawl
from thunderbit_dagster.ledger.log import LedgerReader
from thunderbit_dagster.partitions import Partition, group_into_ranges
from thunderbit_dagster.polling.sensor import ACTIVE
from thunderbit_dagster.run import range_tags
from thunderbit_dagster.starter import demo_crawl, own_crawl
from thunderbit_dagster.storage.store import ParquetStore

LOOK_SECONDS = 0.5
DAGSTER_START_SECONDS = 180.0
MAX_LAUNCHES = 4
CONTINUE = "Nothing is lost: run the same command again and the crawl goes on where it stopped."


@click.command()
@click.option("--urls", type=click.Path(exists=True, path_type=Path), help="Crawl the URLs of this file, one a line.")
@click.option("--dir", "root", type=click.Path(path_type=Path), default=Path("demo-data"), show_default=True)
@click.option("--allow-origin", "origins", multiple=True, metavar="ORIGIN", help="As for `emulator`.")
@click.option("--timeout", default=1_200.0, show_default=True, help="Seconds the crawl may take.")
@click.option("--fresh", is_flag=True, help="Throw away what an earlier demo left in the folder.")
def demo(urls: Path | None, root: Path, origins: tuple[str, ...], timeout: float, *, fresh: bool) -> None:
    """Crawl the bundled site (or your own list) with emulator, Dagster daemon and sensor; show what came of it.

    Exit code 0 only if every submitted URL ended in `succeeded` or `failed`.
    """
    workspace = Workspace(root.resolve())
    if fresh and workspace.root.exists():
        shutil.rmtree(workspace.root)
    # The demo is self-contained: neither the user's Dagster instance nor the real API is touched.
    for name in ("DAGSTER_HOME", "THUNDERBIT_DATA_URI", "THUNDERBIT_API_KEY", "THUNDERBIT_BASE_URL"):
        os.environ.pop(name, None)
    crawl = own_crawl(str(urls.resolve())) if urls else demo_crawl()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console()
    try:
        holds = Demo(workspace, crawl, console, timeout).run(urls, origins)
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

    def run(self, urls: Path | None, origins: tuple[str, ...]) -> bool:
        """Start everything, crawl, report; whether conservation holds."""
        began = time.monotonic()
        ports = self.workspace.prepare()
        session = Session.open(self.workspace, self.crawl)
        env = self.workspace.environment(ports, emulated=True)
        if urls:
            env["THUNDERBIT_URLS"] = str(urls.resolve())
        with Children(env) as children:
            self.console.print("Starting the emulator and the demo site ...")
            self.workspace.start_emulator(children, ports, [*origins, *named_origins(urls)])
            before = read_usage(emulator_url(ports))
            self.console.print(f"Starting Dagster (daemon and UI on {ui_url(ports)}) ...")
            log = self.workspace.log("dagster")
            self.workspace.start_dagster(children, ports, ["-m", "thunderbit_dagster.location"], log)
            api = DagsterApi(ui_url(ports))
            children.wait_until(api.is_loaded, "Dagster", DAGSTER_START_SECONDS)
            self._crawl(children, api, session)
            usage = read_usage(emulator_url(ports)).since(before)
        session.close()
        return self._report(usage, time.monotonic() - began)

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
                        raise TimeoutError(f"The crawl did not end within {self.timeout:.0f} s.")
                    time.sleep(LOOK_SECONDS)

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
        self.console.print(f"Dagster UI  thunderbit-dagster dev --dir {self.workspace.root}", soft_wrap=True)
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
            raise ChildEndedError(f"{MAX_LAUNCHES} runs of {job} failed; their errors are in Dagster's UI.")
        self.launches += 1
        for tags in self._tags(partitions):
            self.api.launch(job, tags)

    def is_active(self, job: str | None = None) -> bool:
        """Whether a run is under way: of a job, or any."""
        return bool(self.instance.get_runs(dg.RunsFilter(job_name=job, statuses=ACTIVE), limit=1))

    def _tags(self, partitions: list[Partition]) -> list[dict[str, str]]:
        keys = [partition.key for partition in partitions if partition.key is not None]
        if not keys:
            return [{}]
        ranges = group_into_ranges(keys, self.crawl.axes, self.crawl.max_partitions_per_run)
        return [range_tags(one.start, one.end) for one in ranges]


def emulator_url(ports: Ports) -> str:
    """The emulator itself, not its API."""
    return f"http://127.0.0.1:{ports.emulator}"
