"""Reading what the API said of its jobs by itself: the calls that the webhook receiver reported."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

import dagster as dg

from thunderbit_dagster.ledger.records import LedgerError, Notified, from_metadata

WEBHOOKS_KEY: Final = dg.AssetKey(["thunderbit", "webhooks"])
"""The asset whose observations carry the calls; all crawls of a Dagster instance share it."""
RECENT_SECONDS: Final = 25 * 3_600.0
"""How long a call about a job that nobody knows yet is matched again."""
RECENT_CALLS: Final = 2_000
SEARCHED_CALLS: Final = 20_000
_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class WebhookCall:
    """A call, and when the event log took it: a Unix time."""

    at: float
    record: Notified


def recent_webhook_calls(
    instance: dg.DagsterInstance, now: float, *, since: float = 0.0, limit: int = RECENT_CALLS
) -> list[WebhookCall]:
    """The calls after a Unix time, at most the newest ``limit`` and of the last 25 hours, newest first."""
    wanted = dg.AssetRecordsFilter(asset_key=WEBHOOKS_KEY, after_timestamp=max(since, now - RECENT_SECONDS))
    return list(_newest_first(instance, wanted, limit))


def named_by(instance: dg.DagsterInstance, intents: Collection[str]) -> dict[str, list[Notified]]:
    """The calls that named one of these intents, newest first, among the newest 20,000 of all times."""
    named: dict[str, list[Notified]] = {}
    if not intents:
        return named
    for notice in _newest_first(instance, dg.AssetRecordsFilter(asset_key=WEBHOOKS_KEY), SEARCHED_CALLS):
        intent_id = notice.record.intent_id
        if intent_id is not None and intent_id in intents:
            named.setdefault(intent_id, []).append(notice.record)
    return named


def _newest_first(instance: dg.DagsterInstance, wanted: dg.AssetRecordsFilter, limit: int) -> Iterator[WebhookCall]:
    cursor: str | None = None
    left = limit
    while left > 0:
        page = instance.fetch_observations(wanted, limit=min(_PAGE, left), cursor=cursor)
        yield from filter(None, map(_notice, page.records))
        left -= len(page.records)
        if not page.has_more:
            return
        cursor = page.cursor


def _notice(event: dg.EventLogRecord) -> WebhookCall | None:
    try:
        record = from_metadata(event.asset_observation.metadata) if event.asset_observation else None
    except LedgerError:
        return None  # of a newer version; a call that is not understood costs time, and polling finds the job
    return WebhookCall(event.timestamp, record) if isinstance(record, Notified) else None
