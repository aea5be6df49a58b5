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
    RateLimitedError,
    ThunderbitError,
)
from thunderbit_dagster.api.models import Job, JobRef
from thunderbit_dagster.api.requests import Distill, Extract
from thunderbit_dagster.interrupts import hold_interrupts
from thunderbit_dagster.ledger.fold import URL_REFUSALS
from thunderbit_dagster.ledger.records import Intent, Lost, Recorded, Refused, SubmissionRecord
from thunderbit_dagster.partitions import Partition
from thunderbit_dagster.resource import OnLostReply
from thunderbit_dagster.submission.book import Book, new_id
from thunderbit_dagster.submission.plan import Batch
from thunderbit_dagster.submission.purse import Allowance, Unmetered
from thunderbit_dagster.submission.reattach import ORPHAN_ADVICE

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
class Outcome:
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

    book: Book
    request: Distill | Extract
    take_slot: Callable[[], object]
    submit: Submit
    on_lost_reply: OnLostReply
    log: Logger
    explain: Callable[[ThunderbitError], str] = str
    clock: Callable[[], float] = time.time
    purse: Allowance = field(default_factory=Unmetered)
    advice: str = ORPHAN_ADVICE
    job_url: Callable[[JobRef], str] = str
    outcome: Outcome = field(default_factory=Outcome)

    def send_all(self, batches: Iterable[Batch]) -> Outcome:
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
        fits = self.purse.fitting(len(batch.pages))
        if fits < len(batch.pages):
            return self._keep_to_cap(batch, fits)
        try:
            self.take_slot()  # before the intent: whoever dies while waiting leaves none in doubt
        except ThunderbitError as error:
            self._stop_or_leave(batch, error)
            return []
        intent_id = new_id()
        if not self.purse.reserve(intent_id, fits):
            return [batch]
        self._intend(batch, intent_id)
        return self._post(batch, intent_id)

    def _post(self, batch: Batch, intent_id: str) -> list[Batch]:
        try:
            job = self.submit(batch.urls, self.request, intent_id)
        except ThunderbitError as error:
            if error.maybe_accepted:
                return self._lose(batch, intent_id, error)
            return self._refuse(batch, intent_id, error)
        self._note_all(
            batch,
            lambda sid: Recorded(submission_id=sid, intent_id=intent_id, job=str(job.ref), at=self.clock()),
        )
        self.outcome.sent += 1
        self.log.info(
            "%s submitted: %d URLs of %d partition(s)", self.job_url(job.ref), len(batch.pages), len(batch.partitions)
        )
        return []

    def _keep_to_cap(self, batch: Batch, fits: int) -> list[Batch]:
        """Send as many URLs as a cap allows, and nothing more."""
        if fits:
            return list(batch.cut(fits))
        self.outcome.stopped = f"{UNPAID}: {self.purse.refusal()}"
        self._leave(batch, self.outcome.stopped)
        return []

    def _intend(self, batch: Batch, intent_id: str) -> None:
        home = batch.partitions[0].key
        for partition in batch.partitions:
            intent = Intent(
                submission_id=self.book.submissions[partition].id,
                intent_id=intent_id,
                size=len(batch.pages),
                attempt=batch.attempt,
                home=home,
                items=batch.items(partition),
            )
            self.book.note(partition, intent)

    def _refuse(self, batch: Batch, intent_id: str, error: ThunderbitError) -> list[Batch]:
        code = error.code if isinstance(error, ApiError) else type(error).__name__
        self.purse.release(intent_id)
        self._note_all(
            batch,
            lambda sid: Refused(submission_id=sid, intent_id=intent_id, code=code, message=str(error)[:500]),
        )
        if len(batch.pages) > 1 and (isinstance(error, BatchSizeExceededError) or code in URL_REFUSALS):
            self.log.info("The API refused %d URLs in one job (%s); sending halves", len(batch.pages), code)
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
            self.book.note(partition, record(self.book.submissions[partition].id))
