"""Whose jobs an open submission has: a key that was rotated belongs to the same account, another key may not."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus

from thunderbit_dagster.api.client import ThunderbitClient
from thunderbit_dagster.api.errors import AuthenticationError, JobNotFoundError, ThunderbitError
from thunderbit_dagster.ledger.credits import same_account
from thunderbit_dagster.ledger.records import Moved
from thunderbit_dagster.ledger.submissions import Submission
from thunderbit_dagster.submission.record_writer import SubmissionRecords
from thunderbit_dagster.submission.step import SubmitStep


@dataclass
class AccountCheck:
    """Tells whether submissions of former keys can be continued with this one; each former key is asked about once."""

    step: SubmitStep
    _refusals: dict[str, str | None] = field(default_factory=dict)

    def refusal(self, submission: Submission) -> str | None:
        """Why a submission cannot be continued with this key, None when it can."""
        former, client = submission.opened.account, self.step.client
        if former in client.account_fingerprints:
            return None
        if former not in self._refusals or not submission.running:
            wipe = self.step.crawl.key("submissions").to_user_string()
            refusal = why_not_ours(client, submission, wipe)
            if submission.running:
                self._refusals[former] = refusal
            if refusal is None:
                self.step.report(same_account(client.account_fingerprint, former))
        return self._refusals.get(former)


def continue_under_this_key(step: SubmitStep, records: SubmissionRecords) -> None:
    """Note the new key in submissions that were begun with a former key of the account."""
    client = step.client
    for partition, submission in records.submissions.items():
        opened = submission.opened
        if opened.account not in client.account_fingerprints:
            moved = Moved(
                submission_id=submission.id,
                location=opened.location,
                store=opened.store,
                account=client.account_fingerprint,
            )
            records.note(partition, moved)
            step.context.log.info("%s: submission %s goes on under another key", partition, submission.id)


def why_not_ours(client: ThunderbitClient, submission: Submission, wipe: str) -> str | None:
    """Why a submission under another key cannot be continued; None when this key reads one of its jobs.

    Args:
        client: Asks about the newest job, once and for free.
        submission: It was begun with another key. Without jobs there is nothing to lose, and it is continued.
        wipe: The asset that is to be wiped to give the jobs up.
    """
    jobs = [post.job for post in submission.running if post.job]
    if not jobs:
        return None
    try:
        client.get_status(jobs[-1])
    except JobNotFoundError:
        return _refusal(submission, wipe)
    except AuthenticationError as error:
        if error.status == HTTPStatus.FORBIDDEN:
            return _refusal(submission, wipe)
        return f"nothing was sent: the API does not accept the key: {error}"
    except ThunderbitError as error:
        return (
            f"nothing was sent: submission {submission.id} was started with another key, and it cannot be checked now "
            f"whether this key belongs to the same account: {error}"
        )
    return None


def _refusal(submission: Submission, wipe: str) -> str:
    names = ", ".join(share.job for share in submission.jobs)
    return (
        f"nothing was sent: this key cannot read the open jobs of submission {submission.id} ({names}), which another "
        "key submitted: they belong to another account, or have expired. Set that key again until they are "
        f"collected; or, to give them up, wipe `{wipe}` in Dagster and materialize again, which pays again"
    )
