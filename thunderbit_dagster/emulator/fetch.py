"""One page over http(s), with the limits and the error codes of the API.

httpcore is used without httpx around it, for two reasons: its network backend is where the checked address is
dialled, and the body has to be decompressed within bounds.
"""

import asyncio
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Final

import httpcore
import httpx

from thunderbit_dagster.emulator import addresses
from thunderbit_dagster.emulator.addresses import Origin
from thunderbit_dagster.emulator.charset import decode
from thunderbit_dagster.emulator.errors import EmulatorError
from thunderbit_dagster.emulator.robots import MAX_ROBOTS_BYTES, ROBOT, ROBOTS_SECONDS, allows
from thunderbit_dagster.emulator.waiting import stop

MAX_PAGE_BYTES: Final = 10 * 1024 * 1024
_MAX_REDIRECTS: Final = 10
_USER_AGENT: Final = f"{ROBOT}/1 (a development server; honours robots.txt)"

_TEXT_TYPES: Final = frozenset({"text/html", "application/xhtml+xml", "text/plain", "text/markdown"})
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_STATUS_CODES: Final = {
    401: "SCRAPE_TARGET_FORBIDDEN",
    403: "SCRAPE_TARGET_FORBIDDEN",
    404: "SCRAPE_TARGET_NOT_FOUND",
    408: "SCRAPE_TIMEOUT",
    410: "SCRAPE_TARGET_NOT_FOUND",
    429: "SCRAPE_TARGET_RATE_LIMITED",
    451: "SCRAPE_TARGET_FORBIDDEN",
}

