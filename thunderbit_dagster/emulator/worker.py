"""Runs the jobs: a slot each, a few pages of each at a time, every finished row billed and written at once."""

import asyncio
import logging
import secrets
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from urllib.parse import urlsplit

from thunderbit_dagster.api.codes import JobKind, RowStatus
from thunderbit_dagster.emulator import jobs
from thunderbit_dagster.emulator.account import RateWindow, Slots
from thunderbit_dagster.emulator.distill import DistilledPage, Product, produce
from thunderbit_dagster.emulator.errors import EmulatorError
from thunderbit_dagster.emulator.faults import FaultPlan
from thunderbit_dagster.emulator.fetch import Fetcher, GuardedBackend, RobotsGate
from thunderbit_dagster.emulator.options import (
    BatchSubmission,
    PageOptions,
    WebhookTarget,
    check_url,
    parse_fields,
    parse_options,
)
from thunderbit_dagster.emulator.settings import EmulatorSettings
from thunderbit_dagster.emulator.store import EmulatorStore
from thunderbit_dagster.emulator.waiting import stop, within
from thunderbit_dagster.emulator.webhooks import Courier

_log = logging.getLogger(__name__)
_SEARCHABLE_CHARACTERS = 200_000


class PageGate:
    """Holds back finished pages, so that tests and demonstrations decide when a page is done."""

    def __init__(self, *, held: bool) -> None:
        self._open = asyncio.Event()
        self._passes = asyncio.Semaphore(0)
        if not held:
            self._open.set()

    async def passed(self) -> None:
        """Wait until the gate is open, or one page is let through."""
        if self._open.is_set():
            return
        waits = [asyncio.ensure_future(self._open.wait()), asyncio.ensure_future(self._passes.acquire())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def hold(self) -> None:
        """Let no page finish from now on."""
        self._open.clear()

    def release(self, pages: int | None = None) -> None:
        """Let so many pages finish, or all from now on."""
        if pages is None:
            self._open.set()
        for _ in range(pages or 0):
            self._passes.release()


class Account:
    """The limits of one account at work."""

    def __init__(self, name: str, settings: EmulatorSettings) -> None:
        self.name = name
        self.window = RateWindow(settings.limits.requests_per_minute, settings.clock)
        self.slots = Slots(settings.limits.concurrent_jobs)
        self.promised = 0
        """Credits that synchronous calls under way may cost."""


class Engine:
    """The account and its jobs. For one event loop; `start` it there."""

    def __init__(self, settings: EmulatorSettings, store: EmulatorStore) -> None:
        self.settings = settings
        self.store = store
        self.faults = FaultPlan(settings.faults)
        self.fetcher = Fetcher(GuardedBackend(settings.allowed, settings.resolve))
        self.courier = Courier(settings, store, self.fetcher, self.faults)
        self.gate = PageGate(held=settings.hold)
        self.pages: Counter[str] = Counter()
        """Pages finished, by row status."""
        self.accounts = {name: Account(name, settings) for name in self._account_names()}
        self._cpu = ThreadPoolExecutor(max_workers=2, thread_name_prefix="distill")
        self._hosts: defaultdict[str, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(settings.pages_per_host)
        )
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._job_faults: dict[str, set[str]] = {}

    def start(self) -> None:
        """Take up the jobs and webhooks that an earlier process left."""
        for job in self.store.open_jobs():
            if job.account in self.accounts:
                self._spawn(job)
        for job, attempts in self.store.undelivered():
            self._announce(job, attempts)

    async def close(self) -> None:
        """Stop all work; what is unfinished is taken up after a restart."""
        await stop(self._tasks.values())
        await self.courier.close()
        await self.fetcher.close()
        self._cpu.shutdown(wait=True, cancel_futures=True)

    # Credits

    def credits_free(self, account: Account) -> int:
        """What is neither spent nor promised to work under way."""
        left = self.store.credits_left(account.name) - account.promised
        midway = self.settings.dialect.insufficient_credits == "midway"
        return left if midway else left - self.store.credits_reserved(account.name)

    def must_afford(self, account: Account, price: int) -> None:
        """Refuse what the account cannot pay.

        Raises:
            ApiError: `INSUFFICIENT_CREDITS`.
        """
        free = self.credits_free(account)
        midway = self.settings.dialect.insufficient_credits == "midway"
        if free < (min(price, 1) if midway else price):
            raise EmulatorError("INSUFFICIENT_CREDITS", f"This may cost {price} credits; {max(free, 0)} are free.")

    # Batch jobs

    def submit(
        self, account: Account, route: str, kind: JobKind, batch: BatchSubmission, body: dict[str, object]
    ) -> jobs.EmulatedJob:
        """Accept a job and start it.

        Raises:
            ApiError: `INSUFFICIENT_CREDITS`.
        """
        price = batch.options.price(kind)
        self.must_afford(account, price * len(batch.urls))
        job = jobs.EmulatedJob(
            id=f"{route.partition('/')[0]}_{secrets.token_hex(12)}",
            route=route,
            account=account.name,
            kind=kind,
            total=len(batch.urls),
            price=price,
            created_at=self.settings.clock(),
        )
        self.store.add_job(job, batch.urls, body, webhook=batch.webhook is not None)
        self._job_faults[job.id] = {rule.action for rule in self.faults.for_job("/" + route)}
        self._spawn(job)
        return job

    def cancel(self, job: jobs.EmulatedJob) -> jobs.EmulatedJob:
        """Stop a job that is pending or processing."""
        cancelled = jobs.cancel(job, self.settings.clock())
        self.store.save_job(cancelled)
        task = self._tasks.get(job.id)
        if task is not None:
            task.cancel()
        self._announce(cancelled)
        return cancelled

    # One page

    async def one_page(self, account: Account, kind: JobKind, url: str, options: PageOptions) -> Product:
        """A synchronous call: waits for a slot, then for the page.

        Raises:
            ApiError: `INSUFFICIENT_CREDITS`, `REQUEST_TIMEOUT`, or the page's code.
        """
        price = options.price(kind)
        self.must_afford(account, price)
        account.promised += price
        try:
            await self._slot_in_time(account, options.timeout / 1000)
            try:
                product = await self.page(kind, url, options)
            finally:
                account.slots.release()
        finally:
            account.promised -= price
        self.store.spend(account.name, product.credits)
        self._remember(url, product.page)
        return product

    async def page(self, kind: JobKind, url: str, options: PageOptions, robots: RobotsGate | None = None) -> Product:
        """Fetch and read one page, within its time limit.

        Raises:
            ApiError: The page's code.
        """
        try:
            product = await self._in_time(kind, url, options, robots or RobotsGate(self.fetcher))
        except EmulatorError:
            await self.gate.passed()
            raise
        await self.gate.passed()
        return product

    async def _in_time(self, kind: JobKind, url: str, options: PageOptions, robots: RobotsGate) -> Product:
        try:
            return await within(options.timeout / 1000, self._page(kind, url, options, robots))
        except asyncio.TimeoutError:
            raise EmulatorError("SCRAPE_TIMEOUT", f"The page took longer than {options.timeout} ms.") from None

    async def _slot_in_time(self, account: Account, seconds: float) -> None:
        try:
            await within(seconds, account.slots.acquire())
        except asyncio.TimeoutError:
            raise EmulatorError("REQUEST_TIMEOUT", "All slots of the plan stayed busy.") from None

    async def _page(self, kind: JobKind, url: str, options: PageOptions, robots: RobotsGate) -> Product:
        check_url(url)
        befalls = self.faults.for_page(url)
        if befalls.delay:
            await asyncio.sleep(befalls.delay)
        if befalls.code is not None:
            raise EmulatorError(befalls.code, "The fault plan says so.")
        async with self._hosts[urlsplit(url).netloc]:
            fetched = await self.fetcher.page(
                url, options.headers, robots.permit if self.settings.honour_robots else _any
            )
        product = await asyncio.get_running_loop().run_in_executor(self._cpu, produce, kind, fetched, options)
        return replace(product, payload=befalls.spoil(product.payload)) if befalls.output else product

    # Inside a job

    def _spawn(self, job: jobs.EmulatedJob) -> None:
        task = asyncio.get_running_loop().create_task(self._run(job.id, self.accounts[job.account]))
        self._tasks[job.id] = task
        task.add_done_callback(lambda _: self._tasks.pop(job.id, None))

    async def _run(self, job_id: str, account: Account) -> None:
        async with account.slots:
            job = self._job(job_id)
            if job.status.is_terminal:
                return
            self.store.save_job(jobs.start(job))
            await self._rows(job)

    async def _rows(self, job: jobs.EmulatedJob) -> None:
        options = parse_options(job.kind, self.store.job_request(job.id))
        faults = self._job_faults.pop(job.id, set())
        waiting = self.store.open_rows(job.id)
        kept = len(waiting) // 2 if "job_failed" in faults else len(waiting) - ("job_stuck" in faults)
        robots = RobotsGate(self.fetcher)
        queue = iter(waiting[:kept])
        hands = min(self.settings.pages_at_once, kept)
        await asyncio.gather(*(self._work(job, options, robots, queue) for _ in range(hands)))
        if "job_failed" in faults:
            self._end(jobs.fail(self._job(job.id), self.settings.clock()))
        elif "job_stuck" in faults:
            await asyncio.Event().wait()

    async def _work(
        self, job: jobs.EmulatedJob, options: PageOptions, robots: RobotsGate, queue: Iterator[tuple[int, str]]
    ) -> None:
        for index, url in queue:
            self.store.start_row(job.id, index)
            try:
                product = await self.page(job.kind, url, options, robots)
            except EmulatorError as error:
                row = jobs.EmulatedRow(index, url, RowStatus.FAILED, error=error.as_row_error())
            except Exception:  # noqa: BLE001 - whatever a page does to the parser must fail that page only
                _log.exception("cannot read %s", url)
                failed = EmulatorError(f"{job.kind.value.upper()}_FAILED", "The page could not be processed.")
                row = jobs.EmulatedRow(index, url, RowStatus.FAILED, error=failed.as_row_error())
            else:
                row = jobs.EmulatedRow(index, url, RowStatus.SUCCEEDED, product.credits, product.payload)
                self._remember(url, product.page)
            self._settle(job.id, row)

    def _settle(self, job_id: str, row: jobs.EmulatedRow) -> None:
        job = self._job(job_id)
        if row.credits and self.settings.dialect.insufficient_credits == "midway":
            row = self._if_affordable(job, row)
        settled = jobs.finish_row(job, row, self.settings.clock())
        self.store.finish_row(settled, row)
        self.pages[row.status.value] += 1
        if settled.status.is_terminal:
            self._announce(settled)

    def _if_affordable(self, job: jobs.EmulatedJob, row: jobs.EmulatedRow) -> jobs.EmulatedRow:
        if self.store.credits_left(job.account) >= row.credits:
            return row
        error = EmulatorError("INSUFFICIENT_CREDITS", "The credits ran out while the job was running.")
        return replace(row, status=RowStatus.FAILED, credits=0, payload={}, error=error.as_row_error())

    def _end(self, job: jobs.EmulatedJob) -> None:
        self.store.save_job(job)
        self._announce(job)

    def _announce(self, job: jobs.EmulatedJob, attempts: int = 0) -> None:
        webhook = self.store.job_request(job.id).get("webhook")
        if isinstance(webhook, dict):
            self.courier.announce(job, parse_fields(WebhookTarget, webhook), attempts)

    def _remember(self, url: str, page: DistilledPage) -> None:
        host = (urlsplit(page.url).hostname or "").lower()
        self.store.remember_page(url, host, page.title, page.markdown[:_SEARCHABLE_CHARACTERS])

    def _job(self, job_id: str) -> jobs.EmulatedJob:
        job = self.store.job(job_id)
        if job is None:
            raise LookupError(job_id)
        return job

    def _account_names(self) -> list[str]:
        names = list(dict.fromkeys(key.account_name for key in self.settings.all_keys))
        for name in names:
            self.store.open_account(name, self.settings.credits)
        return names


async def _any(_url: str) -> None:
    """Permit everything."""
