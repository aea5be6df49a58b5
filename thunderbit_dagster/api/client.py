"""`ThunderbitClient`: the Thunderbit API over HTTP. The rules of each call are in `flows` and `protocol`."""

from __future__ import annotations

import random
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from importlib.metadata import PackageNotFoundError, version
from itertools import takewhile
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Final, TypedDict, TypeVar

import httpx

from thunderbit_dagster.api import flows
from thunderbit_dagster.api.account import (
    DEFAULT_BASE_URL,
    LOOPBACK_HOSTS,
    MAX_RESPONSE_BYTES,
    checked_base_url,
    checked_key,
)
from thunderbit_dagster.api.budget import Budget, fingerprint
from thunderbit_dagster.api.codes import MAX_PAGE_SIZE
from thunderbit_dagster.api.effects import (
    Acquire,
    Answer,
    Call,
    Effect,
    Exhaust,
    Failure,
    Flow,
    FlowItem,
    Forget,
    Observe,
    Reply,
    Send,
    Sleep,
)
from thunderbit_dagster.api.error_answers import redactor
from thunderbit_dagster.api.errors import ConfigurationError
from thunderbit_dagster.api.models import (
    Document,
    Job,
    JobPage,
    JobRef,
    Row,
)
from thunderbit_dagster.api.paging import IsOurs
from thunderbit_dagster.api.protocol import CallRules, slot
from thunderbit_dagster.api.redis_budget import RedisBudget
from thunderbit_dagster.api.requests import Distill, Extract, Webhook
from thunderbit_dagster.api.retry import RETRY, Event, RetryPolicy, Safety
from thunderbit_dagster.api.shared_budget import SharedBudget

if TYPE_CHECKING:
    from collections.abc import Generator

    from typing_extensions import Self

DISTILL: Final = Distill()
_CONNECT_SECONDS: Final = 10.0
_NOT_SENT: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)
_ENCODINGS: Final = frozenset({"", "identity", "gzip", "deflate"})
"""How an answer may be packed. What a single byte of others may unfold to has no bound."""
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
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


