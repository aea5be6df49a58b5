"""Words of the Thunderbit API: states, kinds of jobs, error codes, limits and plans.

Source: Open API reference, "Batch Job Lifecycle" for the states, "API overview" for the codes, "Rate limits"
for the plans.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final

MAX_BATCH_URLS: Final = 100
"""URLs in one batch job, at most (Batch Job Lifecycle)."""

DEFAULT_EXTRACT_BATCH_URLS: Final = 50
"""URLs in one extract job by default: some pages of the API say 50, others 100."""

DEFAULT_PAGE_SIZE: Final = 20
"""Rows in an answer to a status request without `pageSize`."""

MAX_PAGE_SIZE: Final = 100
"""Largest `pageSize` the API takes."""

CREDITS_PER_DISTILL: Final = 1
CREDITS_PER_EXTRACT: Final = 20
CREDITS_PER_LLM_FORMAT: Final = 4
"""Each of summary, question and highlights, when it returns something (Output formats)."""


class JobStatus(str, Enum):
    """State of a batch job. `UNKNOWN` stands for any word not listed here and is not terminal."""

    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    UNKNOWN = "UNKNOWN"

    @property
    def is_terminal(self) -> bool:
        """True when the job never changes again."""
        return self in {JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED}


class RowStatus(str, Enum):
    """State of one URL in a batch job. `UNKNOWN` stands for any word not listed here and is not terminal."""

    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    UNKNOWN = "UNKNOWN"

    @property
    def is_terminal(self) -> bool:
        """True when the row never changes again."""
        return self in {RowStatus.SUCCEEDED, RowStatus.FAILED, RowStatus.CANCELLED}


class JobKind(str, Enum):
    """The two batch endpoints. A job id does not tell its kind, so both are kept together."""

    DISTILL = "distill"
    EXTRACT = "extract"

    @property
    def job_type(self) -> str:
        """The `jobType` of webhook deliveries, such as `batch_distill`."""
        return f"batch_{self.value}"

    @property
    def path(self) -> str:
        """The endpoint below the base URL, such as `/batch/distill`."""
        return f"/batch/{self.value}"


class ErrorClass(str, Enum):
    """What a failed row calls for."""

    PERMANENT = "permanent"
    """The same request for this URL fails again."""
    TRANSIENT = "transient"
    """Worth another try later."""
    BUDGET = "budget"
    """The account's credits, key or caps stand in the way, not the URL."""
    JOB = "job"
    """The job as a whole went wrong; nothing is known against the URL."""


INVALID_INPUT: Final = "INVALID_INPUT"
"""Ours: the URL was refused before anything was sent or paid."""
MISSING_RESULT: Final = "MISSING_RESULT"
"""Ours: a terminal job held no row for the URL."""
JOB_LOST: Final = "JOB_LOST"
"""Ours: the job is unknown to the service or has expired."""
JOB_FAILED: Final = "JOB_FAILED"
"""Ours: the job failed before the row finished."""
JOB_CANCELLED: Final = "JOB_CANCELLED"
"""Ours: the job was cancelled before the row finished."""
NOT_FINISHED: Final = "NOT_FINISHED"
"""Ours: the row was not terminal when waiting ended."""
NOT_SUBMITTED: Final = "NOT_SUBMITTED"
"""Ours: credits or a cap ran out before the URL was sent."""
UNREADABLE_ROW: Final = "UNREADABLE_ROW"
"""Ours: what the service sent for the URL cannot be read."""
UNKNOWN_CODE: Final = "UNKNOWN"
"""Ours: the service named no code."""

RATE_LIMIT_EXCEEDED: Final = "RATE_LIMIT_EXCEEDED"
BATCH_SIZE_EXCEEDED: Final = "BATCH_SIZE_EXCEEDED"
INSUFFICIENT_CREDITS: Final = "INSUFFICIENT_CREDITS"
JOB_NOT_FOUND: Final = "JOB_NOT_FOUND"

