"""The rows of ``changes``: one for each URL that is or was there."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise

from thunderbit_dagster.changes.compare import Comparison, HostLines, Items, compare_items, compare_pages
from thunderbit_dagster.changes.history import Standing, fold_history
from thunderbit_dagster.changes.markdown_lines import canonical_lines
from thunderbit_dagster.changes.normalize import Line, Normalizer
from thunderbit_dagster.changes.published import History, PublishedDate, without_numbers
from thunderbit_dagster.crawl.changes import Changes
from thunderbit_dagster.urls import host_of

ChangeRow = dict[str, str | int | float | None]
SAME = Comparison()
VOLATILE_DATES, VOLATILE_SHARE = 3, 0.5
"""On how many dates, and in what share of the times that it stands on a page, the numbers of a line must have changed
to be none of the page.
"""


@dataclass
class ChangeReader:
    """Compares the dates of one URL partition."""

    history: History
    settings: Changes
    _comparisons: dict[tuple[str, str, str], Comparison] = field(default_factory=dict)
    _normalizers: dict[str, Normalizer] = field(default_factory=dict)
    _volatile: dict[str, set[str]] = field(default_factory=dict)

    def rows(self) -> Iterator[ChangeRow]:
        """The rows of the last date, in order of their pages' keys."""
        pages = self.history.pages()
        self._prepare(pages)
        for page in pages:
            standing = self.standing(page)
            if standing.status is not None:
                yield self._row(page, standing)

    def explain(self, page: str) -> tuple[Standing, Comparison | None]:
        """How one page stands on the last date, and what it was compared with, if it was."""
        self._prepare(self.history.pages())  # what is learned of the host depends on its other pages
        standing = self.standing(page)
        if standing.base is None:
            return standing, None
        return standing, self.compare(page, standing.base, self.history.last.key)

    def standing(self, page: str) -> Standing:
        """How a page stands on the last date."""
        return fold_history(
            self.history.of(page),
            lambda old, new: not self.compare(page, old, new).is_changed,
            confirm=self.settings.confirm,
            removed_after=self.settings.removed_after,
        )

    def compare(self, page: str, old: str, new: str) -> Comparison:
        """What differs between the page of one date and that of another."""
        versions = self.history.versions(page)
        if versions[old] == versions[new]:
            return SAME
        key = (page, old, new)
        if key not in self._comparisons:
            self._comparisons[key] = self._compare(page, old, new)
        return self._comparisons[key]

    def _prepare(self, pages: Sequence[str]) -> None:
        """Read what will be compared: the pages with more than one content, and the lines in which they differ."""
        if self.history.content == "markdown":
            self.history.score(self.settings.trusted_hosts)
        differing = {page for page in pages if len(set(self.history.versions(page).values())) > 1}
        wanted: dict[str, set[str]] = defaultdict(set)
        for page in differing:
            for key in self.history.versions(page):
                wanted[key].add(page)
        self.history.read_texts(wanted)
        if self.history.content == "markdown":
            self.history.count_lines(self._differing_lines(differing))
            self._volatile = self._learned(differing) if self.settings.learn_numbers else {}

    def _differing_lines(self, pages: Collection[str]) -> dict[str, frozenset[str]]:
        """The lines that come or go between two dates, by host."""
        found: dict[str, set[str]] = defaultdict(set)
        for page in pages:
            versions = self.history.versions(page)
            texts = {frozenset(canonical_lines(self.history.text(key, page))) for key in versions}
            for one, other in combinations(texts, 2):
                found[host_of(page)] |= one ^ other
        return {host: frozenset(lines) for host, lines in found.items()}

    def _learned(self, pages: Collection[str]) -> dict[str, set[str]]:
        """The forms of lines whose numbers change from crawl to crawl on most pages of a host that have them."""
        changes: dict[tuple[str, str], list[str]] = defaultdict(list)
        for page in pages:
            lines = {key: set(canonical_lines(self.history.text(key, page))) for key in self.history.versions(page)}
            for before, now in pairwise(lines):
                for form in _forms(lines[before] - lines[now]) & _forms(lines[now] - lines[before]):
                    changes[host_of(page), form].append(now)
        learned: dict[str, set[str]] = defaultdict(set)
        for (host, form), dates in changes.items():
            # A site that changes all its prices on one day does change.
            is_lasting = len(set(dates)) >= VOLATILE_DATES
            if is_lasting and len(dates) >= VOLATILE_SHARE * self.history.times_with_form(host, form):
                learned[host].add(form)
        return learned

    def _compare(self, page: str, old: str, new: str) -> Comparison:
        before, now = self.history.text(old, page), self.history.text(new, page)
        if self.history.content == "data":
            return compare_items(_items(before), _items(now))
        host = host_of(page)
        return compare_pages(
            self._lines(old, host, before),
            self._lines(new, host, now),
            HostLines(lambda line: self.history.pages_with(host, line.raw), self.history.pages_of(host)),
            is_ordered=host in self.settings.ordered_hosts,
        )

    def _lines(self, key: str, host: str, text: str) -> list[Line]:
        if key not in self._normalizers:
            fetched = next(one.fetched for one in self.history.dates if one.key == key)
            self._normalizers[key] = Normalizer(fetched, self.settings.ignore)
        volatile = self._volatile.get(host, ())
        return [
            Line(line.raw, without_numbers(line.text), (*line.rules, "volatile"))
            if without_numbers(line.raw) in volatile
            else line
            for line in self._normalizers[key].lines(text)
        ]

    def _row(self, page: str, standing: Standing) -> ChangeRow:
        last, base = self.history.last, self._date(standing.base)
        comparison = self.compare(page, base.key, last.key) if base else None
        shown = standing.status in ("changed", "returned")
        failure = last.failures.get(page)
        return {
            **self._identity(page, standing),
            "status": standing.status,
            "since": standing.since,
            "content_hash": last.pages[page].content_hash if page in last.pages else None,
            "base_date": base.key if base else None,
            "base_submission_id": base.submission_id if base else None,
            "base_content_hash": base.pages[page].content_hash if base else None,
            "similarity": comparison.similarity if comparison else None,
            "lines_removed": len(comparison.removed) if comparison else None,
            "lines_added": len(comparison.added) if comparison else None,
            "differences_ignored": len(comparison.ignored) if comparison else None,
            "diff": comparison.diff if comparison and shown else None,
            "crawls_pending": standing.pending_crawls,
            "crawls_missing": standing.missing,
            **self._quarantine(page),
            "error_code": failure.error_code if failure else None,
            "error_message": failure.error_message if failure else None,
            "submission_id": last.submission_id,
        }

    def _quarantine(self, page: str) -> ChangeRow:
        score = self.history.scores.get((self.history.last.key, page))
        return {
            "quarantine_score": score.value if score else None,
            "quarantine_rules": ", ".join(score.rules) if score else None,
        }

    def _identity(self, page: str, standing: Standing) -> ChangeRow:
        """URL and title, as this date has them or the last one that did."""
        for one in reversed(self.history.dates):
            if (found := one.pages.get(page)) or page in one.failures:
                named = found or one.failures[page]
                standing_page = self._date(standing.page)
                title = standing_page.pages[page].title if standing_page else None
                return {"url": named.url, "canonical_url": named.canonical_url, "title": title}
        raise KeyError(page)

    def _date(self, key: str | None) -> PublishedDate | None:
        return next((one for one in self.history.dates if one.key == key), None)


def _forms(lines: Iterable[str]) -> set[str]:
    return set(map(without_numbers, lines))


def _items(data: str) -> Items:
    read = json.loads(data or "[]")
    return [item for item in read if isinstance(item, Mapping)] if isinstance(read, list) else []
