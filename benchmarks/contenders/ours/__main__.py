"""This package in a running Dagster: a run submits, the sensor looks after the jobs, its runs publish.

The time begins with the launch of the run: a deployment stands before it is used.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from benchmarks.accounts import end_in_order
from benchmarks.contenders.ours.crawl import CRAWL, dates, partitions
from benchmarks.contenders.task import Task, add_arguments, task_from
from benchmarks.deployment import Deployment, deployment
from thunderbit_dagster.runs.partitions import PARTITION_TAG, range_tags

FOLDER = Path(__file__).parent
PATIENCE = 7_200.0


def crawl(task: Task, given: argparse.Namespace) -> None:
    variables = {
        "BENCHMARK_URLS": str(given.urls),
        "THUNDERBIT_API_KEY": task.key,
        "THUNDERBIT_BASE_URL": task.base_url,
        "THUNDERBIT_REQUESTS_PER_MINUTE": str(task.requests_per_minute),
        "THUNDERBIT_DATA_URI": str(task.folder / "parquet"),
    }
    definitions = FOLDER / ("year.py" if given.backfill else "definitions.py")
    with deployment(definitions, task.folder / "dagster", variables, webhooks=given.webhooks) as running:
        began = time.time()
        keys = backfill(running, task) if given.backfill else submit(running, task)
        wait_for(running, keys)
        task.write_times(began, running.last_published(CRAWL), runs=len(running.instance.get_runs()))


def submit(running: Deployment, task: Task) -> list[str]:
    """One run over all partitions; their keys."""
    keys = list(partitions(task.urls))
    tags = range_tags(keys[0], keys[-1]) if len(keys) > 1 else {PARTITION_TAG: keys[0]}
    running.api.launch(f"{CRAWL}_submit", tags)
    return keys


def backfill(running: Deployment, task: Task) -> list[str]:
    """A backfill of all dates; their keys."""
    keys = list(dates(task.urls))
    running.launch_backfill(f"{CRAWL}/submissions", keys)
    return keys


def wait_for(running: Deployment, keys: list[str]) -> None:
    running.until(lambda: running.published(CRAWL) == set(keys), "the publication of every partition", PATIENCE)
    running.until(lambda: all(run.is_finished for run in running.instance.get_runs()), "the end of the runs", PATIENCE)


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.contenders.ours", description=__doc__)
    add_arguments(parser)
    parser.add_argument("--webhooks", action="store_true", help="The API tells when a job has ended.")
    parser.add_argument("--backfill", action="store_true", help="Ten URLs a date, submitted by a backfill.")
    given = parser.parse_args()
    end_in_order()
    crawl(task_from(given), given)


if __name__ == "__main__":
    main()
