"""Jobs of which the API has spoken by itself, in a webhook's call. Pure decisions.

A call moves a poll forward and does nothing else, so one that is lost, late or wrong costs time at most.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from thunderbit_dagster.ledger.notices import Notice
from thunderbit_dagster.polling.pace import Watched
from thunderbit_dagster.polling.watch import SETTLE_SECONDS, Watch


def notices_since(watches: Iterable[Watch], last_tick: float) -> float:
    """How far back calls may matter: to the last tick, or to the submit of a job that became known since.

    The API may call before a run has sealed its submission; such a call waits in the event log until then.
    """
    known_from = last_tick - SETTLE_SECONDS
    waited = [
        share.at - SETTLE_SECONDS
        for watch in watches
        for one in watch.open
        if one.at > known_from
        for share in one.sealed.jobs
    ]
    return min([known_from, *waited])


def called_jobs(watches: Iterable[Watch], notices: Collection[Notice], last_tick: float) -> list[Watched]:
    """Open jobs that were named, or became known, since the last tick, and were not read after that.

    A minute before the tick counts too: events may become visible late.
    """
    named: dict[str, float] = {}
    for notice in notices:
        named[notice.record.job] = max(notice.at, named.get(notice.record.job, notice.at))
    found: dict[str, Watched] = {}
    for watch in watches if named else ():
        known_at = {share.job: one.at for one in watch.open for share in one.sealed.jobs}
        found |= {
            job: watched
            for job, watched in watch.jobs().items()
            if job in named and max(named[job], known_at[job]) > last_tick - SETTLE_SECONDS
        }
    return [one for one in found.values() if not one.ended and not _was_read(one, named[one.job])]


def _was_read(watched: Watched, since: float) -> bool:
    return watched.progress is not None and watched.progress.at >= since
