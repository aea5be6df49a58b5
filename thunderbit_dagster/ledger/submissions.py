"""From records to the state of a partition's submission: pure functions over plain values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from thunderbit_dagster.api.models import JobRef
from thunderbit_dagster.ledger.records import (
    Amended,
    DuplicateUrl,
    Intent,
    JobShare,
    Lost,
    Moved,
    Opened,
    Recorded,
    Refused,
    RejectedUrl,
    SentUrl,
    SubmissionRecord,
)

URL_REFUSALS = frozenset({"INVALID_URL"})
"""Refusals that are about one URL; a job refused for one of them is halved until the URL stands alone."""


@dataclass
class Post:
    """One intended POST and what is known of its answer."""

    intent: Intent
    recorded: Recorded | None = None
    refused: Refused | None = None
    lost: Lost | None = None

    def extend(self, items: Iterable[SentUrl]) -> None:
        """Take in more URLs of the same job; those at a known place of the list, or of the job, are the same again."""
        known = {item.position for item in self.intent.items}
        in_job = {item.job_position for item in self.intent.items}
        more = tuple(item for item in items if item.position not in known and item.job_position not in in_job)
        self.intent = self.intent.model_copy(update={"items": self.intent.items + more})

    @property
    def job(self) -> JobRef | None:
        return JobRef.parse(self.recorded.job) if self.recorded else None

    @property
    def rejection(self) -> RejectedUrl | None:
        """The URL that the API would not take in a job of its own."""
        if self.refused is None or self.refused.code not in URL_REFUSALS or self.intent.size != 1:
            return None
        item = self.intent.items[0]
        reason = f"{self.refused.code}: {self.refused.message}"
        return RejectedUrl(position=item.position, url=item.url, reason=reason)

    @property
    def is_orphan(self) -> bool:
        """Sent, or perhaps sent, with no answer known and no decision taken."""
        return not (self.recorded or self.refused or (self.lost and self.lost.resubmitted))


@dataclass
class Submission:
    """A partition's newest submission, as the event log tells it."""

    opened: Opened
    posts: dict[str, Post] = field(default_factory=dict)
    amendments: list[Amended] = field(default_factory=list)

    @property
    def id(self) -> str:
        return self.opened.submission_id

    @property
    def refused_here(self) -> list[RejectedUrl]:
        """URLs that were refused before anything was sent."""
        return [*self.opened.rejected, *(url for record in self.amendments for url in record.rejected)]

    @property
    def refused_alone(self) -> list[RejectedUrl]:
        """URLs that the API would not take in a job of their own."""
        refused = [post.rejection for post in self.posts.values() if post.rejection]
        return [url for url in refused if url.position not in self.covered]

    @property
    def rejected(self) -> list[RejectedUrl]:
        """URLs that end in ``failed`` without a job."""
        return self.refused_here + self.refused_alone

    @property
    def duplicates(self) -> list[DuplicateUrl]:
        """Repeated URLs, each of a page that a job holds or the API refused: they get that page's row."""
        return [url for record in self.amendments for url in record.duplicates]

    @property
    def known(self) -> dict[int, str]:
        """Every URL whose fate is settled or in a job's hands, by position."""
        rejected = {url.position: url.url for url in self.rejected}
        repeated = {url.position: url.url for url in self.duplicates}
        return rejected | repeated | {position: item.url for position, item in self.covered.items()}

    @property
    def running(self) -> list[Post]:
        """The POSTs that have a job, in the order of their intents."""
        return [post for post in self.posts.values() if post.recorded]

    @property
    def orphans(self) -> list[Post]:
        return [post for post in self.posts.values() if post.is_orphan]

    @property
    def covered(self) -> dict[int, SentUrl]:
        """The URLs that a job holds, by position."""
        return {item.position: item for post in self.running for item in post.intent.items}

    @property
    def billable(self) -> int:
        """Pages that were paid or may have to be, each once a POST: all but those of refused ones."""
        posts = [post for post in self.posts.values() if not post.refused]
        return sum(len({item.job_position for item in post.intent.items}) for post in posts)

    @property
    def resubmitted(self) -> Counter[int]:
        """How often each position was in a POST whose reply was lost and that was sent again."""
        lost = [post for post in self.posts.values() if post.lost and post.lost.resubmitted and not post.recorded]
        return Counter(item.position for post in lost for item in post.intent.items)

    @property
    def jobs(self) -> list[JobShare]:
        return [
            JobShare(job=p.recorded.job, rows=len(p.intent.items), size=p.intent.size, at=p.recorded.at)
            for p in self.running
            if p.recorded
        ]


def fold(records: Iterable[SubmissionRecord]) -> Submission | None:
    """The newest submission in a partition's records, given oldest first; None when there is none.

    Records of another submission, and answers to intents that are not in the list, are skipped.
    """
    submission: Submission | None = None
    for record in records:
        if isinstance(record, Opened):
            if submission is None or record.submission_id != submission.id:
                submission = Submission(record)
        elif submission is not None and record.submission_id == submission.id:
            apply(submission, record)
    return submission


def apply(submission: Submission, record: Moved | Amended | Intent | Recorded | Refused | Lost) -> None:
    """Bring a submission up to date with a record of its own."""
    if isinstance(record, Moved):
        account = record.account or submission.opened.account
        owner = {"location": record.location, "store": record.store, "account": account}
        submission.opened = submission.opened.model_copy(update=owner)
    elif isinstance(record, Amended):
        submission.amendments.append(record)
    elif isinstance(record, Intent):
        submission.posts.setdefault(record.intent_id, Post(record)).extend(record.items)
    elif post := submission.posts.get(record.intent_id):
        _answer(post, record)


def _answer(post: Post, record: Recorded | Refused | Lost) -> None:
    if isinstance(record, Recorded):
        post.recorded = record
    elif isinstance(record, Refused):
        post.refused = record
    else:
        post.lost = record
