"""POSTs of earlier runs without a known answer: their job is found, or `on_lost_reply` decides."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from thunderbit_dagster.api.errors import ThunderbitError
from thunderbit_dagster.jobs.recovery import lost_reply_advice, named_job
from thunderbit_dagster.ledger.notifications import named_by
from thunderbit_dagster.ledger.records import Intent, Lost, Notified, Recorded
from thunderbit_dagster.partitions import Partition
from thunderbit_dagster.submission.record_writer import SubmissionRecords
from thunderbit_dagster.submission.step import SubmitStep


@dataclass
class UnansweredPosts:
    """Settles them partition by partition."""

    step: SubmitStep
    records: SubmissionRecords

    def settle(self, partition: Partition) -> str | None:
        """Record what is known now; why nothing of the partition may be sent, when a job may run unseen."""
        problem: str | None = None
        thunderbit, submission = self.step.thunderbit, self.records.submissions[partition]
        for post in submission.orphans:
            try:
                found = self._find(partition, post.intent)
            except ThunderbitError as error:
                return (
                    f"nothing was sent: an earlier submit has no known answer, and the job that a webhook named for it "
                    f"cannot be read: {thunderbit.explain(error)}"
                )
            if found:
                self.records.note(partition, found.model_copy(update={"submission_id": submission.id}))
            elif thunderbit.on_lost_reply == "resubmit":
                lost = Lost(
                    submission_id=submission.id,
                    intent_id=post.intent.intent_id,
                    message="no answer is known",
                    resubmitted=True,
                )
                self.records.note(partition, lost)
            else:
                problem = f"an earlier submit has no known answer; {lost_reply_advice(thunderbit)}"
        return problem

    def _find(self, partition: Partition, intent: Intent) -> Recorded | None:
        """The job: under the partition that the POST was recorded for first, or named by a webhook."""
        if intent.home != partition.key and (found := self.step.reader.recorded(intent.home, intent.intent_id)):
            return found
        calls = self._calls.get(intent.intent_id, [])
        found = named_job(self.step.client, self.records.submissions[partition], intent, calls)
        if found:
            self.step.context.log.info("%s: %s is the job of a submit whose reply was lost", partition, found.job)
        return found

    @cached_property
    def _calls(self) -> dict[str, list[Notified]]:
        orphans = {post.intent.intent_id for one in self.records.submissions.values() for post in one.orphans}
        return named_by(self.step.context.instance, orphans)
