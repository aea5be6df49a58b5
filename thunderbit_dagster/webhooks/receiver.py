"""The receiver's application: one address for deliveries, one for whoever watches over it.

A delivery is answered before Dagster does anything: 204 when it was believed, 401 when not, 413 when it is too large,
503 with ``Retry-After`` when too many wait. Bodies and signatures are never logged.
"""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from thunderbit_dagster.api.errors import ProtocolError
from thunderbit_dagster.api.signatures import SIGNATURE_HEADER, TIMESTAMP_HEADER
from thunderbit_dagster.ledger.records import Notified
from thunderbit_dagster.resource import INTENT_PARAMETER
from thunderbit_dagster.webhooks.report import Reporter
from thunderbit_dagster.webhooks.verify import DeliveryRules, DeliveryVerdict, Seen, judge_delivery, read_delivery

DEFAULT_PATH: Final = "/webhooks/thunderbit"
HEALTH_PATH: Final = "/healthz"
_MAX_BODY: Final = 64 * 1024
"""Bytes of a delivery. A payload holds no rows and takes some 300."""
RETRY_AFTER: Final = 10
QUIET_SECONDS: Final = 10.0
"""The least time between two lines about deliveries that were refused, so that a flood does not fill the log."""

log = logging.getLogger("thunderbit_dagster.webhooks")


class TooLargeError(Exception):
    """The body is larger than allowed."""


@dataclass
class Receiver:
    """Takes deliveries, believes some, and hands each job's news to the reporter once.

    Args:
        rules: What is believed.
        reporter: Where the news goes.
        path: The address for deliveries.
        max_body: Bytes that a body may have.
        clock: Unix time in seconds.
    """

    rules: DeliveryRules
    reporter: Reporter
    path: str = DEFAULT_PATH
    max_body: int = _MAX_BODY
    clock: Callable[[], float] = time.time
    counts: Counter[str] = field(default_factory=Counter)
    seen: Seen = field(default_factory=Seen)
    _quiet_until: float = 0.0

    def __post_init__(self) -> None:
        if not self.path.startswith("/") or self.path == HEALTH_PATH:
            raise ValueError(f"the path must begin with a slash and differ from {HEALTH_PATH}")

    def app(self) -> Starlette:
        """The application, to be served by any ASGI server that limits time and connections."""
        return Starlette(
            routes=[
                Route(self.path, self.deliver, methods=["POST"]),
                Route(HEALTH_PATH, self.health, methods=["GET"]),
            ]
        )

    async def health(self, _: Request) -> Response:
        """Whether the receiver works, and what it has done: 200, or 503 when nothing is reported any more."""
        figures = {
            **self.counts,
            "waiting": self.reporter.waiting,
            "reported": self.reporter.reported,
            "dropped": self.reporter.dropped,
        }
        return JSONResponse(figures, 200 if self.reporter.alive else 503)

    async def deliver(self, request: Request) -> Response:
        """Answer one delivery."""
        try:
            body = await self._read(request)
        except TooLargeError:
            return self._refuse("too large", 413)
        except ClientDisconnect:
            return self._refuse("cut off", 400)
        verdict = judge_delivery(
            self.rules,
            body,
            signature=request.headers.get(SIGNATURE_HEADER, ""),
            timestamp=request.headers.get(TIMESTAMP_HEADER, ""),
            now=self.clock(),
        )
        if verdict is DeliveryVerdict.FORGED:
            return self._refuse(verdict.value, 401)
        if verdict is DeliveryVerdict.STALE:
            # A late retry is acknowledged, for trying again would not help; as it may be a replay, it changes nothing.
            return self._refuse(verdict.value, 204)
        return self._take(body, request.query_params.get(INTENT_PARAMETER))

    async def _read(self, request: Request) -> bytes:
        if int(request.headers.get("Content-Length", "0")) > self.max_body:
            raise TooLargeError
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > self.max_body:
                raise TooLargeError
        return bytes(body)

    def _take(self, body: bytes, intent: str | None) -> Response:
        try:
            calls = read_delivery(body, intent=intent, legacy=self.rules.legacy, now=self.clock())
        except ProtocolError:
            return self._refuse("does not name a job", 204)
        new = [call for call in calls if call not in self.seen]
        if not new:
            self.counts["duplicate"] += 1
        elif self.reporter.room < len(new):
            return self._refuse("no room", 503, {"Retry-After": str(RETRY_AFTER)})
        for call in new:
            self._accept(call)
        return Response(status_code=204)

    def _accept(self, call: Notified) -> None:
        self.reporter.offer(call)
        self.seen.add(call)
        self.counts["accepted"] += 1
        told = {"event": "webhook accepted", "job": call.job, "status": call.status, "intent": call.intent_id}
        log.info("%s", json.dumps(told))

    def _refuse(self, reason: str, status: int, headers: dict[str, str] | None = None) -> Response:
        """Answer a delivery that changes nothing; the log tells of some, and how many there were."""
        self.counts[reason] += 1
        now = self.clock()
        if not self._quiet_until - QUIET_SECONDS <= now < self._quiet_until:
            self._quiet_until = now + QUIET_SECONDS
            told = {"event": "webhook refused", "reason": reason, "so far": dict(self.counts)}
            log.warning("%s", json.dumps(told))
        return Response(status_code=status, headers=headers)
