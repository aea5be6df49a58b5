"""A key that the API does not accept: said once, and tried again seldom. Pure decisions."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from thunderbit_dagster.ledger.records import KeyRefused

PROBE_SECONDS = 600.0
"""A refused key is tried again after each such time, by one request."""


class KeyRefusedError(Exception):
    """The API does not accept the key; the tick fails with this once for each key."""


def standing_refusal(refusals: Iterable[KeyRefused], account: str, accepted: float) -> KeyRefused | None:
    """The last refusal of this key, unless it was accepted after that. Another key has a clean slate."""
    own = [one for one in refusals if one.account == account and one.at > accepted]
    return max(own, key=lambda one: one.at, default=None)


def is_probe_due(last_tick: float, now: float) -> bool:
    """Whether a time to try a refused key again lies between the last tick and this one (Unix times)."""
    return now // PROBE_SECONDS > min(last_tick, now) // PROBE_SECONDS


def refusal_text(reason: str) -> str:
    """What to do about it, for people."""
    return (
        f"Thunderbit does not accept the API key: {reason}. No batch job is polled or collected until the key is "
        f"replaced, which is noticed at the next tick, or accepted again, which is noticed within "
        f"{PROBE_SECONDS / 60:.0f} minutes. Running jobs are not affected. This is said once"
    )


def refusal_summary(now: float) -> str:
    """Why a tick asked nothing."""
    left = PROBE_SECONDS - now % PROBE_SECONDS
    return (
        f"The API key is not accepted; it is tried again in {timedelta(seconds=round(left))}, or at once when it is "
        "replaced."
    )
