"""Ticks of the job sensor in this process, with the account's answers over HTTP, and what the daemon writes after them.

python -m benchmarks.ticking open --jobs 1000
python -m benchmarks.ticking idle --crawls 20
"""

from __future__ import annotations

import argparse
import json
import logging
import secrets
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import dagster as dg
import httpx

from benchmarks.accounts import account, read_journal
from benchmarks.locations.crawls import definitions
from benchmarks.pages import Site, urls
from thunderbit_dagster import Crawl, Distill, ParquetStore, ThunderbitResource, build_crawl_definitions
from thunderbit_dagster.ledger.records import JobShare, Sealed, to_metadata
from thunderbit_dagster.partitions import chunks
from thunderbit_dagster.polling.cursor import read_cursor
from thunderbit_dagster.runs.names import SENSOR_NAME

URLS_PER_JOB = 10
JOBS_PER_PARTITION = 10
AGE_SECONDS = 3_600.0
"""Long enough that every job is due."""
DAY = 86_400.0
PAUSES = 10
"""Ticks with no job due."""
MOST_TICKS = 1_000


@dataclass
class Ticker:
    """The job sensor of some definitions, ticked as the daemon does."""

    instance: dg.DagsterInstance
    definitions: dg.Definitions
    cursor: str | None = None
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    writing_seconds: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.repository = self.definitions.get_repository_def()
        self.sensor = self.repository.get_sensor_def(SENSOR_NAME)

    def tick(self) -> dg.SensorResult:
        """One tick, and the events it told."""
        resources = {"thunderbit": (self.definitions.resources or {})["thunderbit"]}
        with dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, repository_def=self.repository, resources=resources
        ) as context:
            began, cpu_began = time.perf_counter(), time.process_time()
            result = self.sensor(context)
            self.seconds.append(time.perf_counter() - began)
            self.cpu_seconds.append(time.process_time() - cpu_began)
            self.cursor = context.cursor
        if not isinstance(result, dg.SensorResult):
            raise TypeError(f"the sensor returned {result!r}")
        began = time.perf_counter()
        for event in result.asset_events:
            self.instance.report_runless_asset_event(event)
        self.writing_seconds.append(time.perf_counter() - began)
        return result


@contextmanager
def new_instance() -> Iterator[dg.DagsterInstance]:
    """An instance with Dagster's default storage in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        quiet = {"telemetry": {"enabled": False}}
        with dg.DagsterInstance.local_temp(folder, overrides=quiet) as instance:
            yield instance


def measure_open(jobs: int, site: Site) -> dict[str, object]:
    """Ticks until every open job was asked, and ticks with as many open of which none is due."""
    key = f"tb_{secrets.token_hex(16)}"
    with account(site, "unlimited", key) as origin, new_instance() as instance:
        ids = submit(origin, key, jobs)
        groups = chunks(ids, JOBS_PER_PARTITION)
        crawl = Crawl(name="pages", urls={f"p{n:05d}": [urls(1)[0]] for n in range(len(groups))}, request=Distill())
        for name, group in zip(crawl.url_keys, groups, strict=True):
            seal(instance, crawl, name, group)
        thunderbit = ThunderbitResource(api_key=key, base_url=f"{origin}/openapi/v1", requests_per_minute=1_000_000)
        ticker = Ticker(instance, build_crawl_definitions([crawl], thunderbit=thunderbit, store=ParquetStore("unused")))
        ticker.tick()
        while read_cursor(ticker.cursor).after is not None and len(ticker.seconds) < MOST_TICKS:
            ticker.tick()
        rotation, asked = len(ticker.seconds), _asked(origin)
        for _ in range(PAUSES):
            ticker.tick()
    return {
        "jobs": jobs,
        "first_tick_seconds": ticker.seconds[0],
        "ticks_until_all_asked": rotation,
        "asked": asked,
        "writing_seconds": sum(ticker.writing_seconds[:rotation]),
        "none_due_seconds": sorted(ticker.seconds[rotation:])[PAUSES // 2],
        "none_due_cpu_seconds": sorted(ticker.cpu_seconds[rotation:])[PAUSES // 2],
        "cursor_bytes": len(ticker.cursor or ""),
    }


def submit(origin: str, key: str, jobs: int) -> list[str]:
    """Submit so many jobs; their ids."""
    with httpx.Client(headers={"Authorization": f"Bearer {key}"}, trust_env=False, timeout=60.0) as client:
        address, body = f"{origin}/openapi/v1/batch/distill", {"urls": urls(URLS_PER_JOB)}
        return [client.post(address, json=body).raise_for_status().json()["data"]["id"] for _ in range(jobs)]


def seal(instance: dg.DagsterInstance, crawl: Crawl, partition: str, ids: Sequence[str]) -> None:
    """Write what a run that has submitted the jobs of a partition leaves in the event log."""
    at = time.time() - AGE_SECONDS
    shares = tuple(JobShare(job=f"distill/{one}", rows=URLS_PER_JOB, size=URLS_PER_JOB, at=at) for one in ids)
    sealed = Sealed(submission_id=f"of-{partition}", total=URLS_PER_JOB * len(ids), jobs=shares)
    metadata = dict(to_metadata(sealed))
    instance.report_runless_asset_event(
        dg.AssetMaterialization(crawl.key("submissions"), partition=partition, metadata=metadata)
    )


def _asked(origin: str) -> int:
    return sum(one.kind == "status" for one in read_journal(origin).requests)


def measure_idle(crawls: int, ticks: int) -> dict[str, object]:
    """Ticks with nothing open."""
    with new_instance() as instance:
        ticker = Ticker(instance, definitions(crawls))
        ticker.tick()
        before = instance.event_log_storage.get_maximum_record_id() or 0
        for _ in range(ticks):
            ticker.tick()
        written = (instance.event_log_storage.get_maximum_record_id() or 0) - before
    return {
        "crawls": crawls,
        "ticks": ticks,
        "first_tick_seconds": ticker.seconds[0],
        "tick_seconds": sorted(ticker.seconds[1:])[ticks // 2],
        "tick_cpu_seconds": sorted(ticker.cpu_seconds[1:])[ticks // 2],
        "events_written": written,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.ticking", description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    kinds.add_parser("open").add_argument("--jobs", type=int, default=1_000)
    idle = kinds.add_parser("idle")
    idle.add_argument("--crawls", type=int, default=20)
    idle.add_argument("--ticks", type=int, default=30)
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    if given.kind == "open":
        print(json.dumps(measure_open(given.jobs, Site(job_seconds=DAY))))
    else:
        print(json.dumps(measure_idle(given.crawls, given.ticks)))


if __name__ == "__main__":
    main()
