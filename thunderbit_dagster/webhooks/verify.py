"""What may be believed of a delivery, and what it says: decisions over plain values, without input or output."""

from __future__ import annotations

import hmac
import re
from collections import OrderedDict
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from thunderbit_dagster.api.codes import JobKind
from thunderbit_dagster.api.errors import ProtocolError
from thunderbit_dagster.api.models import Job
from thunderbit_dagster.api.parsing import decode_json, parse_job, parse_notification
from thunderbit_dagster.api.signatures import is_fresh, sign_legacy, verify
from thunderbit_dagster.ledger.records import Notified

_TOLERANCE: Final = 2_700.0
"""The API's last retry comes 43 minutes after the first try, and perhaps with the first try's timestamp."""
MAX_SECRETS: Final = 2
SEEN_CALLS: Final = 10_000

_INTENT = re.compile(r"[0-9a-f]{16}")


class DeliveryVerdict(str, Enum):
    """What a signature proves."""

    GENUINE = "genuine"
    FORGED = "forged"
    STALE = "stale"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRules:
    """What is believed.

    Args:
        secrets: The webhook's secret, or two while one replaces the other. Never shown by ``repr``.
        legacy: Believe the older scheme (hex, of the body alone) in place of the current one, never both. It does
            not protect against replays.
        tolerance: Seconds that a delivery's timestamp may differ from our clock, either way (default 45 minutes).
        unsigned: Believe everybody. Only without secrets.

    Raises:
        ValueError: neither secrets nor ``unsigned``, or both; more than two secrets; a tolerance that is not positive.
    """

    secrets: tuple[str, ...] = field(default=(), repr=False)
    legacy: bool = False
    tolerance: float = _TOLERANCE
    unsigned: bool = False

    def __post_init__(self) -> None:
        if not self.unsigned and not any(self.secrets):
            raise ValueError("a secret is required: without one, anybody could send deliveries")
        if self.unsigned and any(self.secrets):
            raise ValueError("secrets are given, but signature checks are turned off: use only one of them")
        if len(self.secrets) > MAX_SECRETS:
            raise ValueError(f"at most {MAX_SECRETS} secrets are allowed: the new one and the one that it replaces")
        if self.tolerance <= 0:
            raise ValueError("the tolerance must be positive")


def judge_delivery(rules: DeliveryRules, body: bytes, *, signature: str, timestamp: str, now: float) -> DeliveryVerdict:
    """Whether a delivery is believed. Every wrong signature takes the same time.

    Args:
        rules: What is believed.
        body: The raw body as received.
        signature: The value of ``X-Webhook-Signature``; empty when absent.
        timestamp: The value of ``X-Webhook-Timestamp``, epoch in ms; empty when absent.
        now: Our clock, a Unix time in seconds.
    """
    if rules.unsigned:
        return DeliveryVerdict.GENUINE
    if rules.legacy:
        return DeliveryVerdict.GENUINE if _is_legacy(rules, body, signature) else DeliveryVerdict.FORGED
    if not verify(rules.secrets, body, signature=signature, timestamp=timestamp):
        return DeliveryVerdict.FORGED
    return DeliveryVerdict.GENUINE if is_fresh(timestamp, now=now, tolerance=rules.tolerance) else DeliveryVerdict.STALE


def _is_legacy(rules: DeliveryRules, body: bytes, signature: str) -> bool:
    given = signature.encode("utf-8", "surrogateescape")
    matches = [hmac.compare_digest(given, sign_legacy(one, body).encode()) for one in rules.secrets if one]
    return any(matches)


def read_delivery(body: bytes, *, intent: str | None, legacy: bool, now: float) -> list[Notified]:
    """What a believed delivery says.

    Args:
        body: The raw body.
        intent: The parameter of the URL called; not signed, so it counts only when it looks like an intent's id.
        legacy: Payloads of the older page name no kind of job: both kinds are told, and one will match nothing.
        now: When it came, a Unix time in seconds.

    Raises:
        ProtocolError: the body names no job.
    """
    known = intent if intent and _INTENT.fullmatch(intent) else None
    return [Notified(job=str(job.ref), status=job.status.value, intent_id=known, at=now) for job in _jobs(body, legacy)]


def _jobs(body: bytes, legacy: bool) -> list[Job]:
    data = decode_json(body)
    try:
        return [parse_notification(data)]
    except ProtocolError:
        if not legacy:
            raise
        return [parse_job(data, kind) for kind in JobKind]


class Seen:
    """Calls that were taken, by job and status, the newest ``limit`` of them."""

    def __init__(self, limit: int = SEEN_CALLS) -> None:
        self._limit = limit
        self._calls: OrderedDict[tuple[str, str], None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._calls)

    def __contains__(self, call: Notified) -> bool:
        return (call.job, call.status) in self._calls

    def add(self, call: Notified) -> None:
        """Remember a call, and forget the oldest when there are too many."""
        self._calls[call.job, call.status] = None
        while len(self._calls) > self._limit:
            self._calls.popitem(last=False)
