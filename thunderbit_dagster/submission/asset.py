"""What a run of ``submissions`` does: it sends the run's partitions and ends; it never waits for a job."""

import time
from collections.abc import Mapping, Sequence

import dagster as dg

from thunderbit_dagster.api.models import Job
from thunderbit_dagster.api.requests import Distill, Extract
from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.jobs.collect import CollectPartitions
from thunderbit_dagster.jobs.interrupted_steps import stopping_jobs
from thunderbit_dagster.jobs.recovery import lost_reply_advice
from thunderbit_dagster.ledger.asset_events import PublishedPartitions, failure, lateness_metadata, publish
from thunderbit_dagster.ledger.credits import CreditReader, day_start
from thunderbit_dagster.ledger.event_log import outcome_observation
from thunderbit_dagster.ledger.records import Sealed, to_metadata
from thunderbit_dagster.ledger.submission_metadata import emptiness_metadata, submission_metadata
from thunderbit_dagster.ledger.submissions import Submission
from thunderbit_dagster.partitions import Partition
from thunderbit_dagster.resource import ThunderbitResource
from thunderbit_dagster.runs.lock import SubmitLock
from thunderbit_dagster.runs.partitions import Step, run_partitions
from thunderbit_dagster.runs.step_lock import require_unfinished
from thunderbit_dagster.submission.account import AccountCheck, continue_under_this_key
from thunderbit_dagster.submission.credit_caps import Caps, CreditCaps
from thunderbit_dagster.submission.earlier import read_earlier_submissions
from thunderbit_dagster.submission.partition_plan import PartitionPlan, PartitionPlanner
from thunderbit_dagster.submission.plan import pack, remaining
from thunderbit_dagster.submission.record_writer import SubmissionRecords
from thunderbit_dagster.submission.send import Sender
from thunderbit_dagster.submission.step import SubmitStep


def submit_partitions(
    context: Step,
    crawl: Crawl,
    store_uri: str,
    thunderbit: ThunderbitResource,
    collect: CollectPartitions | None = None,
) -> list[dg.MaterializeResult[None]]:
    """Send the partitions of a run, and mark those of which everything was sent; empty in an op.

    With ``collect`` those are collected here when others have failed.

    Raises:
        dagster.Failure: of some not everything was sent; the others are marked all the same.
    """
    run, keys = SubmissionRun(SubmitStep(context, crawl, store_uri, thunderbit)), [crawl.key("submissions")]
    with (
        dg.partition_loading_context(dynamic_partitions_store=context.instance),
        SubmitLock(context, crawl).announced(),
        stopping_jobs(context, crawl, thunderbit, after_cancel=run.seal_sent),
    ):
        published = run.execute()
        if not (collect and published and run.problems):
            return publish(context, keys, published, run.problems)
        publish(context, keys, published, {}, complete=False)
    sent = [one.partition for one in published]
    context.log.info(
        "%d partition(s) failed; the other %d are collected by this step, since Dagster skips the next one",
        len(run.problems),
        len(sent),
    )
    raise failure(keys, published, {**run.problems, **collect(context, thunderbit, sent)})


