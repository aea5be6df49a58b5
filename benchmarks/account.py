"""An account of the API that is quick enough never to be waited for: jobs are simulated, no page is fetched.

python -m benchmarks.account --port 8000 --plan pro --job-seconds 30

It serves `/openapi/v1/batch/distill` with the limits of a plan, and the same jobs as `/v2/batch/scrape` in shapes of
Firecrawl's API. `/_account/journal` tells every request and every job.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field, fields

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from benchmarks.jobs import JobQueue, SimulatedJob
from benchmarks.journal import AskedRequest, HeldJob, Journal
from benchmarks.pages import Site
from thunderbit_dagster.api.codes import DEFAULT_PAGE_SIZE, MAX_BATCH_URLS, MAX_PAGE_SIZE, PLANS, Plan, RowStatus
from thunderbit_dagster.emulator.account import DEMO_KEY, ApiKey, RateWindow, authenticate
from thunderbit_dagster.emulator.dialect import Dialect
from thunderbit_dagster.emulator.errors import EmulatorError
from thunderbit_dagster.emulator.json_views import job_view, row_view, webhook_payload
from thunderbit_dagster.emulator.responses import parse_body, problem
from thunderbit_dagster.emulator.webhooks import signed_headers
from thunderbit_dagster.serving import listen

UNLIMITED = Plan("unlimited", 10_000_000, 1_000_000)
ALL_PLANS = {**PLANS, UNLIMITED.name: UNLIMITED}
DIALECT = Dialect()
ANSWER_BYTES = 10 * 1024 * 1024
"""Firecrawl's API begins a new page of results after so much."""
LOOK_SECONDS = 0.02
KEEP_ALIVE_SECONDS = 75
"""As proxies have it; with uvicorn's 5 s, a client that looks every 5 s would meet connections as they close."""
WEBHOOK_TRIES = 4

Endpoint = Callable[[Request, float], Awaitable[Response]]


