"""A look at every job at a fixed interval, as Airflow's deferrable operators for batch APIs take it.

Each job is a task: it submits, is deferred, and its trigger looks every so many seconds from then on; all triggers
share one event loop. Only what decides the requests is modelled, so that no scheduler adds to the times.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Sequence

from benchmarks.contenders.careful import Api
from benchmarks.contenders.task import Task, add_arguments, task_from


async def crawl(task: Task, seconds: float) -> None:
    api = Api.of(task)
    await asyncio.gather(*(crawl_batch(api, task, number, seconds) for number in range(len(task.batches))))


async def crawl_batch(api: Api, task: Task, number: int, seconds: float) -> None:
    job = await asyncio.to_thread(api.submit, task.batches[number])
    while not await asyncio.to_thread(api.is_over, job):  # noqa: ASYNC110 - nobody tells when a job has ended
        await asyncio.sleep(seconds)
    await asyncio.to_thread(publish, api, task, number, job)


def publish(api: Api, task: Task, number: int, job: str) -> None:
    task.write(f"batch-{number:05d}", api.rows(job))


def main(arguments: Sequence[str] | None = None) -> None:
    began = time.time()
    parser = argparse.ArgumentParser(prog="benchmarks.contenders.interval", description=__doc__)
    add_arguments(parser)
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args(arguments)
    task = task_from(given)
    try:
        asyncio.run(crawl(task, given.seconds))
    finally:
        task.write_times(began, time.time())


if __name__ == "__main__":
    main()
