"""What earlier runs have sent for a run's partitions, and whether this run may continue there."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from thunderbit_dagster.ledger.submissions import Submission
from thunderbit_dagster.partitions import Partition
from thunderbit_dagster.runs.reexecution import Reexecutions, reexecutions_of
from thunderbit_dagster.submission.account import AccountCheck
from thunderbit_dagster.submission.step import SubmitStep


@dataclass(frozen=True)
class EarlierSubmissions:
    """The newest submission of each partition that has one of this crawl.

    Attributes:
        open: Not collected yet, and of the same request and account: to be continued.
        finished: Sent by an earlier attempt of this run and collected since: nothing is sent of it.
        problems: Why nothing may be sent of a partition.
    """

    open: dict[Partition, Submission] = field(default_factory=dict)
    finished: dict[Partition, Submission] = field(default_factory=dict)
    problems: dict[Partition, str] = field(default_factory=dict)


def read_earlier_submissions(
    step: SubmitStep, accounts: AccountCheck, partitions: Sequence[Partition]
) -> EarlierSubmissions:
    """What the event log tells of the partitions."""
    by_key = {partition.key: partition for partition in partitions}
    past = step.reader.past(by_key)
    earlier = EarlierSubmissions(problems={by_key[key]: reason for key, reason in past.unreadable.items()})
    collected = {key: record.submission_id for key, record in past.collected.items()}
    attempts = reexecutions_of(step.context.instance, step.run_id)
    for key, submission in past.submissions.items():
        partition = by_key[key]
        if collected.get(key) == submission.id:
            if _was_sent_by(attempts, submission):
                earlier.finished[partition] = submission
        elif not step.owner.owns(submission.opened):
            refusal = step.owner.refusal(submission.opened, step.crawl.name)
            earlier.problems[partition] = f"nothing was sent: {refusal}"
        elif not _is_same_request(step, submission):
            _warn_of_jobs_left(step, submission, partition)
        elif refused := accounts.refusal(submission):
            earlier.problems[partition] = refused
        else:
            earlier.open[partition] = submission
    return earlier


def _was_sent_by(attempts: Reexecutions, submission: Submission) -> bool:
    """Whether an earlier attempt of this run, or another run since, sent what is collected now."""
    newest = max((share.at for share in submission.jobs), default=0.0)
    return attempts.repeats_failure and newest >= attempts.began


def _warn_of_jobs_left(step: SubmitStep, submission: Submission, partition: Partition) -> None:
    if submission.running:
        step.context.log.warning(
            "%s: the request or the API's address has changed since submission %s. Its jobs are left alone (they "
            "may still bill) and a new submission begins: %s",
            partition,
            submission.id,
            ", ".join(job.job for job in submission.jobs),
        )


def _is_same_request(step: SubmitStep, submission: Submission) -> bool:
    opened = submission.opened
    return opened.request == step.request and opened.origin in ("", step.origin)
