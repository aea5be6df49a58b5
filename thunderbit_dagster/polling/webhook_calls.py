"""Jobs of which the API has spoken by itself, in a webhook's call. Pure decisions.

A call moves a poll forward and does nothing else, so one that is lost, late or wrong costs time at most.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from thunderbit_dagster.jobs.state import JobState
from thunderbit_dagster.ledger.notifications import WebhookCall
from thunderbit_dagster.polling.open_submissions import SETTLE_SECONDS, CrawlJobs, OpenSubmission

GRACE_SECONDS = 90.0
"""How long a poll is put off, for the call to come first."""
LATE_SECONDS = 30.0
"""An end that was seen so long after it happened was not called."""


def grace_seconds(jobs: Iterable[JobState]) -> float:
    """By how much polls are put off: not at all once an end was seen that the API did not call about."""
    uncalled = any(
        job.progress and job.ended_at is not None and job.progress.at - job.ended_at > LATE_SECONDS for job in jobs
    )
    return 0.0 if uncalled else GRACE_SECONDS


def webhook_calls_since(submissions: Iterable[OpenSubmission], last_tick: float) -> float:
    """How far back calls may matter: to the last tick, or to the submit of a job that became known since.

    The API may call before a run has sealed its submission; such a call waits in the event log until then.
    """
    known_from = last_tick - SETTLE_SECONDS
    waited = [share.at - SETTLE_SECONDS for one in submissions if one.at > known_from for share in one.sealed.jobs]
    return min([known_from, *waited])


def jobs_with_webhook_calls(
    crawls: Iterable[CrawlJobs], notices: Collection[WebhookCall], last_tick: float
) -> list[JobState]:
    """Open jobs that were named, or became known, since the last tick, and were not read after that.

    A minute before the tick counts too: events may become visible late.
    """
    named: dict[str, float] = {}
    for notice in notices:
        named[notice.record.job] = max(notice.at, named.get(notice.record.job, notice.at))
    found: dict[str, JobState] = {}
    for crawl_jobs in crawls if named else ():
        known_at = {share.job: one.at for one in crawl_jobs.open for share in one.sealed.jobs}
        found |= {
            job: state
            for job, state in crawl_jobs.jobs.items()
            if job in named and max(named[job], known_at[job]) > last_tick - SETTLE_SECONDS
        }
    return [one for one in found.values() if not one.ended and not _was_read(one, named[one.job])]


def _was_read(state: JobState, since: float) -> bool:
    return state.progress is not None and state.progress.at >= since
