"""The same crawl by every contender: what comes, when, and what it takes."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Final

from benchmarks import outcome
from benchmarks.account import ALL_PLANS
from benchmarks.accounts import ROOT, account, environment, read_journal
from benchmarks.contenders.task import BATCH
from benchmarks.jobs import shortest_seconds
from benchmarks.journal import Journal
from benchmarks.outcome import Spread
from benchmarks.pages import Site, urls
from benchmarks.processes import Sampler
from thunderbit_dagster.partitions import chunks

MEGABYTE = 1024.0 * 1024.0


@dataclass(frozen=True)
class Contender:
    """A program in `benchmarks.contenders`.

    Args:
        title: What the tables call it.
        module: Its module.
        arguments: What follows on the command line.
        needs: Packages without which it is left out.
        standing: Whether it stands before it is used; its first process then only drives it, and is not counted.
    """

    title: str
    module: str
    arguments: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    standing: bool = False

    @property
    def missing(self) -> list[str]:
        return [name for name in self.needs if find_spec(name) is None]


CONTENDERS: Final[Mapping[str, Contender]] = MappingProxyType(
    {
        "guide": Contender("the guide's loop as it stands", "seed_loop"),
        "sequential": Contender("the loop made right", "sequential"),
        "threads": Contender("the same in ten threads", "threads"),
        "interval30": Contender("a look at every job each 30 s", "interval", ("--seconds", "30")),
        "interval60": Contender("a look at every job each 60 s", "interval", ("--seconds", "60")),
        "firecrawl": Contender("firecrawl-py, defaults", "firecrawl_sdk", (), ("firecrawl",)),
        "firecrawl-best": Contender("firecrawl-py, at its best", "firecrawl_sdk", ("--best",), ("firecrawl",)),
        "dlt": Contender("a dlt pipeline", "dlt_pipeline", (), ("dlt",)),
        "ours": Contender("thunderbit_dagster, polling", "ours", (), (), standing=True),
        "ours-webhook": Contender("thunderbit_dagster, webhook", "ours", ("--webhooks",), (), standing=True),
        "ours-backfill": Contender("thunderbit_dagster, backfill", "ours", ("--backfill",), (), standing=True),
    }
)


@dataclass(frozen=True)
class Crawl:
    """What every contender is to do, and with which account."""

    urls: int = 1_000
    plan: str = "pro"
    site: Site = field(default_factory=Site)
    patience: float = 3_600.0

    @property
    def shortest_seconds(self) -> float:
        """How long the account takes for the jobs, when all are submitted at once."""
        batches = chunks(urls(self.urls), BATCH)
        return shortest_seconds(self.site, batches, ALL_PLANS[self.plan].concurrent_jobs)


@dataclass(frozen=True)
class Result:
    """One run of one contender."""

    contender: str
    exit_code: int
    error: str
    rows: outcome.Rows
    floor_seconds: float
    wall_seconds: float
    to_last_row_seconds: float | None
    """From the first submit to the last published row."""
    requests: Mapping[str, int]
    jobs: int
    dagster_runs: int
    noticing: Spread | None
    publishing: Spread | None
    peak_memory_mb: float
    idle_memory_mb: float
    cpu_seconds: float


def run_all(crawl: Crawl, names: Sequence[str], rounds: int) -> Iterator[dict[str, object]]:
    """Every contender once a round, in turns.

    Raises:
        KeyError: there is no contender of that name.
    """
    for turn in range(rounds):
        for name in names:
            contender = CONTENDERS[name]
            if contender.missing:
                print(f"{name} is left out: {', '.join(contender.missing)} is not installed", flush=True)
                continue
            result = run_one(crawl, name)
            print(f"round {turn + 1}: {summary(result)}", flush=True)
            yield {**asdict(result), "round": turn + 1}


def summary(result: Result) -> str:
    rows = result.rows
    ended = f" EXIT {result.exit_code}: {result.error}" if result.exit_code else ""
    return (
        f"{result.contender:<15}{rows.right}/{rows.asked} rows right, {result.wall_seconds:.1f} s "
        f"(account alone {result.floor_seconds:.1f} s), {sum(result.requests.values())} requests, "
        f"{result.peak_memory_mb:.0f} MB, {result.cpu_seconds:.1f} CPU s{ended}"
    )


def run_one(crawl: Crawl, name: str) -> Result:
    key = f"tb_{secrets.token_hex(16)}"
    contender = CONTENDERS[name]
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder, account(crawl.site, crawl.plan, key) as origin:
        place = Path(folder)
        listed = place / "urls.txt"
        listed.write_text("\n".join(urls(crawl.urls)))
        rows_folder = place / "rows"
        rows_folder.mkdir()
        command = [sys.executable, "-m", f"benchmarks.contenders.{contender.module}", *contender.arguments]
        command += ["--account", origin, "--key", key, "--urls", str(listed), "--folder", str(rows_folder)]
        command += ["--requests-per-minute", str(ALL_PLANS[crawl.plan].requests_per_minute)]
        log = place / "contender.log"
        with log.open("wb") as out, Sampler() as sampler:
            process = subprocess.Popen(command, stdout=out, stderr=out, cwd=ROOT, env=environment())
            sampler.watch(process.pid, with_root=not contender.standing)
            exit_code = wait(process, crawl.patience)
        journal = read_journal(origin)
        error = log.read_text(errors="replace").strip().splitlines()[-1:] if exit_code else []
        return judge(crawl, Ended(name, exit_code, "".join(error), rows_folder), journal, sampler)


def wait(process: subprocess.Popen[bytes], seconds: float) -> int:
    """The exit code of a process, which is ended when the time is over or this one is to end."""
    try:
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
    finally:
        process.terminate()
        process.wait()
    return process.returncode


@dataclass(frozen=True)
class Ended:
    """A contender that has ended: how, with the last words of one that failed, and where its rows are."""

    name: str
    exit_code: int
    error: str
    folder: Path

    @property
    def times(self) -> dict[str, float]:
        """When it began and ended by its own account; empty when it did not come so far."""
        file = self.folder / "times.json"
        times: dict[str, float] = json.loads(file.read_text()) if file.exists() else {}
        return times


def judge(crawl: Crawl, ended: Ended, journal: Journal, sampler: Sampler) -> Result:
    rows = sorted(outcome.delivered(ended.folder), key=lambda row: row.at)
    standing = CONTENDERS[ended.name].standing
    began = ended.times.get("began", sampler.began) if standing else sampler.began
    over = ended.times.get("ended", time.time())
    first = min((job.submitted_at for job in journal.jobs), default=None)
    return Result(
        contender=ended.name,
        exit_code=ended.exit_code,
        error=ended.error,
        rows=outcome.count_rows(crawl.site, urls(crawl.urls), rows, journal),
        floor_seconds=crawl.shortest_seconds,
        wall_seconds=over - began,
        to_last_row_seconds=rows[-1].at - first if rows and first else None,
        requests=outcome.requests_by_kind(journal),
        jobs=len(journal.jobs),
        dagster_runs=int(ended.times.get("runs", 0)),
        noticing=Spread.of(outcome.noticing_seconds(journal)),
        publishing=Spread.of(outcome.publishing_seconds(journal, rows)),
        peak_memory_mb=sampler.peak_rss(began, over) / MEGABYTE,
        idle_memory_mb=sampler.rss_before(began) / MEGABYTE if standing else 0.0,
        cpu_seconds=sampler.cpu_seconds(began, over),
    )
