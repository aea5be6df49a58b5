"""What a URL partition has published for a date and the dates before it."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from statistics import median
from typing import Final, Literal

from thunderbit_dagster.changes.history import CrawlOutcome, CrawlSeen
from thunderbit_dagster.changes.markdown_lines import canonical_lines
from thunderbit_dagster.changes.quarantine import Score, score_page
from thunderbit_dagster.partitions import DATE
from thunderbit_dagster.storage.errors import HalfPublishedError
from thunderbit_dagster.storage.layout import partition_text
from thunderbit_dagster.storage.store import ParquetStore
from thunderbit_dagster.urls import host_of

GONE: Final = frozenset({"SCRAPE_TARGET_NOT_FOUND"})
"""The API's code for pages that answer 404 or 410."""
Content = Literal["markdown", "data"]
_PAGE_COLUMNS: Final = ("url", "canonical_url", "title", "content_hash", "submission_id", "completed_at")
_DIGITS: Final = re.compile(r"\d+")
_FAILED_COLUMNS: Final = ("url", "canonical_url", "error_code", "error_message")


@dataclass(frozen=True, slots=True)
class Page:
    """A page of one date, without its text."""

    url: str
    canonical_url: str | None
    title: str | None
    content_hash: str | None


@dataclass(frozen=True, slots=True)
class FailedUrl:
    """A URL without a page on one date."""

    url: str
    canonical_url: str | None
    error_code: str
    error_message: str | None


@dataclass(frozen=True)
class PublishedDate:
    """One date of a URL partition: its pages and failures by the key that a page has on every date."""

    dimensions: Mapping[str, str]
    submission_id: str
    fetched: date | None
    pages: Mapping[str, Page]
    failures: Mapping[str, FailedUrl]

    @property
    def key(self) -> str:
        return self.dimensions[DATE]

    def outcome(self, page: str) -> CrawlOutcome:
        """What this date says of a page."""
        if page in self.pages:
            return "page"
        if page not in self.failures:
            return "unlisted"
        return "gone" if self.failures[page].error_code in GONE else "failed"


