"""What the polling tests stand on: thousands of open jobs in an event log on disk, and an API that knows them."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from unittest import mock

import dagster as dg

from thunderbit_dagster import Crawl, Distill, ThunderbitResource
from thunderbit_dagster.ledger.records import AnyRecord, Collected, JobShare, Progress, Sealed, to_metadata
from thunderbit_dagster.polling import sensor
from thunderbit_dagster.polling.definition import build_job_sensor

KEY = "tb_0123456789abcdef0123456789abcdef"
PLENTY = 1_000_000
URLS_PER_JOB = 10
_names = itertools.count(1)
BROKEN = ("gone", "error", "garbage", "hang")


class StatusServer:
    """The quick API of `status_server`, in a process of its own."""

    def __init__(self, port: int) -> None:
        self.origin = f"http://127.0.0.1:{port}"

    @property
    def base_url(self) -> str:
        return f"{self.origin}/openapi/v1"

    def asked(self) -> list[int]:
        """The numbers of the jobs asked about since the last call, in order."""
        return self._get("asked")

    def revoke(self) -> None:
        """From now on accept no key."""
        self._get("revoke")

    def accept(self) -> None:
        """From now on accept every key."""
        self._get("accept")

    def _get(self, path: str) -> list[int]:
        with urllib.request.urlopen(f"{self.origin}/{path}") as reply:  # noqa: S310 - loopback
            return json.load(reply)


@contextmanager
def status_server() -> Iterator[StatusServer]:
    script = Path(__file__).with_name("status_server.py")
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield StatusServer(int(process.stdout.readline()))
        finally:
            process.kill()


def crawl(keys: Sequence[str], name: str | None = None, **options: object) -> Crawl:
    """A crawl whose name no other test uses, so that tests may share an instance."""
    name = name or f"polled_{next(_names):03d}"
    return Crawl(name=name, urls={key: ["https://example.org/"] for key in keys}, request=Distill(), **options)


def keys(count: int) -> list[str]:
    return [f"p{number:05d}" for number in range(count)]


def job_name(number: int, kind: str = "running") -> str:
    return f"distill/batch_{number:06d}_{kind}"


def kinds(count: int) -> list[str]:
    """What each job answers, one in ten of them broken, in each way as often."""
    return [BROKEN[number // 10 % len(BROKEN)] if number % 10 == 3 else "running" for number in range(count)]


@dataclass
class Ledger:
    """Writes a crawl's records into an event log, as runs and ticks do."""

    instance: dg.DagsterInstance
    crawl: Crawl

    def seal(self, key: str | None, jobs: Sequence[str], *, at: float, submission: str | None = None) -> None:
        shares = tuple(JobShare(job=job, rows=URLS_PER_JOB, size=URLS_PER_JOB, at=at) for job in jobs)
        sealed = Sealed(submission_id=submission or f"of-{key}", total=URLS_PER_JOB * len(jobs), jobs=shares)
        self.materialize("submissions", key, sealed)

    def collect(self, key: str | None, submission: str | None = None) -> None:
        collected = Collected(submission_id=submission or f"of-{key}", succeeded=URLS_PER_JOB, failed=0)
        self.materialize("failed", key, collected)

    def progress(self, key: str | None, job: str, *, at: float, status: str = "PROCESSING", done: int = 1) -> None:
        seen = Progress(job=job, status=status, done=done, total=URLS_PER_JOB, at=at)
        self.instance.report_runless_asset_event(
            sensor.progress_observation(self.crawl, self.crawl.partition(key), seen)
        )

    def materialize(self, asset: str, key: str | None, record: AnyRecord) -> None:
        self.instance.report_runless_asset_event(
            dg.AssetMaterialization(self.crawl.key(asset), partition=key, metadata=to_metadata(record))
        )


@dataclass
class Sensor:
    """The job sensor over some crawls, ticked by hand on a clock of its own; it does what the daemon does."""

    instance: dg.DagsterInstance
    crawls: Sequence[Crawl]
    base_url: str
    tick_seconds: float = 5.0
    requests_per_minute: int = PLENTY
    key: str = KEY
    now: float = field(default_factory=time.time)
    cursor: str | None = None
    seconds: list[float] = field(default_factory=list)

    def tick(self, after: float = 0.0):
        """One tick, so many seconds later; how long it took is in `seconds`."""
        self.now += after
        definition = build_job_sensor(self.crawls, minimum_interval_seconds=30, tick_seconds=self.tick_seconds)
        thunderbit = ThunderbitResource(
            api_key=self.key, base_url=self.base_url, requests_per_minute=self.requests_per_minute
        )
        with (
            mock.patch.object(sensor, "Tick", partial(sensor.Tick, now=self.now)),
            dg.build_sensor_context(
                instance=self.instance, cursor=self.cursor, resources={"thunderbit": thunderbit}
            ) as context,
        ):
            began = time.monotonic()
            try:
                result = definition(context)
            finally:
                self.seconds.append(time.monotonic() - began)
            self.cursor = context.cursor
        for event in result.asset_events:
            self.instance.report_runless_asset_event(event)
        return result
