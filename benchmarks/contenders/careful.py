"""The documented loop made right: all rows of a job, refusals waited out, every job."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import httpx

from benchmarks.contenders.task import BATCH, Task

POLL_SECONDS = 5.0
TERMINAL = ("COMPLETED", "FAILED", "CANCELLED")
Row = dict[str, object]


class Status(TypedDict):
    """A job as the API shows it, as far as it is read."""

    id: str
    status: str
    total: int
    results: list[Row]


@dataclass
class Api:
    """The calls of the loop, which wait when the account has no request left."""

    client: httpx.Client

    @classmethod
    def of(cls, task: Task) -> Api:
        headers = {"Authorization": f"Bearer {task.key}"}
        return cls(httpx.Client(base_url=task.base_url, headers=headers, timeout=60.0, trust_env=False))

    def submit(self, urls: Sequence[str]) -> str:
        return self._call(self.client.build_request("POST", "/batch/distill", json={"urls": list(urls)}))["id"]

    def status(self, job: str, *, page: int = 0, page_size: int = BATCH) -> Status:
        params = {"page": page, "pageSize": page_size}
        return self._call(self.client.build_request("GET", f"/batch/distill/{job}", params=params))

    def is_over(self, job: str) -> bool:
        """Whether the job has ended; asks for one row only."""
        return self.status(job, page_size=1)["status"] in TERMINAL

    def rows(self, job: str) -> list[Row]:
        """Every row of a job that has ended."""
        found = self.status(job)
        rows = list(found["results"])
        while len(rows) < found["total"] and found["results"]:
            found = self.status(job, page=len(rows) // BATCH)
            rows += found["results"]
        return rows

    def _call(self, request: httpx.Request) -> Status:
        while True:
            answer = self.client.send(request)
            if answer.status_code != httpx.codes.TOO_MANY_REQUESTS:
                data: Status = answer.raise_for_status().json()["data"]
                return data
            time.sleep(_pause(answer))


def _pause(answer: httpx.Response) -> float:
    if retry_after := answer.headers.get("Retry-After"):
        return float(retry_after)
    return max(1.0, float(answer.headers["X-RateLimit-Reset"]) - time.time())


def crawl_batch(api: Api, task: Task, number: int, urls: Sequence[str]) -> None:
    """One job from its submission to its file."""
    job = api.submit(urls)
    while not api.is_over(job):
        time.sleep(POLL_SECONDS)
    task.write(f"batch-{number:05d}", api.rows(job))
