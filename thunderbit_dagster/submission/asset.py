"""The ``submissions`` asset: sends a run's partitions and ends; it never waits for a job."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import dagster as dg

from thunderbit_dagster.api.errors import ThunderbitError
from thunderbit_dagster.api.models import Job
from thunderbit_dagster.api.requests import Distill, Extract
from thunderbit_dagster.attempts import Attempts, attempts_of
from thunderbit_dagster.cancellation.interrupted import stopping_jobs
from thunderbit_dagster.catalog import IO_MANAGER_KEY, code_references, describe, group_of
from thunderbit_dagster.crawl import Crawl
from thunderbit_dagster.ledger.credits import CreditReader, day_start
from thunderbit_dagster.ledger.fold import Submission
from thunderbit_dagster.ledger.log import LedgerReader
from thunderbit_dagster.ledger.notices import named_by
from thunderbit_dagster.ledger.records import Intent, Lost, Notified, Recorded, Sealed, to_metadata
from thunderbit_dagster.listing import UrlReader
from thunderbit_dagster.partitions import Partition
from thunderbit_dagster.publishing import Published, failure, lateness_metadata, publish
from thunderbit_dagster.resource import ThunderbitResource
from thunderbit_dagster.run import SUBMIT_POOL, Step, collect_step, is_backfill, run_partitions
from thunderbit_dagster.submission.book import Book
from thunderbit_dagster.submission.guard import Turn
from thunderbit_dagster.submission.overlap import require_unfinished
from thunderbit_dagster.submission.plan import pack, remaining, within_cap
from thunderbit_dagster.submission.purse import Caps, Purse
from thunderbit_dagster.submission.reattach import named_job, orphan_advice
from thunderbit_dagster.submission.send import UNPAID, Sender
from thunderbit_dagster.submission.upstream import UpstreamReader
from thunderbit_dagster.submission.view import emptiness_metadata, submission_metadata
from thunderbit_dagster.urls import CheckedUrls, UrlSourceError, Wanted, check_urls

NAMED = 5
"""How many partitions a message names."""


class Collect(Protocol):
    """Waits for sent partitions and publishes their rows; what could not be, and why."""

    def __call__(
        self, context: Step, thunderbit: ThunderbitResource, partitions: Sequence[Partition]
    ) -> Mapping[Partition, str]: ...


def build_submissions(crawl: Crawl, collect: Collect) -> dg.AssetsDefinition:
    """The crawl's ``submissions`` asset; ``collect`` is what the step after it does."""

    @dg.asset(
        key=crawl.key("submissions"),
        description=describe(
            crawl,
            f"Sends the URLs of the crawl `{crawl.name}` to Thunderbit as batch jobs and does not wait for them; the "
            "sensor `thunderbit_jobs` has them collected. Its events say which URL is in which job. Materialized again "
            "while its jobs are open or uncollected, it sends nothing twice; after that, it is a new crawl.",
        ),
        deps=crawl.upstream,
        partitions_def=crawl.partitions_def,
        backfill_policy=crawl.backfill_policy,
        kinds={"thunderbit"},
        pool=SUBMIT_POOL,
        group_name=group_of(crawl),
        owners=crawl.owners,
        tags=crawl.tags,
        metadata=code_references(crawl),
        io_manager_key=IO_MANAGER_KEY,
    )
    def submissions(context: dg.AssetExecutionContext, thunderbit: ThunderbitResource) -> dg.MaterializeResult[None]:
        return submit_partitions(context, crawl, thunderbit, collect if _is_followed(context, crawl) else None)[0]

    return submissions


def _is_followed(context: Step, crawl: Crawl) -> bool:
    """Whether the step that collects follows in a backfill of Dagster's own.

    Dagster skips it when this one fails, and takes all its partitions for failed: backfills do not look at what is
    materialized after their last run.
    """
    return is_backfill(context) and context.job_def.has_node_named(collect_step(crawl))


