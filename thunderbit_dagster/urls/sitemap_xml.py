"""What a sitemap file says: the XML of sitemaps.org, or a text file with one URL a line.

Pure functions over bytes. Files come from anywhere, so entities are refused, and what a compressed file may grow to
is bounded.
"""

from __future__ import annotations

import re
import zlib
from calendar import monthrange
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Final
from xml.parsers import expat

MAX_BYTES: Final = 50 * 1024 * 1024
"""Uncompressed size of one file (sitemaps.org, Sitemap file limits)."""
GZIP_MAGIC = b"\x1f\x8b"
ROOTS = {"urlset": "url", "sitemapindex": "sitemap"}
"""Root elements, and the element of an entry in each."""
ENTRY_DEPTH, VALUE_DEPTH = 2, 3
_W3C = re.compile(
    r"(?P<year>\d{4})(?:-(?P<month>\d{2})(?:-(?P<day>\d{2})"
    r"(?:[T ](?P<hour>\d{2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,]\d+)?)?\s*(?P<zone>Z|[+-]\d{2}:?\d{2})?)?)?)?"
)


class SitemapError(ValueError):
    """A file is not a sitemap, or is too large to be one."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A page or a further sitemap. ``changed_by`` is the last moment at which it may have changed, None if unsaid."""

    url: str
    changed_by: datetime | None = None


@dataclass(frozen=True, slots=True)
class SitemapFile:
    """A sitemap's entries: pages, or further sitemaps when it is an index."""

    entries: tuple[Entry, ...]
    is_index: bool = False


def parse_sitemap(content: bytes, limit: int = MAX_BYTES) -> SitemapFile:
    """A sitemap file, gzipped or not.

    Raises:
        SitemapError: it is broken, too large, not a sitemap, or declares entities.
    """
    plain = unzip(content, limit) if content.startswith(GZIP_MAGIC) else content
    if len(plain) > limit:
        raise SitemapError(f"it has more than {limit:,} bytes")
    head = plain[:200].lstrip(b"\xef\xbb\xbf\xfe\xff\x00 \t\r\n")
    return _parse_xml(plain) if head.startswith(b"<") else _parse_text(plain)


def unzip(content: bytes, limit: int) -> bytes:
    """The content of a gzip file, of several parts too, and never more than one byte above the limit.

    Raises:
        SitemapError: it is no whole gzip file.
    """
    plain = bytearray()
    while content and len(plain) <= limit:
        unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        try:
            plain += unpacker.decompress(content, limit + 1 - len(plain))
        except zlib.error as error:
            raise SitemapError(f"it cannot be unzipped: {error}") from error
        if not unpacker.eof:
            if len(plain) <= limit:
                raise SitemapError("it cannot be unzipped: it ends too early")
            break
        content = unpacker.unused_data if unpacker.unused_data.startswith(GZIP_MAGIC) else b""
    return bytes(plain)


def _parse_text(plain: bytes) -> SitemapFile:
    try:
        lines = [line.strip() for line in plain.decode("utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise SitemapError("it is neither XML nor UTF-8 text") from error
    urls = [line for line in lines if line]
    if any(not url.startswith(("http://", "https://")) for url in urls):
        raise SitemapError("it is neither XML nor a list of URLs")
    return SitemapFile(tuple(map(Entry, urls)))


def _parse_xml(plain: bytes) -> SitemapFile:
    reader = _Reader()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.EntityDeclHandler = _refuse_entity
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    try:
        parser.Parse(plain, True)
    except expat.ExpatError as error:
        raise SitemapError(f"it is not well-formed XML: {error}") from error
    return SitemapFile(tuple(reader.entries), reader.is_index)


def _refuse_entity(*_: object) -> None:
    raise SitemapError("it declares XML entities, which no sitemap needs")


@dataclass
class _Reader:
    """Takes ``loc`` and ``lastmod`` of the root's own namespace, not those of images or videos of a page."""

    entries: list[Entry] = field(default_factory=list)
    is_index: bool = False
    _path: list[str] = field(default_factory=list)
    _space: str = ""
    _values: dict[str, str] = field(default_factory=dict)

    def start(self, name: str, attributes: dict[str, str]) -> None:
        del attributes
        space, _, local = name.rpartition(" ")
        if not self._path:
            if local not in ROOTS:
                raise SitemapError(f"its root element is <{local}>, neither <urlset> nor <sitemapindex>")
            self._space, self.is_index = space, local == "sitemapindex"
        self._path.append(local if space == self._space else "")
        if self._is_entry:
            self._values = {}

    def text(self, text: str) -> None:
        if len(self._path) == VALUE_DEPTH and self._path[1] == ROOTS[self._path[0]]:
            self._values[self._path[2]] = self._values.get(self._path[2], "") + text

    def end(self, name: str) -> None:
        del name
        if self._is_entry and (url := self._values.get("loc", "").strip()):
            self.entries.append(Entry(url, changed_by(self._values.get("lastmod", "").strip())))
        self._path.pop()

    @property
    def _is_entry(self) -> bool:
        return len(self._path) == ENTRY_DEPTH and self._path[1] == ROOTS[self._path[0]]


def changed_by(text: str) -> datetime | None:
    """The last moment that a W3C date covers, UTC where it names no zone; None for what is no such date.

    ``2026-01-02`` may mean any time of that day, so it gives the end of the day.
    """
    found = _W3C.fullmatch(text)
    if found is None:
        return None
    part = {name: int(value) for name, value in found.groupdict().items() if value and name != "zone"}
    try:
        start = datetime(
            part["year"],
            part.get("month", 1),
            part.get("day", 1),
            part.get("hour", 0),
            part.get("minute", 0),
            part.get("second", 0),
            tzinfo=_zone(found["zone"]),
        )
        return start + _span(part)
    except (ValueError, OverflowError):
        return None


def _span(part: dict[str, int]) -> timedelta:
    if "hour" in part:
        return timedelta(0)
    if "day" in part:
        return timedelta(days=1)
    return timedelta(days=monthrange(part["year"], part["month"])[1] if "month" in part else 365)


def _zone(text: str | None) -> timezone:
    if text is None or text == "Z":
        return timezone.utc
    hours, minutes = int(text[1:3]), int(text[-2:])
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if text[0] == "-" else offset)
