"""Every endpoint of the API as a flow: what is sent, how the answer is read, how pages and jobs are walked.

Source: endpoint pages; "Batch Job Lifecycle" for states and cancellation; `page` counts from 0.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Final, TypeVar
from urllib.parse import quote

from thunderbit_dagster.api.codes import MAX_BATCH_URLS, MAX_PAGE_SIZE
from thunderbit_dagster.api.effects import Call, Flow, Item, Sleep
from thunderbit_dagster.api.errors import ApiError, ConfigurationError, DeadlineExceededError
from thunderbit_dagster.api.models import (
    Document,
    Job,
    JobPage,
    JobRef,
    PageJob,
    Row,
    SearchResult,
    Suggestion,
)
from thunderbit_dagster.api.parsing import (
    parse_document,
    parse_job,
    parse_page,
    parse_page_job,
    parse_search,
    parse_suggestion,
)
from thunderbit_dagster.api.protocol import Rules, exchange
from thunderbit_dagster.api.requests import Distill, Extract, Search, Webhook, is_http_url
from thunderbit_dagster.api.retry import Safety
from thunderbit_dagster.api.walking import PageWalk, RowKeys

T = TypeVar("T")

_REREAD: Final = frozenset((400, 404, 409, 410, 422))
"""Answers to a cancellation that leave the say to the job itself."""
_SLACK: Final = 15.0
_PAGE_SECONDS: Final[Mapping[type, float]] = {Distill: 30.0, Extract: 60.0, Search: 60.0}
"""What the service takes for a page when the request names no timeout; a search does several at once."""
_MAX_QUERY_CHARS: Final = 500


def distill(rules: Rules, url: str, request: Distill) -> Flow[Document]:
    """`POST /distill`."""
    call = _page_call("/distill", url, request)
    return exchange(rules, call, partial(parse_document, url=url, kind=request.kind))


def extract(rules: Rules, url: str, request: Extract) -> Flow[Document]:
    """`POST /extract`."""
    call = _page_call("/extract", url, request)
    return exchange(rules, call, partial(parse_document, url=url, kind=request.kind))


def search(rules: Rules, query: str, request: Search) -> Flow[SearchResult]:
    """`POST /search`."""
    if not query.strip() or len(query) > _MAX_QUERY_CHARS:
        raise ConfigurationError(f"query: 1 to {_MAX_QUERY_CHARS} characters are needed (POST /search)")
    body = {"query": query, **request.body()}
    call = Call("POST", "/search", Safety.PAID, content=_encode(body), timeout=_patience(request))
    return exchange(rules, call, parse_search)


def suggest_fields(rules: Rules, url: str, prompt: str | None, country_code: str | None) -> Flow[Suggestion]:
    """`POST /suggest_fields`."""
    fields = {"url": checked_url(url), "prompt": prompt, "countryCode": country_code}
    body = {name: value for name, value in fields.items() if value is not None}
    call = Call("POST", "/suggest_fields", Safety.PAID, content=_encode(body), about_page=True)
    return exchange(rules, call, parse_suggestion)


def submit_async(rules: Rules, url: str, request: Distill | Extract) -> Flow[PageJob]:
    """`POST /async/*`."""
    call = _page_call(f"/async/{request.kind.value}", url, request)
    return exchange(rules, call, partial(parse_page_job, kind=request.kind, url=url))


def get_async(rules: Rules, ref: JobRef) -> Flow[PageJob]:
    """`GET /async/*/{id}`."""
    call = Call("GET", f"/async/{ref.kind.value}/{_segment(ref)}", Safety.SAFE)
    return exchange(rules, call, partial(parse_page_job, kind=ref.kind, job_id=ref.id))


def submit(
    rules: Rules, urls: Iterable[str], request: Distill | Extract, webhook: Webhook | None, slot_taken: bool
) -> Flow[Job]:
    """`POST /batch/*`."""
    body: dict[str, object] = {"urls": checked_urls(urls), **request.body()}
    if webhook is not None:
        body["webhook"] = webhook.body()
    secrets = (*_secrets(request), *(_webhook_secrets(webhook) if webhook else ()))
    call = Call("POST", request.kind.path, Safety.PAID, content=_encode(body), secrets=secrets)
    return exchange(rules, call, partial(parse_job, kind=request.kind), slot_taken=slot_taken)


def get_job(rules: Rules, ref: JobRef, page: int, page_size: int) -> Flow[JobPage]:
    """`GET /batch/*/{id}`, one page of rows."""
    _check_range("page", page, 0, None)
    _check_range("page_size", page_size, 1, MAX_PAGE_SIZE)
    params = {"page": page, "pageSize": page_size}
    call = Call("GET", job_path(ref), Safety.SAFE, params=params)
    return exchange(rules, call, partial(parse_page, ref=ref, page=page))


def cancel_job(rules: Rules, ref: JobRef) -> Flow[Job]:
    """`DELETE /batch/*/{id}`, then one read: the job's own status decides what the cancellation came to."""
    call = Call("DELETE", job_path(ref), Safety.SAFE)
    yield from _unless_over(exchange(rules, call, _ignore))
    page = yield from get_job(rules, ref, 0, 1)
    return page.job


