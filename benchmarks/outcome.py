"""What a contender delivered, held against what the account holds."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pyarrow.parquet as pq

from benchmarks.journal import AskedRequest, Journal
from benchmarks.pages import Site


@dataclass(frozen=True)
class Delivered:
    """A row that a contender published: its Markdown, None where it says that the page failed."""

    url: str
    markdown: str | None
    at: float


def delivered(folder: Path) -> Iterator[Delivered]:
    """Every row in the files of a folder; a row was there when its file was given its name.

    Folders whose name begins with an underscore hold what a writer keeps for itself.
    """
    for file in sorted(folder.rglob("*")):
        if any(part.startswith(("_", ".")) for part in file.relative_to(folder).parts):
            continue
        if file.suffix == ".jsonl":
            yield from _of_lines(file)
        elif file.suffix == ".parquet":
            yield from _of_parquet(file)


def _of_lines(file: Path) -> Iterator[Delivered]:
    for line in file.read_text().splitlines():
        row = json.loads(line)
        yield Delivered(str(row["url"]), row.get("markdown"), file.stat().st_ctime)


def _of_parquet(file: Path) -> Iterator[Delivered]:
    parquet = pq.ParquetFile(file)
    wanted = [name for name in ("url", "markdown") if name in parquet.schema_arrow.names]
    if "url" not in wanted:
        return
    for batch in parquet.iter_batches(columns=wanted):
        for row in batch.to_pylist():
            yield Delivered(row["url"], row.get("markdown"), file.stat().st_ctime)


@dataclass(frozen=True)
class Rows:
    """How many of the URLs asked for came as they should."""

    asked: int
    right: int
    wrong: int
    missing: int
    doubled: int
    """Rows beyond the first of a URL."""
    paid_twice: int
    """URLs that were submitted more than once."""


def count_rows(site: Site, urls: Sequence[str], rows: Sequence[Delivered], journal: Journal) -> Rows:
    first = {row.url: row for row in reversed(rows)}
    right = sum(url in first and first[url].markdown == _expected(site, url) for url in urls)
    missing = sum(url not in first for url in urls)
    submitted = Counter(url for job in journal.jobs for url in job.urls)
    return Rows(
        asked=len(urls),
        right=right,
        wrong=len(urls) - right - missing,
        missing=missing,
        doubled=len(rows) - len(first),
        paid_twice=sum(times > 1 for times in submitted.values()),
    )


def _expected(site: Site, url: str) -> str | None:
    return None if site.fails(url) else site.markdown(url)


@dataclass(frozen=True)
class Spread:
    """Of some values the median, the 95th of a hundred, and the largest."""

    median: float
    p95: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread | None:
        """None of no values."""
        ordered = sorted(values)
        if not ordered:
            return None
        return cls(median(ordered), ordered[round(0.95 * (len(ordered) - 1))], ordered[-1])


def noticing_seconds(journal: Journal) -> list[float]:
    """From the end of each job to the first answered request for it; a job that nobody asked about again has none."""
    return [
        min(asked) - job.ended_at
        for job in journal.jobs
        if job.ended_at is not None
        and (asked := [one.at for one in journal.requests if _sees(one, job.id, job.ended_at)])
    ]


def _sees(request: AskedRequest, job: str, ended_at: float) -> bool:
    return request.job == job and request.kind == "status" and request.status < 400 and request.at >= ended_at  # noqa: PLR2004


def publishing_seconds(journal: Journal, rows: Sequence[Delivered]) -> list[float]:
    """From the end of each job to the publication of its last row; jobs with a row that never came are left out."""
    published: dict[str, float] = {}
    for row in rows:
        published[row.url] = min(row.at, published.get(row.url, row.at))
    return [
        max(0.0, max(published[url] for url in job.urls) - job.ended_at)
        for job in journal.jobs
        if job.ended_at is not None and all(url in published for url in job.urls)
    ]


def requests_by_kind(journal: Journal) -> dict[str, int]:
    """How many requests of each kind were answered, and how many were refused."""
    kinds = Counter("refused (429)" if one.status == 429 else one.kind for one in journal.requests)  # noqa: PLR2004
    return dict(sorted(kinds.items()))
