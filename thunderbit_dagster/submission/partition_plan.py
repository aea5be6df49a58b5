"""What a run sends of each partition: its list is read, its submission opened or continued."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from thunderbit_dagster.api.errors import ConfigurationError
from thunderbit_dagster.ledger.event_log import outcome_observation
from thunderbit_dagster.ledger.submissions import Submission
from thunderbit_dagster.partitions import Partition
from thunderbit_dagster.submission.account import AccountCheck
from thunderbit_dagster.submission.moved_urls import MovedUrls, named
from thunderbit_dagster.submission.plan import remaining, within_cap
from thunderbit_dagster.submission.record_writer import SubmissionRecords, record_text
from thunderbit_dagster.submission.send import UNPAID
from thunderbit_dagster.submission.step import SubmitStep
from thunderbit_dagster.submission.unanswered_posts import UnansweredPosts
from thunderbit_dagster.submission.upstream_urls import UpstreamReader
from thunderbit_dagster.urls import CheckedUrls, UrlSourceError, Wanted


@dataclass(frozen=True)
class PartitionPlan:
    """What is sent of a partition, or why nothing is.

    Attributes:
        partition: Its key and dimensions.
        submission: Open, and brought up to date; None when the list could not be read.
        checked: What the partition lists now.
        to_send: URLs that no job holds yet.
        problem: Why nothing is sent.
        capped: Why not all of ``to_send`` is sent: a cap on credits.
    """

    partition: Partition
    submission: Submission | None = None
    checked: CheckedUrls = field(default_factory=CheckedUrls)
    to_send: Sequence[Wanted] = ()
    problem: str | None = None
    capped: str | None = None

    @property
    def is_sent(self) -> bool:
        """Whether a job holds, or the API has refused, each URL by now."""
        if self.submission is None or self.problem or self.capped:
            return False
        return {url.position for url in self.to_send} <= self.submission.known.keys()


class PartitionPlanner:
    """Plans the partitions of a run, one after another."""

    def __init__(
        self, step: SubmitStep, accounts: AccountCheck, records: SubmissionRecords, partitions: Sequence[Partition]
    ) -> None:
        self._step = step
        self._records = records
        load = UpstreamReader(step.context, step.crawl.cadence).load
        self.read_urls = step.crawl.url_reader(load, step.crawl.added_keys)
        self._lists: dict[Partition, CheckedUrls] = {}
        self._moved = MovedUrls(step, accounts, records, partitions, self._listed)
        self._unanswered = UnansweredPosts(step, records)

    def plan(self, partition: Partition) -> PartitionPlan:
        """Read the partition's list, and open its submission or continue it."""
        submission, crawl = self._records.submissions.get(partition), self._step.crawl
        if submission is None and (past := crawl.past_refusal(partition, time.time())):
            return PartitionPlan(partition, problem=f"nothing was sent: {past}")
        try:
            checked = self._listed(partition)
        except UrlSourceError as error:
            return PartitionPlan(partition, problem=f"nothing was sent: {error}")
        if checked.rejected:
            self._step.context.log.warning("%s: %d URLs were refused before paying", partition, len(checked.rejected))
        if self._missing_header and remaining(checked, submission).wanted:
            return PartitionPlan(partition, problem=f"nothing was sent: {self._missing_header}")
        problem = self._bring_up_to_date(partition, checked)
        return self._with_urls(partition, checked, problem)

    def warn_of_empty_sources(self) -> None:
        """Name the sources that gave no URL at all."""
        for source, partitions in self.read_urls.by_empty_source().items():
            self._step.context.log.warning(
                "No URLs came from %s: nothing is sent for %d partition(s), %s",
                source,
                len(partitions),
                named(partitions),
            )

    def _listed(self, partition: Partition) -> CheckedUrls:
        if partition not in self._lists:
            self._lists[partition] = self._step.check(self.read_urls(partition))
        return self._lists[partition]

    @cached_property
    def _missing_header(self) -> str | None:
        """Why the request cannot be sent from here: the environment variable of a header is not set."""
        try:
            self._step.crawl.request.body()
        except ConfigurationError as error:
            return str(error)
        return None

    def _bring_up_to_date(self, partition: Partition, checked: CheckedUrls) -> str | None:
        """Learn what jobs hold already; why nothing may be sent."""
        if partition not in self._records.submissions:
            self._open(partition, checked)
        wanted = remaining(checked, self._records.submissions[partition]).wanted
        foreign = self._moved.take_over(partition, wanted)
        return self._unanswered.settle(partition) or foreign

    def _open(self, partition: Partition, checked: CheckedUrls) -> None:
        step = self._step
        account = step.client.account_fingerprint
        submission = self._records.open(partition, checked, step.request, account, step.owner)
        begun = submission.opened.model_copy(update={"rejected": (), "run": step.run_id})
        step.report(outcome_observation(step.crawl, partition.key, begun, record_text(begun)))

    def _with_urls(self, partition: Partition, checked: CheckedUrls, problem: str | None) -> PartitionPlan:
        submission = self._records.submissions[partition]
        left = remaining(checked, submission)
        self._records.amend(partition, left)
        if submission.posts:
            self._step.context.log.info(
                "%s: submission %s is not collected yet; %d URLs are in %d job(s) already, %d are left to send",
                partition,
                submission.id,
                len(submission.covered),
                len(submission.running),
                len(left.wanted),
            )
        if problem:
            return PartitionPlan(partition, submission, checked, problem=problem)
        fitting, capped = self._within_cap(submission, left.wanted)
        return PartitionPlan(partition, submission, checked, fitting, capped=capped)

    def _within_cap(self, submission: Submission, wanted: Sequence[Wanted]) -> tuple[Sequence[Wanted], str | None]:
        """The URLs that the partition's cap admits, and why not all."""
        crawl = self._step.crawl
        cap, price = crawl.max_credits_per_partition, crawl.request.credits_per_url()
        spent = submission.billable * price
        fitting = within_cap(wanted, cap, spent, price)
        if cap is None or len(fitting) == len(wanted):
            return wanted, None
        return fitting, (
            f"{UNPAID}: `max_credits_per_partition` is {cap:,}, earlier runs took {spent:,} of it for this "
            f"submission, and {len(wanted):,} more URLs may cost {len(wanted) * price:,}; the first "
            f"{len(fitting):,} fit. Raise the cap and materialize again: that run continues here"
        )
