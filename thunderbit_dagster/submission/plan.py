"""What to POST: which URLs still need a job, and how they share jobs. Pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import TypeVar

from thunderbit_dagster.ledger.fold import Submission
from thunderbit_dagster.ledger.records import DuplicateUrl, Item
from thunderbit_dagster.partitions import Partition
from thunderbit_dagster.urls import CheckedUrls, Duplicate, Rejected, Wanted, canonical_url

Seated = TypeVar("Seated", Wanted, Duplicate, Rejected)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a URL of a job belongs: a partition, and the place in its list."""

    partition: Partition
    wanted: Wanted


@dataclass(frozen=True, slots=True)
class Page:
    """One URL of a job and everyone who wants it."""

    url: str
    places: tuple[Place, ...]


@dataclass(frozen=True)
class Batch:
    """The URLs of one batch job, each once."""

    pages: tuple[Page, ...]
    attempt: int = 1

    @property
    def urls(self) -> list[str]:
        return [page.url for page in self.pages]

    @property
    def partitions(self) -> list[Partition]:
        """Everyone who has a URL in the job, in the order of first appearance."""
        return list(self._items)

    def items(self, partition: Partition) -> tuple[Item, ...]:
        """The partition's URLs in the job, in the job's order."""
        return tuple(self._items.get(partition, ()))

    @cached_property
    def _items(self) -> dict[Partition, list[Item]]:
        items: dict[Partition, list[Item]] = {}
        for number, page in enumerate(self.pages):
            for place in page.places:
                sent = None if place.wanted.url == page.url else page.url
                item = Item(job_position=number, position=place.wanted.position, url=place.wanted.url, sent=sent)
                items.setdefault(place.partition, []).append(item)
        return items

    def halves(self) -> tuple[Batch, Batch]:
        """Two smaller jobs; only for a batch of at least two URLs."""
        middle = len(self.pages) // 2
        return Batch(self.pages[:middle], self.attempt), Batch(self.pages[middle:], self.attempt)


def remaining(checked: CheckedUrls, submission: Submission | None) -> CheckedUrls:
    """What a run still has to do for a list of which an open submission may hold a part.

    Pages are matched by canonical URL and the rest as written, not by place, so a list that was edited in
    between is joined to what was sent. A new URL whose place is taken goes to the end.
    """
    if submission is None:
        return checked
    places = _Places(submission, checked)
    # Another spelling of a page that a job holds is a repeat of it, with a row of its own.
    respelled = [url for url in checked.wanted if url.canonical in places.pages and places.is_new_spelling(url)]
    wanted = [places.seat_page(url) for url in checked.wanted if url.canonical not in places.pages]
    rejected = [places.seat(url) for url in checked.rejected if not places.holds_rejected(url)]
    again: list[Wanted | Duplicate] = [*respelled, *checked.duplicates]
    repeats = [
        Duplicate(url.position, url.url, places.pages[canonical_url(url.url)])
        for url in again
        if not places.holds_repeat(url)
    ]
    return CheckedUrls(tuple(wanted), tuple(places.seat(url) for url in repeats), tuple(rejected))


class _Places:
    """Places in a partition's list: those that the submission has given away, and free ones for new URLs."""

    def __init__(self, submission: Submission, checked: CheckedUrls) -> None:
        refused_alone = {url.position: url.url for url in submission.refused_alone}
        held = {position: item.url for position, item in submission.covered.items()} | refused_alone
        self.pages = {canonical_url(url): position for position, url in held.items()}
        self._spellings = Counter(held.values())
        self._rejected = Counter(url.url for url in submission.refused_here)
        repeats = submission.recorded_duplicates
        # A page that was never sent keeps its place only while the list repeats it as it did.
        listed, before = _by_page(checked.duplicates), _by_page(repeats)
        unchanged = {page for page, urls in before.items() if urls == listed.get(page)}
        self._promised = {canonical_url(url.url): url.first for url in repeats if canonical_url(url.url) in unchanged}
        alive = unchanged | self.pages.keys()
        self._repeats = Counter(url.url for url in repeats if canonical_url(url.url) in alive)
        self._taken = {*submission.known, *(place for url in repeats for place in (url.first, url.position))}

    def is_new_spelling(self, url: Wanted) -> bool:
        return not self._spend(self._spellings, url.url)

    def holds_rejected(self, url: Rejected) -> bool:
        return self._spend(self._rejected, url.url)

    def holds_repeat(self, url: Wanted | Duplicate) -> bool:
        return self._spend(self._repeats, url.url) or self._spend(self._spellings, url.url)

    def seat(self, url: Seated) -> Seated:
        """The URL with a place that nobody has."""
        position = max(self._taken) + 1 if url.position in self._taken else url.position
        self._taken.add(position)
        return replace(url, position=position)

    def seat_page(self, url: Wanted) -> Wanted:
        """A page with its place, which repeats of it may already name."""
        promised = self._promised.get(url.canonical)
        seated = self.seat(url) if promised is None else replace(url, position=promised)
        self.pages[url.canonical] = seated.position
        return seated

    @staticmethod
    def _spend(held: Counter[str], url: str) -> bool:
        if not held[url]:
            return False
        held[url] -= 1
        return True


def _by_page(repeats: Iterable[Duplicate | DuplicateUrl]) -> dict[str, Counter[str]]:
    """Repeated URLs as written, by the page they are of."""
    pages: dict[str, Counter[str]] = {}
    for url in repeats:
        pages.setdefault(canonical_url(url.url), Counter())[url.url] += 1
    return pages


def pack(wanted: Mapping[Partition, Iterable[Wanted]], size: int) -> list[Batch]:
    """Fill batch jobs of ``size`` URLs across partitions, in their order.

    A page that several partitions want is fetched, and paid, once: the API does not define what a
    repeated URL does in one job.
    """
    places: dict[str, list[Place]] = {}
    for partition, urls in wanted.items():
        for one in urls:
            places.setdefault(one.canonical, []).append(Place(partition, one))
    pages = iter([Page(group[0].wanted.url, tuple(group)) for group in places.values()])
    return list(iter(lambda: Batch(tuple(islice(pages, size))), Batch(())))
