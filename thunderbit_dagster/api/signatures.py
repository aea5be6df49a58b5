"""Signatures of webhook deliveries: HMAC-SHA256 keyed with the webhook's secret ("Webhooks").

The current scheme signs `<X-Webhook-Timestamp>.<raw body>` and sends it in base64; an older one signs the
raw body alone and sends hex, which does not protect against replays. Both stand in `X-Webhook-Signature` after
the prefix `sha256=`. Always check the bytes received, never JSON written anew.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

SIGNATURE_HEADER: Final = "X-Webhook-Signature"
TIMESTAMP_HEADER: Final = "X-Webhook-Timestamp"
EVENT_HEADER: Final = "X-Webhook-Event"
PREFIX: Final = "sha256="
TOLERANCE: Final = 300.0
"""Seconds a delivery's timestamp may differ from our clock; the API documents none."""


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """The value of `X-Webhook-Signature` in the current scheme.

    Args:
        secret: The webhook's secret.
        timestamp: The value of `X-Webhook-Timestamp`: Unix epoch in milliseconds.
        body: The raw body.
    """
    return PREFIX + base64.b64encode(_digest(secret, timestamp.encode() + b"." + body)).decode()


def sign_legacy(secret: str, body: bytes) -> str:
    """The value of `X-Webhook-Signature` in the older scheme: hex, of the raw body alone."""
    return PREFIX + _digest(secret, body).hex()


def verify(
    secrets: str | Sequence[str],
    body: bytes,
    *,
    signature: str,
    timestamp: str,
    allow_legacy: bool = False,
) -> bool:
    """Whether a delivery was signed with one of the secrets. Takes the same time for every wrong signature.

    A true answer says nothing about age: ask `is_fresh` too. A stale but well signed delivery may be a retry,
    so it is best taken as a hint to read the job.

    Args:
        secrets: The webhook's secret, or several while one replaces the other. An empty one never matches.
        body: The raw body as received.
        signature: The value of `X-Webhook-Signature`; empty when absent.
        timestamp: The value of `X-Webhook-Timestamp`; empty when absent.
        allow_legacy: Accept the older scheme as well, which lets old deliveries be replayed.
    """
    known = [secrets] if isinstance(secrets, str) else list(secrets)
    accepted = [sign(secret, timestamp, body) for secret in known if secret and timestamp]
    if allow_legacy:
        accepted += [sign_legacy(secret, body) for secret in known if secret]
    given = signature.encode("utf-8", "surrogateescape")
    matches = [hmac.compare_digest(given, right.encode()) for right in accepted]
    return any(matches)


def is_fresh(timestamp: str, *, now: float, tolerance: float = TOLERANCE) -> bool:
    """Whether `X-Webhook-Timestamp` (epoch, ms) is within `tolerance` seconds of `now` (epoch, s)."""
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 16):  # noqa: PLR2004
        return False
    return abs(int(timestamp) / 1000 - now) <= tolerance


def _digest(secret: str, message: bytes) -> bytes:
    return hmac.new(secret.encode(), message, hashlib.sha256).digest()


def read_secrets(text: str) -> tuple[str, ...]:
    """The secrets in a setting: one, or two separated by a comma. The first is the one to sign with."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
