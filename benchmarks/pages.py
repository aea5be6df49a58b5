"""The pages of a made-up site: how long each takes, whether it fails and what its Markdown is.

All of it follows from the URL and a seed, so that the account and whoever checks its rows agree without talking.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from heapq import heapify, heapreplace

ORIGIN = "https://pages.example"
FAILURE_CODE = "SCRAPE_TARGET_NOT_FOUND"
DIFFERENT_TEXTS = 64
_WORDS = ("harbour", "tide", "mooring", "ledger", "quay", "beacon", "cargo", "pilot", "chart", "anchor", "berth")


@dataclass(frozen=True)
class Site:
    """The pages.

    Args:
        seed: Another seed is another site.
        failure_rate: Share of the pages that fail.
        body_bytes: Size of each page's Markdown.
        page_seconds: Median of the time that a page takes; the times are log-normal.
        spread: Standard deviation of the logarithm of that time.
        job_seconds: When given, every job takes exactly as long, and its pages end evenly spread over it.
        pages_at_once: How many pages of a job are fetched at once.
    """

    seed: int = 1
    failure_rate: float = 0.03
    body_bytes: int = 8_000
    page_seconds: float = 2.0
    spread: float = 0.6
    job_seconds: float | None = None
    pages_at_once: int = 10

    def fails(self, url: str) -> bool:
        return self._random(url, "fails").random() < self.failure_rate

    def markdown(self, url: str) -> str:
        """The page's text; of a page that fails, what it would have been."""
        return f"{_heading(url)}{self._texts[self._place(url)]}"

    def markdown_json(self, url: str) -> str:
        """The text as a JSON string, put together from parts that were encoded before."""
        return f"{json.dumps(_heading(url))[:-1]}{self._encoded_texts[self._place(url)][1:]}"

    def finish_offsets(self, urls: Sequence[str]) -> list[float]:
        """Seconds from the start of a job to the end of each of its pages."""
        if self.job_seconds is not None:
            return [self.job_seconds * (place + 1) / len(urls) for place in range(len(urls))]
        return list(_in_turn((self._seconds(url) for url in urls), self.pages_at_once))

    def _seconds(self, url: str) -> float:
        return self.page_seconds * self._random(url, "seconds").lognormvariate(0.0, self.spread)

    def _place(self, url: str) -> int:
        return self._random(url, "text").randrange(DIFFERENT_TEXTS)

    def _random(self, url: str, purpose: str) -> random.Random:
        digest = hashlib.sha256(f"{self.seed} {purpose} {url}".encode()).digest()
        return random.Random(digest)  # noqa: S311 - a simulation

    @cached_property
    def _texts(self) -> list[str]:
        return [self._text(number) for number in range(DIFFERENT_TEXTS)]

    @cached_property
    def _encoded_texts(self) -> list[str]:
        return [json.dumps(text) for text in self._texts]

    def _text(self, number: int) -> str:
        words = self._random(str(number), "words")
        sentences: list[str] = []
        size = 0
        while size < self.body_bytes:
            sentences.append(f"{' '.join(words.choices(_WORDS, k=12))} {words.randrange(10_000)}.\n")
            size += len(sentences[-1])
        return "".join(sentences)[: self.body_bytes]


def urls(count: int, first: int = 0) -> list[str]:
    """So many pages of the site."""
    return [f"{ORIGIN}/{number:06d}" for number in range(first, first + count)]


def _heading(url: str) -> str:
    return f"# {url}\n\n"


def _in_turn(seconds: Iterator[float], at_once: int) -> Iterator[float]:
    """When each ends, if so many are under way at once and the next begins when one has ended."""
    free = [0.0] * at_once
    heapify(free)
    for one in seconds:
        end = free[0] + one
        heapreplace(free, end)
        yield end
