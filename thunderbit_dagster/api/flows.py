"""Every endpoint of the API as a flow: what is sent, how the answer is read, how pages and jobs are walked.

Source: endpoint pages; "Batch Job Lifecycle" for states and cancellation; `page` counts from 0.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Final, TypeVar
from urllib.parse import quote

from thunderbit_dagster.api.codes import DEFAULT_PAGE_SIZE, MAX_BATCH_URLS, MAX_PAGE_SIZE, JobStatus
from thunderbit_dagster.api.effects import Call, Flow, FlowItem, Sleep
from thunderbit_dagster.api.errors import (
    AnswerBrokenOffError,
    ApiError,
    ConfigurationError,
    DeadlineExceededError,
    ProtocolError,
    ThunderbitError,
)
from thunderbit_dagster.api.models import (
    Document,
    Job,
    JobPage,
    JobRef,
    Row,
)
from thunderbit_dagster.api.paging import IsOurs, PageWalk, RowKeys
from thunderbit_dagster.api.parsing import (
    parse_document,
    parse_job,
    parse_page,
    unreadable_row,
)
from thunderbit_dagster.api.protocol import CallRules, exchange
from thunderbit_dagster.api.requests import Distill, Extract, Webhook, is_http_url
from thunderbit_dagster.api.retry import Safety

T = TypeVar("T")

log = logging.getLogger("thunderbit_dagster.api")

UNREADABLE: Final = (ProtocolError, AnswerBrokenOffError)
"""Answers that are broken as a whole, perhaps by one row."""
SMALLER_PAGES: Final = (20, 1)
MOST_UNREADABLE: Final = 3
"""So many rows in a row that cannot be read, with no page that can, and the job as a whole cannot be read."""
_REREAD: Final = frozenset((400, 404, 409, 410, 422))
"""Answers to a cancellation that leave the say to the job itself."""
_SLACK: Final = 15.0
_PAGE_SECONDS: Final[Mapping[type, float]] = {Distill: 30.0, Extract: 60.0}
"""What the service takes for a page when the request names no timeout; a search does several at once."""
_MAX_QUERY_CHARS: Final = 500


def distill(rules: CallRules, url: str, request: Distill) -> Flow[Document]:
    """`POST /distill`."""
    call = _page_call("/distill", url, request)
    return exchange(rules, call, partial(parse_document, url=url, kind=request.kind))


def extract(rules: CallRules, url: str, request: Extract) -> Flow[Document]:
    """`POST /extract`."""
    call = _page_call("/extract", url, request)
    return exchange(rules, call, partial(parse_document, url=url, kind=request.kind))


def submit(
    rules: CallRules, urls: Iterable[str], request: Distill | Extract, webhook: Webhook | None, slot_taken: bool
) -> Flow[Job]:
    """`POST /batch/*`."""
    body: dict[str, object] = {"urls": checked_urls(urls), **request.body()}
    if webhook is not None:
        body["webhook"] = webhook.body()
    secrets = (*request.secrets(), *(webhook.secrets() if webhook else ()))
    call = Call("POST", request.kind.path, Safety.PAID, content=_encode(body), secrets=secrets)
    return exchange(rules, call, partial(parse_job, kind=request.kind), slot_taken=slot_taken)


def get_job(rules: CallRules, ref: JobRef, page: int, page_size: int | None) -> Flow[JobPage]:
    """`GET /batch/*/{id}`, one page of rows."""
    size = DEFAULT_PAGE_SIZE if page_size is None else page_size
    _check_range("page", page, 0, None)
    _check_range("page_size", size, 1, MAX_PAGE_SIZE)
    params = {"page": page} if page_size is None else {"page": page, "pageSize": size}
    call = Call("GET", job_path(ref), Safety.SAFE, params=params)
    return exchange(rules, call, partial(parse_page, ref=ref, page=page, page_size=size))


def get_status(rules: CallRules, ref: JobRef) -> Flow[Job]:
    """`GET /batch/*/{id}` for the job alone: one row, or none where that row makes the answer unreadable."""
    try:
        page = yield from get_job(rules, ref, 0, 1)
    except UNREADABLE:
        page = yield from get_job(rules, ref, MAX_BATCH_URLS, 1)
    return page.job


def cancel_job(rules: CallRules, ref: JobRef) -> Flow[Job]:
    """`DELETE /batch/*/{id}`, then one read: the job's own status decides what the cancellation came to."""
    call = Call("DELETE", job_path(ref), Safety.SAFE)
    yield from _unless_over(exchange(rules, call, _ignore))
    return (yield from get_status(rules, ref))


def iter_pages(rules: CallRules, ref: JobRef, page_size: int, is_ours: IsOurs | None = None) -> Flow[None]:
    """Every page of a job in order, as the service gives them."""
    walk = PageWalk(page_size, is_ours)
    while not walk.over:
        page = yield from _page(rules, ref, walk.number, page_size)
        if walk.add(page) or page.page == 0:
            yield FlowItem(page)


def _page(rules: CallRules, ref: JobRef, number: int, page_size: int) -> Flow[JobPage]:
    """A page, put together from smaller ones when it cannot be read in one piece."""
    try:
        return (yield from get_job(rules, ref, number, page_size))
    except UNREADABLE as error:
        log.warning("page %d of job %s cannot be read and is requested in smaller pages: %s", number, ref, error)
        return (yield from _in_parts(rules, ref, number, page_size, error=error))


