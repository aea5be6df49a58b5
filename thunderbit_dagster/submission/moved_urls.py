"""URLs that batch jobs hold under other keys, since the partitions of the crawl changed while they were open.

Such a URL is not sent again: the partition that lists it now gets a share in the job, and with it the row.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from thunderbit_dagster.ledger.event_log import open_submissions
from thunderbit_dagster.ledger.records import Intent, Recorded, SentUrl
from thunderbit_dagster.ledger.submissions import Post, Submission
from thunderbit_dagster.partitions import SEPARATOR, Partition
from thunderbit_dagster.submission.account import AccountCheck
from thunderbit_dagster.submission.record_writer import SubmissionRecords
from thunderbit_dagster.submission.step import SubmitStep
from thunderbit_dagster.urls import CheckedUrls, Fragments, Wanted, canonical_url

NAMED = 5
"""How many partitions a message names."""
UrlsOf = Callable[[Partition], CheckedUrls]
"""What a partition lists now."""


@dataclass(frozen=True, slots=True)
class HeldUrl:
    """A URL in a job, or in a POST whose answer is not known: its partition, the POST, and its place in it."""

    holder: Partition
    post: Post
    item: SentUrl


@dataclass
class MovedUrls:
    """Finds the jobs that hold URLs of the run's ``partitions`` under keys that no longer list them."""

    step: SubmitStep
    accounts: AccountCheck
    records: SubmissionRecords
    partitions: Sequence[Partition]
    urls_of: UrlsOf
    _listed: dict[Partition, frozenset[str]] = field(default_factory=dict)

    def take_over(self, partition: Partition, wanted: Sequence[Wanted]) -> str | None:
        """Give a partition its share in such jobs; why nothing of it may be sent, when another account has them."""
        found = adoptable(partition, wanted, self._held, self._listed_by) if wanted else []
        foreign = [(held.holder, reason) for _, held in found if (reason := self._refusal(held.holder))]
        if foreign:
            holder, reason = foreign[0]
            return f"{len(foreign)} of its URL(s) are in batch jobs of {holder}: {reason}"
        for record in share_records(self.records.submissions[partition].id, found):
            self.records.note(partition, record)
        if found:
            self.step.context.log.info(
                "%s: %d URL(s) are in batch jobs that were submitted for %s, before the crawl's partitions "
                "changed; their rows are published here",
                partition,
                len(found),
                named({held.holder for _, held in found}),
            )
        return None

    def _refusal(self, holder: Partition) -> str | None:
        return self.accounts.refusal(self._others[holder]) if holder in self._others else None

    @cached_property
    def _held(self) -> Mapping[str, list[HeldUrl]]:
        """The URLs in open jobs of the crawl, whatever its partitions were when they were submitted."""
        return held_urls({**self.records.submissions, **self._others}, self.step.crawl.fragments)

    @cached_property
    def _others(self) -> Mapping[Partition, Submission]:
        """The open submissions of the crawl that this run does not continue."""
        step = self.step
        since = time.time() - 2 * step.crawl.job_deadline.total_seconds()
        keys = open_submissions(step.reader.shared_since_time(since)).keys() - {one.key for one in self.partitions}
        dated = [key for key in keys if any(is_of_date(partition, key) for partition in self.partitions)]
        found = {step.crawl.partition(key): past for key, past in step.reader.past(dated).submissions.items()}
        return {
            partition: past
            for partition, past in found.items()
            if past.opened.request == step.request and step.owner.owns(past.opened)
        }

    def _listed_by(self, holder: Partition) -> frozenset[str]:
        if holder not in self._listed:
            checked = self.urls_of(holder) if self.step.crawl.knows(holder) else CheckedUrls()
            self._listed[holder] = frozenset(url.canonical for url in checked.wanted)
        return self._listed[holder]


def named(partitions: Collection[Partition]) -> str:
    """The first partitions by name, and a sign that there are more."""
    names = sorted(map(str, partitions))
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")


def held_urls(submissions: Mapping[Partition, Submission], fragments: Fragments) -> dict[str, list[HeldUrl]]:
    """The URLs that POSTs of some submissions hold, or may hold, by canonical URL."""
    held: dict[str, list[HeldUrl]] = {}
    for holder, submission in submissions.items():
        for post in [*submission.running, *submission.orphans]:
            for item in post.intent.items:
                held.setdefault(canonical_url(item.url, fragments), []).append(HeldUrl(holder, post, item))
    return held


def adoptable(
    partition: Partition,
    wanted: Iterable[Wanted],
    held: Mapping[str, list[HeldUrl]],
    listed_by: Callable[[Partition], Collection[str]],
) -> list[tuple[Wanted, HeldUrl]]:
    """The wanted URLs that a job holds for a key of the same date that does not list them any more.

    Of a POST of its own without an answer a partition takes the answer that is known under another key.
    """
    found = []
    for url in wanted:
        holders = held.get(url.canonical, ())
        own = [one for one in holders if one.holder == partition]
        for one in holders:
            is_other = one.holder != partition and is_of_date(partition, one.holder.key)
            if is_other and url.canonical not in listed_by(one.holder) and _is_news(one, own):
                found.append((url, one))
                break
    return found


def _is_news(held: HeldUrl, own: Sequence[HeldUrl]) -> bool:
    """Whether a partition that holds a URL itself, though perhaps in doubt, learns anything of it."""
    same = [one.post for one in own if one.post.intent.intent_id == held.post.intent.intent_id]
    return bool(same and held.post.recorded and not same[0].recorded) if own else True


def is_of_date(partition: Partition, key: str | None) -> bool:
    """Whether rows fetched for a key, which may be of other dimensions, belong to the partition's date."""
    return partition.date is None or partition.date in (key or "").split(SEPARATOR)


def share_records(submission_id: str, adopted: Iterable[tuple[Wanted, HeldUrl]]) -> Iterator[Intent | Recorded]:
    """The records that give a submission its share in each job: the same intent with the URLs in question."""
    posts: dict[str, Post] = {}
    items: dict[str, list[SentUrl]] = {}
    for url, held in adopted:
        intent_id = held.post.intent.intent_id
        sent = held.item.sent or held.item.url
        item = SentUrl(
            job_position=held.item.job_position,
            position=url.position,
            url=url.url,
            sent=None if sent == url.url else sent,
        )
        posts[intent_id] = held.post
        items.setdefault(intent_id, []).append(item)
    for intent_id, post in posts.items():
        yield post.intent.model_copy(update={"submission_id": submission_id, "items": tuple(items[intent_id])})
        if post.recorded:
            yield post.recorded.model_copy(update={"submission_id": submission_id})
