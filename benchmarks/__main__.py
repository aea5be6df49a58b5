"""Runs the benchmarks and keeps what they found; it fails when one does not work or loses rows, never on a figure.

python -m benchmarks                       everything, as docs/performance.md is measured
python -m benchmarks --quick               small sizes: whether the benchmarks themselves work
python -m benchmarks --only crawl --urls 1000 --plan pro --job-seconds 30 --contenders ours,threads
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from benchmarks import launching, loading, report
from benchmarks.account import ALL_PLANS
from benchmarks.accounts import ROOT, end_in_order, environment
from benchmarks.crawling import CONTENDERS, Crawl, run_all
from benchmarks.pages import Site
from benchmarks.stats import number_at

Record = dict[str, object]
COMPARED = [name for name in CONTENDERS if name != "ours-backfill"]
MAY_FAIL = ("guide", "firecrawl")
OF_PAGES = ("page_seconds", "spread", "pages_at_once")
"""Settings that mean nothing where jobs take a fixed time."""


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    rounds: int
    urls: int
    plan: str
    site: Site
    contenders: tuple[str, ...]
    open_jobs: tuple[int, ...]
    idle_crawls: int
    idle_ticks: int
    rows: int
    row_bytes: int
    loaded_crawls: tuple[int, ...]
    dates: int

    @property
    def crawl(self) -> Crawl:
        return Crawl(self.urls, self.plan, self.site)

    @property
    def backfill(self) -> Crawl:
        return Crawl(10 * self.dates, "enterprise", self.site)


FULL = Sizes(
    rounds=3,
    urls=1_000,
    plan="pro",
    site=Site(),
    contenders=tuple(COMPARED),
    open_jobs=(1, 100, 1_000, 5_000),
    idle_crawls=20,
    idle_ticks=30,
    rows=10_000,
    row_bytes=45_000,
    loaded_crawls=(1, 10, 100),
    dates=365,
)
QUICK = Sizes(
    rounds=1,
    urls=200,
    plan="pro",
    site=Site(job_seconds=1.0, body_bytes=1_000),
    contenders=("threads", "ours-webhook"),
    open_jobs=(1, 20),
    idle_crawls=2,
    idle_ticks=2,
    rows=200,
    row_bytes=1_000,
    loaded_crawls=(1,),
    dates=12,
)


def crawl(sizes: Sizes) -> Iterator[Record]:
    return run_all(sizes.crawl, sizes.contenders, sizes.rounds)


def backfill(sizes: Sizes) -> Iterator[Record]:
    return run_all(sizes.backfill, ["ours-backfill"], sizes.rounds)


def ticks(sizes: Sizes) -> Iterator[Record]:
    for _ in range(sizes.rounds):
        for jobs in sizes.open_jobs:
            yield apart("ticking", "open", "--jobs", jobs)


def idle(sizes: Sizes) -> Iterator[Record]:
    for _ in range(sizes.rounds):
        yield apart("ticking", "idle", "--crawls", sizes.idle_crawls, "--ticks", sizes.idle_ticks)


def collection(sizes: Sizes) -> Iterator[Record]:
    for _ in range(sizes.rounds):
        yield apart("collecting", "--rows", sizes.rows, "--body-bytes", sizes.row_bytes)


def launch(sizes: Sizes) -> Iterator[Record]:
    return launching.measure(sizes.rounds)


def load(sizes: Sizes) -> Iterator[Record]:
    return loading.measure(sizes.loaded_crawls, sizes.rounds)


def apart(module: str, *arguments: object) -> Record:
    """What a module measures in a process of its own."""
    command = [sys.executable, "-W", "ignore", "-m", f"benchmarks.{module}", *map(str, arguments)]
    done = subprocess.run(command, check=True, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True)
    record: Record = json.loads(done.stdout)
    print(f"{module}: {record}", flush=True)
    return record


LONG = ("launching", "backfill")
"""Left out with --quick: each waits for a Dagster of its own."""
MEASUREMENTS: dict[str, Callable[[Sizes], Iterable[Record]]] = {
    "loading": load,
    "launching": launch,
    "idle": idle,
    "ticks": ticks,
    "collection": collection,
    "backfill": backfill,
    "crawl": crawl,
}


def settings(kind: str, sizes: Sizes) -> Record:
    """What a measurement was told, for its results."""
    if kind not in ("crawl", "backfill"):
        return {"repetitions": sizes.rounds}
    asked = sizes.crawl if kind == "crawl" else sizes.backfill
    site = asdict(asked.site)
    if asked.site.job_seconds is not None:
        site = {name: value for name, value in site.items() if name not in OF_PAGES}
    return {"repetitions": sizes.rounds, "URLs": asked.urls, "plan": asked.plan, **site}


def machine() -> Record:
    return {
        "processors": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
        **{name: version(name) for name in ("dagster", "pyarrow", "thunderbit-dagster")},
    }


def keep(folder: Path, name: str, kind: str, sizes: Sizes, records: list[Record]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    found = {"kind": kind, "settings": settings(kind, sizes), "machine": machine(), "records": records}
    (folder / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")


def works(record: Record) -> bool:
    """Whether a program came to its end with every row; of some it is a finding that they do not."""
    if "published" in record:
        return record["published"] == record["rows"]
    if "contender" not in record or record["contender"] in MAY_FAIL:
        return True
    return not record["exit_code"] and number_at(record, "rows.right") == number_at(record, "rows.asked")


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="Small sizes: whether the benchmarks themselves work.")
    parser.add_argument("--only", help=f"Some of {', '.join(MEASUREMENTS)}; separated by commas.")
    parser.add_argument("--rounds", type=int, help="Repetitions.")
    parser.add_argument("--urls", type=int, help="URLs of the crawl.")
    parser.add_argument("--plan", choices=ALL_PLANS, help="The account's plan for the crawl.")
    parser.add_argument(
        "--job-seconds", type=float, help="Every job takes so long; default: log-normal times of the pages."
    )
    parser.add_argument("--body-bytes", type=int, help="Size of a page's Markdown in the crawl.")
    parser.add_argument("--contenders", help=f"Some of {', '.join(COMPARED)}; separated by commas.")
    parser.add_argument("--dates", type=int, help="Dates of the backfill, of ten URLs each.")
    parser.add_argument("--name", help="Name of the file for the crawl's results, to keep several.")
    parser.add_argument("--results", type=Path, help="Folder for the results; default: none are kept with --quick.")
    parser.add_argument("--page", type=Path, help="Page to write tables and plots into.")
    return parser.parse_args()


def sizes_from(given: argparse.Namespace) -> Sizes:
    sizes = asdict(QUICK if given.quick else FULL)
    site = sizes.pop("site")
    if given.job_seconds is not None:
        site["job_seconds"] = given.job_seconds
    site["body_bytes"] = given.body_bytes or site["body_bytes"]
    for name in ("rounds", "urls", "plan", "dates"):
        sizes[name] = getattr(given, name) or sizes[name]
    if given.contenders:
        sizes["contenders"] = tuple(given.contenders.split(","))
    return Sizes(site=Site(**site), **sizes)


def main() -> int:
    given = read_arguments()
    end_in_order()
    sizes = sizes_from(given)
    folder = given.results or (None if given.quick else ROOT / "benchmarks" / "results")
    kinds = [kind for kind in MEASUREMENTS if not (given.quick and kind in LONG)]
    kinds = given.only.split(",") if given.only else kinds
    broken = []
    # Where no figure counts, all may share the machine.
    with ThreadPoolExecutor(len(kinds) if given.quick else 1) as pool:
        for kind, records in zip(kinds, pool.map(lambda kind: list(MEASUREMENTS[kind](sizes)), kinds), strict=True):
            broken += [record for record in records if not works(record)]
            if folder:
                keep(folder, given.name if given.name and kind == "crawl" else kind, kind, sizes, records)
    if given.page and folder:
        report.write(given.page, folder)
    for record in broken:
        print(f"does not work: {record}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
