"""How the pages of a job are walked: when to stop, and which rows were seen before. Plain values only.

The service gives no number of pages and no cursor, may list rows of a running job in any order, and may
ignore the paging parameters altogether.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from thunderbit_dagster.api.codes import MAX_BATCH_URLS
from thunderbit_dagster.api.models import JobPage, Row

IsOurs: TypeAlias = Callable[[Row], bool]
"""Whether a row is of a URL that was sent in the job."""
MOST_ROWS: Final = 10 * MAX_BATCH_URLS
"""Of an account with other limits than the documented one, too, no job holds more."""
MOST_STRANGE_PAGES: Final = 3
"""So many pages in a row without a row of ours end the reading."""


class RowKeys:
    """Remembers rows by `index`, or by `url` once an index has named two URLs."""

    def __init__(self) -> None:
        self._url_of: dict[int, str] = {}
        self._urls: set[str] = set()
        self._by_index = True

    def fresh(self, rows: Sequence[Row]) -> list[Row]:
        """The rows not given before, each once."""
        self._check(rows)
        return [row for row in rows if self._add(row)]

    def _check(self, rows: Sequence[Row]) -> None:
        known = dict(self._url_of)
        for row in rows:
            if row.index is None or known.setdefault(row.index, row.url) != row.url:
                self._by_index = False

    def _add(self, row: Row) -> bool:
        url = row.url or f"#{row.index}"  # one that cannot be read may name none
        seen = row.index in self._url_of if self._by_index else url in self._urls
        self._urls.add(url)
        if row.index is not None:
            self._url_of.setdefault(row.index, row.url)
        return not seen


class PageWalk:
    """One walk over the pages of a job, from page 0.

    Attributes:
        number: The page to read next.
        over: True when there is nothing more to read.

    However much the service gives, reading ends: after a few pages without a row of a URL that was sent, where
    ``is_ours`` tells these rows from others, else after 1,000 rows. A job holds at most 100 URLs.
    """

    def __init__(self, page_size: int, is_ours: IsOurs | None = None) -> None:
        self.number = 0
        self.over = False
        self._page_size = page_size
        self._keys = RowKeys()
        self._is_ours = is_ours
        self._held = 0
        self._strange = 0

    def add(self, page: JobPage) -> list[Row]:
        """Take in the page just read; its rows not seen before."""
        rows = self._keys.fresh(page.rows)
        self._held += len(rows)
        self.number += 1
        self.over = not rows or self._holds_all(page) or self._is_last(page) or self._is_beyond(rows)
        return rows

    def _is_beyond(self, rows: Sequence[Row]) -> bool:
        """Whether the service gives more than a job can hold."""
        if self._is_ours is None:
            return self._held >= MOST_ROWS
        self._strange = 0 if any(map(self._is_ours, rows)) else self._strange + 1
        return self._strange >= MOST_STRANGE_PAGES or self.number >= MAX_BATCH_URLS + MOST_STRANGE_PAGES

    def _holds_all(self, page: JobPage) -> bool:
        return page.job.total is not None and self._held == page.job.total

    def _is_last(self, page: JobPage) -> bool:
        """A short page is the last, unless a finished job announced more: pages may be smaller than asked."""
        short = len(page.rows) < self._page_size
        return short and (page.job.total is None or not page.job.status.is_terminal)
