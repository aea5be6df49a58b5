"""Tolerant readers for the JSON of the API.

The service speaks several dialects: upper and lower case states, flat and nested rows, two error envelopes.
These readers accept all that is known, keep unknown fields in `extra`, treat null as absent, and raise
ProtocolError only when the one thing that matters (a JSON object, a job id) is missing. Unknown state words
become `UNKNOWN` and are logged. Source: endpoint pages, "API overview", "Batch Job Lifecycle".
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Final, TypedDict

from thunderbit_dagster.api.codes import (
    HTTP_STATUS,
    UNKNOWN_CODE,
    UNREADABLE_ROW,
    JobKind,
    JobStatus,
    RowStatus,
)
from thunderbit_dagster.api.errors import ProtocolError
from thunderbit_dagster.api.models import (
    Document,
    Job,
    JobPage,
    JobRef,
    Row,
    RowError,
)
from thunderbit_dagster.api.retry import epoch_seconds

log = logging.getLogger("thunderbit_dagster.api")

EXCERPT_CHARS: Final = 200

_NOTHING: Final[Mapping[str, object]] = {}
_MAX_ID_CHARS: Final = 512
_MOST: Final = 2**53
"""Counts above this are none: no field of a job or a row is as large."""
_RAW_CHARS: Final = 2_000
_REPAIRED: Final = "thunderbit_dagster/repaired"
_WRONG_BYTES = re.compile("[\udc80-\udcff]")
_CODE = re.compile(r"[!-~]{1,64}")
_ISO_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d(?::\d\d)?)(?:[.,](\d+))?\s*([Zz]|[+-]\d\d:?\d\d)?")

_JOB_WORDS: Final = {"CANCELED": JobStatus.CANCELLED}
_ROW_WORDS: Final = {
    "CANCELED": RowStatus.CANCELLED,
    "COMPLETED": RowStatus.SUCCEEDED,
    "SUCCESS": RowStatus.SUCCEEDED,
    "DONE": RowStatus.SUCCEEDED,
    "ERROR": RowStatus.FAILED,
}
_JOB_FIELDS: Final = frozenset(
    (
        "id",
        "jobId",
        "jobType",
        "status",
        "total",
        "completed",
        "failed",
        "creditsUsed",
        "credits_used",
        "createdAt",
        "completedAt",
        "results",
    )
)
_PAGE_FIELDS: Final = frozenset(
    ("url", "markdown", "data", "metadata", "html", "links", "images", "summary", "answer", "highlights")
)
_ROW_FIELDS: Final = _PAGE_FIELDS | {"index", "status", "success", "error", _REPAIRED}
_HIT_FIELDS: Final = _ROW_FIELDS | {"position", "title", "snippet"}


def decode_json(content: bytes) -> object:
    """Read a JSON text; ProtocolError when it is cut off, not JSON, or nested beyond reason.

    `NaN` and `Infinity`, which are not JSON, are read as null. Bytes that are not of the text's encoding become U+FFFD,
    and the rows that hold them say so.
    """
    encoding = json.detect_encoding(content)
    try:
        return _loads(content.decode(encoding, "surrogatepass"))
    except UnicodeDecodeError:
        # Of UTF-8 each wrong byte is marked first, so that its row is found.
        errors = "surrogateescape" if encoding.startswith("utf-8") else "replace"
        return _mended(_loads(content.decode(encoding, errors)))


def _loads(text: str) -> object:
    try:
        value: object = json.loads(text, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        raise ProtocolError("the answer is not JSON") from None
    return value


def _mended(value: object) -> object:
    """The value with U+FFFD in place of bytes that are not UTF-8; rows that held some get a mark."""
    if isinstance(value, str):
        return _WRONG_BYTES.sub("\ufffd", value)
    if isinstance(value, list):
        return [_mended(item) for item in value]
    if not isinstance(value, dict):
        return value
    mended = {str(_mended(name)): _mended(item) for name, item in value.items()}
    return {**mended, _REPAIRED: True} if "url" in value and _WRONG_BYTES.search(_dump(value)) else mended


def excerpt(content: bytes | str) -> str:
    """At most 200 printable characters of a body, tags and runs of white space removed."""
    text = content.decode("utf-8", "replace") if isinstance(content, bytes) else content
    words = re.sub(r"<[^<>]*>|[\s\x00-\x1f\x7f]+", " ", text[:20_000]).split()
    return " ".join(words)[:EXCERPT_CHARS]


def unwrap(body: object) -> Mapping[str, object]:
    """The `data` object of a success envelope, or the body itself when it is none; else ProtocolError."""
    enveloped = isinstance(body, Mapping) and "data" in body and ("success" in body or "id" not in body)
    inner = body["data"] if isinstance(body, Mapping) and enveloped else body
    if isinstance(inner, Mapping):
        return inner
    raise ProtocolError("the answer contains no object")


def parse_job(body: object, kind: JobKind, *, job_id: str | None = None) -> Job:
    """Read a job from the answer to a submit, a status request or a webhook delivery.

    Args:
        body: The decoded JSON, with or without the `{"success", "data"}` envelope.
        kind: What was asked for; the id does not tell.
        job_id: The id asked for. Without it the answer must name one.

    Raises:
        ProtocolError: There is no object, or no id is known.
    """
    return _job(unwrap(body), kind, job_id)


def _job(data: Mapping[str, object], kind: JobKind, job_id: str | None) -> Job:
    ref = JobRef(kind, job_id or _job_id(data))
    word = _text(data.get("status")) or ""
    return Job(
        ref=ref,
        status=_job_status(word, ref),
        total=_count(data.get("total")),
        completed=_count(data.get("completed")),
        failed=_count(data.get("failed")),
        credits_used=_count(_first(data, "creditsUsed", "credits_used")),
        created_at=_time(data.get("createdAt")),
        completed_at=_time(data.get("completedAt")),
        raw_status=word,
        extra=_rest(data, _JOB_FIELDS),
    )


def parse_notification(body: object) -> Job:
    """Read the payload of a webhook delivery; `jobType` names the kind (Webhooks).

    Raises:
        ProtocolError: There is no object, no id, or no known `jobType`.
    """
    data = unwrap(body)
    for kind in JobKind:
        if _text(data.get("jobType")) == kind.job_type:
            return _job(data, kind, None)
    raise ProtocolError("the delivery does not name a known jobType")


def parse_page(body: object, ref: JobRef, page: int, page_size: int = 1) -> JobPage:
    """Read the answer to a status request; ProtocolError when it holds no object.

    Every element of `results` gives one row, so that the length of a page can be trusted. One that cannot be read is a
    failed row, `UNREADABLE_ROW`; where it names no `index`, it gets that of its place.
    """
    data = unwrap(body)
    job = _job(data, ref.kind, ref.id)
    results = data.get("results")
    read = [parse_row(row, ref.kind, job.status) for row in (results if isinstance(results, list) else [])]
    rows = [
        replace(row, index=page * page_size + place) if is_unreadable(row) and row.index is None else row
        for place, row in enumerate(read)
    ]
    return JobPage(job, tuple(rows), page)


def unreadable_row(url: str, index: int | None, reason: str) -> Row:
    """A row of which nothing but that it is there, and perhaps its URL, could be read."""
    error = RowError(UNREADABLE_ROW, f"the row cannot be read: {reason}"[:_RAW_CHARS])
    return Row(url, index, RowStatus.FAILED, error=error)


def is_unreadable(row: Row) -> bool:
    """Whether a row could not be read."""
    return row.error is not None and row.error.code == UNREADABLE_ROW


def parse_row(value: object, kind: JobKind, job_status: JobStatus = JobStatus.UNKNOWN) -> Row:
    """Read one element of `results`.

    `job_status` settles rows that only say `success: false`: unfinished while the job runs, failed once it is
    complete, cancelled with it.
    """
    if not isinstance(value, Mapping):
        if not job_status.is_terminal:
            return Row("", None, RowStatus.UNKNOWN, extra={"value": value})
        return replace(unreadable_row("", None, f"it is not an object: {_dump(value)}"), extra={"value": value})
    page = _page_content(value, kind)
    status = _row_status(value, page, job_status)
    if strange := _strange_fields(value, kind, status):
        reason = f"{', '.join(strange)} should be text: {_dump(value)}"
        return unreadable_row(_text(value.get("url")) or "", _count(value.get("index")), reason)
    failed = status is RowStatus.FAILED
    known = _ROW_FIELDS if failed else _ROW_FIELDS - {"error"}
    return Row(
        url=_text(value.get("url")) or "",
        index=_count(value.get("index")),
        status=status,
        error=_row_error(value.get("error")) if failed else None,
        extra={**_rest(_nested(value.get("data"), kind), known), **_rest(value, known)},
        repaired=value.get(_REPAIRED) is True,
        **page,
    )


def _strange_fields(row: Mapping[str, object], kind: JobKind, status: RowStatus) -> list[str]:
    """The fields without which a row is nothing and that hold something else than text."""
    fields = {"url": row.get("url")}
    if kind is JobKind.DISTILL and status is RowStatus.SUCCEEDED:
        fields["markdown"] = _first({**_nested(row.get("data"), kind), **_rest(row, ())}, "markdown")
    return [name for name, value in fields.items() if value is not None and not isinstance(value, str)]


def parse_document(body: object, url: str, kind: JobKind) -> Document:
    """Read the answer of `/distill` or `/extract`; `metadata` may stand inside `data` or beside it.

    Raises:
        ProtocolError: The answer holds neither an object nor, for extraction, a list of rows.
    """
    envelope = body if isinstance(body, Mapping) else _NOTHING
    inner = envelope.get("data")
    data = {"data": inner} if kind is JobKind.EXTRACT and isinstance(inner, list) else unwrap(body)
    page = _page_content(data, kind)
    page["metadata"] = page["metadata"] or _metadata(envelope.get("metadata"))
    return Document(url=_text(data.get("url")) or url, extra=_rest(data, _PAGE_FIELDS), **page)


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """What an error answer says, whichever envelope it came in."""

    code: str
    message: str
    details: Mapping[str, object] = field(default_factory=dict)
    status: int | None = None


def parse_error(content: bytes, http_status: int) -> ErrorBody:
    """Read an error answer: both envelopes, `error` as a string, a top-level `message`, or no JSON at all.

    Never raises. A body that names no code gets `HTTP_<status>`; one that is not JSON gives an excerpt.
    """
    try:
        body = decode_json(content)
    except ProtocolError:
        return ErrorBody(f"HTTP_{http_status}", excerpt(content) or "the answer is empty")
    return _read_error(body, http_status)


def read_refusal(body: object) -> ErrorBody | None:
    """The error inside an answer whose HTTP status says success: an envelope with an error and no data."""
    if not isinstance(body, Mapping) or body.get("data") is not None:
        return None
    if body.get("error") is None and body.get("success") is not False:
        return None
    return _read_error(body, 200)


def _read_error(body: object, http_status: int) -> ErrorBody:
    envelope = body if isinstance(body, Mapping) else _NOTHING
    error = envelope.get("error")
    inner = error if isinstance(error, Mapping) else envelope
    details = inner.get("details")
    return ErrorBody(
        code=_error_code(inner, error) or f"HTTP_{http_status}",
        message=excerpt(_text(inner.get("message")) or _text(error) or _dump(body)),
        details=dict(details) if isinstance(details, Mapping) else {},
        status=next((n for n in (_count(inner.get("status")), _count(inner.get("code"))) if n), None),
    )


def _error_code(inner: Mapping[str, object], error: object) -> str | None:
    """The string among `code` and `status`: one envelope has them the other way round."""
    found = [value for value in (inner.get("code"), inner.get("status")) if isinstance(value, str)]
    codes = [code for code in found if _CODE.fullmatch(code)]
    if isinstance(error, str) and error in HTTP_STATUS:
        codes.append(error)
    return next((code for code in codes if not code.isdigit()), codes[0] if codes else None)


class _PageContent(TypedDict):
    markdown: str | None
    data: list[Mapping[str, object]] | None
    metadata: Mapping[str, object]
    html: str | None
    links: list[Mapping[str, object]] | None
    images: list[Mapping[str, object]] | None
    summary: str | None
    answer: str | None
    highlights: list[str] | None


def _page_content(outer: Mapping[str, object], kind: JobKind) -> _PageContent:
    """What was made of a page: flat fields first, those nested under `data` next."""
    nested = _nested(outer.get("data"), kind)
    fields = {**nested, **{name: value for name, value in outer.items() if value is not None}}
    rows = nested["data"] if "data" in nested else outer.get("data")
    return {
        "markdown": _text(fields.get("markdown")),
        "data": _objects(rows, "value") if kind is JobKind.EXTRACT or isinstance(rows, list) else None,
        "metadata": _metadata(fields.get("metadata")),
        "html": _text(fields.get("html")),
        "links": _objects(fields.get("links"), "href"),
        "images": _objects(fields.get("images"), "src"),
        "summary": _text(fields.get("summary")),
        "answer": _text(fields.get("answer")),
        "highlights": _texts(fields.get("highlights")),
    }


def _nested(data: object, kind: JobKind) -> Mapping[str, object]:
    """`data` when it wraps a page. For extraction an object that merely has a field named data is a row."""
    if not isinstance(data, Mapping):
        return _NOTHING
    if kind is JobKind.DISTILL:
        return data
    wraps = isinstance(data.get("data"), list | Mapping) and data.keys() <= _PAGE_FIELDS
    return data if wraps else _NOTHING


def _job_status(word: str, ref: JobRef) -> JobStatus:
    folded = word.strip().upper()
    if folded in JobStatus.__members__:
        return JobStatus[folded]
    if folded not in _JOB_WORDS:
        log.warning("job %s has the unknown status %r, taken as not terminal", ref, word[:40])
    return _JOB_WORDS.get(folded, JobStatus.UNKNOWN)


def _row_status(row: Mapping[str, object], page: _PageContent, job_status: JobStatus) -> RowStatus:
    word = _text(row.get("status"))
    if word is None:
        return _unspoken_status(row, page, job_status)
    folded = word.strip().upper()
    if folded in RowStatus.__members__:
        return RowStatus[folded]
    if folded not in _ROW_WORDS:
        log.warning("a row has the unknown status %r, taken as not terminal", word[:40])
    return _ROW_WORDS.get(folded, RowStatus.UNKNOWN)


def _unspoken_status(row: Mapping[str, object], page: _PageContent, job_status: JobStatus) -> RowStatus:
    success = row.get("success")
    if success is True:
        return RowStatus.SUCCEEDED
    if row.get("error"):
        return RowStatus.FAILED
    if success is None and (page["markdown"] is not None or page["data"] is not None):
        return RowStatus.SUCCEEDED
    settled = {JobStatus.COMPLETED: RowStatus.FAILED, JobStatus.CANCELLED: RowStatus.CANCELLED}
    return settled.get(job_status, RowStatus.PENDING)


def _row_error(error: object) -> RowError:
    if isinstance(error, str) and error:
        return RowError(error if error in HTTP_STATUS else UNKNOWN_CODE, error)
    if not isinstance(error, Mapping):
        return RowError(UNKNOWN_CODE, "the service gave no reason")
    code = _error_code(error, None) or UNKNOWN_CODE
    return RowError(code, _text(error.get("message")) or code)


def _metadata(value: object) -> Mapping[str, object]:
    """Metadata without nulls, the older `sourceUrl` spelled `sourceURL`."""
    if not isinstance(value, Mapping):
        return {}
    kept = {str(name): item for name, item in value.items() if item is not None}
    if "sourceUrl" in kept:
        kept.setdefault("sourceURL", kept.pop("sourceUrl"))
    return kept


def _job_id(data: Mapping[str, object]) -> str:
    value = _first(data, "id", "jobId")
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if isinstance(text, str) and text.isprintable() and text.strip(" .") and len(text) <= _MAX_ID_CHARS:
        return text
    raise ProtocolError("the answer contains no readable job id")


def _first(data: Mapping[str, object], *names: str) -> object:
    return next((data[name] for name in names if data.get(name) is not None), None)


def _rest(data: Mapping[str, object], known: Iterable[str]) -> dict[str, object]:
    return {str(name): value for name, value in data.items() if name not in known and value is not None}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _texts(value: object) -> list[str] | None:
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list):
        return None
    return [item if isinstance(item, str) else _dump(item) for item in value if item is not None]


def _objects(value: object, name: str) -> list[Mapping[str, object]] | None:
    """A list of objects; one object stands for a list of one, and a bare value becomes `{name: value}`."""
    if value is None:
        return None
    items = value if isinstance(value, list) else [value]
    return [item if isinstance(item, Mapping) else {name: item} for item in items if item is not None]


def _count(value: object) -> int | None:
    """A number that counts: not negative, whole, also as a string of digits."""
    if isinstance(value, str) and re.fullmatch(r"\s*[0-9]{1,18}\s*", value):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _MOST:
        return None
    return int(value) if value >= 0 and value == int(value) else None


def _time(value: object) -> datetime | None:
    """ISO 8601 (UTC when it names no zone) or a Unix epoch in seconds or milliseconds."""
    try:
        if isinstance(value, str):
            return _iso_time(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(epoch_seconds(value), timezone.utc)
    except (ValueError, OverflowError, OSError):
        return None
    return None


def _iso_time(text: str) -> datetime | None:
    parts = _ISO_TIME.fullmatch(text.strip())
    if parts is None:
        return None
    day, clock, fraction, zone = parts.groups()
    offset = "+00:00" if zone in (None, "Z", "z") else f"{zone[:3]}:{zone[-2:]}"
    seconds = clock if clock.count(":") > 1 else f"{clock}:00"
    return datetime.fromisoformat(f"{day}T{seconds}.{(fraction or '0')[:6]:0<6}{offset}")


def _dump(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return str(type(value).__name__)
