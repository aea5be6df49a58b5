"""The columns of the two tables of a crawl: what Thunderbit delivered, and what it did not.

The schemas are explicit, so an empty partition has the same columns and types as a full one.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, TypedDict

from thunderbit_dagster.lazy import LazyModule

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = LazyModule("pyarrow")

SCHEMA_VERSION = 1
"""Raised when a column changes its name or type; a new nullable column leaves it as it is."""

Table = Literal["succeeded", "failed"]
"""The tables of a crawl that are published together."""
StoredTable = Table | Literal["changes"]
"""All tables of a crawl."""

_TEXT: Final = "string"
INTEGER: Final = "int32"
TRUTH: Final = "bool"
SHARE: Final = "double"
INSTANT: Final = "timestamp[us, tz=UTC]"
_TEXTS: Final = "list<item: string>"
LINKS: Final = "list<item: struct<text: string, href: string>>"
IMAGES: Final = "list<item: struct<src: string, alt: string, width: int32, height: int32>>"


@dataclass(frozen=True)
class Column:
    """A column before Arrow is imported, which loading a code location does not need; ``type`` is as Arrow shows it."""

    name: str
    type: str
    description: str
    nullable: bool = True


def _required(name: str, kind: str, description: str) -> Column:
    return Column(name, kind, description, nullable=False)


_URL = (
    _required("url", _TEXT, "URL as it was submitted"),
    Column(
        "canonical_url",
        _TEXT,
        "URL in canonical form, which duplicates share; null for text that is not a URL",
    ),
)
_JOB = (
    Column("job_kind", _TEXT, "distill or extract"),
    Column("job_id", _TEXT, "Thunderbit's id of the batch job; null when the URL was never submitted"),
    _required("position", INTEGER, "Position of the URL in the partition's list, from 0"),
    Column("job_position", INTEGER, "Position of the URL in its batch job, from 0"),
    Column("attempt", INTEGER, "How many times this URL was submitted for this partition, from 1"),
)
# The web is fetched as it is now, also for a partition whose date is past.
_SUBMITTED = (
    "When the batch job was accepted: the page is as of this time or soon after, whatever the partition's date; "
    "without force_refresh it may be an older copy from a cache of the API"
)
_COMPLETED = (
    "When the batch job ended, by Thunderbit's clock: the page is as of this time or soon before, whatever the "
    "partition's date"
)
_PROVENANCE = (
    Column("submitted_at", INSTANT, _SUBMITTED),
    Column("completed_at", INSTANT, _COMPLETED),
    _required("collected_at", INSTANT, "When the row was read from the API"),
    _required("submission_id", _TEXT, "The submission that this row belongs to"),
    _required("run_id", _TEXT, "The Dagster run that published the row"),
)

_SUCCEEDED = (
    *_URL,
    Column("final_url", _TEXT, "URL that the page was read from, after redirects, as the API reports it"),
    Column("title", _TEXT, "Page title"),
    Column("description", _TEXT, "Page description"),
    Column("markdown", _TEXT, "Page as Markdown (distill)"),
    Column("content_hash", _TEXT, "SHA-256, hex, of the Markdown, or of data as canonical JSON"),
    Column("html", _TEXT, "Page as HTML, if requested"),
    Column("links", LINKS, "Links on the page, if requested"),
    Column("images", IMAGES, "Images on the page, if requested; sizes in pixels"),
    Column("summary", _TEXT, "Summary, if requested"),
    Column("answer", _TEXT, "Answer to the question, if one was asked"),
    Column("highlights", _TEXTS, "Passages that match the query, if one was given"),
    Column("data", _TEXT, "Extracted rows as a JSON array of objects (extract)"),
    Column("metadata", _TEXT, "Page metadata as a JSON object, as the API sent it"),
    Column("extra", _TEXT, "Fields of the row that this version does not know, as a JSON object"),
    *_JOB,
    Column("credits", INTEGER, "Credits of this row by the price list; the bill is the job's own"),
    *_PROVENANCE,
)
_FAILED = (
    *_URL,
    _required(
        "status",
        _TEXT,
        "The API's row status, or REJECTED (never submitted), MISSING, CANCELLED or NOT_FINISHED",
    ),
    _required("error_code", _TEXT, "Error code of the API or of the plugin"),
    Column("error_message", _TEXT, "Error message"),
    _required("error_class", _TEXT, "permanent, transient, budget or job"),
    _required("retryable", TRUTH, "Whether submitting the URL again can help"),
    *_JOB,
    *_PROVENANCE,
)
CHANGES: Final = (
    *_URL,
    _required("status", _TEXT, "new, changed, unchanged, removed, failed, quarantined or returned"),
    Column(
        "since",
        _TEXT,
        "Key of the date on which the content, or the removal, that stands was first seen, as far as the history goes",
    ),
    Column("title", _TEXT, "Page title, of the page that stands"),
    Column("content_hash", _TEXT, "content_hash of this date's page in succeeded; null without a page"),
    Column("base_date", _TEXT, "Key of the date whose page this date's page was compared with"),
    Column("base_submission_id", _TEXT, "The submission of that date"),
    Column("base_content_hash", _TEXT, "content_hash of the page it was compared with"),
    Column("similarity", SHARE, "Share of characters in equal lines, 0 to 1; shown, and decides nothing"),
    Column("lines_removed", INTEGER, "Lines (or extracted rows) of content that are gone"),
    Column("lines_added", INTEGER, "Lines (or extracted rows) of content that are new"),
    Column("differences_ignored", INTEGER, "Lines that differ in noise only"),
    Column("diff", _TEXT, "What changed: lines with - and +, of an extraction a JSON object a field; shortened"),
    Column("crawls_pending", INTEGER, "In how many crawls in a row a change stands that is not confirmed yet"),
    Column("crawls_missing", INTEGER, "In how many crawls in a row the page was missing"),
    Column(
        "quarantine_score", SHARE, "How much the page looks like a bot wall or the like; from 3 on it is quarantined"
    ),
    Column("quarantine_rules", _TEXT, "The rules of that score, comma-separated"),
    Column("error_code", _TEXT, "error_code of this date's row in failed"),
    Column("error_message", _TEXT, "error_message of that row"),
    _required("submission_id", _TEXT, "The submission of this date"),
)
"""The columns of the table `changes`."""
COLUMNS: Final[Mapping[str, tuple[Column, ...]]] = MappingProxyType({"succeeded": _SUCCEEDED, "failed": _FAILED})
"""The columns of each table of a crawl that distills."""

VALID = "valid"
INVALID_OUTPUT = "invalid_output"
ITEMS = "items"
EXTRACT_COLUMNS = (ITEMS, "extract_outcome", "extract_errors")
"""The typed columns, after all others, of the `succeeded` table of a crawl that extracts."""


class _Schemas(Mapping[str, "pa.Schema"]):
    """The Arrow schema of each table, made at its first use."""

    def __getitem__(self, table: str) -> pa.Schema:
        return _schema(table)

    def __iter__(self) -> Iterator[str]:
        return iter(COLUMNS)

    def __len__(self) -> int:
        return len(COLUMNS)


SCHEMAS: Final[Mapping[str, pa.Schema]] = _Schemas()


@cache
def _schema(table: str) -> pa.Schema:
    types = _types()
    return pa.schema([_field(one.name, types[one.type], one.description, one.nullable) for one in COLUMNS[table]])


@cache
def changes_schema() -> pa.Schema:
    """The Arrow schema of the table `changes`."""
    types = _types()
    return pa.schema([_field(one.name, types[one.type], one.description, one.nullable) for one in CHANGES])


def _types() -> Mapping[str, pa.DataType]:
    text, size = pa.string(), pa.int32()
    image = pa.struct([("src", text), ("alt", text), ("width", size), ("height", size)])
    return {
        _TEXT: text,
        INTEGER: size,
        TRUTH: pa.bool_(),
        SHARE: pa.float64(),
        INSTANT: pa.timestamp("us", tz="UTC"),
        _TEXTS: pa.list_(text),
        LINKS: pa.list_(pa.struct([("text", text), ("href", text)])),
        IMAGES: pa.list_(image),
    }


def _field(name: str, kind: pa.DataType, description: str, nullable: bool = True) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"description": description})


def extracting(item: pa.DataType) -> pa.Schema:
    """The `succeeded` table of a crawl that extracts items of this type."""
    text = pa.string()
    errors = pa.list_(pa.struct([("item", pa.int32()), ("field", text), ("rule", text), ("message", text)]))
    typed = (
        _field(ITEMS, pa.list_(item), "Extracted rows that fit the schema, in the order of data"),
        _field(
            "extract_outcome",
            text,
            f"{VALID}, or {INVALID_OUTPUT}: some rows of data do not fit the schema and are not in items",
        ),
        _field(
            "extract_errors", errors, "What does not fit: row of data (from 0), field, rule of JSON Schema, message"
        ),
    )
    return pa.schema([*SCHEMAS["succeeded"], *typed])


class Link(TypedDict, total=False):
    """A link of a page."""

    text: str | None
    href: str | None


class Image(TypedDict, total=False):
    """An image of a page; sizes in pixels."""

    src: str | None
    alt: str | None
    width: int | None
    height: int | None


class ExtractError(TypedDict):
    """What is wrong with one extracted row: its place in `data` from 0 (None: the page gave no data), the field, the
    rule of JSON Schema it breaks, and a message.
    """

    item: int | None
    field: str
    rule: str
    message: str


class _RequiredOfBoth(TypedDict):
    url: str
    position: int
    collected_at: datetime
    submission_id: str
    run_id: str


class _OptionalOfBoth(_RequiredOfBoth, total=False):
    canonical_url: str | None
    job_kind: str | None
    job_id: str | None
    job_position: int | None
    attempt: int | None
    submitted_at: datetime | None
    completed_at: datetime | None


class SucceededRow(_OptionalOfBoth, total=False):
    """A row of the `succeeded` table; a column left out is null. Datetimes carry their time zone."""

    final_url: str | None
    title: str | None
    description: str | None
    markdown: str | None
    content_hash: str | None
    html: str | None
    links: list[Link] | None
    images: list[Image] | None
    summary: str | None
    answer: str | None
    highlights: list[str] | None
    data: str | None
    metadata: str | None
    extra: str | None
    credits: int | None
    items: list[Mapping[str, object]] | None
    extract_outcome: str | None
    extract_errors: list[ExtractError] | None


class _RequiredOfFailed(TypedDict):
    status: str
    error_code: str
    error_class: str
    retryable: bool


class FailedRow(_OptionalOfBoth, _RequiredOfFailed, total=False):
    """A row of the `failed` table; a column left out is null. Datetimes carry their time zone."""

    error_message: str | None


def repair_text(text: str) -> str:
    r"""Text that UTF-8 can hold: a lone surrogate becomes U+FFFD, a split pair becomes its character.

    Everything else, NUL included, is kept exactly. Pages do send lone surrogates, as `"\ud800"` in JSON.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def canonical_json(value: object) -> str:
    """JSON text that is equal for equal values: sorted keys, no spaces, no escapes but JSON's own."""
    try:
        text = _dump(value)
    except ValueError:
        # Infinity and NaN are in some JSON that the API sends, but are no JSON.
        text = _dump(_finite(value))
    return repair_text(text)


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _finite(value: object) -> object:
    """The value with its infinite and undefined numbers as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list | tuple) else value


def content_hash(text: str) -> str:
    """SHA-256, hex, of the text as it is stored: the Markdown, or the `canonical_json` of extracted rows."""
    return hashlib.sha256(repair_text(text).encode()).hexdigest()
