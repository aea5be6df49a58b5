"""The loop made right, one job after another."""

from __future__ import annotations

from benchmarks.contenders.careful import Api, crawl_batch
from benchmarks.contenders.task import Task, run


def crawl(task: Task) -> None:
    api = Api.of(task)
    for number, urls in enumerate(task.batches):
        crawl_batch(api, task, number, urls)


if __name__ == "__main__":
    run(crawl)
