"""What a sitemap file says: the XML of sitemaps.org, a feed, or a text file with one URL a line.

Pure functions over bytes. Files come from anywhere and are seldom proper: what can be read is read. Declared entities
are refused, and what a compressed file may grow to is bounded.
"""

from __future__ import annotations

import re
import zlib
from calendar import monthrange
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from html.entities import html5
from typing import Final
from xml.parsers import expat

MAX_BYTES: Final = 50 * 1024 * 1024
"""Uncompressed size of one file (sitemaps.org, Sitemap file limits)."""
GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Form:
    """A kind of file: its element for an entry, and within that the elements for the URL and the date of change."""

    entry: str
    url: str
    dates: tuple[str, ...]


FORMS: Final = {
    "urlset": Form("url", "loc", ("lastmod",)),
    "sitemapindex": Form("sitemap", "loc", ("lastmod",)),
    "rss": Form("item", "link", ("pubDate",)),
    "RDF": Form("item", "link", ("date",)),
    "feed": Form("entry", "link", ("updated", "published")),
}
"""By root element: sitemaps.org, RSS 2.0, RSS 1.0 and Atom. Search engines take feeds for sitemaps, too."""
_MARKS: Final = {BOM_UTF8: "utf-8-sig", BOM_UTF16_LE: "utf-16", BOM_UTF16_BE: "utf-16"}
_DECLARED: Final = re.compile(rb"""<\?xml[^>]*\bencoding\s*=\s*["']([A-Za-z0-9._-]+)["']""")
_PROLOGUE: Final = re.compile(r"\A\ufeff?(?:\s|<!--.*?-->)*(?=<\?xml\b)", re.DOTALL)
_CDATA: Final = re.compile(r"(<!\[CDATA\[.*?\]\]>)", re.DOTALL)
_AMPERSAND: Final = re.compile(r"&(?:(?P<number>#\d+;|#x[0-9a-fA-F]+;)|(?P<name>[A-Za-z][A-Za-z0-9]*);)?")
_XML_ENTITIES: Final = frozenset(("amp", "lt", "gt", "quot", "apos"))
_W3C = re.compile(
    r"(?P<year>\d{4})(?:-(?P<month>\d{2})(?:-(?P<day>\d{2})"
    r"(?:[T ](?P<hour>\d{2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,]\d+)?)?\s*(?P<zone>Z|[+-]\d{2}:?\d{2})?)?)?)?"
)


class SitemapError(ValueError):
    """A file is not a sitemap, or is too large to be one."""


@dataclass(frozen=True, slots=True)
class SitemapEntry:
    """A page or a further sitemap. ``changed_by`` is the last moment at which it may have changed, None if unsaid."""

    url: str
    changed_by: datetime | None = None


@dataclass(frozen=True, slots=True)
class SitemapFile:
    """A sitemap's entries: pages, or further sitemaps when it is an index.

    ``left_out`` counts entries without a URL; ``problem`` says why the file was not read as it stands.
    """

    entries: tuple[SitemapEntry, ...]
    is_index: bool = False
    left_out: int = 0
    problem: str | None = None


def parse_sitemap(content: bytes, limit: int = MAX_BYTES, charset: str | None = None) -> SitemapFile:
    """A sitemap file or a feed, gzipped or not, as far as it can be read.

    Args:
        content: The file.
        limit: The most bytes that it may have, unpacked.
        charset: What the server said of its encoding; believed when nothing in the file speaks against it.

    Raises:
        SitemapError: nothing of it can be read, or it is too large, not a sitemap, or declares entities.
    """
    plain = unzip(content, limit) if content.startswith(GZIP_MAGIC) else content
    if len(plain) > limit:
        raise SitemapError(f"it has more than {limit:,} bytes")
    text = _decoded(plain, charset)
    head = text[:200].lstrip("\ufeff\x00 \t\r\n")
    return _parse_xml(text) if head.startswith("<") else _parse_text(text)


def _decoded(plain: bytes, charset: str | None) -> str:
    """The text by its byte order mark, else by the encoding that it declares, that the server said, or UTF-8.

    Where none of them fits it is read as Windows-1252, as browsers do.
    """
    for mark, encoding in _MARKS.items():
        if plain.startswith(mark):
            return plain.decode(encoding, "replace")
    declared = _DECLARED.search(plain[:200])
    named = [declared[1].decode("ascii") if declared else None, charset, "utf-8"]
    for encoding in filter(None, named):
        with suppress(UnicodeDecodeError, LookupError):
            return plain.decode(encoding)
    return plain.decode("windows-1252", "replace")


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


