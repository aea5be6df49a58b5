"""What every contender is told, and how it writes what it got."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

BATCH = 100
"""URLs in a job."""


@dataclass
class Task:
    """URLs to crawl, the account to do it with, and a folder for what comes."""

    account: str
    key: str
    urls: Sequence[str]
    folder: Path
    requests_per_minute: int

    @property
    def base_url(self) -> str:
        return f"{self.account}/openapi/v1"

    @property
    def batches(self) -> list[Sequence[str]]:
        return [self.urls[start : start + BATCH] for start in range(0, len(self.urls), BATCH)]

    def write(self, name: str, rows: Iterable[Mapping[str, object]]) -> None:
        """Publish rows as a file of JSON lines: it is there as a whole or not at all."""
        hidden = self.folder / f".{name}"
        with hidden.open("w") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
        hidden.rename(self.folder / f"{name}.jsonl")

    def write_times(self, began: float, ended: float, runs: int = 0) -> None:
        """Unix seconds, and how many runs of Dagster it took."""
        (self.folder / "times.json").write_text(json.dumps({"began": began, "ended": ended, "runs": runs}))


def run(crawl: Callable[[Task], object]) -> None:
    """The `main` of a contender: read the task from the command line, do it, note the times."""
    began = time.time()
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    task = task_from(parser.parse_args())
    try:
        crawl(task)
    finally:
        task.write_times(began, time.time())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What says the task on a command line."""
    parser.add_argument("--account", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--urls", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--requests-per-minute", type=int, required=True)


def task_from(given: argparse.Namespace) -> Task:
    urls = given.urls.read_text().split()
    return Task(given.account, given.key, urls, given.folder, given.requests_per_minute)