class ThunderbitClient:
    """A client for the Thunderbit API. Safe to share between threads; close it, or use it in a `with` block.

    Reads and cancellations are repeated after transport errors, 408, 429 and 5xx. Submits and paid calls are
    repeated only when the service surely did not take them, and otherwise raise with `maybe_accepted` set. Every
    request takes a slot of the request budget first. Redirects are never followed.

    Args:
        api_key: The key. It goes to the origin of `base_url` only and is never shown.
        base_url: Where the API lives, with its path.
        requests_per_minute: Size of the request budget until the service names its own limit.
        request_timeout: Seconds within which an answer must be there as a whole. Synchronous calls wait as long as the
            service may take for the page.
        transport: An httpx transport in place of the network.
        budget: A request budget in place of the one that all processes of this machine share.
        budget_url: A Redis database that keeps the request budget for all machines that name it.
        clock: Gives the Unix epoch in seconds.
        sleep: Waits for a number of seconds.
        retry: Bounds on repeating.
        max_wait: Seconds that one call may wait for the request budget.
        max_response_bytes: The largest answer that is read, unpacked. A larger one is asked for in smaller pages.

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
        budget_url: str | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], object] = time.sleep,
        retry: RetryPolicy = RETRY,
        max_wait: float = 300.0,
        max_response_bytes: int = MAX_RESPONSE_BYTES,
    ) -> None:
        self._base_url, self.account_fingerprint = "(not checked)", "(none)"
        key = checked_key(api_key)
        self._base_url = checked_base_url(base_url)
        self._request_timeout = _checked_seconds("request_timeout", request_timeout)
        self._max_response_bytes = _checked_bytes("max_response_bytes", max_response_bytes)
        self.origin = _checked_origin(self._base_url)
        """Scheme, host and port that the key goes to."""
        self.account_fingerprint = fingerprint(normal_origin(self._base_url), key)
        """Twelve hex digits that stand for origin, however it is spelled, and key; safe to store and to show."""
        self.account_fingerprints = frozenset(fingerprint(one, key) for one in _spellings(self._base_url))
        """All that may stand for it: older versions went by the origin as it was spelled."""
        self.on_answer: Callable[[Answer], object] | None = None
        """Is given each answer as received, to see how the API spells what the models hold."""
        self._redact = redactor([key])
        self._auth = _Bearer(self.origin, key)
        self._budget = budget or _account_budget(self.account_fingerprint, requests_per_minute, budget_url, clock)
        jitter = random.SystemRandom().random
        self._rules = CallRules(retry, _checked_seconds("max_wait", max_wait), clock, jitter, (key,))
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

    def job_url(self, ref: JobRef) -> str:
        """Where a batch job can be read; with the key, a GET of this answers with its state."""
        return self._base_url + flows.job_path(ref)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._base_url} account {self.account_fingerprint}>"

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

    def get_job(self, ref: JobRef, *, page: int = 0, page_size: int | None = 1) -> JobPage:
        """Read a job and one page of its rows (`GET /batch/*`, free).

        JobNotFoundError when it is unknown or has expired.

        Args:
            ref: The job.
            page: Counts from 0.
            page_size: Rows, 1..100; None takes as many as the API gives by default.
        """
        return self._run(flows.get_job(self._rules, ref, page, page_size))

    def get_status(self, ref: JobRef) -> Job:
        """Read a job's state alone (`GET /batch/*`, free), also when its first row cannot be read."""
        return self._run(flows.get_status(self._rules, ref))

    def iter_pages(
        self, ref: JobRef, *, page_size: int = MAX_PAGE_SIZE, is_ours: IsOurs | None = None
    ) -> Iterator[JobPage]:
        """Read all pages of a job, as the service gives them: rows may repeat.

        A page that cannot be read is asked for in smaller ones; a row that cannot be read even alone comes as a failed
        row, `UNREADABLE_ROW`. Reading ends after what a job can hold; with ``is_ours``, which tells rows of URLs that
        were sent from others, after a few pages without one.
        """
        return self._iterate(flows.iter_pages(self._rules, ref, page_size, is_ours), JobPage)

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

    def _http_options(self) -> _HttpOptions:
        encrypted = self.origin.startswith("https:")
        return {
            "auth": self._auth,
            "headers": {
                "User-Agent": user_agent(),
                "Accept": "application/json",
                "Accept-Encoding": "gzip, deflate",
            },
            "follow_redirects": False,
            # Over plain http an environment's proxy would read the key.
            "trust_env": encrypted,
            # Loading certificates takes a while; without https a context that trusts nobody will do.
            "verify": httpx.create_ssl_context() if encrypted else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        }

    def _request(self, http: httpx.Client, call: Call) -> httpx.Request:
        silence = max(self._request_timeout, call.timeout)
        return http.build_request(
            call.method,
            self._base_url + call.path,
            params=dict(call.params) or None,
            content=call.content,
            headers={"Content-Type": "application/json"} if call.content is not None else None,
            timeout=httpx.Timeout(silence, connect=min(_CONNECT_SECONDS, silence)),
        )

    def _failure(self, problem: httpx.RequestError, *, has_begun: bool = False) -> Failure:
        event = Event.NOT_SENT if isinstance(problem, _NOT_SENT) else Event.REPLY_LOST
        words = self._redact(str(problem).encode("utf-8", "replace")).decode("utf-8", "replace")
        return Failure(event, f"{type(problem).__name__}: {words}", has_begun)

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
            if isinstance(effect, FlowItem) and isinstance(effect.value, kind):
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
        request, began, has_begun = self._request(http, call), time.monotonic(), False
        try:
            response = _within(_longest(request), lambda: http.send(request, stream=True))
            with closing(response):
                body, has_begun = _Body(response, self._max_response_bytes, began + _longest(request)), True
                for chunk in body.chunks(response.iter_bytes):
                    body.add(chunk)
        except httpx.RequestError as problem:
            return self._failure(problem, has_begun=has_begun)
        answer = body.answer
        if self.on_answer is not None:
            self.on_answer(answer)
        return answer


def user_agent() -> str:
    """How the client names itself: `thunderbit-dagster/1.2.3 (+python/3.11 httpx/0.28.1)`."""
    try:
        own = version("thunderbit-dagster")
    except PackageNotFoundError:
        own = "0"
    return f"thunderbit-dagster/{own} (+python/{sys.version_info[0]}.{sys.version_info[1]} httpx/{httpx.__version__})"


