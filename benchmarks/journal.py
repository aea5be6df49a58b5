"""What an account was asked, and the jobs that it had: written by the account, read by whoever measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class AskedRequest:
    """A request: `submit`, `status` or `cancel`, of which job, and what was answered."""

    kind: str
    job: str | None
    at: float
    status: int
    bytes: int


@dataclass(frozen=True)
class HeldJob:
    """A job, its times in Unix seconds."""

    id: str
    urls: Sequence[str]
    submitted_at: float
    started_at: float | None
    ended_at: float | None
    status: str


@dataclass(frozen=True)
class Journal:
    """Everything that an account was asked, and every job that it had."""

    requests: Sequence[AskedRequest]
    jobs: Sequence[HeldJob]

    @classmethod
    def read(cls, data: dict[str, list[dict[str, object]]]) -> Journal:
        requests = [AskedRequest(**one) for one in data["requests"]]  # type: ignore[arg-type]
        jobs = [HeldJob(**one) for one in data["jobs"]]  # type: ignore[arg-type]
        return cls(requests, jobs)
