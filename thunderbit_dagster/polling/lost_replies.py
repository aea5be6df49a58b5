"""Jobs whose POST has no recorded answer, named by the API's own call: they are given back to their submissions.

Nothing is sent. A submission of which everything is in a job then is sealed, so that it is polled and collected;
of another one the next run sends the rest.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from logging import Logger
from typing import TYPE_CHECKING

import dagster as dg

from thunderbit_dagster.api.errors import ThunderbitError
from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.jobs.recovery import named_job
from thunderbit_dagster.ledger.asset_events import Metadata, lateness_metadata
from thunderbit_dagster.ledger.event_log import CLOCK_SLACK_SECONDS, Entry, LedgerReader
from thunderbit_dagster.ledger.notifications import RECENT_SECONDS, WebhookCall
from thunderbit_dagster.ledger.records import Intent, Lost, Notified, Recorded, Refused, Sealed, to_metadata
from thunderbit_dagster.ledger.submission_metadata import submission_metadata
from thunderbit_dagster.ledger.submissions import Submission, apply
from thunderbit_dagster.partitions import Partition
from thunderbit_dagster.polling.cursor import NamedIntent
from thunderbit_dagster.polling.open_submissions import SETTLE_SECONDS
from thunderbit_dagster.runs.liveness import is_living

if TYPE_CHECKING:
    from thunderbit_dagster.api.client import ThunderbitClient

PATIENCE_SECONDS = SETTLE_SECONDS
"""A call may overtake the record of its job, and events may become visible late."""
MAX_NAMED = 100
"""Calls that the cursor remembers. What is forgotten is found by the next run of its partition."""

SubmissionEvent = dg.AssetObservation | dg.AssetMaterialization


def intents_to_remember(
    named: Iterable[NamedIntent], notices: Iterable[WebhookCall], known: set[str], now: float
) -> list[NamedIntent]:
    """The calls that named an intent whose job is not known, each intent once, at most the newest hundred."""
    fresh = [
        NamedIntent(job=one.record.job, intent=one.record.intent_id, at=one.at)
        for one in notices
        if one.record.intent_id is not None
    ]
    by_intent = {one.intent: one for one in [*fresh, *named]}
    waiting = [one for one in by_intent.values() if one.job not in known and now - one.at < RECENT_SECONDS]
    return sorted(waiting, key=lambda one: one.at)[-MAX_NAMED:]


@dataclass
class UnansweredPost:
    """An intent without a known answer: whose run wrote it, and the partitions with URLs in it."""

    crawl: Crawl
    run_id: str
    keys: list[str | None] = field(default_factory=list)


def find_unanswered(crawl: Crawl, entries: Iterable[Entry], wanted: set[str]) -> dict[str, UnansweredPost | None]:
    """The wanted intents among a crawl's records, given oldest first; None for those with an answer."""
    found: dict[str, UnansweredPost | None] = {}
    for entry in entries:
        record = entry.record
        if isinstance(record, Intent) and record.intent_id in wanted:
            orphan = found.setdefault(record.intent_id, UnansweredPost(crawl, entry.run_id))
            if orphan is not None and entry.partition_key not in orphan.keys:
                orphan.keys.append(entry.partition_key)
        elif isinstance(record, Recorded | Refused | Lost) and record.intent_id in found and _is_answer(record):
            found[record.intent_id] = None
    return found


def _is_answer(record: Recorded | Refused | Lost) -> bool:
    return not isinstance(record, Lost) or record.resubmitted


