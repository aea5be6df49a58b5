"""The URLs that a site lists of itself: its sitemap, read over HTTP when a run starts."""

from __future__ import annotations

import fnmatch
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta, timezone
from time import monotonic
from typing import TYPE_CHECKING

import dagster as dg
from yarl import URL

from thunderbit_dagster.api.errors import ConfigurationError
from thunderbit_dagster.api.headers import header_safe, resolved_headers
from thunderbit_dagster.urls.checking import is_private, url_refusal
from thunderbit_dagster.urls.error import UrlSourceError
from thunderbit_dagster.urls.sitemap_xml import MAX_BYTES, SitemapEntry, SitemapError, SitemapFile, parse_sitemap
from thunderbit_dagster.validation import (
    LENGTH,
    NONE,
    POSITIVE,
    TEXT,
    TEXT_BY_TEXT,
    TEXTS,
    Expected,
    instance_of,
    require_setting,
    whole,
)
from thunderbit_dagster.version import __version__

if TYPE_CHECKING:
    import httpx
    from typing_extensions import Self

MAX_URLS = 50_000
"""URLs in one sitemap file (sitemaps.org, Sitemap file limits)."""
MAX_FILES = 1_000
_MAX_REDIRECTS = 5
MAX_SECONDS = 300.0
"""One file must be there within this time, however steadily its bytes come."""
CONNECT_TRIES = 2
_USER_AGENT = f"thunderbit-dagster/{__version__}"
_EXPECTED: Mapping[str, Expected] = {
    "url": TEXT,
    "since": instance_of("a datetime, a date", datetime, date) | LENGTH | NONE,
    "include": TEXTS,
    "exclude": TEXTS,
    "hosts": TEXTS,
    "max_urls": whole(1),
    "max_files": whole(1),
    "timeout": POSITIVE,
    "headers": replace(TEXT_BY_TEXT, is_secret=True, takes_variables=True),
}


@dataclass(frozen=True)
class Sitemap:
    """The pages of a sitemap, or of all sitemaps of a sitemap index (sitemaps.org), XML or text, gzipped or not.

    RSS and Atom feeds are sitemaps, too. Of a file that is not well-formed, what can be read is, with a warning.

    Only http and https are followed, to the host of ``url`` and those in ``hosts``, and never from a public address
    to a private one. A page that is listed twice counts once.

    Args:
        url: Where the sitemap is, such as ``https://example.com/sitemap.xml``.
        since: Only pages whose ``lastmod`` is not before: a time, a date, or so long before now. Pages and sitemaps
            without a ``lastmod`` are kept.
        include: Only pages that match one of these patterns (``*``, ``?``, ``[...]``): held against the path when the
            pattern begins with ``/``, else against the whole URL.
        exclude: No pages that match one of these.
        hosts: Further hosts that the files of an index may lie on.
        max_urls: More pages than this, once filtered, are an error and not cut off.
        max_files: More files than this are an error.
        timeout: Seconds for connecting, and between two pieces of an answer.
        headers: Sent with each request, but never without TLS when ``url`` has it. A secret is a ``dagster.EnvVar``,
            which is read when the sitemap is.

    Raises:
        ValueError: a setting is wrong.
        UrlSourceError: at run time: a file cannot be read or is no sitemap, or a limit is passed.
    """

    url: str
    since: datetime | date | timedelta | None = field(default=None, kw_only=True)
    include: Sequence[str] = field(default=(), kw_only=True)
    exclude: Sequence[str] = field(default=(), kw_only=True)
    hosts: Sequence[str] = field(default=(), kw_only=True)
    max_urls: int = field(default=MAX_URLS, kw_only=True)
    max_files: int = field(default=MAX_FILES, kw_only=True)
    timeout: float = field(default=30.0, kw_only=True)
    headers: Mapping[str, str] = field(default_factory=dict, kw_only=True, hash=False, repr=False)

    def __post_init__(self) -> None:
        require_setting("Sitemap", vars(self), _EXPECTED)
        try:
            header_safe(self.headers)
        except ValueError as error:
            raise ValueError(f"Sitemap: `headers`: {error}") from None
        if reason := url_refusal(self.url, allow_private=True):
            raise ValueError(f"Sitemap: `url` is {self.url!r:.80}: {reason}")

    def read(self) -> list[str]:
        """The pages, in the order of the files."""
        since = _moment(self.since, datetime.now(timezone.utc))
        found: dict[str, None] = {}
        for entry in self._pages(since):
            if _is_recent(entry, since) and self.wants(entry.url):
                found[entry.url] = None
            if len(found) > self.max_urls:
                raise UrlSourceError(
                    f"The sitemap {self.url} lists more than {self.max_urls:,} pages; narrow it with `include` or "
                    "`since`, or raise `max_urls`"
                )
        return list(found)

    def wants(self, url: str) -> bool:
        """Whether a page passes ``include`` and ``exclude``."""
        chosen = not self.include or any(_matches(url, pattern) for pattern in self.include)
        return chosen and not any(_matches(url, pattern) for pattern in self.exclude)

    def _pages(self, since: datetime | None) -> Iterator[SitemapEntry]:
        with _Fetcher(self) as fetcher:
            waiting, seen = deque([self.url]), {self.url}
            while waiting:
                file = fetcher.read(waiting.popleft())
                if not file.is_index:
                    yield from file.entries
                    continue
                new = [one.url for one in file.entries if one.url not in seen and _is_recent(one, since)]
                seen.update(new)
                waiting.extend(new)
                if len(seen) > self.max_files:
                    raise UrlSourceError(f"The sitemap {self.url} has more than {self.max_files:,} files")


