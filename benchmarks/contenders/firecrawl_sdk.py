"""firecrawl-py's `batch_scrape`, against the same account in the shapes of Firecrawl's API.

As a user begins: one call after another with the defaults. At its best: ten calls at once, fewer looks, calls that the
account refused are made again, and the failed pages are asked for.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from firecrawl import Firecrawl
from firecrawl.v2.types import Document
from firecrawl.v2.utils.error_handler import RateLimitError

from benchmarks.contenders.task import Task, add_arguments, task_from

THREADS = 10
FEWER_LOOKS_SECONDS = 8
REFUSED_SECONDS = 15.0
Given = TypeVar("Given")
Answer = TypeVar("Answer")


def crawl(task: Task, *, best: bool) -> None:
    client = Firecrawl(api_key=task.key, api_url=task.account)
    numbered = list(enumerate(task.batches))
    if not best:
        for number, urls in numbered:
            task.write(f"batch-{number:05d}", _succeeded(client.batch_scrape(list(urls)).data))
        return
    with ThreadPoolExecutor(THREADS) as pool:
        results = [pool.submit(crawl_well, client, task, number, urls) for number, urls in numbered]
    for one in results:
        one.result()


def crawl_well(client: Firecrawl, task: Task, number: int, urls: Sequence[str]) -> None:
    job = _patiently(client.start_batch_scrape, list(urls)).id
    while (found := _patiently(client.get_batch_scrape_status, job)).status == "scraping":
        time.sleep(FEWER_LOOKS_SECONDS)
    failed = [{"url": one.url, "markdown": None} for one in _patiently(client.get_batch_scrape_errors, job).errors]
    task.write(f"batch-{number:05d}", [*_succeeded(found.data), *failed])


def _patiently(call: Callable[[Given], Answer], argument: Given) -> Answer:
    while True:
        try:
            return call(argument)
        except RateLimitError:
            time.sleep(REFUSED_SECONDS)


def _succeeded(documents: Iterable[Document]) -> list[dict[str, object]]:
    return [{"url": one.metadata.source_url, "markdown": one.markdown} for one in documents]


def main() -> None:
    began = time.time()
    parser = argparse.ArgumentParser(prog="benchmarks.contenders.firecrawl_sdk", description=__doc__)
    add_arguments(parser)
    parser.add_argument("--best", action="store_true")
    given = parser.parse_args()
    task = task_from(given)
    try:
        crawl(task, best=given.best)
    finally:
        task.write_times(began, time.time())


if __name__ == "__main__":
    main()