def _longest(request: httpx.Request) -> float:
    """Seconds within which the whole answer must be there."""
    seconds: float = request.extensions["timeout"]["read"]
    return seconds


def _within(seconds: float, send: Callable[[], httpx.Response]) -> httpx.Response:
    """What ``send`` gives; ``httpx.ReadTimeout`` when it takes longer. httpx bounds silences, not the whole."""
    came: SimpleQueue[httpx.Response | BaseException] = SimpleQueue()

    def run() -> None:
        try:
            came.put(send())
        except BaseException as error:  # noqa: BLE001 - raised again below
            came.put(error)

    threading.Thread(target=run, name="thunderbit-request", daemon=True).start()
    try:
        outcome = came.get(timeout=seconds)
    except Empty:
        raise httpx.ReadTimeout(f"no response began within {seconds:.0f} s") from None
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


class _Body:
    """An answer being read: unpacked, in time, and not larger than it may be."""

    def __init__(self, response: httpx.Response, most: int, end_at: float) -> None:
        self._response = response
        self._most = most
        self._end_at = end_at
        self._parts: list[bytes] = []
        self._size = 0
        packed = response.headers.get("content-encoding", "").strip().lower()
        self._refused = "" if packed in _ENCODINGS else f"it is encoded as {packed[:40]!r}, which was not requested"

    def chunks(self, read: Callable[[], Iterator[bytes]]) -> Iterator[bytes]:
        """The unpacked body, as far as it is wanted."""
        return iter(()) if self._refused else takewhile(lambda _: not self._refused, read())

    def add(self, chunk: bytes) -> None:
        """Keep a part, unless the answer is too large by now or takes too long."""
        self._size += len(chunk)
        self._parts.append(chunk)
        if self._size > self._most:
            self._refused = f"it is larger than `max_response_bytes`, {self._most:,}"
        elif time.monotonic() > self._end_at:
            self._refused = f"it did not end within `request_timeout`; {self._size:,} bytes were received"
        if self._refused:
            self._parts.clear()

    @property
    def answer(self) -> Answer:
        """The answer as far as it was read."""
        headers = {name.lower(): value for name, value in self._response.headers.items()}
        return Answer(self._response.status_code, headers, b"".join(self._parts), self._refused)


def _origin(url: httpx.URL) -> str:
    host = f"[{url.host}]" if ":" in url.host else url.host
    return f"{url.scheme}://{host}" + (f":{url.port}" if url.port is not None else "")


def normal_origin(base_url: str) -> str:
    """Scheme, host and port, one text for all spellings: of a default port, of case, and of this machine."""
    return _spellings(base_url)[0]


def _spellings(base_url: str) -> list[str]:
    url = httpx.URL(base_url)
    host = url.host.rstrip(".")
    hosts = LOOPBACK_HOSTS if host in LOOPBACK_HOSTS else (host,)
    is_default = url.port in (None, _DEFAULT_PORTS.get(url.scheme))
    port = "" if is_default else f":{url.port}"
    names = [f"[{one}]" if ":" in one else one for one in hosts]
    return [*(f"{url.scheme}://{name}{port}" for name in names), _origin(url)]


def _checked_origin(base_url: str) -> str:
    try:
        return _origin(httpx.URL(base_url))
    except httpx.InvalidURL:
        raise ConfigurationError("base_url is not a URL") from None


def _checked_bytes(name: str, size: int) -> int:
    if size >= 1:
        return size
    raise ConfigurationError(f"{name} is {size}; it must be at least 1 byte")


def _account_budget(account: str, requests_per_minute: int, url: str | None, clock: Callable[[], float]) -> Budget:
    shared = SharedBudget(account, requests_per_minute, clock=clock)
    return RedisBudget(url, account, requests_per_minute, fallback=shared) if url else shared


def _checked_seconds(name: str, seconds: float) -> float:
    if 0 <= seconds < float("inf"):
        return seconds
    raise ConfigurationError(f"{name} is {seconds}; it must be 0 or more seconds")