@dataclass
class Account:
    """The limits and jobs of one account, and everything that was asked of it."""

    site: Site
    plan: Plan
    key: str = DEMO_KEY
    clock: Callable[[], float] = time.time
    requests: list[AskedRequest] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.queue = JobQueue(self.site, self.plan.concurrent_jobs)
        self.window = RateWindow(self.plan.requests_per_minute, self.clock)
        self.keys = [ApiKey(self.key)]

    def app(self) -> Starlette:
        """The ASGI application."""
        thunderbit, firecrawl = "/openapi/v1/batch/distill", "/v2/batch/scrape"
        return Starlette(
            routes=[
                self._route(thunderbit, "POST", "submit", self._submit),
                self._route(thunderbit + "/{id}", "GET", "status", self._status),
                self._route(thunderbit + "/{id}", "DELETE", "cancel", self._cancel),
                self._route(firecrawl, "POST", "submit", self._submit_scrape),
                self._route(firecrawl + "/{id}/errors", "GET", "status", self._scrape_errors),
                self._route(firecrawl + "/{id}", "GET", "status", self._scrape_status),
                self._route(firecrawl + "/{id}", "DELETE", "cancel", self._cancel_scrape),
                Route("/_account/journal", self._journal),
                Route("/_account/health", self._health),
            ],
            lifespan=self._delivering,
        )

    def _route(self, path: str, method: str, kind: str, endpoint: Endpoint) -> Route:
        async def serve(request: Request) -> Response:
            now = self.clock()
            self.queue.advance(now)
            answer = await self._answer(request, now, endpoint)
            answer.headers.update(self.window.peek().headers())
            job = request.path_params.get("id")
            self.requests.append(AskedRequest(kind, job, now, answer.status_code, len(answer.body)))
            return answer

        return Route(path, serve, methods=[method])

    async def _answer(self, request: Request, now: float, endpoint: Endpoint) -> Response:
        try:
            authenticate(request.headers.get("authorization"), self.keys)
            self.window.admit()
            return await endpoint(request, now)
        except EmulatorError as error:
            return problem(error, DIALECT)

    def _job(self, request: Request) -> SimulatedJob:
        job = self.queue.jobs.get(request.path_params["id"])
        if job is None:
            raise EmulatorError("JOB_NOT_FOUND", "No such job.")
        return job

    # As Thunderbit's API

    async def _submit(self, request: Request, now: float) -> Response:
        body = parse_body(await request.body())
        webhook = body.get("webhook")
        target = (str(webhook["url"]), webhook.get("secret")) if isinstance(webhook, dict) else None
        job = self.queue.submit(_urls(body), now, target)
        return JSONResponse({"success": True, "data": job_view(job.view(now), DIALECT)})

    async def _status(self, request: Request, now: float) -> Response:
        job = self._job(request)
        page = int(request.query_params.get("page", 0))
        size = int(request.query_params.get("pageSize", DEFAULT_PAGE_SIZE))
        if page < 0 or not 1 <= size <= MAX_PAGE_SIZE:
            raise EmulatorError("INVALID_PARAMETER", "Some parameters are not valid.")
        view = json.dumps(job_view(job.view(now), DIALECT))
        rows = ",".join(self._rows(job, now, page * size, (page + 1) * size))
        return _json(f'{{"success": true, "data": {view[:-1]}, "results": [{rows}]}}}}')

    def _rows(self, job: SimulatedJob, now: float, start: int, stop: int) -> list[str]:
        state = job.view(now)
        shown = []
        for row in job.rows(now, start, stop):
            text = json.dumps(row_view(row, state, DIALECT))
            if row.status is RowStatus.SUCCEEDED:
                text = f'{text[:-1]}, "markdown": {self.site.markdown_json(row.url)}}}'
            shown.append(text)
        return shown

    async def _cancel(self, request: Request, now: float) -> Response:
        self.queue.cancel(self._job(request), now)
        return JSONResponse({"success": True})

    # As Firecrawl's API

    async def _submit_scrape(self, request: Request, now: float) -> Response:
        job = self.queue.submit(_urls(parse_body(await request.body())), now)
        return JSONResponse({"success": True, "id": job.id, "url": f"{request.url}/{job.id}", "invalidURLs": []})

    async def _scrape_status(self, request: Request, now: float) -> Response:
        job, skip = self._job(request), int(request.query_params.get("skip", 0))
        most = max(1, min(MAX_PAGE_SIZE, ANSWER_BYTES // max(1, self.site.body_bytes)))
        done = [row.url for row in job.rows(now, 0, len(job.urls)) if row.status is RowStatus.SUCCEEDED]
        view = job.view(now)
        ended = view.status.is_terminal
        head: dict[str, object] = {
            "success": True,
            "status": view.status.value.lower() if ended else "scraping",
            "total": view.total,
            "completed": view.completed,
            "creditsUsed": view.credits_used,
        }
        if skip + most < len(done):
            head["next"] = f"{request.url.replace(query='')}?skip={skip + most}"
        documents = ",".join(map(self._document, done[skip : skip + most]))
        return _json(f'{json.dumps(head)[:-1]}, "data": [{documents}]}}')

    def _document(self, url: str) -> str:
        metadata = json.dumps({"sourceURL": url, "url": url, "statusCode": 200})
        return f'{{"markdown": {self.site.markdown_json(url)}, "metadata": {metadata}}}'

    async def _scrape_errors(self, request: Request, now: float) -> Response:
        job = self._job(request)
        failed = [row for row in job.rows(now, 0, len(job.urls)) if row.status is RowStatus.FAILED]
        errors = [{"id": f"{job.id}-{row.index}", "url": row.url, "error": "not found"} for row in failed]
        return JSONResponse({"success": True, "errors": errors, "robotsBlocked": []})

    async def _cancel_scrape(self, request: Request, now: float) -> Response:
        self.queue.cancel(self._job(request), now)
        return JSONResponse({"success": True, "status": "cancelled"})

    # For whoever measures

    async def _journal(self, _request: Request) -> Response:
        self.queue.advance(self.clock())
        jobs = [
            HeldJob(job.id, job.urls, job.submitted_at, job.started_at, job.ended_at, job.status.value)
            for job in self.queue.jobs.values()
        ]
        return JSONResponse(asdict(Journal(self.requests, jobs)))

    async def _health(self, _request: Request) -> Response:
        return JSONResponse({"plan": self.plan.name})

    # Webhooks

    @asynccontextmanager
    async def _delivering(self, _app: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(self._deliver_all())
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def _deliver_all(self) -> None:
        under_way: set[asyncio.Task[None]] = set()
        async with httpx.AsyncClient(trust_env=False) as client:
            while True:
                self.queue.advance(self.clock())
                while self.queue.newly_ended:
                    job = self.queue.newly_ended.popleft()
                    if job.webhook is not None:
                        task = asyncio.create_task(self._deliver(client, job, *job.webhook))
                        under_way.add(task)
                        task.add_done_callback(under_way.discard)
                await asyncio.sleep(LOOK_SECONDS)

    async def _deliver(self, client: httpx.AsyncClient, job: SimulatedJob, url: str, secret: str | None) -> None:
        body = json.dumps(webhook_payload(job.view(self.clock()))).encode()
        for attempt in range(WEBHOOK_TRIES):
            headers = signed_headers(body, secret, int(self.clock() * 1000))
            with suppress(httpx.HTTPError):
                if (await client.post(url, content=body, headers=headers)).is_success:
                    return
            await asyncio.sleep(2.0**attempt)


def _urls(body: dict[str, object]) -> Sequence[str]:
    urls = body.get("urls")
    if not isinstance(urls, list) or not urls:
        raise EmulatorError("INVALID_PARAMETER", "`urls` is a list of URLs.")
    if len(urls) > MAX_BATCH_URLS:
        raise EmulatorError("BATCH_SIZE_EXCEEDED", f"At most {MAX_BATCH_URLS} URLs.")
    return [str(url) for url in urls]


def _json(text: str) -> Response:
    return Response(text, media_type="application/json")


def add_site_arguments(parser: argparse.ArgumentParser) -> None:
    """The settings of `Site`, each under its own name."""
    for one in fields(Site):
        number = int if isinstance(one.default, int) else float
        parser.add_argument(f"--{one.name.replace('_', '-')}", type=number, default=one.default)


def site_from(arguments: argparse.Namespace) -> Site:
    return Site(**{one.name: getattr(arguments, one.name) for one in fields(Site)})


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.account", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--plan", choices=ALL_PLANS, default="pro")
    parser.add_argument("--key", default=DEMO_KEY)
    add_site_arguments(parser)
    arguments = parser.parse_args()
    account = Account(site_from(arguments), ALL_PLANS[arguments.plan], arguments.key)
    listener = listen("127.0.0.1", arguments.port)
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    config = uvicorn.Config(account.app(), log_level="warning", access_log=False, timeout_keep_alive=KEEP_ALIVE_SECONDS)
    server = uvicorn.Server(config)
    server.run(sockets=[listener])


if __name__ == "__main__":
    main()
