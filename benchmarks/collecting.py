"""A collect run, and what of it nobody could spare: decoding the same answers, writing the same Parquet, an empty run.

python -m benchmarks.collecting --rows 10000 --body-bytes 45000
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
import secrets
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import dagster as dg
import httpx
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.accounts import account, read_journal
from benchmarks.journal import HeldJob
from benchmarks.pages import Site, urls
from benchmarks.ticking import Ticker, new_instance
from thunderbit_dagster import Crawl, Distill, ParquetStore, ThunderbitResource, build_crawl_definitions
from thunderbit_dagster.partitions import chunks
from thunderbit_dagster.runs.names import collect_job_name, submit_job_name
from thunderbit_dagster.runs.partitions import range_tags
from thunderbit_dagster.storage.writer import COMPRESSION, COMPRESSION_LEVEL

PER_PARTITION = 1_000
JOB_SECONDS = 0.01
TICK_PAUSE = 0.5
QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}


@dg.op
def nothing() -> None:
    """What an empty run runs."""


@dg.job
def empty_run() -> None:
    nothing()


@dataclass(frozen=True)
class Collection:
    """An account whose jobs have ended, and the crawl that is to publish them."""

    origin: str
    key: str
    instance: dg.DagsterInstance
    crawl: Crawl
    folder: Path

    @cached_property
    def definitions(self) -> dg.Definitions:
        thunderbit = ThunderbitResource(
            api_key=self.key, base_url=f"{self.origin}/openapi/v1", requests_per_minute=1_000_000
        )
        store = ParquetStore(self.folder / "data")
        return build_crawl_definitions([self.crawl], thunderbit=thunderbit, store=store)

    def run(self, job: str) -> float:
        """Seconds that a run over all partitions takes in this process."""
        definition = self.definitions.get_repository_def().get_job(job)
        keys = self.crawl.url_keys
        tags = range_tags(keys[0], keys[-1]) if len(keys) > 1 else {}
        began = time.perf_counter()
        definition.execute_in_process(
            instance=self.instance,
            partition_key=None if tags else keys[0],
            tags=tags,
            run_config=QUIET,
        )
        return time.perf_counter() - began

    def tick_until_collectable(self) -> None:
        """Have the sensor learn that the jobs have ended, as it does before it asks for a collect run."""
        ticker = Ticker(self.instance, self.definitions)
        while not ticker.tick().run_requests:
            time.sleep(TICK_PAUSE)

    def empty_run(self) -> float:
        began = time.perf_counter()
        empty_run.execute_in_process(instance=self.instance, run_config=QUIET)
        return time.perf_counter() - began


def measure(rows: int, site: Site) -> dict[str, object]:
    listed = urls(rows)
    groups = chunks(listed, PER_PARTITION)
    crawl = Crawl(name="pages", urls={f"p{n:04d}": group for n, group in enumerate(groups)}, request=Distill())
    key = f"tb_{secrets.token_hex(16)}"
    with (
        account(site, "unlimited", key) as origin,
        new_instance() as instance,
        tempfile.TemporaryDirectory(prefix="benchmark-") as folder,
    ):
        collection = Collection(origin, key, instance, crawl, Path(folder))
        collection.run(submit_job_name(crawl))
        collection.tick_until_collectable()
        cpu_began = time.process_time()
        seconds = collection.run(collect_job_name(crawl))
        cpu = time.process_time() - cpu_began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        floor = measure_floor(collection, read_journal(origin).jobs)
        return {
            "rows": rows,
            "body_bytes": site.body_bytes,
            "published": _published(Path(folder)),
            "collect_seconds": seconds,
            "collect_cpu_seconds": cpu,
            "peak_memory_mb": peak,
            "empty_run_seconds": collection.empty_run(),
            **floor,
        }


def measure_floor(collection: Collection, jobs: Sequence[HeldJob]) -> dict[str, float]:
    """Seconds for fetching the same answers, decoding them, and writing their rows as Parquet; one after another."""
    schema = next(_files(collection.folder, "succeeded"))[1]
    fetching = decoding = writing = 0.0
    per_file = PER_PARTITION // 100
    for start in range(0, len(jobs), per_file):
        began = time.perf_counter()
        answers = list(_answers(collection, jobs[start : start + per_file]))
        fetched = time.perf_counter()
        rows = [row for answer in answers for row in json.loads(answer)["data"]["results"]]
        decoded = time.perf_counter()
        _write(rows, schema, collection.folder / "floor.parquet")
        fetching += fetched - began
        decoding += decoded - fetched
        writing += time.perf_counter() - decoded
    return {"fetch_seconds": fetching, "decode_seconds": decoding, "write_seconds": writing}


def _answers(collection: Collection, jobs: Sequence[HeldJob]) -> Iterator[bytes]:
    with httpx.Client(headers={"Authorization": f"Bearer {collection.key}"}, trust_env=False) as client:
        for job in jobs:
            address = f"{collection.origin}/openapi/v1/batch/distill/{job.id}?pageSize=100"
            yield client.get(address).raise_for_status().content


def _write(rows: Sequence[Mapping[str, object]], schema: pa.Schema, file: Path) -> None:
    table = pa.table({"url": [row["url"] for row in rows], "markdown": [row.get("markdown") for row in rows]})
    for field in schema:
        if field.name not in table.column_names:
            table = table.append_column(field.with_nullable(True), pa.nulls(len(rows), field.type))
    pq.write_table(table, file, compression=COMPRESSION, compression_level=COMPRESSION_LEVEL)


def _files(folder: Path, table: str) -> Iterator[tuple[int, pa.Schema]]:
    for file in folder.rglob("rows.parquet"):
        if table in file.parts:
            parquet = pq.ParquetFile(file)
            yield parquet.metadata.num_rows, parquet.schema_arrow


def _published(folder: Path) -> int:
    return sum(count for table in ("succeeded", "failed") for count, _ in _files(folder, table))


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.collecting", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--body-bytes", type=int, default=45_000)
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    print(json.dumps(measure(given.rows, Site(body_bytes=given.body_bytes, job_seconds=JOB_SECONDS))))


if __name__ == "__main__":
    main()