def submit_partitions(
    context: Step, crawl: Crawl, thunderbit: ThunderbitResource, collect: Collect | None = None
) -> list[dg.MaterializeResult[None]]:
    """Send the partitions of a run, and mark those of which everything was sent; empty in an op.

    With ``collect`` those are collected here when others have failed.

    Raises:
        dagster.Failure: of some not everything was sent; the others are marked all the same.
    """
    run, keys = SubmissionRun(context, crawl, thunderbit), [crawl.key("submissions")]
    with (
        dg.partition_loading_context(dynamic_partitions_store=context.instance),
        Turn(context, crawl).announced(),
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


@dataclass
class SubmissionRun:
    """One run of ``submissions`` over its partitions.

    ``finished`` holds what an earlier attempt of the run sent and somebody has collected since: nothing is sent of it.
    """

    context: Step
    crawl: Crawl
    thunderbit: ThunderbitResource
    problems: dict[Partition, str] = field(default_factory=dict)
    checked: dict[Partition, CheckedUrls] = field(default_factory=dict)
    book: Book | None = None
    read_urls: UrlReader = field(init=False)
    capped: dict[Partition, str] = field(default_factory=dict)
    sending: dict[Partition, tuple[Submission, Sequence[Wanted]]] = field(default_factory=dict)
    finished: dict[Partition, Submission] = field(default_factory=dict)
    calls: dict[str, list[Notified]] | None = None

    def __post_init__(self) -> None:
        self.read_urls = self.crawl.url_reader(UpstreamReader(self.context, self.crawl.cadence).load)

    def execute(self) -> list[Published]:
        """Send what is not sent yet; the partitions of which everything is sent."""
        partitions = self._free(run_partitions(self.context, self.crawl))
        if not partitions:
            return []
        book = Book(self.crawl, self.context.log_event, self._open_submissions(partitions))
        self.book = book
        partitions = [one for one in partitions if one not in self.problems and one not in self.finished]
        wanted = {partition: self._affordable(book, partition, self._open(book, partition)) for partition in partitions}
        self._warn_of_empty_sources()
        self.sending = {p: (book.submissions[p], urls) for p, urls in wanted.items() if p not in self.problems}
        batches = pack({p: urls for p, urls in wanted.items() if p not in self.problems}, self.crawl.urls_per_job)
        sender = Sender(
            book,
            self.crawl.request,
            self.thunderbit.client.take_slot,
            self._submit,
            self.thunderbit.on_lost_reply,
            self.context.log,
            self.thunderbit.explain,
            purse=self._purse(),
            advice=orphan_advice(self.thunderbit),
            job_url=self.thunderbit.client.job_url,
        )
        self.problems |= {**self.capped, **sender.send_all(batches).problems}
        self._name_repeats(book)
        sealed = {p: book.submissions[p] for p in partitions if p not in self.problems} | self.finished
        return [self._sealed(partition, submission) for partition, submission in sealed.items()]

    def _name_repeats(self, book: Book) -> None:
        """Promise a row to every repeat of a page that was sent; one that is not named now is by the next run."""
        for partition, checked in self.checked.items():
            book.amend(partition, remaining(checked, book.submissions[partition]))

    def _free(self, partitions: list[Partition]) -> list[Partition]:
        """The partitions that no earlier run is sending just now; the others are problems."""
        self.problems |= Turn(self.context, self.crawl).taken(partitions)
        return [partition for partition in partitions if partition not in self.problems]

    def seal_sent(self) -> None:
        """Seal the partitions of a cancelled run of which everything was sent: the sensor collects what is finished.

        The others stay open, as they do when credits run out: the next run sends what is left, and collects
        the rows of the cancelled jobs together with its own.
        """
        if self.book is not None and self.sending:  # before that, not every partition has a submission
            self._name_repeats(self.book)
        sealed = [self._sealed(p, submission) for p, (submission, _) in self.sending.items() if self._is_sent(p)]
        publish(self.context, [self.crawl.key("submissions")], sealed, {}, complete=False)
        if left := [str(partition) for partition in self.sending if partition not in {one.partition for one in sealed}]:
            self.context.log.warning(
                "Not everything was sent of %s; materialize `submissions` again to continue there", ", ".join(left)
            )

    def _is_sent(self, partition: Partition) -> bool:
        submission, wanted = self.sending[partition]
        sent = {url.position for url in wanted} <= submission.known.keys()
        return sent and partition not in self.problems and partition not in self.capped

    def _submit(self, urls: list[str], request: Distill | Extract, intent_id: str) -> Job:
        require_unfinished(self.context)
        webhook = self.thunderbit.webhook_of(intent_id)
        return self.thunderbit.client.submit(urls, request, webhook=webhook, slot_taken=True)

    def _purse(self) -> Purse:
        instance, run_id = self.context.instance, self.context.run.run_id
        record = instance.get_run_record_by_id(run_id)
        began = record.create_timestamp.timestamp() if record else time.time()
        return Purse(
            Caps(self.thunderbit.max_credits_per_run, self.thunderbit.max_credits_per_day),
            self.crawl.request.credits_per_url(),
            self.crawl.name,
            run_id,
            CreditReader(instance, self.thunderbit.client.account_fingerprint, day_start(began)),
            self.context.log_event,
        )

    def _affordable(self, book: Book, partition: Partition, wanted: Sequence[Wanted]) -> Sequence[Wanted]:
        """The URLs that the partition's cap admits; what it does not is a problem of the partition."""
        submission, cap = book.submissions.get(partition), self.crawl.max_credits_per_partition
        if submission is None or cap is None:
            return wanted
        price = self.crawl.request.credits_per_url()
        spent = submission.billable * price
        fitting = within_cap(wanted, cap, spent, price)
        if len(fitting) < len(wanted):
            self.capped[partition] = (
                f"{UNPAID}: `max_credits_per_partition` is {cap:,}, earlier runs took {spent:,} of it for this "
                f"submission, and {len(wanted):,} more URLs may cost {len(wanted) * price:,}; the first "
                f"{len(fitting):,} fit. Raise the cap and materialize again: that run continues here"
            )
        return fitting

    def _open_submissions(self, partitions: Iterable[Partition]) -> dict[Partition, Submission]:
        """Submissions to continue: not collected yet, and of the same request and account."""
        by_key = {partition.key: partition for partition in partitions}
        past = LedgerReader(self.context.instance, self.crawl).past(by_key)
        self.problems |= {by_key[key]: reason for key, reason in past.unreadable.items()}
        still_open: dict[Partition, Submission] = {}
        for key, submission in past.submissions.items():
            if key in past.collected and past.collected[key].submission_id == submission.id:
                if self._is_of_this_wish(submission):
                    self.finished[by_key[key]] = submission
                continue
            if self._is_same_request(by_key[key], submission):
                still_open[by_key[key]] = submission
        return still_open

    def _is_of_this_wish(self, submission: Submission) -> bool:
        """Whether an earlier attempt of this run, or another run since, sent what is collected now."""
        newest = max((share.at for share in submission.jobs), default=0.0)
        return self.attempts.repeats_failure and newest >= self.attempts.began

    @cached_property
    def attempts(self) -> Attempts:
        """The run and those that it repeats."""
        return attempts_of(self.context.instance, self.context.run.run_id)

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
        too_old = None if partition in book.submissions else self.crawl.past_refusal(partition, time.time())
        if too_old:
            self.problems[partition] = f"nothing was sent: {too_old}"
            return []
        try:
            checked = self._read(partition)
        except UrlSourceError as error:
            self.problems[partition] = f"nothing was sent: {error}"
            return []
        self.checked[partition] = checked
        submission = book.submissions.get(partition)
        if submission is None:
            book.open(partition, checked, *self._fingerprints)
            return list(checked.wanted)
        return self._continue(book, partition, submission, checked)

    def _read(self, partition: Partition) -> CheckedUrls:
        checked = check_urls(self.read_urls(partition), allow_private=self.thunderbit.is_local)
        if checked.rejected:
            self.context.log.warning("%s: %d URLs were refused before paying", partition, len(checked.rejected))
        return checked

    def _warn_of_empty_sources(self) -> None:
        for source, partitions in self.read_urls.by_empty_source().items():
            named = ", ".join(map(str, partitions[:NAMED])) + (", ..." if len(partitions) > NAMED else "")
            self.context.log.warning(
                "No URLs came from %s: nothing is sent for %d partition(s), %s", source, len(partitions), named
            )

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
        """POSTs without a known answer: found under their home partition, named by a webhook, or handled by policy."""
        for post in submission.orphans:
            try:
                found = self._found(book, partition, post.intent)
            except ThunderbitError as error:
                self.problems[partition] = (
                    f"nothing was sent: an earlier submit has no known answer, and the job that a webhook named for it "
                    f"cannot be read: {self.thunderbit.explain(error)}"
                )
                return
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
                self.problems[partition] = f"an earlier submit has no known answer; {orphan_advice(self.thunderbit)}"

    def _at_home(self, partition: Partition, home: str | None, intent_id: str) -> Recorded | None:
        if home == partition.key:
            return None
        return LedgerReader(self.context.instance, self.crawl).recorded(home, intent_id)

    def _found(self, book: Book, partition: Partition, intent: Intent) -> Recorded | None:
        return self._at_home(partition, intent.home, intent.intent_id) or self._named(book, partition, intent)

    def _named(self, book: Book, partition: Partition, intent: Intent) -> Recorded | None:
        if self.calls is None:
            orphans = {post.intent.intent_id for one in book.submissions.values() for post in one.orphans}
            self.calls = named_by(self.context.instance, orphans)
        calls = self.calls.get(intent.intent_id, [])
        found = named_job(self.thunderbit.client, book.submissions[partition], intent, calls)
        if found:
            self.context.log.info("%s: %s is the job of a submit whose reply was lost", partition, found.job)
        return found

    def _sealed(self, partition: Partition, submission: Submission) -> Published:
        total = len(submission.known)
        sealed = Sealed(submission_id=submission.id, total=total, jobs=tuple(submission.jobs))
        remarks = {
            **lateness_metadata(self.crawl, partition, submission.jobs),
            **emptiness_metadata(self.read_urls.empty.get(partition)),
        }
        metadata = submission_metadata(submission, self.crawl.request.credits_per_url(), remarks)
        return Published(partition, {self.crawl.key("submissions"): {**metadata, **to_metadata(sealed)}})