Permit = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer: the URL it came from after redirects, fragment included, and its decompressed body."""

    url: str
    status: int
    content_type: str
    body: bytes = field(repr=False)

    @property
    def media_type(self) -> str:
        """The content type without parameters, lower case; empty when the server named none."""
        return self.content_type.partition(";")[0].strip().lower()

    @property
    def text(self) -> str:
        """The body as text."""
        return decode(self.body, self.content_type)


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Resolves a host, checks every address, and dials a checked one: nothing is resolved twice.

    Args:
        allowed: Origins that may have any address.
        resolve: Host and port to addresses; blocks.
        own_port: Port of this emulator, never dialled on this machine.
    """

    def __init__(
        self, allowed: Collection[Origin], resolve: Callable[[str, int], list[str]] = addresses.resolve
    ) -> None:
        self.own_port: int | None = None
        self._allowed = frozenset(allowed)
        self._resolve = resolve
        self._dialler = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to a checked address of `host`, the first one that answers."""
        host = host.strip("[]")
        found = await asyncio.to_thread(self._resolve, host, port)
        if addresses.is_own(found, port, self.own_port):
            raise EmulatorError("SCRAPE_TARGET_FORBIDDEN", "The emulator does not fetch itself.")
        addresses.check(found, Origin(host, port), self._allowed)
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in found:
            try:
                return await self._dialler.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def sleep(self, seconds: float) -> None:
        """Wait between attempts to connect."""
        await asyncio.sleep(seconds)


class Fetcher:
    """Fetches pages. One per emulator; for one event loop."""

    def __init__(self, backend: GuardedBackend) -> None:
        self.backend = backend
        self._pool: httpcore.AsyncConnectionPool | None = None
        self._shared: set[asyncio.Task[str]] = set()
        self.fetched = 0
        """Requests sent to sites."""

    async def page(self, url: str, headers: Mapping[str, str], permit: Permit) -> Fetched:
        """A page that can be read.

        Args:
            url: Where it is.
            headers: Sent to that origin, and to no other it may redirect to.
            permit: Called with each URL before it is asked for; raises to forbid it.

        Raises:
            ApiError: A `SCRAPE_*` code.
        """
        fetched = await self.get(url, headers, permit=permit)
        check_status(fetched)
        if fetched.media_type and fetched.media_type not in _TEXT_TYPES:
            raise EmulatorError("SCRAPE_UNSUPPORTED_FILE", f"{fetched.media_type} is not a page that can be read.")
        return fetched

    async def get(
        self, url: str, headers: Mapping[str, str], *, permit: Permit | None = None, limit: int = MAX_PAGE_BYTES
    ) -> Fetched:
        """Any answer, after redirects.

        Raises:
            ApiError: A `SCRAPE_*` code.
        """
        target, fragment = _parse(url), _fragment(url)
        for _ in range(_MAX_REDIRECTS + 1):
            if permit is not None:
                await permit(str(target))
            async with self._send("GET", target, headers) as answer:
                location = _header(answer, b"location")
                if answer.status not in _REDIRECTS or not location:
                    body = await _read(answer, limit)
                    return Fetched(f"{target}{fragment}", answer.status, _header(answer, b"content-type"), body)
            onward = _join(target, location)
            if not _same_origin(onward, target):
                headers = {}
            target, fragment = onward, _fragment(location) or fragment
        raise EmulatorError("SCRAPE_SITE_ERROR", f"More than {_MAX_REDIRECTS} redirects.")

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """Send a webhook; its HTTP status. Redirects are not followed.

        Raises:
            ApiError: A `SCRAPE_*` code.
        """
        async with self._send("POST", _parse(url), headers, body) as answer:
            return answer.status

    def share(self, work: Coroutine[object, object, str]) -> "asyncio.Task[str]":
        """Work that several pages wait for; it goes on when one of them gives up, and ends with the fetcher."""
        task = asyncio.get_running_loop().create_task(work)
        self._shared.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[str]") -> None:
        self._shared.discard(task)
        if not task.cancelled():
            task.exception()  # seen, even if nobody waits any more

    async def close(self) -> None:
        """Stop shared work and close idle connections."""
        await stop(self._shared)
        if self._pool is not None:
            await self._pool.aclose()

    @asynccontextmanager
    async def _send(
        self, method: str, url: httpx.URL, headers: Mapping[str, str], body: bytes = b""
    ) -> AsyncIterator[httpcore.Response]:
        self.fetched += method == "GET"
        target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        request = httpcore.Request(method, target, headers=_headers(url, headers, body), content=body)
        try:
            answer = await self._connections().handle_async_request(request)
            try:
                yield answer
            finally:
                await answer.aclose()
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise _named(error, url.host) from None

    def _connections(self) -> httpcore.AsyncConnectionPool:
        if self._pool is None:
            self._pool = httpcore.AsyncConnectionPool(
                ssl_context=_tls(),
                max_connections=200,
                max_keepalive_connections=20,
                keepalive_expiry=5.0,
                network_backend=self.backend,
            )
        return self._pool


@cache
def _tls() -> ssl.SSLContext:
    """Shared by all emulators of a process: reading the certificates takes a while."""
    return httpx.create_ssl_context()


class RobotsGate:
    """Asks the robots.txt of each origin once. One per job.

    A robots.txt that is missing (4xx) forbids nothing; one that cannot be had for now fails the page as the page
    itself would (RFC 9309, 2.3.1.4: do not fetch).
    """

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher
        self._files: dict[tuple[str, str], asyncio.Task[str]] = {}

    async def permit(self, url: str) -> None:
        """Refuse what robots.txt disallows.

        Raises:
            ApiError: `SCRAPE_TARGET_FORBIDDEN`, or what went wrong with reading robots.txt.
        """
        target = _parse(url)
        origin = (target.scheme, target.netloc.decode("ascii"))
        if origin not in self._files:
            self._files[origin] = self._fetcher.share(self._load(f"{origin[0]}://{origin[1]}/robots.txt"))
        text = await asyncio.shield(self._files[origin])
        if not allows(text, str(target)):
            raise EmulatorError("SCRAPE_TARGET_FORBIDDEN", f"robots.txt of {target.host} disallows this page.")

    async def _load(self, url: str) -> str:
        try:
            fetched = await asyncio.wait_for(self._fetcher.get(url, {}, limit=MAX_ROBOTS_BYTES), ROBOTS_SECONDS)
        except (asyncio.TimeoutError, TimeoutError):  # one and the same since Python 3.11
            raise EmulatorError("SCRAPE_TIMEOUT", f"{url} did not arrive within {ROBOTS_SECONDS} s.") from None
        if httpx.codes.is_client_error(fetched.status) and fetched.status not in {408, 429}:
            return ""
        check_status(fetched)
        return fetched.text


def check_status(fetched: Fetched) -> None:
    """Turn an error of the site into its documented code.

    Raises:
        ApiError: A `SCRAPE_*` code.
    """
    if httpx.codes.is_success(fetched.status):
        return
    code = _STATUS_CODES.get(fetched.status, "SCRAPE_SITE_ERROR")
    raise EmulatorError(code, f"The site answered {fetched.status}.")


def _parse(url: str) -> httpx.URL:
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError):
        raise EmulatorError("INVALID_URL", f"Not a URL: {url[:200]!r}.") from None
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise EmulatorError("INVALID_URL", f"Not an http or https URL: {url[:200]!r}.")
    return parsed.copy_with(fragment=None)


def _fragment(url: str) -> str:
    """With its sign; a page has that of the last redirect that names one (RFC 9110, 10.2.2)."""
    _, sign, fragment = url.partition("#")
    return sign + fragment


def _join(base: httpx.URL, location: str) -> httpx.URL:
    try:
        return _parse(str(base.join(location)))
    except (httpx.InvalidURL, ValueError, EmulatorError):
        raise EmulatorError("SCRAPE_SITE_ERROR", "The site redirects to something that is not a web page.") from None


def _same_origin(one: httpx.URL, other: httpx.URL) -> bool:
    return (one.scheme, one.netloc) == (other.scheme, other.netloc)


def _headers(url: httpx.URL, extra: Mapping[str, str], body: bytes) -> list[tuple[str, str]]:
    headers = {
        "host": url.netloc.decode("ascii"),
        "user-agent": _USER_AGENT,
        "accept": "text/html,application/xhtml+xml,text/markdown;q=0.9,text/plain;q=0.8,*/*;q=0.1",
        "accept-encoding": "gzip, deflate",
    }
    headers.update({name.lower(): value for name, value in extra.items() if name.lower() not in _OURS})
    if body:
        headers["content-length"] = str(len(body))
    return list(headers.items())


_OURS: Final = frozenset({"host", "accept-encoding", "content-length", "transfer-encoding", "connection"})


def _header(answer: httpcore.Response, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in answer.headers if key.lower() == name), "")


async def _read(answer: httpcore.Response, limit: int) -> bytes:
    inflate = _inflater(_header(answer, b"content-encoding").strip().lower())
    body = bytearray()
    async for chunk in answer.aiter_stream():
        body += inflate(chunk, limit + 1 - len(body))
        if len(body) > limit:
            raise EmulatorError("SCRAPE_CONTENT_TOO_LARGE", f"The page is larger than {limit // 1024} KiB.")
    return bytes(body)


def _inflater(encoding: str) -> Callable[[bytes, int], bytes]:
    """Bytes as sent to bytes as meant, never more than asked for at once: a small bomb stays small."""
    if encoding in {"", "identity"}:
        return lambda chunk, _room: chunk
    if encoding not in {"gzip", "x-gzip", "deflate"}:
        raise EmulatorError("SCRAPE_SITE_ERROR", f"The site sent encoding {encoding!r}, which was not requested.")
    stream = zlib.decompressobj(wbits=47)  # gzip or zlib, by its header
    begun = False

    def inflate(chunk: bytes, room: int) -> bytes:
        nonlocal stream, begun
        if not begun and encoding == "deflate" and not _has_zlib_header(chunk):
            stream = zlib.decompressobj(wbits=-15)  # some servers leave the header out
        begun = True
        try:
            return stream.decompress(chunk, room)
        except zlib.error:
            raise EmulatorError("SCRAPE_SITE_ERROR", "The site sent a damaged body.") from None

    return inflate


_ZLIB_CHECK: Final = 31


def _has_zlib_header(chunk: bytes) -> bool:
    # RFC 1950: the method is 8 and the two bytes are a multiple of 31.
    return chunk[0] & 0x0F == zlib.DEFLATED and int.from_bytes(chunk[:2], "big") % _ZLIB_CHECK == 0


def _named(error: Exception, host: str) -> EmulatorError:
    if isinstance(error, httpcore.TimeoutException):
        return EmulatorError("SCRAPE_TIMEOUT", f"{host} did not answer in time.")
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return EmulatorError("SCRAPE_SSL_ERROR", f"No trusted connection to {host}: {cause.reason or 'TLS error'}.")
        cause = cause.__cause__ or cause.__context__
    return EmulatorError("SCRAPE_SITE_ERROR", f"{host} does not answer or closed the connection.")
