"""The HTTP face: every endpoint of section 1 of the API reference, and `/_emulator` for whoever runs it."""

import asyncio
import logging
import os
import re
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from thunderbit_dagster.api.codes import (
    DEFAULT_PAGE_SIZE,
    MAX_BATCH_URLS,
    MAX_PAGE_SIZE,
    JobKind,
    JobStatus,
)
from thunderbit_dagster.emulator import jobs
from thunderbit_dagster.emulator.account import authenticate
from thunderbit_dagster.emulator.distill import Product
from thunderbit_dagster.emulator.errors import EmulatorError
from thunderbit_dagster.emulator.extract import suggest
from thunderbit_dagster.emulator.faults import Rule, spoil_rows
from thunderbit_dagster.emulator.json_views import (
    async_view,
    job_view,
    lists_unfinished,
    row_view,
    submitted_async_view,
    with_source_url,
)
from thunderbit_dagster.emulator.local_only import LocalOnly
from thunderbit_dagster.emulator.options import PageOptions, SearchBody, parse_batch, parse_fields, parse_one
from thunderbit_dagster.emulator.responses import instead, parse_body, problem, spoiled
from thunderbit_dagster.emulator.schema import Field, parse_schema
from thunderbit_dagster.emulator.summaries import words_of
from thunderbit_dagster.emulator.worker import Account, Engine
from thunderbit_dagster.version import __version__

ROOT: Final = "/openapi/v1"
MAX_BODY_BYTES: Final = 10 * 1024 * 1024
_LOGGED_REQUESTS: Final = 100_000
_MINUTE: Final = 60.0
_CONFLICT: Final = "JOB_ALREADY_TERMINAL"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """A request that was served. `status` is None when the connection was closed without an answer."""

    method: str
    path: str
    query: str
    status: int | None
    at: float


@dataclass(frozen=True, slots=True)
class AdmittedRequest:
    """A request that was let in."""

    request: Request
    account: Account
    rules: tuple[Rule, ...]

    async def body(self) -> dict[str, object]:
        """The JSON body."""
        raw = bytearray()
        async for chunk in self.request.stream():
            raw += chunk
            if len(raw) > MAX_BODY_BYTES:
                raise EmulatorError("MALFORMED_REQUEST_BODY", "The body is larger than 10 MB.", status=413)
        return parse_body(bytes(raw))


Handler = Callable[[AdmittedRequest], Awaitable[Response]]