def _parse_text(text: str) -> SitemapFile:
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    urls = [line for line in lines if line.startswith(("http://", "https://"))]
    if len(urls) * 2 < len(lines):
        raise SitemapError("it is neither XML nor a list of URLs")
    return SitemapFile(tuple(map(SitemapEntry, urls)), left_out=len(lines) - len(urls))


def _parse_xml(text: str) -> SitemapFile:
    """The entries, of a file that is not well-formed those before the place where reading ends."""
    reader, problem = _read_xml(text)
    if problem:
        mended, still = _read_xml(_mended(text))
        if len(mended.entries) >= len(reader.entries):
            reader, problem = mended, f"{problem}; it was repaired" if still is None else still
    if reader.is_bare:
        raise SitemapError(f"its root element is <{reader.root}>, with nothing in it")
    if problem and not reader.entries:
        raise SitemapError(f"it is not well-formed XML: {problem}")
    return SitemapFile(tuple(reader.entries), reader.root == "sitemapindex", reader.left_out, problem)


def _read_xml(text: str) -> tuple[_Reader, str | None]:
    """What was read, and why reading ended before the end; None when it did not."""
    reader = _Reader()
    parser = expat.ParserCreate("utf-8", " ")
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.EntityDeclHandler = _refuse_entity
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    try:
        parser.Parse(text.encode("utf-8", "replace"), True)
    except expat.ExpatError as error:
        return reader, str(error)
    return reader, None


def _mended(text: str) -> str:
    """The text without what stands before its declaration, HTML's entities and bare ampersands made XML's."""
    parts = _CDATA.split(_PROLOGUE.sub("", text, count=1))
    return "".join(part if part.startswith("<![CDATA[") else _AMPERSAND.sub(_as_xml, part) for part in parts)


def _as_xml(found: re.Match[str]) -> str:
    name = found["name"]
    if name is None or name in _XML_ENTITIES:
        return found[0] if name or found["number"] else "&amp;"
    character = html5.get(f"{name};")
    return "".join(f"&#{ord(one)};" for one in character) if character else f"&amp;{name};"


def _refuse_entity(*_: object) -> None:
    raise SitemapError("it declares XML entities, which no sitemap needs")


@dataclass
class _Reader:
    """Takes the URL and the date of each entry, in the root's own namespace: not those of a page's images or videos."""

    entries: list[SitemapEntry] = field(default_factory=list)
    root: str = ""
    left_out: int = 0
    _depth: int = 0
    _elements: int = 0
    _space: str = ""
    _entry_depth: int = 0
    _field: str = ""
    _values: dict[str, str] = field(default_factory=dict)

    @property
    def is_bare(self) -> bool:
        """Whether a feed has not even a channel."""
        return self._elements == 1 and self.root not in ("urlset", "sitemapindex")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        space, _, local = name.rpartition(" ")
        self._depth += 1
        self._elements += 1
        if self._depth == 1:
            self._begin(space, local)
        elif local == FORMS[self.root].entry and self._is_own(space) and not self._entry_depth:
            self._entry_depth, self._values = self._depth, {}
        elif self._entry_depth and self._depth == self._entry_depth + 1:
            self._field = local if self._is_own(space) else ""
            if self._field == "link" and attributes.get("rel", "alternate") == "alternate" and "href" in attributes:
                self._values["link"] = attributes["href"]

    def _begin(self, space: str, local: str) -> None:
        if local not in FORMS:
            raise SitemapError(f"its root element is <{local}>, neither a sitemap's nor a feed's")
        self.root, self._space = local, space

    def _is_own(self, space: str) -> bool:
        # The items of RSS 1.0 are in another namespace than its root.
        return space == self._space or self.root == "RDF"

    def text(self, text: str) -> None:
        if self._field and self._depth == self._entry_depth + 1:
            self._values[self._field] = self._values.get(self._field, "") + text

    def end(self, name: str) -> None:
        del name
        if self._depth == self._entry_depth:
            self._add()
            self._entry_depth = 0
        self._field = ""
        self._depth -= 1

    def _add(self) -> None:
        form = FORMS[self.root]
        if url := self._values.get(form.url, "").strip():
            dates = [self._values.get(name, "").strip() for name in form.dates]
            self.entries.append(SitemapEntry(url, changed_by(next(filter(None, dates), ""))))
        else:
            self.left_out += 1


def changed_by(text: str) -> datetime | None:
    """The last moment that a W3C date, or one of a feed, covers, UTC where it names no zone; None for anything else.

    ``2026-01-02`` may mean any time of that day, so it gives the end of the day.
    """
    found = _W3C.fullmatch(text)
    if found is None:
        return _feed_date(text)
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


def _feed_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


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