@dataclass
class LostReplyFinder:
    """Gives orphan jobs back to their submissions, within one tick."""

    instance: dg.DagsterInstance
    crawls: Sequence[Crawl]
    client: ThunderbitClient
    log: Logger
    now: float
    stop_at: float
    events: list[SubmissionEvent] = field(default_factory=list)

    def settle(self, named: Sequence[NamedIntent]) -> list[NamedIntent]:
        """Look after the calls that are old enough; those to look after in a later tick."""
        due = [one for one in named if self._is_due(one)]
        if not due:
            return list(named)
        orphans = self._find(due)
        return [one for one in named if one not in due or self._is_left(one, orphans)]

    def _is_due(self, named: NamedIntent) -> bool:
        return self.now - named.at >= PATIENCE_SECONDS and not self._is_sending(named.run)

    def _is_sending(self, run_id: str | None) -> bool:
        """Whether the run that wrote the intent may still write the answer."""
        return bool(run_id) and is_living(self.instance, self.instance.get_run_record_by_id(str(run_id)), self.now)

    def _find(self, named: Sequence[NamedIntent]) -> dict[str, UnansweredPost | None]:
        wanted, oldest = {one.intent for one in named}, min(one.at for one in named)
        found: dict[str, UnansweredPost | None] = {}
        for crawl in self.crawls:
            since = oldest - crawl.job_deadline.total_seconds() - CLOCK_SLACK_SECONDS
            entries = LedgerReader(self.instance, crawl).since_time("submissions", since, observations=True)
            found |= find_unanswered(crawl, entries, wanted)
        return found

    def _is_left(self, named: NamedIntent, orphans: dict[str, UnansweredPost | None]) -> bool:
        if named.intent not in orphans:
            return False  # it is another code location's
        orphan = orphans[named.intent]
        if orphan is None:
            return False
        if self._is_sending(orphan.run_id) or time.monotonic() >= self.stop_at:
            named.run = orphan.run_id
            return True
        return not self._is_settled(named, orphan)

    def _is_settled(self, named: NamedIntent, orphan: UnansweredPost) -> bool:
        """Give the job back; False when the API could not be asked about it now."""
        reader = LedgerReader(self.instance, orphan.crawl)
        submissions = {
            key: submission
            for key, submission in reader.past(orphan.keys).submissions.items()
            if any(post.intent.intent_id == named.intent for post in submission.orphans)
        }
        try:
            job = self._job(named, submissions)
        except ThunderbitError as error:
            self.log.warning("%s, named by a webhook, could not be read and is asked again later: %s", named.job, error)
            return False
        for key, submission in submissions.items() if job else ():
            self.events.extend(self._give_back(orphan.crawl, orphan.crawl.partition(key), submission, named))
        return True

    def _job(self, named: NamedIntent, submissions: dict[str | None, Submission]) -> Recorded | None:
        """What the API says of the named job, asked once for all partitions that share it."""
        for submission in submissions.values():
            call = Notified(job=named.job, status="", intent_id=named.intent, at=named.at)
            return named_job(self.client, submission, submission.posts[named.intent].intent, [call])
        return None

    def _give_back(
        self, crawl: Crawl, partition: Partition, submission: Submission, named: NamedIntent
    ) -> Iterator[SubmissionEvent]:
        recorded = Recorded(submission_id=submission.id, intent_id=named.intent, job=named.job, at=named.at)
        apply(submission, recorded)
        complete = submission.known.keys() >= set(range(submission.opened.total))
        rest = "" if complete else "; not everything was sent, materialize `submissions` again to continue there"
        self.log.info("%s, %s: %s is the job of a submit without an answer%s", crawl.name, partition, named.job, rest)
        told: Metadata = {"event": f"submitted as job {named.job}, as its webhook says", **to_metadata(recorded)}
        yield dg.AssetObservation(crawl.key("submissions"), partition=partition.key, metadata=told)
        if complete:
            sealed = Sealed(submission_id=submission.id, total=len(submission.known), jobs=tuple(submission.jobs))
            late = lateness_metadata(crawl, partition, submission.jobs)
            shown = submission_metadata(submission, crawl.request.credits_per_url(), late)
            yield dg.AssetMaterialization(
                crawl.key("submissions"), partition=partition.key, metadata={**shown, **to_metadata(sealed)}
            )
