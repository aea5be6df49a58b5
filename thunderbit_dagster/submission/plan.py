"""What to POST: which URLs still need a job, and how they share jobs. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import islice

from thunderbit_dagster.ledger.fold import Submission
from thunderbit_dagster.ledger.records import Item
from thunderbit_dagster.partitions import Partition
from thunderbit_dagster.urls import CheckedUrls, Wanted


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


@dataclass(frozen=True, slots=True)
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
        return list(dict.fromkeys(place.partition for page in self.pages for place in page.places))

    def items(self, partition: Partition) -> tuple[Item, ...]:
        """The partition's URLs in the job, in the job's order."""
        return tuple(
            Item(
                job_position=number,
                position=place.wanted.position,
                url=place.wanted.url,
                sent=None if place.wanted.url == page.url else page.url,
            )
            for number, page in enumerate(self.pages)
            for place in page.places
            if place.partition == partition
        )

    def halves(self) -> tuple[Batch, Batch]:
        """Two smaller jobs; only for a batch of at least two URLs."""
        middle = len(self.pages) // 2
        return Batch(self.pages[:middle], self.attempt), Batch(self.pages[middle:], self.attempt)


def remaining(checked: CheckedUrls, submission: Submission | None) -> CheckedUrls:
    """What a run still has to do for a list of which an open submission may hold a part.

    URLs are matched as written, not by place, so a list that was edited in between is joined to what was
    sent. A new URL whose place is taken goes to the end.
    """
    if submission is None:
        return checked
    places = _Places(submission.known)
    wanted = [
        replace(url, position=place)
        for url in checked.wanted
        if (place := places.new(url.position, url.url)) is not None
    ]
    rejected = [
        replace(url, position=place)
        for url in checked.rejected
        if (place := places.new(url.position, url.url)) is not None
    ]
    duplicates = [
        replace(url, position=place, first=places.moved[url.first])
        for url in checked.duplicates
        if (place := places.new(url.position, url.url)) is not None
    ]
    return CheckedUrls(tuple(wanted), tuple(duplicates), tuple(rejected))


class _Places:
    """Places in a partition's list: those held by the submission, and free ones for new URLs."""

    def __init__(self, known: Mapping[int, str]) -> None:
        self.taken = set(known)
        self.moved: dict[int, int] = {}
        self._held: dict[str, list[int]] = {}
        for position, url in sorted(known.items(), reverse=True):
            self._held.setdefault(url, []).append(position)

    def new(self, position: int, url: str) -> int | None:
        """A place for a URL that the submission does not hold, None when it does."""
        if held := self._held.get(url):
            self.moved[position] = held.pop()
            return None
        free = max(self.taken, default=-1) + 1 if position in self.taken else position
        self.taken.add(free)
        self.moved[position] = free
        return free


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