_CODES_BY_STATUS: Final[Mapping[int, tuple[str, ...]]] = {
    400: (
        "INVALID_URL",
        "INVALID_SCHEMA",
        "INVALID_PARAMETER",
        "SCHEMA_OR_PROMPT_REQUIRED",
        "SCHEMA_AND_PROMPT_EXCLUSIVE",
        BATCH_SIZE_EXCEEDED,
        "MALFORMED_REQUEST_BODY",
    ),
    401: (
        "API_KEY_MISSING",
        "API_KEY_INVALID_FORMAT",
        "API_KEY_NOT_FOUND",
        "API_KEY_REVOKED",
        "API_KEY_DISABLED",
        "API_KEY_EXPIRED",
        "INVALID_API_KEY",
    ),
    402: (INSUFFICIENT_CREDITS,),
    404: (JOB_NOT_FOUND,),
    408: ("REQUEST_TIMEOUT", "SCRAPE_TIMEOUT"),
    422: (
        "SCRAPE_SSL_ERROR",
        "SCRAPE_DNS_RESOLUTION_ERROR",
        "SCRAPE_SITE_ERROR",
        "SCRAPE_EMPTY_CONTENT",
        "SCRAPE_CONTENT_TOO_LARGE",
        "SCRAPE_UNSUPPORTED_FILE",
        "SCRAPE_TARGET_FORBIDDEN",
        "SCRAPE_TARGET_NOT_FOUND",
    ),
    429: (RATE_LIMIT_EXCEEDED, "SCRAPE_TARGET_RATE_LIMITED"),
    500: (
        "INTERNAL_ERROR",
        "DISTILL_FAILED",
        "EXTRACT_FAILED",
        "PIPELINE_ERROR",
        "AI_EXTRACTION_FAILED",
        "MARKDOWN_CONVERSION_FAILED",
    ),
    502: ("SCRAPE_SERVICE_FAILED", "UPSTREAM_BAD_GATEWAY"),
    503: ("SCRAPE_SERVICE_UNAVAILABLE", "AI_SERVICE_UNAVAILABLE", "DOWNSTREAM_SERVICE_UNAVAILABLE"),
    504: ("UPSTREAM_TIMEOUT", "AI_TIMEOUT"),
}

HTTP_STATUS: Final[Mapping[str, int]] = MappingProxyType(
    {code: status for status, group in _CODES_BY_STATUS.items() for code in group}
)
"""Every documented error code and the HTTP status it comes with; the statuses from 408 on are inferred (API
overview).
"""

TARGET_CODES: Final = frozenset(
    (*_CODES_BY_STATUS[408], *_CODES_BY_STATUS[422], "SCRAPE_TARGET_RATE_LIMITED"),
)
"""Codes that speak of the page asked for, not of the service or the account."""

# The API gives no status to these or the status alone would mislead: a page that timed out deserves another
# try, a page without content gives the same again under the same options.
_CLASS_BY_CODE: Final[Mapping[str, ErrorClass]] = {
    "SCRAPE_SSL_ERROR": ErrorClass.TRANSIENT,
    "SCRAPE_DNS_RESOLUTION_ERROR": ErrorClass.TRANSIENT,
    "SCRAPE_SITE_ERROR": ErrorClass.TRANSIENT,
    JOB_NOT_FOUND: ErrorClass.JOB,
    INVALID_INPUT: ErrorClass.PERMANENT,
    MISSING_RESULT: ErrorClass.JOB,
    JOB_LOST: ErrorClass.JOB,
    JOB_FAILED: ErrorClass.JOB,
    JOB_CANCELLED: ErrorClass.JOB,
    NOT_FINISHED: ErrorClass.JOB,
    UNREADABLE_ROW: ErrorClass.JOB,
    NOT_SUBMITTED: ErrorClass.BUDGET,
}


def classify(code: str, http_status: int | None = None) -> ErrorClass:
    """What to do about a row that failed with this code.

    A code of the API or of ours decides by itself. Any other code is judged by `http_status`, and counts as
    transient when there is none (API overview, error codes).
    """
    known = _CLASS_BY_CODE.get(code)
    return known if known is not None else _classify_status(HTTP_STATUS.get(code, http_status))


def _classify_status(status: int | None) -> ErrorClass:
    if status in {401, 402}:
        return ErrorClass.BUDGET
    if status is None or status in {408, 425, 429}:
        return ErrorClass.TRANSIENT
    return ErrorClass.PERMANENT if 400 <= status < 500 else ErrorClass.TRANSIENT  # noqa: PLR2004


@dataclass(frozen=True)
class Plan:
    """Limits of a Thunderbit plan (Rate limits).

    Attributes:
        name: Name of the plan in lower case.
        requests_per_minute: Requests an account may send in a minute.
        concurrent_jobs: Synchronous calls and batch jobs that run at one time; a whole batch takes one slot.
    """

    name: str
    requests_per_minute: int
    concurrent_jobs: int


PLANS: Final[Mapping[str, Plan]] = MappingProxyType(
    {plan.name: plan for plan in (Plan("free", 10, 2), Plan("pro", 100, 10), Plan("enterprise", 1000, 50))}
)
"""The documented plans by name."""


def plan_of(requests_per_minute: int) -> Plan:
    """The largest plan that a number of requests per minute allows to assume; at least the free one."""
    plans = sorted(PLANS.values(), key=lambda plan: plan.requests_per_minute)
    return [plans[0], *(plan for plan in plans if plan.requests_per_minute <= requests_per_minute)][-1]