class SubmissionRun:
    """One run of ``submissions`` over its partitions: what came of it is in ``problems``, and in the event log."""

    def __init__(self, step: SubmitStep) -> None:
        self._step = step
        self._records = SubmissionRecords(step.crawl, step.report, {}, step.run_id)
        self._plans: Sequence[PartitionPlan] = ()
        self._empty_sources: Mapping[Partition, str] = {}
        self.problems: dict[Partition, str] = {}
        """Why not everything of a partition was sent."""

    def execute(self) -> list[PublishedPartitions]:
        """Send what is not sent yet; the partitions of which everything is sent."""
        step = self._step
        everything = run_partitions(step.context, step.crawl)
        self.problems = SubmitLock(step.context, step.crawl).taken(everything)
        partitions = self._without_problem(everything)
        if not partitions:
            return []
        accounts = AccountCheck(step)
        earlier = read_earlier_submissions(step, accounts, partitions)
        self.problems |= earlier.problems
        self._records.submissions = dict(earlier.open)
        continue_under_this_key(step, self._records)
        partitions = [one for one in self._without_problem(partitions) if one not in earlier.finished]
        self._plans = self._plan(accounts, partitions)
        self._send(self._plans)
        sent = {one: self._records.submissions[one] for one in self._without_problem(partitions)}
        return [self._sealed(*one) for one in {**sent, **earlier.finished}.items()]

    def _without_problem(self, partitions: Sequence[Partition]) -> list[Partition]:
        return [partition for partition in partitions if partition not in self.problems]

    def _plan(self, accounts: AccountCheck, partitions: Sequence[Partition]) -> list[PartitionPlan]:
        planner = PartitionPlanner(self._step, accounts, self._records, partitions)
        plans = [planner.plan(partition) for partition in partitions]
        planner.warn_of_empty_sources()
        self._empty_sources = planner.read_urls.empty
        self.problems |= {plan.partition: plan.problem for plan in plans if plan.problem}
        return plans

    def _send(self, plans: Sequence[PartitionPlan]) -> None:
        step = self._step
        to_send = {plan.partition: plan.to_send for plan in plans if not plan.problem}
        sender = Sender(
            self._records,
            step.crawl.request,
            step.client.take_slot,
            self._submit,
            step.thunderbit.on_lost_reply,
            step.context.log,
            step.thunderbit.explain,
            credit_limit=self._credit_limit(),
            advice=lost_reply_advice(step.thunderbit),
            job_url=step.client.job_url,
        )
        outcome = sender.send_all(pack(to_send, step.crawl.urls_per_job))
        self.problems |= {plan.partition: plan.capped for plan in plans if plan.capped} | outcome.problems
        self._name_repeats(plans)

    def _name_repeats(self, plans: Sequence[PartitionPlan]) -> None:
        """Promise a row to every repeat of a page that was sent; one that is not named now is by the next run."""
        for plan in plans:
            if plan.submission:
                self._records.amend(plan.partition, remaining(plan.checked, plan.submission))

    def seal_sent(self) -> None:
        """Seal the partitions of a cancelled run of which everything was sent: the sensor collects what is finished.

        The others stay open, as they do when credits run out: the next run sends what is left, and collects
        the rows of the cancelled jobs together with its own.
        """
        self._name_repeats(self._plans)
        plans = [plan for plan in self._plans if not plan.problem]
        sealed = [
            self._sealed(plan.partition, plan.submission)
            for plan in plans
            if plan.submission and plan.is_sent and plan.partition not in self.problems
        ]
        publish(self._step.context, [self._step.crawl.key("submissions")], sealed, {}, complete=False)
        done = {one.partition for one in sealed}
        if left := [str(plan.partition) for plan in plans if plan.partition not in done]:
            self._step.context.log.warning(
                "Not everything was sent of %s; materialize `submissions` again to continue there", ", ".join(left)
            )

    def _submit(self, urls: list[str], request: Distill | Extract, intent_id: str) -> Job:
        require_unfinished(self._step.context)
        webhook = self._step.thunderbit.webhook_of(intent_id)
        return self._step.client.submit(urls, request, webhook=webhook, slot_taken=True)

    def _credit_limit(self) -> CreditCaps:
        step, instance = self._step, self._step.context.instance
        record = instance.get_run_record_by_id(step.run_id)
        began = record.create_timestamp.timestamp() if record else time.time()
        return CreditCaps(
            Caps(step.thunderbit.max_credits_per_run, step.thunderbit.max_credits_per_day),
            step.crawl.request.credits_per_url(),
            step.crawl.name,
            step.run_id,
            CreditReader(instance, step.client.account_fingerprint, day_start(began)),
            step.report,
        )

    def _sealed(self, partition: Partition, submission: Submission) -> PublishedPartitions:
        step = self._step
        sealed = Sealed(
            submission_id=submission.id,
            run=step.run_id,
            total=len(submission.known),
            jobs=tuple(submission.jobs),
            location=submission.opened.location,
            store=submission.opened.store,
        )
        words = f"all {sealed.total:,} URL(s) were submitted, in {len(sealed.jobs):,} batch job(s)"
        step.report(outcome_observation(step.crawl, partition.key, sealed, words))
        remarks = {
            **lateness_metadata(step.crawl, partition, submission.jobs),
            **emptiness_metadata(self._empty_sources.get(partition)),
        }
        metadata = submission_metadata(submission, step.crawl.request.credits_per_url(), remarks)
        return PublishedPartitions(partition, {step.crawl.key("submissions"): {**metadata, **to_metadata(sealed)}})
