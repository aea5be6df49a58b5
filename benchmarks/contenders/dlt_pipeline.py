"""A dlt pipeline that writes Parquet: a resource submits all batches, a parallel transformer waits for each."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import dlt

from benchmarks.contenders.careful import POLL_SECONDS, Api, Row
from benchmarks.contenders.task import Task, run

THREADS = 10


def crawl(task: Task) -> None:
    os.environ |= {
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "EXTRACT__WORKERS": str(THREADS),
        "EXTRACT__MAX_PARALLEL_ITEMS": str(2 * THREADS),
        "DESTINATION__FILESYSTEM__BUCKET_URL": str(task.folder / "dlt"),
    }
    pipeline = dlt.pipeline(
        "pages", pipelines_dir=str(task.folder.parent / "dlt-working"), destination="filesystem", dataset_name="pages"
    )
    pipeline.run(_rows(Api.of(task), task), loader_file_format="parquet")


def _rows(api: Api, task: Task) -> object:
    @dlt.resource(name="jobs")
    def jobs() -> Iterator[str]:
        for urls in task.batches:
            yield api.submit(urls)

    @dlt.transformer(data_from=jobs, name="rows", parallelized=True)
    def rows(job: str) -> Iterator[list[Row]]:
        while not api.is_over(job):
            time.sleep(POLL_SECONDS)
        yield [_row(row) for row in api.rows(job)]

    return rows


def _row(row: Row) -> Row:
    return {name: row.get(name) for name in ("url", "status", "markdown", "error")}


if __name__ == "__main__":
    run(crawl)