@dataclass
class History:
    """A date of a URL partition and those before it, oldest first; texts are read when they are asked for.

    Memory: a few hundred bytes a page and date, and the texts of pages whose content differs from date to date.
    """

    store: ParquetStore
    crawl: str
    content: Content
    dates: Sequence[PublishedDate]
    scores: dict[tuple[str, str], Score] = field(default_factory=dict)
    """Of the pages that look like walls, by date and page."""
    _texts: dict[tuple[str, str], str] = field(default_factory=dict)
    _counts: dict[tuple[str, str], Counter[str]] = field(default_factory=dict)
    _hosts: Counter[str] = field(default_factory=Counter)
    _forms: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    @property
    def last(self) -> PublishedDate:
        return self.dates[-1]

    def of(self, page: str) -> list[CrawlSeen]:
        """What each date says of a page."""
        return [CrawlSeen(one.key, self._outcome(one, page)) for one in self.dates]

    def _outcome(self, one: PublishedDate, page: str) -> CrawlOutcome:
        return "quarantined" if self.is_quarantined(one.key, page) else one.outcome(page)

    def is_quarantined(self, key: str, page: str) -> bool:
        """Whether what a date has for a page is a bot wall or the like."""
        return (key, page) in self.scores and self.scores[key, page].is_quarantined

    def pages(self) -> list[str]:
        """Every page of any date, in order of its key."""
        return sorted({key for one in self.dates for key in (*one.pages, *one.failures)})

    def versions(self, page: str) -> dict[str, str | None]:
        """The content hash of a page by date, for the dates that have the page itself."""
        return {
            one.key: one.pages[page].content_hash
            for one in self.dates
            if page in one.pages and not self.is_quarantined(one.key, page)
        }

    def score(self, trusted_hosts: Collection[str]) -> None:
        """Score the pages of all dates but those of trusted hosts; equal content is scored once."""
        known: dict[tuple[str, str | None], Score] = {}
        lengths: dict[str, list[int]] = defaultdict(list)
        small: dict[tuple[str, str], int] = {}
        for one in self.dates:
            for page, host, text in self._contents(one):
                lengths[page].append(len(text))
                version = (page, one.pages[page].content_hash)
                if version not in known:
                    known[version] = Score() if host in trusted_hosts else score_page(text)
                if known[version].value:
                    self.scores[one.key, page], small[one.key, page] = known[version], len(text)
        for (key, page), length in small.items():
            self.scores[key, page] = self.scores[key, page].with_length(length, median(lengths[page]))

    def read_texts(self, wanted: Mapping[str, Collection[str]]) -> None:
        """Keep the texts of some pages, given by date."""
        for one in self.dates:
            pages = wanted.get(one.key, ())
            for page, _, text in self._contents(one) if pages else ():
                if page in pages:
                    self._texts[one.key, page] = text

    def text(self, key: str, page: str) -> str:
        return self._texts[key, page]

    def count_lines(self, wanted: Mapping[str, frozenset[str]]) -> None:
        """Count on how many pages of a host each of some lines stands, also with other numbers in it, by host."""
        masked = {host: frozenset(map(without_numbers, lines)) for host, lines in wanted.items()}
        self._hosts = Counter(map(host_of, self.last.pages))
        known: dict[tuple[str, str | None], tuple[frozenset[str], frozenset[str]]] = {}
        for one in self.dates:
            counts: dict[str, Counter[str]] = defaultdict(Counter)
            for page, host, text in self._contents(one):
                if host not in wanted:
                    continue
                version = (page, one.pages[page].content_hash)
                if version not in known:
                    lines = canonical_lines(text)
                    forms = masked[host].intersection(map(without_numbers, lines))
                    known[version] = (wanted[host].intersection(lines), forms)
                counts[host].update(known[version][0])
                self._forms[host].update(known[version][1])
            self._counts.update({(one.key, host): lines for host, lines in counts.items()})

    def pages_with(self, host: str, line: str) -> int:
        """On how many pages of a host a line stands, on the date on which they are the most."""
        return max(self._counts.get((one.key, host), Counter())[line] for one in self.dates)

    def times_with_form(self, host: str, form: str) -> int:
        """How often a line, whatever numbers are in it, stands on a page of a host, over all dates."""
        return self._forms[host][form]

    def pages_of(self, host: str) -> int:
        """How many pages of a host the last date has."""
        return self._hosts[host]

    def _contents(self, one: PublishedDate) -> Iterator[tuple[str, str, str]]:
        """Key, host and text of each page of a date."""
        columns = ("url", "canonical_url", self.content)
        for batch in self.store.batches(self.crawl, "succeeded", one.dimensions, columns):
            for row in batch.to_pylist():
                yield page_key(row), host_of(row["url"]), row[self.content] or ""


def without_numbers(line: str) -> str:
    """The form of a line: each run of digits is a `#`."""
    return _DIGITS.sub("#", line)


def page_key(row: Mapping[str, object]) -> str:
    """What a page is known by on every date: its canonical URL, or the URL of one that has none."""
    return str(row["canonical_url"] or row["url"])


def read_dates(store: ParquetStore, crawl: str, partitions: Sequence[Mapping[str, str]]) -> list[PublishedDate]:
    """The given partitions without the texts of their pages.

    Raises:
        HalfPublishedError: a run ended between publishing `succeeded` and `failed` of one.
        StorageError: the store cannot be read.
    """
    return [_read_date(store, crawl, dimensions) for dimensions in partitions]


def _read_date(store: ParquetStore, crawl: str, dimensions: Mapping[str, str]) -> PublishedDate:
    pair = store.pair(crawl, dimensions)
    if pair.submission_id is None:
        raise HalfPublishedError(
            f"`succeeded` and `failed` are of different commits in {partition_text(crawl, dimensions)}. Materialize "
            f"{crawl}/succeeded of it again; that repairs both."
        )
    rows = store.read(crawl, "succeeded", dimensions, _PAGE_COLUMNS).to_pylist()
    failed = store.read(crawl, "failed", dimensions, _FAILED_COLUMNS).to_pylist()
    days = [row["completed_at"] for row in rows if isinstance(row["completed_at"], datetime)]
    pages: dict[str, Page] = {}
    for row in rows:
        page = Page(row["url"], row["canonical_url"], row["title"], row["content_hash"])
        pages.setdefault(page_key(row), page)
    failures = {
        page_key(row): FailedUrl(row["url"], row["canonical_url"], row["error_code"], row["error_message"])
        for row in failed
        if page_key(row) not in pages
    }
    return PublishedDate(dimensions, pair.submission_id, max(days).date() if days else None, pages, failures)
