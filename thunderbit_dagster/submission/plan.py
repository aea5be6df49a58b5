"""What to POST: which URLs still need a job, and how they share jobs. Pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import TypeVar

from thunderbit_dagster.ledger.records import SentUrl
from thunderbit_dagster.ledger.submissions import Submission
from thunderbit_dagster.partitions import Partition
from thunderbit_dagster.urls import CheckedUrls, Duplicate, Fragments, Rejected, Wanted, canonical_url

Seated = TypeVar("Seated", Wanted, Duplicate, Rejected)


@dataclass(frozen=True, slots=True)
class UrlPosition:
    """Where a URL of a job belongs: a partition, and the place in its list."""

    partition: Partition
    wanted: Wanted


@dataclass(frozen=True, slots=True)
class PageToSend:
    """One URL of a job and everyone who wants it."""

    url: str
    places: tuple[UrlPosition, ...]


@dataclass(frozen=True)
class Batch:
    """The URLs of one batch job, each once."""

    pages: tuple[PageToSend, ...]
    attempt: int = 1

    @property
    def urls(self) -> list[str]:
        return [page.url for page in self.pages]

    @property
    def partitions(self) -> list[Partition]:
        """Everyone who has a URL in the job, in the order of first appearance."""
        return list(self._items)

    def items(self, partition: Partition) -> tuple[SentUrl, ...]:
        """The partition's URLs in the job, in the job's order."""
        return tuple(self._items.get(partition, ()))

    @cached_property
    def _items(self) -> dict[Partition, list[SentUrl]]:
        items: dict[Partition, list[SentUrl]] = {}
        for number, page in enumerate(self.pages):
            for place in page.places:
                sent = None if place.wanted.url == page.url else page.url
                item = SentUrl(job_position=number, position=place.wanted.position, url=place.wanted.url, sent=sent)
                items.setdefault(place.partition, []).append(item)
        return items

    def halves(self) -> tuple[Batch, Batch]:
        """Two smaller jobs; only for a batch of at least two URLs."""
        return self.split(len(self.pages) // 2)

    def split(self, size: int) -> tuple[Batch, Batch]:
        """The first so many URLs as one job, the others as another."""
        return Batch(self.pages[:size], self.attempt), Batch(self.pages[size:], self.attempt)


def remaining(checked: CheckedUrls, submission: Submission | None) -> CheckedUrls:
    """What a run still has to do for a list of which an open submission may hold a part.

    Pages are matched by canonical URL and refused URLs as written, not by place, so a list that was edited in
    between is joined to what was sent; a new URL whose place is taken goes to the end. Repeats are named
    only of pages that a job holds (or that the API refused): those of other pages come up again once they
    are sent.
    """
    if submission is None:
        return replace(checked, duplicates=())
    fragments = checked.fragments
    places = _Places(submission, fragments)
    repeats = [url for url in _in_order(checked) if _page(url, fragments) in places.pages and not places.holds(url)]
    refused = [url for url in checked.rejected if not places.holds_rejected(url)]
    # What was a repeat when it was promised a row, by another `fragments`, is not sent beside it.
    wanted = [url for url in checked.wanted if url.canonical not in places.pages and not places.holds(url)]
    return CheckedUrls(
        wanted=tuple(url if places.is_doubtful(url) else places.seat(url) for url in wanted),
        rejected=tuple(places.seat(url) for url in refused),
        duplicates=tuple(
            places.seat(Duplicate(url.position, url.url, first=places.pages[_page(url, fragments)])) for url in repeats
        ),
        fragments=fragments,
    )


def _in_order(checked: CheckedUrls) -> list[Wanted | Duplicate]:
    """Every URL that can be fetched, in the list's order."""
    urls: list[Wanted | Duplicate] = [*checked.wanted, *checked.duplicates]
    return sorted(urls, key=lambda url: url.position)


def _page(url: Wanted | Duplicate, fragments: Fragments) -> str:
    return url.canonical if isinstance(url, Wanted) else canonical_url(url.url, fragments)


class _Places:
    """Places in a partition's list: those that the submission has given away, and free ones for new URLs."""

    def __init__(self, submission: Submission, fragments: Fragments) -> None:
        refused_alone = {url.position: url.url for url in submission.refused_alone}
        held = {position: item.url for position, item in submission.covered.items()} | refused_alone
        self.pages = {canonical_url(url, fragments): position for position, url in held.items()}
        self._rows = Counter([*held.values(), *(url.url for url in submission.duplicates)])
        self._rejected = Counter(url.url for url in submission.refused_here)
        doubtful = [item for post in submission.orphans for item in post.intent.items]
        self._doubtful = {item.position: canonical_url(item.url, fragments) for item in doubtful}
        self._taken = submission.known.keys() | self._doubtful.keys()

    def holds(self, url: Wanted | Duplicate) -> bool:
        """Whether a row for this spelling is promised already; each row counts once."""
        return self._spend(self._rows, url.url)

    def holds_rejected(self, url: Rejected) -> bool:
        return self._spend(self._rejected, url.url)

    def is_doubtful(self, url: Wanted) -> bool:
        """Whether a submit without an answer has the URL at this place already."""
        return self._doubtful.get(url.position) == url.canonical

    def seat(self, url: Seated) -> Seated:
        """The URL with a place that nobody has, or will have once the job of an unanswered submit is found."""
        position = max(self._taken) + 1 if url.position in self._taken else url.position
        self._taken.add(position)
        return replace(url, position=position)

    @staticmethod
    def _spend(held: Counter[str], url: str) -> bool:
        if not held[url]:
            return False
        held[url] -= 1
        return True


def within_cap(wanted: Sequence[Wanted], cap: int | None, spent: int, price: int) -> Sequence[Wanted]:
    """The URLs from the front whose price fits a cap of which a part is spent, all in credits."""
    return wanted if cap is None else wanted[: max(0, cap - spent) // price]


def pack(wanted: Mapping[Partition, Iterable[Wanted]], size: int) -> list[Batch]:
    """Fill batch jobs of ``size`` URLs across partitions, in their order.

    A page that several partitions want is fetched, and paid, once: the API does not define what a
    repeated URL does in one job.
    """
    places: dict[str, list[UrlPosition]] = {}
    for partition, urls in wanted.items():
        for one in urls:
            places.setdefault(one.canonical, []).append(UrlPosition(partition, one))
    pages = iter([PageToSend(group[0].wanted.url, tuple(group)) for group in places.values()])
    return list(iter(lambda: Batch(tuple(islice(pages, size))), Batch(())))
