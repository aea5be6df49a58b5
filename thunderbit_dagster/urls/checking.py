"""Which URLs are refused before they cost anything, and which are the same page."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from yarl import URL

from thunderbit_dagster.api.requests import is_http_url

Fragments = Literal["routes", "keep", "drop"]
"""Which fragments tell pages apart: ``#/...`` and ``#!...``, by which single-page applications route; all; or none."""

MAX_URL_LENGTH = 8_192
TRACKING_PARAMETERS = frozenset(
    {"gclid", "fbclid", "msclkid", "dclid", "yclid", "mc_cid", "mc_eid", "igshid"},
)


def host_of(url: str) -> str:
    """The host that a URL names, empty when it names none: refused URLs may be any text."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A URL that is refused before it costs anything: its place in the list, and why."""

    position: int
    url: str
    reason: str


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A URL whose canonical form stood earlier in the same list: it shares that one's fetch."""

    position: int
    url: str
    first: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """A URL to fetch: its place in the partition's list, as written, and its canonical form."""

    position: int
    url: str
    canonical: str


@dataclass(frozen=True, slots=True)
class CheckedUrls:
    """A URL list sorted out: every position is in exactly one of the three."""

    wanted: tuple[Wanted, ...] = ()
    duplicates: tuple[Duplicate, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    fragments: Fragments = "routes"

    @property
    def total(self) -> int:
        return len(self.wanted) + len(self.duplicates) + len(self.rejected)


def check_urls(urls: Iterable[str], *, allow_private: bool = False, fragments: Fragments = "routes") -> CheckedUrls:
    """Sort a URL list into wanted, duplicate and rejected.

    Duplicates are decided on the canonical form, since the API does not define what a repeated URL
    does in one job. ``allow_private`` admits loopback and private addresses, which only a local
    emulator can reach.
    """
    wanted: dict[str, Wanted] = {}
    duplicates: list[Duplicate] = []
    rejected: list[Rejected] = []
    for position, url in enumerate(urls):
        if reason := url_refusal(url, allow_private=allow_private):
            rejected.append(Rejected(position, url, reason))
            continue
        canonical = canonical_url(url, fragments)
        if (first := wanted.get(canonical)) is not None:
            duplicates.append(Duplicate(position, url, first.position))
        else:
            wanted[canonical] = Wanted(position, url, canonical)
    return CheckedUrls(tuple(wanted.values()), tuple(duplicates), tuple(rejected), fragments)


def url_refusal(url: str, *, allow_private: bool = False) -> str | None:
    """Why a URL is not worth sending, or None when it is fine."""
    return next((reason for reason in _refusals(url, allow_private=allow_private)), None)


def _refusals(url: str, *, allow_private: bool) -> Iterator[str]:
    if not url.strip():
        yield "the URL is empty"
    if len(url) > MAX_URL_LENGTH:
        yield f"the URL has {len(url):,} characters; the limit is {MAX_URL_LENGTH:,}"
    if " " in url or not url.isprintable():
        yield "the URL contains a space, a control character or half of a surrogate pair; write it percent-encoded"
    try:
        parsed = URL(url)
        host = (parsed.host or "").rstrip(".")
    except ValueError as error:
        yield f"the URL cannot be parsed: {error}"
        return
    yield from _parsed_refusals(parsed, host, allow_private=allow_private)
    if not is_http_url(url):
        yield "the API does not accept this URL"


def _parsed_refusals(parsed: URL, host: str, *, allow_private: bool) -> Iterator[str]:
    if parsed.scheme not in ("http", "https"):
        yield f"the scheme is {parsed.scheme!r}; only http and https pages can be fetched"
    if not host:
        yield "the URL has no host"
    if parsed.user is not None or parsed.password is not None:
        yield "the URL contains a user name or password, which would be stored; use the request's `headers`"
    if not allow_private and host and is_private(host):
        yield f"the host {host} is a private or loopback address, which the API cannot reach"


def is_private(host: str) -> bool:
    """Whether a host is this machine or an address that only a private network reaches. Names are not looked up."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return False


def canonical_url(url: str, fragments: Fragments = "routes") -> str:
    """The form under which two URLs count as the same page.

    Lower-case scheme and host (IDNA), no default port, dot segments resolved, query sorted and without
    tracking parameters (``utm_*``, ``gclid`` and the like), and of the fragment what ``fragments`` says. It is a key
    only: what is sent to the API is the URL as written.
    """
    parsed = URL(url)
    # As written, still percent-encoded: bytes that are not UTF-8 must not become equal.
    pairs = [pair for pair in parsed.raw_query_string.split("&") if pair and not _is_tracking(pair.partition("=")[0])]
    query = "&".join(sorted(pairs, key=lambda pair: pair.partition("=")[0]))
    host = (parsed.raw_host or "").rstrip(".")
    return str(
        URL.build(
            scheme=parsed.scheme,
            authority=_authority(host, None if parsed.is_default_port() else parsed.explicit_port),
            path=parsed.raw_path or "/",
            query_string=query,
            fragment=parsed.raw_fragment if _tells_apart(parsed.raw_fragment, fragments) else "",
            encoded=True,
        ),
    )


def _tells_apart(fragment: str, fragments: Fragments) -> bool:
    return fragments == "keep" or (fragments == "routes" and fragment.startswith(("/", "!")))


def _authority(host: str, port: int | None) -> str:
    bracketed = f"[{host}]" if ":" in host else host
    return bracketed if port is None else f"{bracketed}:{port}"


def _is_tracking(name: str) -> bool:
    lowered = name.lower()
    return lowered.startswith("utm_") or lowered in TRACKING_PARAMETERS
