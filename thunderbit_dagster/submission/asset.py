"""The ``submissions`` asset: sends a run's partitions and ends; it never waits for a job."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import dagster as dg

from thunderbit_dagster.api.models import Job
from thunderbit_dagster.api.requests import Distill, Extract
from thunderbit_dagster.crawl import Crawl
from thunderbit_dagster.ledger.fold import Submission
from thunderbit_dagster.ledger.log import LedgerReader
from thunderbit_dagster.ledger.records import Lost, Recorded, Sealed, to_metadata
from thunderbit_dagster.partitions import Partition
from thunderbit_dagster.publishing import Published, publish
from thunderbit_dagster.resource import ThunderbitResource
from thunderbit_dagster.run import run_partitions
from thunderbit_dagster.submission.book import Book
from thunderbit_dagster.submission.plan import pack, remaining
from thunderbit_dagster.submission.send import ORPHAN_ADVICE, Sender
from thunderbit_dagster.submission.view import submission_metadata
from thunderbit_dagster.urls import CheckedUrls, UrlSourceError, Wanted, check_urls


def build_submissions(crawl: Crawl) -> dg.AssetsDefinition:
    """The crawl's ``submissions`` asset."""

    @dg.asset(
        key=crawl.key("submissions"),
        description=f"URLs of the crawl `{crawl.name}` sent as batch jobs; what was sent where is in its events.",
        partitions_def=crawl.partitions_def,
        backfill_policy=crawl.backfill_policy,
        kinds={"thunderbit"},
        group_name=crawl.name,
    )
    def submissions(context: dg.AssetExecutionContext, thunderbit: ThunderbitResource) -> dg.MaterializeResult[None]:
        run = SubmissionRun(context, crawl, thunderbit)
        return publish(context, [crawl.key("submissions")], run.execute(), run.problems)[0]

    return submissions


@dataclass
class SubmissionRun:
    """One run of ``submissions`` over its partitions."""

    context: dg.AssetExecutionContext
    crawl: Crawl
    thunderbit: ThunderbitResource
    problems: dict[Partition, str] = field(default_factory=dict)

    def execute(self) -> list[Published]:
        """Send what is not sent yet; the partitions of which everything is sent."""
        partitions = run_partitions(self.context, self.crawl)
        book = Book(self.crawl, self.context.log_event, self._open_submissions(partitions))
        wanted = {partition: self._open(book, partition) for partition in partitions}
        batches = pack({p: urls for p, urls in wanted.items() if p not in self.problems}, self.crawl.urls_per_job)
        sender = Sender(
            book,
            self.crawl.request,
            self._submit,
            self.thunderbit.on_lost_reply,
            self.context.log,
            self.thunderbit.explain,
        )
        self.problems |= sender.send_all(batches).problems
        return [self._sealed(p, book.submissions[p]) for p in partitions if p not in self.problems]

    def _submit(self, urls: list[str], request: Distill | Extract) -> Job:
        return self.thunderbit.client.submit(urls, request, webhook=self.thunderbit.webhook)

    def _open_submissions(self, partitions: Iterable[Partition]) -> dict[Partition, Submission]:
        """Submissions to continue: not collected yet, and of the same request and account."""
        reader = LedgerReader(self.context.instance, self.crawl)
        by_key = {partition.key: partition for partition in partitions}
        submissions, collected = reader.submissions(by_key), reader.collected(by_key)
        still_open: dict[Partition, Submission] = {}
        for key, submission in submissions.items():
            if key in collected and collected[key].submission_id == submission.id:
                continue
            if self._is_same_request(by_key[key], submission):
                still_open[by_key[key]] = submission
        return still_open

    def _is_same_request(self, partition: Partition, submission: Submission) -> bool:
        same = (submission.opened.request, submission.opened.account) == self._fingerprints
        if not same and submission.running:
            self.context.log.warning(
                "%s: the request or the account has changed since submission %s. Its jobs are left alone (they may "
                "still bill) and a new submission begins: %s",
                partition,
                submission.id,
                ", ".join(job.job for job in submission.jobs),
            )
        return same

    @property
    def _fingerprints(self) -> tuple[str, str]:
        return self.crawl.request.fingerprint(), self.thunderbit.client.account_fingerprint

    def _open(self, book: Book, partition: Partition) -> list[Wanted]:
        """The partition's URLs that no job holds yet, with its submission opened or continued."""
        try:
            checked = self._read(partition)
        except UrlSourceError as error:
            self.problems[partition] = f"nothing was sent: {error}"
            return []
        submission = book.submissions.get(partition)
        if submission is None:
            book.open(partition, checked, *self._fingerprints)
            return list(checked.wanted)
        return self._continue(book, partition, submission, checked)

    def _read(self, partition: Partition) -> CheckedUrls:
        checked = check_urls(self.crawl.read_urls(partition), allow_private=self.thunderbit.is_local)
        if checked.rejected:
            self.context.log.warning("%s: %d URLs were refused before paying", partition, len(checked.rejected))
        return checked

    def _continue(self, book: Book, partition: Partition, submission: Submission, checked: CheckedUrls) -> list[Wanted]:
        self._settle_orphans(book, partition, submission)
        left = remaining(checked, submission)
        book.amend(partition, left)
        self.context.log.info(
            "%s: submission %s is not collected yet; %d URLs are in %d job(s) already, %d are left to send",
            partition,
            submission.id,
            len(submission.covered),
            len(submission.running),
            len(left.wanted),
        )
        return list(left.wanted)

    def _settle_orphans(self, book: Book, partition: Partition, submission: Submission) -> None:
        """POSTs without a known answer: found under their home partition, or handled by policy."""
        for post in submission.orphans:
            found = self._at_home(partition, post.intent.home, post.intent.intent_id)
            if found:
                book.note(partition, found.model_copy(update={"submission_id": submission.id}))
            elif self.thunderbit.on_lost_reply == "resubmit":
                lost = Lost(
                    submission_id=submission.id,
                    intent_id=post.intent.intent_id,
                    message="no answer is known",
                    resubmitted=True,
                )
                book.note(partition, lost)
            else:
                self.problems[partition] = f"an earlier submit has no known answer; {ORPHAN_ADVICE}"

    def _at_home(self, partition: Partition, home: str | None, intent_id: str) -> Recorded | None:
        if home == partition.key:
            return None
        return LedgerReader(self.context.instance, self.crawl).recorded(home, intent_id)

    def _sealed(self, partition: Partition, submission: Submission) -> Published:
        total = len(submission.known)
        sealed = Sealed(submission_id=submission.id, total=total, jobs=tuple(submission.jobs))
        metadata = submission_metadata(submission, self.crawl.request.credits_per_url())
        return Published(partition, {self.crawl.key("submissions"): {**metadata, **to_metadata(sealed)}})
