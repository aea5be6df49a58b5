"""POSTing batch jobs, each once: an intent before, the job id right after."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from logging import Logger
from typing import Protocol

from thunderbit_dagster.api.errors import (
    ApiError,
    AuthenticationError,
    BadRequestError,
    BatchSizeExceededError,
    BudgetExceededError,
    InsufficientCreditsError,
    NotSentError,
    ProtocolError,
    RateLimitedError,
    ThunderbitError,
)
from thunderbit_dagster.api.models import Job, JobRef
from thunderbit_dagster.api.requests import Distill, Extract
from thunderbit_dagster.jobs.recovery import LOST_REPLY_ADVICE
from thunderbit_dagster.ledger.records import Intent, Lost, Recorded, Refused, SubmissionRecord
from thunderbit_dagster.ledger.submissions import URL_REFUSALS
from thunderbit_dagster.partitions import Partition
from thunderbit_dagster.resource import OnLostReply
from thunderbit_dagster.runs.signals import hold_interrupts
from thunderbit_dagster.submission.credit_caps import CreditLimit, NoCreditCaps
from thunderbit_dagster.submission.plan import Batch
from thunderbit_dagster.submission.record_writer import SubmissionRecords, new_id, portions

STOPS = (
    AuthenticationError,
    BadRequestError,
    BudgetExceededError,
    InsufficientCreditsError,
    NotSentError,
    RateLimitedError,
)
"""Answers after which no further POST of the run would fare better."""
UNPAID = "not submitted, nothing was paid for these URLs"


class Submit(Protocol):
    """The one call that costs money."""

    def __call__(self, urls: list[str], request: Distill | Extract, intent_id: str) -> Job: ...


@dataclass
class SendOutcome:
    """What came of sending: the batches that were not sent, and why, for people."""

    sent: int = 0
    problems: dict[Partition, str] = field(default_factory=dict)
    stopped: str | None = None


@dataclass
class Sender:
    """Sends batches one after another.

    A batch that the API finds too large is halved, one that it refuses for a bad URL is halved until that
    URL stands alone; both cost nothing. Credits, key and request limits stop the sending: what is left
    is not submitted, and the next run continues there.
    """

    ledger: SubmissionRecords
    request: Distill | Extract
    take_slot: Callable[[], object]
    submit: Submit
    on_lost_reply: OnLostReply
    log: Logger
    explain: Callable[[ThunderbitError], str] = str
    clock: Callable[[], float] = time.time
    credit_limit: CreditLimit = field(default_factory=NoCreditCaps)
    advice: str = LOST_REPLY_ADVICE
    job_url: Callable[[JobRef], str] = str
    outcome: SendOutcome = field(default_factory=SendOutcome)

    def send_all(self, batches: Iterable[Batch]) -> SendOutcome:
        """Send what can be sent; the outcome names what could not."""
        waiting = deque(batches)
        while waiting:
            batch = waiting.popleft()
            if self.outcome.stopped:
                self._leave(batch, self.outcome.stopped)
            else:
                # An interrupt between a request and its record would leave a paid job that nobody knows.
                with hold_interrupts():
                    waiting.extendleft(reversed(self._send(batch)))
        return self.outcome

    def _send(self, batch: Batch) -> list[Batch]:
        """Send one batch as far as caps and limits allow; what is left to send instead of it."""
        fits = self.credit_limit.fitting(len(batch.pages))
        if fits < len(batch.pages):
            return self._keep_to_cap(batch, fits)
        try:
            self.take_slot()  # before the intent: whoever dies while waiting leaves none in doubt
        except ThunderbitError as error:
            self._stop_or_leave(batch, error)
            return []
        intent_id = new_id()
        if not self.credit_limit.reserve(intent_id, fits):
            return [batch]
        self.log.info("Submitting %d URLs of %d partition(s)", fits, len(batch.partitions))
        self._intend(batch, intent_id)
        return self._post(batch, intent_id)

    def _post(self, batch: Batch, intent_id: str) -> list[Batch]:
        try:
            job = self.submit(batch.urls, self.request, intent_id)
        except ThunderbitError as error:
            if error.maybe_accepted:
                return self._lose(batch, intent_id, error)
            return self._refuse(batch, intent_id, error)
        if str(job.ref) in self._known_jobs():
            return self._lose(batch, intent_id, ProtocolError(f"the API answered with {job.ref}, which is another job"))
        self._note_all(
            batch,
            lambda sid: Recorded(submission_id=sid, intent_id=intent_id, job=str(job.ref), at=self.clock()),
        )
        self.outcome.sent += 1
        self.log.info(
            "%s submitted: %d URLs of %d partition(s)", self.job_url(job.ref), len(batch.pages), len(batch.partitions)
        )
        return []

    def _known_jobs(self) -> set[str]:
        """The jobs of the run's submissions: another POST cannot have made one of them."""
        return {share.job for submission in self.ledger.submissions.values() for share in submission.jobs}

    def _keep_to_cap(self, batch: Batch, fits: int) -> list[Batch]:
        """Send as many URLs as a cap allows, and nothing more."""
        if fits:
            return list(batch.split(fits))
        self.outcome.stopped = f"{UNPAID}: {self.credit_limit.refusal()}"
        self._leave(batch, self.outcome.stopped)
        return []

    def _intend(self, batch: Batch, intent_id: str) -> None:
        home = batch.partitions[0].key
        for partition in batch.partitions:
            for items in portions(batch.items(partition)):
                intent = Intent(
                    submission_id=self.ledger.submissions[partition].id,
                    intent_id=intent_id,
                    size=len(batch.pages),
                    attempt=batch.attempt,
                    home=home,
                    items=items,
                )
                self.ledger.note(partition, intent)

    def _refuse(self, batch: Batch, intent_id: str, error: ThunderbitError) -> list[Batch]:
        code = error.code if isinstance(error, ApiError) else type(error).__name__
        self.credit_limit.release(intent_id)
        self._note_all(
            batch,
            lambda sid: Refused(submission_id=sid, intent_id=intent_id, code=code, message=str(error)[:500]),
        )
        if len(batch.pages) > 1 and (isinstance(error, BatchSizeExceededError) or code in URL_REFUSALS):
            self.log.info("The API refused %d URLs in one job (%s); splitting them in half", len(batch.pages), code)
            return list(batch.halves())
        if code not in URL_REFUSALS:
            self._stop_or_leave(batch, error)
        return []

    def _stop_or_leave(self, batch: Batch, error: ThunderbitError) -> None:
        reason = f"{UNPAID}: {self.explain(error)}"
        if isinstance(error, STOPS):
            self.outcome.stopped = reason
        self._leave(batch, reason)

    def _lose(self, batch: Batch, intent_id: str, error: ThunderbitError) -> list[Batch]:
        again = self.on_lost_reply == "resubmit" and batch.attempt == 1
        self._note_all(
            batch,
            lambda sid: Lost(submission_id=sid, intent_id=intent_id, message=str(error)[:500], resubmitted=again),
        )
        self.log.warning("The reply to a submit of %d URLs was lost: %s", len(batch.pages), error)
        if again:
            return [Batch(batch.pages, batch.attempt + 1)]
        self._leave(batch, f"the reply to a submit was lost ({error}); {self.advice}")
        return []

    def _leave(self, batch: Batch, reason: str) -> None:
        for partition in batch.partitions:
            self.outcome.problems.setdefault(partition, reason)

    def _note_all(self, batch: Batch, record: Callable[[str], SubmissionRecord]) -> None:
        for partition in batch.partitions:
            self.ledger.note(partition, record(self.ledger.submissions[partition].id))
