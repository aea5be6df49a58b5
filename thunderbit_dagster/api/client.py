"""Clients of the Thunderbit API: `ThunderbitClient` and, for asyncio, `AsyncThunderbitClient`.

Both carry out the same flows, so they have the same methods, the same rules and the same errors.
"""

from __future__ import annotations

import asyncio
import random
import re
import ssl
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from types import TracebackType
from typing import TYPE_CHECKING, Final, TypedDict, TypeVar

import httpx

from thunderbit_dagster.api import flows
from thunderbit_dagster.api.budget import Budget, SharedBudget, fingerprint
from thunderbit_dagster.api.codes import MAX_PAGE_SIZE
from thunderbit_dagster.api.effects import (
    Acquire,
    Answer,
    Call,
    Effect,
    Exhaust,
    Failure,
    Flow,
    Forget,
    Item,
    Observe,
    Reply,
    Send,
    Sleep,
)
from thunderbit_dagster.api.errors import ConfigurationError
from thunderbit_dagster.api.faults import redactor
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
from thunderbit_dagster.api.protocol import Rules, slot
from thunderbit_dagster.api.requests import Distill, Extract, Search, Webhook
from thunderbit_dagster.api.retry import Event, RetryPolicy, Safety

if TYPE_CHECKING:
    from collections.abc import Generator

    from typing_extensions import Self

DEFAULT_BASE_URL: Final = "https://openapi.thunderbit.com/openapi/v1"
DISTILL: Final = Distill()
SEARCH: Final = Search()
RETRY: Final = RetryPolicy()

_CONNECT_SECONDS: Final = 10.0
_NOT_SENT: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)
_FRESH_CONNECTIONS: Final = httpx.Limits(max_keepalive_connections=0)

T = TypeVar("T")


class _HttpOptions(TypedDict):
    auth: httpx.Auth
    headers: dict[str, str]
    follow_redirects: bool
    trust_env: bool
    verify: ssl.SSLContext


class _Bearer(httpx.Auth):
    """Adds the key to requests for one origin and refuses any other."""

    def __init__(self, origin: str, key: str) -> None:
        self._origin = origin
        self._key = key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if _origin(request.url) != self._origin:
            raise ConfigurationError(f"the API key is for {self._origin} only")
        request.headers["Authorization"] = f"Bearer {self._key}"
        yield request


class _Settings:
    """What both clients are made of, checked."""

    def __init__(
        self,
        api_key: str,
        *,
        base_url: str = DEFAULT_BASE_URL,
        requests_per_minute: int = 10,
        request_timeout: float = 60.0,
        budget: Budget | None = None,
        clock: Callable[[], float] = time.time,
        retry: RetryPolicy = RETRY,
        max_wait: float = 300.0,
    ) -> None:
        key = checked_key(api_key)
        self._base_url = checked_base_url(base_url)
        self._request_timeout = _checked_seconds("request_timeout", request_timeout)
        self.origin = _origin(httpx.URL(self._base_url))
        """Scheme, host and port that the key goes to."""
        self.account_fingerprint = fingerprint(self.origin, key)
        """Twelve hex digits that stand for origin and key; safe to store and to show."""
        self._redact = redactor([key])
        self._auth = _Bearer(self.origin, key)
        self._budget = (
            SharedBudget(self.account_fingerprint, requests_per_minute, clock=clock) if budget is None else budget
        )
        jitter = random.SystemRandom().random
        self._rules = Rules(retry, _checked_seconds("max_wait", max_wait), clock, jitter, (key,))

    def job_url(self, ref: JobRef) -> str:
        """Where a batch job can be read; with the key, a GET of this answers with its state."""
        return self._base_url + flows.job_path(ref)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._base_url} account {self.account_fingerprint}>"

    def _http_options(self) -> _HttpOptions:
        encrypted = self.origin.startswith("https:")
        return {
            "auth": self._auth,
            "headers": {"User-Agent": user_agent(), "Accept": "application/json"},
            "follow_redirects": False,
            # Over plain http an environment's proxy would read the key.
            "trust_env": encrypted,
            # Loading certificates takes a while; without https a context that trusts nobody will do.
            "verify": httpx.create_ssl_context() if encrypted else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        }

    def _request(self, http: httpx.Client | httpx.AsyncClient, call: Call) -> httpx.Request:
        silence = max(self._request_timeout, call.timeout)
        return http.build_request(
            call.method,
            self._base_url + call.path,
            params=dict(call.params) or None,
            content=call.content,
            headers={"Content-Type": "application/json"} if call.content is not None else None,
            timeout=httpx.Timeout(silence, connect=min(_CONNECT_SECONDS, silence)),
        )

    def _failure(self, problem: httpx.RequestError) -> Failure:
        event = Event.NOT_SENT if isinstance(problem, _NOT_SENT) else Event.REPLY_LOST
        words = self._redact(str(problem).encode("utf-8", "replace")).decode("utf-8", "replace")
        return Failure(event, f"{type(problem).__name__}: {words}")

    def _settle(self, effect: Effect) -> float | None:
        """Carry out what concerns the request budget."""
        if isinstance(effect, Acquire):
            return self._budget.acquire(effect.ticket)
        if isinstance(effect, Forget):
            self._budget.forget(effect.ticket)
        elif isinstance(effect, Observe):
            self._budget.observe(effect.seen)
        elif isinstance(effect, Exhaust):
            self._budget.exhaust(effect.until)
        return None


