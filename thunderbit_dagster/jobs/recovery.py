"""Finding the job of a POST whose answer nobody knows: the API's own call names the intent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from thunderbit_dagster.api.codes import MAX_PAGE_SIZE
from thunderbit_dagster.api.errors import JobNotFoundError
from thunderbit_dagster.api.models import JobPage, JobRef
from thunderbit_dagster.ledger.records import Intent, Notified, Recorded
from thunderbit_dagster.ledger.submissions import Submission
from thunderbit_dagster.resource import ThunderbitResource

if TYPE_CHECKING:
    from thunderbit_dagster.api.client import ThunderbitClient

LOST_REPLY_ADVICE: Final = (
    "a batch job may be running, and billing, whose id nobody knows. Nothing is sent for these URLs again until you "
    "decide: set `on_lost_reply='resubmit'` and materialize the partition again to send them a second time"
)
WEBHOOK_ADVICE: Final = (
    "a batch job may be running, and billing, whose id nobody knows yet. When it ends, its webhook names it, and "
    "materializing the partition again then continues without paying. To send the URLs a second time instead, set "
    "`on_lost_reply='resubmit'`"
)


def lost_reply_advice(thunderbit: ThunderbitResource) -> str:
    """What a person can do about a POST whose answer is not known."""
    waits = thunderbit.on_lost_reply == "wait" and thunderbit.webhook_url is not None
    return WEBHOOK_ADVICE if waits else LOST_REPLY_ADVICE


def named_job(
    client: ThunderbitClient, submission: Submission, intent: Intent, calls: Iterable[Notified]
) -> Recorded | None:
    """The job that a call names for an intent, read once and found to hold the intent's URLs; None without one.

    Args:
        client: Reads the job: the id in a call's URL is not signed, so the call alone proves nothing.
        submission: Whose intent it is; a job that it has already is nobody else's.
        intent: The intent.
        calls: Calls that named it, newest first.

    Raises:
        ThunderbitError: the job could not be read.
    """
    known = {share.job for share in submission.jobs}
    for call in calls:
        page = _read(client, call) if call.job not in known else None
        if page and contains_intent(page, intent):
            return Recorded(submission_id=submission.id, intent_id=intent.intent_id, job=call.job, at=call.at)
    return None


def _read(client: ThunderbitClient, call: Notified) -> JobPage | None:
    """The job with all of its rows; None when this account has no such job."""
    try:
        return client.get_job(JobRef.parse(call.job), page_size=MAX_PAGE_SIZE)
    except JobNotFoundError:
        return None


def contains_intent(page: JobPage, intent: Intent) -> bool:
    """Whether a job has the size and, as far as it shows rows, URLs of an intent."""
    urls = {item.sent or item.url for item in intent.items}
    shown = {row.url for row in page.rows}
    return page.job.total in (None, intent.size) and (not shown or not urls.isdisjoint(shown))
