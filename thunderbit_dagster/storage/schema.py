"""The columns of the two tables of a crawl: what Thunderbit delivered, and what it did not.

The schemas are explicit, so an empty partition has the same columns and types as a full one.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Literal, TypedDict

import pyarrow as pa

SCHEMA_VERSION = 1
"""Raised when a column changes its name or type; a new nullable column leaves it as it is."""

Table = Literal["succeeded", "failed"]

TEXT = pa.string()
INSTANT = pa.timestamp("us", tz="UTC")
LINKS = pa.list_(pa.struct([("text", TEXT), ("href", TEXT)]))
IMAGES = pa.list_(
    pa.struct([("src", TEXT), ("alt", TEXT), ("width", pa.int32()), ("height", pa.int32())]),
)


def _field(name: str, kind: pa.DataType, description: str, *, nullable: bool = True) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"description": description})


def _required(name: str, kind: pa.DataType, description: str) -> pa.Field:
    return _field(name, kind, description, nullable=False)


_URL = (
    _required("url", TEXT, "URL as it was submitted"),
    _field(
        "canonical_url",
        TEXT,
        "URL in normal form, which duplicates share; null for a URL that is none",
    ),
)
_JOB = (
    _field("job_kind", TEXT, "distill or extract"),
    _field("job_id", TEXT, "Thunderbit's id of the batch job; null when the URL was never submitted"),
    _required("position", pa.int32(), "Place of the URL in the partition's list, from 0"),
    _field("job_position", pa.int32(), "Place of the URL in its batch job, from 0"),
    _field("attempt", pa.int32(), "How many times this URL was submitted for this partition, from 1"),
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
    _field("submitted_at", INSTANT, _SUBMITTED),
    _field("completed_at", INSTANT, _COMPLETED),
    _required("collected_at", INSTANT, "When the row was read from the API"),
    _required("submission_id", TEXT, "The submission that this row belongs to"),
    _required("run_id", TEXT, "The Dagster run that published the row"),
)

SUCCEEDED: pa.Schema = pa.schema(
    [
        *_URL,
        _field("final_url", TEXT, "URL that the page was read from, after redirects, as the API reports it"),
        _field("title", TEXT, "Page title"),
        _field("description", TEXT, "Page description"),
        _field("markdown", TEXT, "Page as Markdown (distill)"),
        _field("content_hash", TEXT, "SHA-256, hex, of the Markdown, or of data as canonical JSON"),
        _field("html", TEXT, "Page as HTML, when asked for"),
        _field("links", LINKS, "Links on the page, when asked for"),
        _field("images", IMAGES, "Images on the page, when asked for; sizes in pixels"),
        _field("summary", TEXT, "Summary, when asked for"),
        _field("answer", TEXT, "Answer to the question, when one was asked"),
        _field("highlights", pa.list_(TEXT), "Passages that match the query, when one was given"),
        _field("data", TEXT, "Extracted rows as a JSON array of objects (extract)"),
        _field("metadata", TEXT, "Page metadata as a JSON object, as the API sent it"),
        _field("extra", TEXT, "Fields of the row that this version does not know, as a JSON object"),
        *_JOB,
        _field("credits", pa.int32(), "Credits of this row by the price list; the bill is the job's own"),
        *_PROVENANCE,
    ],
)

FAILED: pa.Schema = pa.schema(
    [
        *_URL,
        _required(
            "status",
            TEXT,
            "The API's row status, or REJECTED (never submitted), MISSING, CANCELLED or NOT_FINISHED",
        ),
        _required("error_code", TEXT, "Error code: the API's, or one of the plugin's own"),
        _field("error_message", TEXT, "Error message"),
        _required("error_class", TEXT, "permanent, transient, budget or job"),
        _required("retryable", pa.bool_(), "Whether submitting the URL again can help"),
        *_JOB,
        *_PROVENANCE,
    ],
)

VALID = "valid"
INVALID_OUTPUT = "invalid_output"
ERRORS = pa.list_(pa.struct([("item", pa.int32()), ("field", TEXT), ("rule", TEXT), ("message", TEXT)]))
ITEMS = "items"
EXTRACT_COLUMNS = (ITEMS, "extract_outcome", "extract_errors")
"""The typed columns, after all others, of the `succeeded` table of a crawl that extracts."""


def extracting(item: pa.DataType) -> pa.Schema:
    """The `succeeded` table of a crawl that extracts items of this type."""
    typed = (
        _field(ITEMS, pa.list_(item), "Extracted rows that fit the schema, in the order of data"),
        _field(
            "extract_outcome",
            TEXT,
            f"{VALID}, or {INVALID_OUTPUT}: some rows of data do not fit the schema and are not in items",
        ),
        _field(
            "extract_errors", ERRORS, "What does not fit: row of data (from 0), field, rule of JSON Schema, message"
        ),
    )
    return pa.schema([*SUCCEEDED, *typed])


SCHEMAS: Mapping[str, pa.Schema] = MappingProxyType({"succeeded": SUCCEEDED, "failed": FAILED})


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