def iter_pages(rules: Rules, ref: JobRef, page_size: int) -> Flow[None]:
    """Every page of a job in order, as the service gives them."""
    walk = PageWalk(page_size)
    while not walk.over:
        page = yield from get_job(rules, ref, walk.number, page_size)
        if walk.add(page) or page.page == 0:
            yield Item(page)


def iter_rows(rules: Rules, ref: JobRef, page_size: int) -> Flow[None]:
    """Every row of a job once, in the order received."""
    walk = PageWalk(page_size)
    while not walk.over:
        page = yield from get_job(rules, ref, walk.number, page_size)
        for row in walk.add(page):
            yield Item(row)


def stream_rows(rules: Rules, ref: JobRef, interval: float, deadline: float | None) -> Flow[None]:
    """Every row once it is terminal, until the job is and all pages were read after that."""
    if not interval >= 0 or (deadline is not None and not deadline >= 0):
        raise ConfigurationError("interval and deadline are seconds from 0 up")
    began, slept, given = rules.clock(), 0.0, RowKeys()
    while not (yield from _stream_once(rules, ref, given)):
        elapsed = max(slept, rules.clock() - began)
        if deadline is not None and elapsed + interval > deadline:
            raise DeadlineExceededError(f"job {ref} was not over after {elapsed:.0f} s")
        yield Sleep(interval)
        slept += interval


def _stream_once(rules: Rules, ref: JobRef, given: RowKeys) -> Flow[bool]:
    """Read all pages once; True when the job was over before the first of them was read."""
    walk, over = PageWalk(MAX_PAGE_SIZE), True
    while not walk.over:
        page = yield from get_job(rules, ref, walk.number, MAX_PAGE_SIZE)
        over = over and page.job.status.is_terminal
        done: Sequence[Row] = [row for row in walk.add(page) if row.status.is_terminal]
        for row in given.fresh(done):
            yield Item(row)
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
        raise ConfigurationError("urls: a list of URLs is needed, not one text")
    listed = list(urls)
    if not 1 <= len(listed) <= MAX_BATCH_URLS:
        raise ConfigurationError(f"urls: {len(listed)} given, 1..{MAX_BATCH_URLS} fit in a job (Batch Job Lifecycle)")
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
        secrets=_secrets(request),
        about_page=True,
    )


def _patience(request: Distill | Extract | Search) -> float:
    """Seconds within which the service must have answered: its own limit for the page, and some more."""
    page = request.timeout / 1000 if request.timeout is not None else _PAGE_SECONDS[type(request)]
    waits = 0 if isinstance(request, Search) else (request.wait_for or 0) / 1000
    return page + waits + _SLACK


def _secrets(request: Distill | Extract) -> tuple[str, ...]:
    return tuple(request.headers.values()) if isinstance(request, Distill) else ()


def _webhook_secrets(webhook: Webhook) -> tuple[str, ...]:
    return (webhook.secret or "", *webhook.headers.values())


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
        bounds = f"from {low} up" if high is None else f"{low}..{high}"
        raise ConfigurationError(f"{name} is {value}; the API takes {bounds} (GET /batch/*)")
