"""Ten threads, each with the loop made right."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from benchmarks.contenders.careful import Api, crawl_batch
from benchmarks.contenders.task import Task, run

THREADS = 10


def crawl(task: Task) -> None:
    api = Api.of(task)
    with ThreadPoolExecutor(THREADS) as pool:
        results = [pool.submit(crawl_batch, api, task, number, urls) for number, urls in enumerate(task.batches)]
    for one in results:
        one.result()


if __name__ == "__main__":
    run(crawl)