def _moment(since: datetime | date | timedelta | None, now: datetime) -> datetime | None:
    if isinstance(since, timedelta):
        return now - since
    if isinstance(since, datetime):
        return since if since.tzinfo else since.replace(tzinfo=timezone.utc)
    return None if since is None else datetime.combine(since, time(), timezone.utc)


def _is_recent(entry: SitemapEntry, since: datetime | None) -> bool:
    return since is None or entry.changed_by is None or entry.changed_by >= since


def _matches(url: str, pattern: str) -> bool:
    if not pattern.startswith("/"):
        return fnmatch.fnmatchcase(url, pattern)
    try:
        return fnmatch.fnmatchcase(URL(url).path, pattern)
    except ValueError:  # such a URL is reported as refused, if nothing else takes it out
        return False


class _Fetcher:
    """Reads the files of one sitemap."""

    def __init__(self, sitemap: Sitemap) -> None:
        self._sitemap = sitemap
        root = URL(sitemap.url).host or ""
        self._root_is_private = is_private(root)
        self._hosts = {_bare(host) for host in (root, *sitemap.hosts)}
        try:
            self._headers = resolved_headers("Sitemap", sitemap.headers)
        except ConfigurationError as error:
            raise UrlSourceError(f"The sitemap {sitemap.url} was not read: {error}") from None

    def __enter__(self) -> Self:
        import httpx  # noqa: PLC0415 - only a run that reads a sitemap needs it

        self._client = httpx.Client(
            transport=httpx.HTTPTransport(retries=CONNECT_TRIES),
            timeout=self._sitemap.timeout,
            headers={"User-Agent": _USER_AGENT, "Accept-Encoding": "identity"},
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def read(self, url: str) -> SitemapFile:
        """One file, parsed.

        Raises:
            UrlSourceError: it cannot be had, or is no sitemap.
        """
        import httpx  # noqa: PLC0415 - imported by now

        try:
            file = parse_sitemap(*self._fetch(url))
        except (httpx.HTTPError, SitemapError) as error:
            root = "" if url == self._sitemap.url else f", which {self._sitemap.url} leads to,"
            reason = str(error) or type(error).__name__
            raise UrlSourceError(f"The sitemap {url}{root} cannot be read: {reason}") from error
        if file.problem or file.left_out:
            dg.get_dagster_logger().warning(
                "The sitemap %s is not valid (%s): %d entries were read, at least %d left out",
                url,
                file.problem or "entries without a URL",
                len(file.entries),
                file.left_out,
            )
        return file

    def _fetch(self, url: str) -> tuple[bytes, int, str | None]:
        """The file's bytes, how many it may have, and what the server says of its encoding."""
        end_at = monotonic() + MAX_SECONDS
        for _ in range(_MAX_REDIRECTS + 1):
            self._check(url)
            with self._client.stream("GET", url, headers=self._headers_for(url)) as answer:
                if answer.next_request is None:
                    answer.raise_for_status()
                    return _body(answer, end_at), MAX_BYTES, answer.charset_encoding
                url = str(answer.next_request.url)
        raise SitemapError(f"it redirects more than {_MAX_REDIRECTS} times")

    def _headers_for(self, url: str) -> Mapping[str, str]:
        is_plain = URL(url).scheme == "http" and URL(self._sitemap.url).scheme == "https"
        return {} if is_plain else self._headers

    def _check(self, url: str) -> None:
        if reason := url_refusal(url, allow_private=self._root_is_private):
            raise SitemapError(f"it leads to {url!r:.200}: {reason}")
        host = _bare(URL(url).host or "")
        if host not in self._hosts:
            raise SitemapError(f"it leads to the host {host}; name it in `hosts` if that is right")


def _bare(host: str) -> str:
    return host.lower().rstrip(".").removeprefix("www.")


def _body(answer: httpx.Response, end_at: float) -> bytes:
    """The answer as it was sent, gzipped or not.

    Raises:
        SitemapError: it is larger than a sitemap may be, or not there by ``end_at`` of the monotonic clock.
    """
    body = bytearray()
    for piece in answer.iter_raw():
        body += piece
        if len(body) > MAX_BYTES:
            raise SitemapError(f"it has more than {MAX_BYTES:,} bytes")
        if monotonic() > end_at:
            raise SitemapError(f"it was not complete after {MAX_SECONDS:.0f} s")
    return bytes(body)
