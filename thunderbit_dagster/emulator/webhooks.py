"""Announcing the end of a job (section 8 of the API reference): signed, repeated until acknowledged."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx

from thunderbit_dagster.emulator.errors import EmulatorError
from thunderbit_dagster.emulator.faults import FaultPlan
from thunderbit_dagster.emulator.fetch import Fetcher
from thunderbit_dagster.emulator.jobs import EmulatedJob
from thunderbit_dagster.emulator.json_views import webhook_payload
from thunderbit_dagster.emulator.options import WebhookTarget
from thunderbit_dagster.emulator.settings import EmulatorSettings
from thunderbit_dagster.emulator.store import EmulatorStore
from thunderbit_dagster.emulator.waiting import stop, within

_KEPT_DELIVERIES = 10_000


def signed_headers(body: bytes, secret: str | None, timestamp_ms: int, scheme: str = "base64") -> dict[str, str]:
    """The headers of a delivery; unsigned without a secret.

    `base64` signs timestamp, dot and body; `hex`, of the older page, the body alone.
    """
    headers = {
        "Content-Type": "application/json",
        "X-Webhook-Event": "batch.completed",
        "X-Webhook-Timestamp": str(timestamp_ms),
    }
    if not secret:
        return headers
    signed = body if scheme == "hex" else f"{timestamp_ms}.".encode() + body
    digest = hmac.new(secret.encode(), signed, hashlib.sha256)
    written = digest.hexdigest() if scheme == "hex" else base64.b64encode(digest.digest()).decode("ascii")
    return {**headers, "X-Webhook-Signature": f"sha256={written}"}


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt: the job, when, and the receiver's HTTP status; None when there was no answer."""

    job: str
    at: float
    status: int | None


class Courier:
    """Delivers webhooks in the background, through the same address guard as pages."""

    def __init__(
        self,
        settings: EmulatorSettings,
        store: EmulatorStore,
        fetcher: Fetcher,
        plan: FaultPlan,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._store = store
        self._fetcher = fetcher
        self._plan = plan
        self._sleep = sleep
        self._running: set[asyncio.Task[None]] = set()
        self.deliveries: deque[Delivery] = deque(maxlen=_KEPT_DELIVERIES)

    def announce(self, job: EmulatedJob, target: WebhookTarget, attempts: int = 0) -> None:
        """Start telling the receiver that the job has ended; `attempts` were made before."""
        task = asyncio.get_running_loop().create_task(self._announce(job, target, attempts))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def close(self) -> None:
        """Stop; what is undelivered is taken up after a restart."""
        await stop(self._running)

    async def _announce(self, job: EmulatedJob, target: WebhookTarget, attempts: int) -> None:
        actions = [rule.action for rule in self._plan.for_webhook("/" + job.route)]
        if "webhook_lost" in actions:
            self._store.record_delivery(job.id, attempts=attempts, done=True)
            return
        await self._until_taken(job, target, attempts)
        if "webhook_doubled" in actions:
            await self._deliver(job, target)

    async def _until_taken(self, job: EmulatedJob, target: WebhookTarget, attempts: int) -> None:
        pauses = self._settings.webhook_retries
        while True:
            taken = await self._deliver(job, target)
            attempts += 1
            done = taken or attempts > len(pauses)
            self._store.record_delivery(job.id, attempts=attempts, done=done)
            if done:
                return
            await self._sleep(pauses[attempts - 1])

    async def _deliver(self, job: EmulatedJob, target: WebhookTarget) -> bool:
        body = json.dumps(webhook_payload(job)).encode()
        now = self._settings.clock()
        headers = signed_headers(body, target.secret, int(now * 1000), self._settings.dialect.webhook_signature)
        status: int | None = None
        try:
            sent = self._fetcher.post(target.url, headers, body)
            status = await within(self._settings.webhook_timeout, sent)
        except (EmulatorError, asyncio.TimeoutError):
            pass  # no answer; the next attempt may have more luck
        self.deliveries.append(Delivery(job.id, now, status))
        return status is not None and httpx.codes.is_success(status)