def _in_parts(
    rules: CallRules, ref: JobRef, number: int, page_size: int, *, error: ThunderbitError, job: Job | None = None
) -> Flow[JobPage]:
    """The rows of a page, read in smaller pages; a page of one row that cannot be read is a row that cannot be.

    ``job`` is what an earlier page told of the job.

    Raises:
        ThunderbitError: ``error``, since smaller pages cannot be read either.
    """
    size = next((size for size in SMALLER_PAGES if size < page_size and not page_size % size), None)
    if size is None:
        raise error
    rows: list[Row] = []
    for place in range(number * page_size // size, (number + 1) * page_size // size):
        part = yield from _part(rules, ref, place, size, job)
        job = part.job if part.job.status is not JobStatus.UNKNOWN else job
        rows += part.rows
        if job is None and len(rows) >= MOST_UNREADABLE:
            raise error
        if not part.rows:
            break
    return JobPage(job or Job(ref, JobStatus.UNKNOWN), tuple(rows), number)


def _part(rules: CallRules, ref: JobRef, place: int, size: int, job: Job | None) -> Flow[JobPage]:
    try:
        return (yield from get_job(_impatient(rules, size), ref, place, size))
    except UNREADABLE as error:
        if size > 1:
            return (yield from _in_parts(rules, ref, place, size, error=error, job=job))
        return JobPage(Job(ref, JobStatus.UNKNOWN), (unreadable_row("", place, str(error)),), place)


def _impatient(rules: CallRules, page_size: int) -> CallRules:
    """A part is asked for once, a single row twice: most of them are read at the first try, some never."""
    return dataclasses.replace(rules, retry=dataclasses.replace(rules.retry, attempts=1 if page_size > 1 else 2))


def iter_rows(rules: CallRules, ref: JobRef, page_size: int) -> Flow[None]:
    """Every row of a job once, in the order received."""
    walk = PageWalk(page_size)
    while not walk.over:
        page = yield from _page(rules, ref, walk.number, page_size)
        for row in walk.add(page):
            yield FlowItem(row)


def stream_rows(rules: CallRules, ref: JobRef, interval: float, deadline: float | None) -> Flow[None]:
    """Every row once it is terminal, until the job is and all pages were read after that."""
    if not interval >= 0 or (deadline is not None and not deadline >= 0):
        raise ConfigurationError("interval and deadline must be 0 or more seconds")
    began, slept, given = rules.clock(), 0.0, RowKeys()
    while not (yield from _stream_once(rules, ref, given)):
        elapsed = max(slept, rules.clock() - began)
        if deadline is not None and elapsed + interval > deadline:
            raise DeadlineExceededError(f"job {ref} had not ended after {elapsed:.0f} s")
        yield Sleep(interval)
        slept += interval


def _stream_once(rules: CallRules, ref: JobRef, given: RowKeys) -> Flow[bool]:
    """Read all pages once; True when the job was over before the first of them was read."""
    walk, over = PageWalk(MAX_PAGE_SIZE), True
    while not walk.over:
        page = yield from _page(rules, ref, walk.number, MAX_PAGE_SIZE)
        over = over and page.job.status.is_terminal
        done: Sequence[Row] = [row for row in walk.add(page) if row.status.is_terminal]
        for row in given.fresh(done):
            yield FlowItem(row)
    return over


def _unless_over(flow: Flow[None]) -> Flow[None]:
    try:
        yield from flow
    except ApiError as refusal:
        if refusal.status not in _REREAD:
            raise


def _ignore(_body: object) -> None:
    """A cancellation answers without a job."""


def checked_urls(urls: Iterable[str]) -> list[str]:
    """The URLs of a job as a list.

    Raises:
        ConfigurationError: None or more than 100, one twice, or one that is not an http or https URL.
    """
    if isinstance(urls, str | bytes):
        raise ConfigurationError("urls: expected a list of URLs, not a single string")
    listed = list(urls)
    if not 1 <= len(listed) <= MAX_BATCH_URLS:
        raise ConfigurationError(
            f"urls: {len(listed)} given, 1..{MAX_BATCH_URLS} are allowed in a job (Batch Job Lifecycle)"
        )
    first: dict[str, int] = {}
    for place, url in enumerate(listed):
        checked_url(url, f"urls[{place}]")
        if first.setdefault(url, place) != place:
            raise ConfigurationError(f"urls[{place}] repeats urls[{first[url]}]: send each URL once in a job")
    return listed


def checked_url(url: object, name: str = "url") -> str:
    """The URL itself; ConfigurationError when it is not an http or https URL."""
    if isinstance(url, str) and is_http_url(url):
        return url
    raise ConfigurationError(f"{name} is not an http or https URL")


def _page_call(path: str, url: str, request: Distill | Extract) -> Call:
    return Call(
        "POST",
        path,
        Safety.PAID,
        content=_encode({"url": checked_url(url), **request.body()}),
        timeout=_patience(request),
        secrets=request.secrets(),
        about_page=True,
    )


def _patience(request: Distill | Extract) -> float:
    """Seconds within which the service must have answered: its own limit for the page, and some more."""
    page = request.timeout / 1000 if request.timeout is not None else _PAGE_SECONDS[type(request)]
    waits = (request.wait_for or 0) / 1000
    return page + waits + _SLACK


def _encode(body: Mapping[str, object]) -> bytes:
    return json.dumps(body, allow_nan=False, separators=(",", ":")).encode()


def job_path(ref: JobRef) -> str:
    """A batch job's path below the base URL."""
    return f"{ref.kind.path}/{_segment(ref)}"


def _segment(ref: JobRef) -> str:
    """The id as one path segment, which it must stay."""
    if ref.id.strip(".") and ref.id.isprintable():
        return quote(ref.id, safe="")
    raise ConfigurationError(f"{ref.id!r} is not a job id")


def _check_range(name: str, value: int, low: int, high: int | None) -> None:
    if value < low or (high is not None and value > high):
        bounds = f"{low} or more" if high is None else f"{low}..{high}"
        raise ConfigurationError(f"{name} is {value}; the API takes {bounds} (GET /batch/*)")
