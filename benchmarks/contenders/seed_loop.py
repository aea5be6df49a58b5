"""The loop of the vendor's guide as it stands, once for each batch of the list."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence

import httpx

from benchmarks.contenders.task import Task, run

_files = itertools.count(1)


def crawl(task: Task) -> None:
    for urls in task.batches:
        crawl_batch(task, urls)


def crawl_batch(task: Task, urls: Sequence[str]) -> None:
    api = task.base_url
    headers = {"Authorization": f"Bearer {task.key}"}

    job = httpx.post(f"{api}/batch/distill", headers=headers, json={"urls": urls}).json()
    batch_id = job["data"]["id"]

    while True:
        body = httpx.get(f"{api}/batch/distill/{batch_id}", headers=headers).json()["data"]
        fresh = [r for r in body["results"] if r["status"] == "SUCCEEDED"]
        if fresh:
            task.write(f"look-{next(_files):05d}", fresh)
        if body["status"] in ("COMPLETED", "FAILED", "CANCELLED"):
            break
        time.sleep(5)


if __name__ == "__main__":
    run(crawl)