class ThunderbitClient(_Settings):
    """A client for the Thunderbit API. Safe to share between threads; close it, or use it in a `with` block.

    Reads and cancellations are repeated after transport errors, 408, 429 and 5xx. Submits and paid calls are
    repeated only when the service surely did not take them, and otherwise raise with `maybe_accepted` set. Every
    request takes a slot of the request budget first. Redirects are never followed.

    Args:
        api_key: The key. It goes to the origin of `base_url` only and is never shown.
        base_url: Where the API lives, with its path.
        requests_per_minute: Size of the request budget until the service names its own limit.
        request_timeout: Seconds of silence after which an answer counts as lost. Synchronous calls wait as long
            as the service may take for the page.
        transport: An httpx transport in place of the network.
        budget: A request budget in place of the one that all processes of this machine share.
        clock: Gives the Unix epoch in seconds.
        sleep: Waits for a number of seconds.
        retry: Bounds on repeating.
        max_wait: Seconds that one call may wait for the request budget.

    Raises:
        ConfigurationError: An argument is out of range, or the key cannot be put in a header.

    Every method may raise ConfigurationError for a wrong argument, NotSentError, ReplyLostError or ProtocolError
    for a lost or unreadable answer, BudgetExceededError, and ApiError for what the service refused.
    """

    def __init__(
        self,
        api_key: str,
        *,
        base_url: str = DEFAULT_BASE_URL,
        requests_per_minute: int = 10,
        request_timeout: float = 60.0,
        transport: httpx.BaseTransport | None = None,
        budget: Budget | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], object] = time.sleep,
        retry: RetryPolicy = RETRY,
        max_wait: float = 300.0,
    ) -> None:
        super().__init__(
            api_key,
            base_url=base_url,
            requests_per_minute=requests_per_minute,
            request_timeout=request_timeout,
            budget=budget,
            clock=clock,
            retry=retry,
            max_wait=max_wait,
        )
        self._sleep = sleep
        options = self._http_options()
        self._http = httpx.Client(transport=transport, **options)
        # A kept connection may be closed by the service just as a request goes out on it, and then nobody knows
        # whether the request arrived. Reads are simply repeated; paid requests get a connection of their own.
        self._http_paid = httpx.Client(transport=transport, limits=_FRESH_CONNECTIONS, **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()
        self._http_paid.close()

    def distill(self, url: str, request: Distill = DISTILL) -> Document:
        """Turn one page into Markdown (`POST /distill`, 1 credit).

        TargetError when the page, not the service, is at fault.
        """
        return self._run(flows.distill(self._rules, url, request))

    def extract(self, url: str, request: Extract) -> Document:
        """Turn one page into rows of a schema (`POST /extract`, 20 credits).

        TargetError when the page, not the service, is at fault.
        """
        return self._run(flows.extract(self._rules, url, request))

    def search(self, query: str, request: Search = SEARCH) -> SearchResult:
        """Search the web and distill the hits (`POST /search`, 1 credit and 1 more for each hit distilled).

        `query` has at most 500 characters.
        """
        return self._run(flows.search(self._rules, query, request))

    def suggest_fields(self, url: str, *, prompt: str | None = None, country_code: str | None = None) -> Suggestion:
        """Propose a schema for a page (`POST /suggest_fields`; free, or 1 credit on some accounts)."""
        return self._run(flows.suggest_fields(self._rules, url, prompt, country_code))

    def submit_async(self, url: str, request: Distill | Extract = DISTILL) -> PageJob:
        """Submit one slow page (`POST /async/*`); read it with `get_async`. Costs what the synchronous call does."""
        return self._run(flows.submit_async(self._rules, url, request))

    def get_async(self, ref: JobRef) -> PageJob:
        """Read a page submitted with `submit_async` (`GET /async/*`, free)."""
        return self._run(flows.get_async(self._rules, ref))

    def take_slot(self) -> float:
        """Wait for a slot of the request budget and take it; the seconds waited.

        For `submit(slot_taken=True)`: what is written down between the two says that a request goes out now.

        BudgetExceededError when none becomes free in time.
        """
        return self._run(slot(self._rules))

    def submit(
        self,
        urls: Iterable[str],
        request: Distill | Extract,
        *,
        webhook: Webhook | None = None,
        slot_taken: bool = False,
    ) -> Job:
        """Submit a batch job (`POST /batch/*`): 1 to 100 http or https URLs, each once.

        With `slot_taken` it goes out on the slot of an earlier `take_slot`.

        Raises:
            ReplyLostError, ServerError, ApiError of status 408, ProtocolError: With `maybe_accepted` set: the job
                may run and be billed although its id is not known. It is not sent again.
            BatchSizeExceededError: The account takes fewer URLs in a job.
            InsufficientCreditsError: The account is out of credits.
        """
        return self._run(flows.submit(self._rules, urls, request, webhook, slot_taken))

    def submit_distill(self, urls: Iterable[str], request: Distill = DISTILL, *, webhook: Webhook | None = None) -> Job:
        """`submit` for pages to Markdown: 1 credit for each URL."""
        return self.submit(urls, request, webhook=webhook)

    def submit_extract(self, urls: Iterable[str], request: Extract, *, webhook: Webhook | None = None) -> Job:
        """`submit` for pages to rows: 20 credits for each URL."""
        return self.submit(urls, request, webhook=webhook)

    def get_job(self, ref: JobRef, *, page: int = 0, page_size: int = 1) -> JobPage:
        """Read a job and one page of its rows (`GET /batch/*`, free).

        JobNotFoundError when it is unknown or has expired.

        Args:
            ref: The job.
            page: Counts from 0.
            page_size: Rows, 1..100.
        """
        return self._run(flows.get_job(self._rules, ref, page, page_size))

    def iter_pages(self, ref: JobRef, *, page_size: int = MAX_PAGE_SIZE) -> Iterator[JobPage]:
        """Read all pages of a job, as the service gives them: rows may repeat."""
        return self._iterate(flows.iter_pages(self._rules, ref, page_size), JobPage)

    def iter_rows(self, ref: JobRef, *, page_size: int = MAX_PAGE_SIZE) -> Iterator[Row]:
        """Read all rows of a job as they are now, each once."""
        return self._iterate(flows.iter_rows(self._rules, ref, page_size), Row)

    def stream_rows(self, ref: JobRef, *, interval: float = 5.0, deadline: float | None = None) -> Iterator[Row]:
        """Read rows as they become terminal, each once, until the job is over and all pages were read again.

        Rows that are not terminal when the job is do not come.

        Args:
            ref: The job.
            interval: Seconds between two readings.
            deadline: Seconds after which to raise DeadlineExceededError when the job is not over.
        """
        return self._iterate(flows.stream_rows(self._rules, ref, interval, deadline), Row)

    def cancel_job(self, ref: JobRef) -> Job:
        """Cancel a job (`DELETE /batch/*`) and read it again.

        The job may still be running for a moment, or may have been over before. What had finished is billed.
        """
        return self._run(flows.cancel_job(self._rules, ref))

    def _run(self, flow: Flow[T]) -> T:
        reply: Reply = None
        while True:
            try:
                effect = flow.send(reply)
            except StopIteration as end:
                result: T = end.value
                return result
            reply = self._perform(effect)

    def _iterate(self, flow: Flow[None], kind: type[T]) -> Iterator[T]:
        reply: Reply = None
        while True:
            try:
                effect = flow.send(reply)
            except StopIteration:
                return
            if isinstance(effect, Item) and isinstance(effect.value, kind):
                reply = None
                yield effect.value
            else:
                reply = self._perform(effect)

    def _perform(self, effect: Effect) -> Reply:
        if isinstance(effect, Send):
            return self._send(effect.call)
        if isinstance(effect, Sleep):
            self._sleep(effect.seconds)
            return None
        return self._settle(effect)

    def _send(self, call: Call) -> Answer | Failure:
        http = self._http_paid if call.safety is Safety.PAID else self._http
        try:
            return _answer(http.send(self._request(http, call)))
        except httpx.RequestError as problem:
            return self._failure(problem)


class AsyncThunderbitClient(_Settings):
    """The client for asyncio. Arguments, methods and errors are those of `ThunderbitClient`.

    Use it in an `async with` block, or call `aclose`.
    """

    def __init__(
        self,
        api_key: str,
        *,
        base_url: str = DEFAULT_BASE_URL,
        requests_per_minute: int = 10,
        request_timeout: float = 60.0,
        transport: httpx.AsyncBaseTransport | None = None,
        budget: Budget | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        retry: RetryPolicy = RETRY,
        max_wait: float = 300.0,
    ) -> None:
        super().__init__(
            api_key,
            base_url=base_url,
            requests_per_minute=requests_per_minute,
            request_timeout=request_timeout,
            budget=budget,
            clock=clock,
            retry=retry,
            max_wait=max_wait,
        )
        self._sleep = sleep
        options = self._http_options()
        self._http = httpx.AsyncClient(transport=transport, **options)
        self._http_paid = httpx.AsyncClient(transport=transport, limits=_FRESH_CONNECTIONS, **options)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()
        await self._http_paid.aclose()

    async def distill(self, url: str, request: Distill = DISTILL) -> Document:
        """Turn one page into Markdown; see `ThunderbitClient.distill`."""
        return await self._run(flows.distill(self._rules, url, request))

    async def extract(self, url: str, request: Extract) -> Document:
        """Turn one page into rows of a schema; see `ThunderbitClient.extract`."""
        return await self._run(flows.extract(self._rules, url, request))

    async def search(self, query: str, request: Search = SEARCH) -> SearchResult:
        """Search the web and distill the hits; see `ThunderbitClient.search`."""
        return await self._run(flows.search(self._rules, query, request))

    async def suggest_fields(
        self, url: str, *, prompt: str | None = None, country_code: str | None = None
    ) -> Suggestion:
        """Propose a schema for a page; see `ThunderbitClient.suggest_fields`."""
        return await self._run(flows.suggest_fields(self._rules, url, prompt, country_code))

    async def submit_async(self, url: str, request: Distill | Extract = DISTILL) -> PageJob:
        """Submit one slow page; see `ThunderbitClient.submit_async`."""
        return await self._run(flows.submit_async(self._rules, url, request))

    async def get_async(self, ref: JobRef) -> PageJob:
        """Read a page submitted with `submit_async`."""
        return await self._run(flows.get_async(self._rules, ref))

    async def take_slot(self) -> float:
        """Wait for a slot of the request budget and take it; see `ThunderbitClient.take_slot`."""
        return await self._run(slot(self._rules))

    async def submit(
        self,
        urls: Iterable[str],
        request: Distill | Extract,
        *,
        webhook: Webhook | None = None,
        slot_taken: bool = False,
    ) -> Job:
        """Submit a batch job; see `ThunderbitClient.submit`."""
        return await self._run(flows.submit(self._rules, urls, request, webhook, slot_taken))

    async def submit_distill(
        self, urls: Iterable[str], request: Distill = DISTILL, *, webhook: Webhook | None = None
    ) -> Job:
        """`submit` for pages to Markdown: 1 credit for each URL."""
        return await self.submit(urls, request, webhook=webhook)

    async def submit_extract(self, urls: Iterable[str], request: Extract, *, webhook: Webhook | None = None) -> Job:
        """`submit` for pages to rows: 20 credits for each URL."""
        return await self.submit(urls, request, webhook=webhook)

    async def get_job(self, ref: JobRef, *, page: int = 0, page_size: int = 1) -> JobPage:
        """Read a job and one page of its rows; see `ThunderbitClient.get_job`."""
        return await self._run(flows.get_job(self._rules, ref, page, page_size))

    def iter_pages(self, ref: JobRef, *, page_size: int = MAX_PAGE_SIZE) -> AsyncIterator[JobPage]:
        """Read all pages of a job, as the service gives them: rows may repeat."""
        return self._iterate(flows.iter_pages(self._rules, ref, page_size), JobPage)

    def iter_rows(self, ref: JobRef, *, page_size: int = MAX_PAGE_SIZE) -> AsyncIterator[Row]:
        """Read all rows of a job as they are now, each once."""
        return self._iterate(flows.iter_rows(self._rules, ref, page_size), Row)

    def stream_rows(self, ref: JobRef, *, interval: float = 5.0, deadline: float | None = None) -> AsyncIterator[Row]:
        """Read rows as they become terminal; see `ThunderbitClient.stream_rows`."""
        return self._iterate(flows.stream_rows(self._rules, ref, interval, deadline), Row)

    async def cancel_job(self, ref: JobRef) -> Job:
        """Cancel a job and read it again; see `ThunderbitClient.cancel_job`."""
        return await self._run(flows.cancel_job(self._rules, ref))

    async def _run(self, flow: Flow[T]) -> T:
        reply: Reply = None
        while True:
            try:
                effect = flow.send(reply)
            except StopIteration as end:
                result: T = end.value
                return result
            reply = await self._perform(effect)

    async def _iterate(self, flow: Flow[None], kind: type[T]) -> AsyncIterator[T]:
        reply: Reply = None
        while True:
            try:
                effect = flow.send(reply)
            except StopIteration:
                return
            if isinstance(effect, Item) and isinstance(effect.value, kind):
                reply = None
                yield effect.value
            else:
                reply = await self._perform(effect)

    async def _perform(self, effect: Effect) -> Reply:
        if isinstance(effect, Send):
            return await self._send(effect.call)
        if isinstance(effect, Sleep):
            await self._sleep(effect.seconds)
            return None
        # The budget may wait for a file lock, which must not stop the event loop.
        return await asyncio.to_thread(self._settle, effect)

    async def _send(self, call: Call) -> Answer | Failure:
        http = self._http_paid if call.safety is Safety.PAID else self._http
        try:
            return _answer(await http.send(self._request(http, call)))
        except httpx.RequestError as problem:
            return self._failure(problem)


def user_agent() -> str:
    """How the clients name themselves: `thunderbit-dagster/1.2.3 (+python/3.11 httpx/0.28.1)`."""
    try:
        own = version("thunderbit-dagster")
    except PackageNotFoundError:
        own = "0"
    return f"thunderbit-dagster/{own} (+python/{sys.version_info[0]}.{sys.version_info[1]} httpx/{httpx.__version__})"


def _answer(response: httpx.Response) -> Answer:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(response.status_code, headers, response.content)


def _origin(url: httpx.URL) -> str:
    host = f"[{url.host}]" if ":" in url.host else url.host
    return f"{url.scheme}://{host}" + (f":{url.port}" if url.port is not None else "")


def checked_key(api_key: object) -> str:
    """The key itself, when a header can carry it.

    Raises:
        ConfigurationError: it cannot.
    """
    if isinstance(api_key, str) and re.fullmatch(r"[\x21-\x7e]{1,512}", api_key):
        return api_key
    raise ConfigurationError("api_key must be printable ASCII without spaces or line breaks, and not empty")


def checked_base_url(base_url: str) -> str:
    """The URL without a slash at its end.

    Raises:
        ConfigurationError: it is none that the API can be at.
    """
    try:
        url = httpx.URL(base_url)
    except (httpx.InvalidURL, TypeError):
        raise ConfigurationError("base_url is not a URL") from None
    if url.scheme not in {"http", "https"} or not url.host:
        raise ConfigurationError("base_url must be an http or https URL with a host")
    if url.userinfo or url.query or url.fragment:
        raise ConfigurationError("base_url must hold no credentials, query or fragment")
    return str(url).rstrip("/")


def _checked_seconds(name: str, seconds: float) -> float:
    if 0 <= seconds < float("inf"):
        return seconds
    raise ConfigurationError(f"{name} is {seconds}; seconds from 0 up are needed")
