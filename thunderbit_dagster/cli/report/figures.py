"""What the report shows of a crawl, counted from its published tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, zip_longest
from typing import Final

from thunderbit_dagster.changes.dates import partition_of, partitions_by_date
from thunderbit_dagster.changes.quarantine import why_quarantined
from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.partitions import DATE
from thunderbit_dagster.storage.store import ParquetStore
from thunderbit_dagster.urls import host_of

PLOTTED: Final = ("changed", "new", "returned", "removed", "failed", "quarantined")
"""The statuses that are plotted; pages that stay as they are would hide them."""
NEWS: Final = ("changed", "new", "returned", "removed")
MOST_NEWS: Final = 300
MOST_TABLE_ROWS: Final = 50
MOST_LINES: Final = 40

_Row = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class DateCounts:
    """The URLs of one date by status, over all URL partitions, and the credits of its pages by the price list."""

    date: str
    statuses: Mapping[str, int]
    credits: int

    @property
    def pages(self) -> int:
        return sum(self.statuses.values())


@dataclass(frozen=True, slots=True)
class DiffLine:
    """A line before beside the line now; empty where there is none. ``is_gap``: more follows that is not shown."""

    old: str
    new: str
    is_gap: bool = False


@dataclass(frozen=True, slots=True)
class News:
    """A page that changed, came, came back or is gone."""

    date: str
    partition: str
    url: str
    title: str
    status: str
    base: str
    similarity: float | None
    lines: Sequence[DiffLine]


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A page that is none, with the reasons."""

    date: str
    url: str
    score: float
    reasons: str


@dataclass(frozen=True, slots=True)
class CrawlReport:
    """One crawl's part of the page; the newest date comes last in ``dates`` and first in the lists."""

    name: str
    dates: Sequence[DateCounts]
    news: Sequence[News]
    more_news: int
    failures: Sequence[tuple[str, str, int]]
    quarantined: Sequence[Quarantined]
    not_compared: Sequence[str]


def crawl_report(crawl: Crawl, store: ParquetStore, since: str | None) -> CrawlReport:
    """What a crawl's tables say of the dates whose keys are not before ``since``.

    Raises:
        StorageError: the store cannot be read.
    """
    partitions = [one.dimensions for one in partitions_by_date(crawl, store)]
    compared = {tuple(sorted(one.items())) for one in store.partitions(crawl.name, "changes")}
    dates, rows, missing = [], [], []
    for date, group in groupby((one for one in partitions if one[DATE] >= (since or "")), key=lambda one: one[DATE]):
        members = list(group)
        read = [one for one in members if tuple(sorted(one.items())) in compared]
        missing += [str(partition_of(one)) for one in members if one not in read]
        found = [row for one in read for row in store.read_changes(crawl.name, one, with_partition=True).to_pylist()]
        dates.append(DateCounts(date, Counter(str(row["status"]) for row in found), _credits(crawl, store, members)))
        rows += [row for row in found if row["status"] != "unchanged"]
    return _report(crawl.name, dates, rows[::-1], missing)


def _report(name: str, dates: Sequence[DateCounts], rows: Sequence[_Row], missing: Sequence[str]) -> CrawlReport:
    news = [row for row in rows if row["status"] in NEWS and row["since"] == row[DATE]]
    first = dates[0].date if dates else ""
    news = [row for row in news if row["status"] != "new" or row[DATE] != first]  # on the first date everything is new
    return CrawlReport(
        name=name,
        dates=dates,
        news=[_news(row) for row in news[:MOST_NEWS]],
        more_news=max(len(news) - MOST_NEWS, 0),
        failures=_failures(rows),
        quarantined=[_quarantined(row) for row in rows if row["status"] == "quarantined"][:MOST_TABLE_ROWS],
        not_compared=missing,
    )


def _credits(crawl: Crawl, store: ParquetStore, partitions: Iterable[Mapping[str, str]]) -> int:
    columns = (store.read(crawl.name, "succeeded", one, ["credits"]).column("credits") for one in partitions)
    return sum(price or 0 for column in columns for price in column.to_pylist())


def _failures(rows: Iterable[_Row]) -> list[tuple[str, str, int]]:
    """Host, code and how often, the most frequent first."""
    counts = Counter((host_of(str(row["url"])), str(row["error_code"])) for row in rows if row["status"] == "failed")
    return [(host, code, count) for (host, code), count in counts.most_common(MOST_TABLE_ROWS)]


def _quarantined(row: _Row) -> Quarantined:
    score = row["quarantine_score"]
    reasons = why_quarantined(str(row["quarantine_rules"]))
    return Quarantined(str(row[DATE]), str(row["url"]), score if isinstance(score, float) else 0.0, reasons)


def _news(row: _Row) -> News:
    similarity = row["similarity"]
    return News(
        date=str(row[DATE]),
        partition=str(row.get("urls") or ""),
        url=str(row["url"]),
        title=str(row["title"] or ""),
        status=str(row["status"]),
        base=str(row["base_date"] or ""),
        similarity=similarity if isinstance(similarity, float) else None,
        lines=list(_shortened(side_by_side(str(row["diff"] or "")))),
    )


def side_by_side(diff: str) -> Iterator[DiffLine]:
    """The lines of a `diff`, those that replace each other in one."""
    for block in diff.split("@@"):
        lines = [line for line in block.splitlines() if line]
        old = [line[2:] for line in lines if line.startswith("- ")]
        new = [line[2:] for line in lines if line.startswith("+ ")]
        other = [line for line in lines if line[:2] not in ("- ", "+ ")]
        yield from (DiffLine(before, now) for before, now in zip_longest(old, new, fillvalue=""))
        yield from (DiffLine("", line) for line in other)


def _shortened(lines: Iterable[DiffLine]) -> Iterator[DiffLine]:
    for number, line in enumerate(lines):
        if number == MOST_LINES:
            yield DiffLine("", "", is_gap=True)
            return
        yield line