class Api:
    """Routes and what they share: the request log, keys, limits and faults."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.dialect = engine.settings.dialect
        self.requests: deque[RequestRecord] = deque(maxlen=_LOGGED_REQUESTS)
        self.by_route: Counter[str] = Counter()
        self.polls = 0

    def app(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[*self._public_routes(), *self._own_routes()],
            middleware=[Middleware(LocalOnly)],
            exception_handlers={HTTPException: self._refused},  # type: ignore[dict-item]
        )

    def _public_routes(self) -> list[Route]:
        routes = [
            self._route("/suggest_fields", POST=self._suggest_fields),
            self._route("/search", POST=self._search),
        ]
        for kind in JobKind:
            batch, single = f"/batch/{kind.value}", f"/async/{kind.value}"
            routes += [
                self._route(f"/{kind.value}", POST=self._of_kind(kind, self._one)),
                self._route(batch, POST=self._of_kind(kind, self._submit_batch)),
                self._route(
                    batch + "/{id:path}",
                    GET=self._of_kind(kind, self._read_batch),
                    DELETE=self._of_kind(kind, self._cancel_batch),
                ),
                self._route(single, POST=self._of_kind(kind, self._submit_async)),
                self._route(single + "/{id:path}", GET=self._of_kind(kind, self._read_async)),
            ]
        return routes

    def _own_routes(self) -> list[Route]:
        return [
            Route("/_emulator/stats", self._stats, methods=["GET"]),
            Route("/_emulator/health", self._health, methods=["GET"]),
            Route("/_emulator/hold", self._hold, methods=["POST"]),
            Route("/_emulator/release", self._release, methods=["POST"]),
        ]

    # What every request goes through

    def _route(self, path: str, **handlers: Handler) -> Route:
        async def endpoint(request: Request) -> Response:
            return await self._serve(request, path, handlers[request.method])

        route = Route(ROOT + path, endpoint, methods=list(handlers))
        route.methods = set(handlers)  # Starlette adds HEAD to GET; the API has none
        return route

    async def _serve(self, request: Request, route: str, handler: Handler) -> Response:
        path = request.url.path.removeprefix(ROOT)
        rules = tuple(self.engine.faults.for_request(request.method, path))
        await asyncio.sleep(sum(rule.seconds for rule in rules if rule.action == "delay"))
        answer = instead(rules, self.dialect)
        if answer is None:
            answer = spoiled(await self._answer(request, rules, handler), rules)
        self._record(request, route, answer)
        return answer

    async def _answer(self, request: Request, rules: tuple[Rule, ...], handler: Handler) -> Response:
        account: Account | None = None
        try:
            key = authenticate(request.headers.get("authorization"), self.engine.settings.all_keys)
            account = self.engine.accounts[key.account_name]
            account.window.admit()
            answer = await handler(AdmittedRequest(request, account, rules))
        except EmulatorError as error:
            answer = problem(error, self.dialect)
        except Exception:  # noqa: BLE001 - a defect must not close the connection: clients would take it for a lost reply
            _log.exception("%s %s", request.method, request.url.path)
            answer = problem(EmulatorError("INTERNAL_ERROR", "The emulator failed; see its log."), self.dialect)
        answer.headers.update(self._rate_headers(account))
        return answer

    def _rate_headers(self, account: Account | None) -> dict[str, str]:
        window = (account or next(iter(self.engine.accounts.values()))).window
        headers = window.peek().headers()
        if self.dialect.reset_in_milliseconds:
            headers["X-RateLimit-Reset"] += "000"
        return headers

    def _refused(self, request: Request, error: HTTPException) -> Response:
        code = "METHOD_NOT_ALLOWED" if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED else "NOT_FOUND"
        refusal = EmulatorError(code, f"{request.method} {request.url.path}: {error.detail}.", status=error.status_code)
        answer = problem(refusal, self.dialect, {**(error.headers or {}), **self._rate_headers(None)})
        self._record(request, "other", answer)
        return answer

    def _record(self, request: Request, route: str, answer: Response) -> None:
        status = None if not answer.status_code or type(answer).__name__ == "Dropped" else answer.status_code
        now = self.engine.settings.clock()
        self.requests.append(RequestRecord(request.method, request.url.path, request.url.query, status, now))
        self.by_route[f"{request.method} {route.replace('{id:path}', '{id}')}"] += 1
        self.polls += request.method == "GET" and route.startswith("/batch/")

    @staticmethod
    def _of_kind(kind: JobKind, handler: Callable[[AdmittedRequest, JobKind], Awaitable[Response]]) -> Handler:
        async def handle(call: AdmittedRequest) -> Response:
            return await handler(call, kind)

        return handle

    # One page

    async def _one(self, call: AdmittedRequest, kind: JobKind) -> Response:
        url, options = parse_one(kind, await self._checked(call, kind))
        product = await self.engine.one_page(call.account, kind, url, options)
        return _success(self._single_view(kind, url, product))

    def _single_view(self, kind: JobKind, url: str, product: Product) -> dict[str, object]:
        payload = with_source_url(product.payload, self.dialect)
        # Section 3.1: beside the rows of an extraction, at the top level.
        beside = {"metadata": payload.pop("metadata")} if kind is JobKind.EXTRACT and "metadata" in payload else {}
        return {"data": {"url": url, **payload}, **beside}

    async def _suggest_fields(self, call: AdmittedRequest) -> Response:
        url, _ = parse_one(JobKind.DISTILL, body := await call.body())
        options = parse_fields(
            PageOptions, {name: value for name, value in body.items() if name in {"timeout", "countryCode"}}
        )
        product = await self.engine.page(JobKind.DISTILL, url, options)
        page = product.page
        fields = suggest(page.root, page.base) if page.root is not None else [Field("title")]
        return _success({"data": {"url": url, "title": page.title, **_proposal(fields)}})

    async def _search(self, call: AdmittedRequest) -> Response:
        body = await call.body()
        wanted, options = parse_fields(SearchBody, body), parse_fields(PageOptions, body)
        engine, account = self.engine, call.account
        engine.must_afford(account, 1)
        host = _host(wanted.site)
        found = engine.store.search_pages(words_of(wanted.query), limit=wanted.limit, host=host)
        engine.store.spend(account.name, 1)
        hits = [
            await self._hit(account, {**asdict(hit), "position": place}, options) for place, hit in enumerate(found, 1)
        ]
        used = 1 + sum(cost for _, cost in hits)
        good = sum(view["success"] is True for view, _ in hits)
        totals = {"query": wanted.query, "total": len(hits), "successful": good, "credits_used": used}
        return _success({"data": {**totals, "results": [view for view, _ in hits]}})

    async def _hit(
        self, account: Account, view: dict[str, object], options: PageOptions
    ) -> tuple[dict[str, object], int]:
        try:
            product = await self.engine.one_page(account, JobKind.DISTILL, str(view["url"]), options)
        except EmulatorError as error:
            return {**view, "success": False, "error": error.as_row_error()}, 0
        return {**view, "success": True, **with_source_url(product.payload, self.dialect)}, product.credits

    # Jobs

    async def _submit_batch(self, call: AdmittedRequest, kind: JobKind) -> Response:
        body = await self._checked(call, kind)
        limit = self.dialect.extract_batch_urls if kind is JobKind.EXTRACT else MAX_BATCH_URLS
        batch = parse_batch(kind, body, limit, check_urls=self.dialect.invalid_urls == "request")
        job = self.engine.submit(call.account, f"batch/{kind.value}", kind, batch, body)
        return _success({"data": job_view(job, self.dialect)}, status=self.dialect.submit_status)

    async def _submit_async(self, call: AdmittedRequest, kind: JobKind) -> Response:
        body = await self._checked(call, kind)
        url, _ = parse_one(kind, body)
        body = {**{name: value for name, value in body.items() if name not in {"url", "webhook"}}, "urls": [url]}
        job = self.engine.submit(call.account, f"async/{kind.value}", kind, parse_batch(kind, body), body)
        return _success({"data": submitted_async_view(job, self.dialect)}, status=self.dialect.submit_status)

    async def _read_batch(self, call: AdmittedRequest, kind: JobKind) -> Response:
        job = self._find(call, f"batch/{kind.value}")
        offset, limit = _page(call.request.query_params)
        if self.dialect.unpaged:
            offset, limit = 0, -1
        only_finished = not lists_unfinished(job, self.dialect)
        rows = self.engine.store.rows(job.id, offset=offset, limit=limit, finished_only=only_finished)
        shown = [row_view(row, job, self.dialect) for row in rows]
        view = {**job_view(job, self.dialect), "results": spoil_rows(shown, call.rules)}
        for rule in call.rules:
            view["status"] = _spoiled_status(rule, view["status"])
        return _success({"data": view})

    async def _read_async(self, call: AdmittedRequest, kind: JobKind) -> Response:
        job = self._find(call, f"async/{kind.value}")
        row = self.engine.store.rows(job.id)[0]
        return _success({"data": async_view(job, row, self.dialect)})

    async def _cancel_batch(self, call: AdmittedRequest, kind: JobKind) -> Response:
        job = self._find(call, f"batch/{kind.value}")
        if not job.status.is_terminal:
            self.engine.cancel(job)
            return _success({})
        status = int(self.dialect.cancel_terminal_status)
        if status != HTTPStatus.OK:
            code = "JOB_NOT_FOUND" if status == HTTPStatus.NOT_FOUND else _CONFLICT
            raise EmulatorError(code, f"The job is {job.status.value} already.", status=status)
        return _success({})

    def _find(self, call: AdmittedRequest, route: str) -> jobs.EmulatedJob:
        actions = {rule.action for rule in call.rules}
        job = self.engine.store.job(call.request.path_params["id"])
        known = job is not None and (job.route, job.account) == (route, call.account.name)
        if known and "expired" in actions:
            raise EmulatorError("JOB_NOT_FOUND", "The results of this job have expired.", status=HTTPStatus.GONE)
        if job is None or not known or "job_lost" in actions:
            raise EmulatorError("JOB_NOT_FOUND", "No such job.")
        return job

    async def _checked(self, call: AdmittedRequest, kind: JobKind) -> dict[str, object]:
        body = await call.body()
        if kind is JobKind.EXTRACT and body.get("schema") is not None:
            parse_schema(body["schema"])
        return body

    # For whoever runs the emulator

    async def _stats(self, _request: Request) -> Response:
        now = self.engine.settings.clock()
        states = Counter(job.status.value for job in self.engine.store.all_jobs())
        accounts = {
            name: {"left": self.engine.store.credits_left(name), "reserved": self.engine.store.credits_reserved(name)}
            for name in self.engine.accounts
        }
        return JSONResponse(
            {
                "requests": dict(self.by_route),
                "requestsLastMinute": sum(record.at > now - _MINUTE for record in self.requests),
                "polls": self.polls,
                "jobs": {status.value: states[status.value] for status in JobStatus if states[status.value]},
                "credits": accounts,
                "pages": dict(self.engine.pages),
                "fetches": self.engine.fetcher.fetched,
                "webhooks": len(self.engine.courier.deliveries),
            }
        )

    async def _health(self, _request: Request) -> Response:
        settings = self.engine.settings
        limits = settings.limits
        return JSONResponse(
            {
                "plan": limits.name,
                "requestsPerMinute": limits.requests_per_minute,
                "concurrentJobs": limits.concurrent_jobs,
                "version": __version__,
                "allowOrigins": sorted(str(origin) for origin in settings.allowed),
                "pid": os.getpid(),
            }
        )

    async def _hold(self, request: Request) -> Response:
        return self._by_owner(request, self.engine.gate.hold)

    async def _release(self, request: Request) -> Response:
        pages = request.query_params.get("pages", "")
        count = int(pages) if re.fullmatch(r"\d{1,6}", pages) else None
        return self._by_owner(request, lambda: self.engine.gate.release(count))

    def _by_owner(self, request: Request, change: Callable[[], None]) -> Response:
        """Change what the emulator does, for whoever has a key."""
        try:
            authenticate(request.headers.get("authorization"), self.engine.settings.all_keys)
        except EmulatorError as error:
            return problem(error, self.dialect)
        change()
        return _success({})


def _success(content: Mapping[str, object], status: int = 200) -> Response:
    return JSONResponse({"success": True, **content}, status_code=status)


def _page(query: Mapping[str, str]) -> tuple[int, int]:
    """Offset and limit of `page` and `pageSize`."""
    page = _number(query, "page", 0, 0, 2**31)
    size = _number(query, "pageSize", DEFAULT_PAGE_SIZE, 1, MAX_PAGE_SIZE)
    return page * size, size


def _number(query: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"[0-9]{1,10}", text) or not least <= int(text) <= most:
        message = f"A whole number from {least} to {most}."
        raise EmulatorError("INVALID_PARAMETER", "Some parameters are not valid.", details={name: message})
    return int(text)


def _spoiled_status(rule: Rule, status: object) -> object:
    if rule.action == "status_word":
        return rule.word
    return JobStatus.COMPLETED.value if rule.action == "completed_early" else status


def _proposal(fields: list[Field]) -> dict[str, object]:
    listed = [
        {"name": f.name, "type": _wire_type(f), "instruction": f.description or f.name.replace("_", " ")}
        for f in fields
    ]
    properties = {
        f.name: {
            "type": f.type if f.type in {"number", "boolean"} else "string",
            "description": f.name.replace("_", " "),
        }
        for f in fields
    }
    return {"fields": listed, "schema": {"type": "object", "properties": properties}}


def _wire_type(field: Field) -> str:
    return {"number": "NUMBER", "integer": "NUMBER", "url": "URL", "date": "DATE", "email": "EMAIL"}.get(
        field.type, "TEXT"
    )


def _host(site: str | None) -> str | None:
    if not site:
        return None
    return (urlsplit(site if "//" in site else f"//{site}").hostname or site).lower()
