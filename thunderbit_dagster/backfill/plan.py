"""What a backfill would send and cost, before anything is sent: read from URL sources and the event log."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import dagster as dg

from thunderbit_dagster.backfill.estimate import Forecast, Limits, forecast
from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.ledger.credits import CreditReader, day_start
from thunderbit_dagster.ledger.event_log import LedgerReader
from thunderbit_dagster.ledger.submissions import Submission
from thunderbit_dagster.partitions import Partition, chunks, group_into_ranges
from thunderbit_dagster.resource import ThunderbitResource
from thunderbit_dagster.submission.plan import pack, remaining
from thunderbit_dagster.urls import NeedsRunError, UrlSourceError, Wanted, check_urls

Unread = Literal["only the run can read", "could not be read"]
"""Why nobody knows how many URLs a partition has: ends a sentence about them."""


@dataclass(frozen=True, slots=True)
class Need:
    """What one partition asks for.

    Attributes:
        listed: URLs in the list.
        repeated: Those that share the fetch of another.
        refused: Those that would be refused before paying.
        held: Pages that an open job holds: they are not paid again.
        doubtful: Pages of a submit without a known answer; how they go on is up to ``on_lost_reply``.
        to_send: Pages left to send.
        spent: Credits that the partition's open submission has taken so far.
        problem: Why nothing would be sent, or the list could not be read.
        past: Whether the problem is that `past_dates` refuses the partition's date.
        unread: Set when the list could not be read, so that all the numbers are unknown.
    """

    partition: Partition
    listed: int = 0
    repeated: int = 0
    refused: int = 0
    held: int = 0
    doubtful: int = 0
    to_send: tuple[Wanted, ...] = ()
    spent: int = 0
    problem: str | None = None
    past: bool = False
    unread: Unread | None = None


@dataclass(frozen=True)
class Backfill:
    """A backfill of some partitions of a crawl, split into Dagster runs.

    Attributes:
        needs: Of every partition that was asked for.
        runs: Those that are launched, run by run.
        used_today: Credits, since midnight UTC.
    """

    crawl: Crawl
    thunderbit: ThunderbitResource
    needs: Sequence[Need]
    runs: Sequence[Sequence[Need]]
    used_today: int
    limits: Limits

    @property
    def past(self) -> list[Need]:
        """The partitions that `past_dates` refuses."""
        return [need for need in self.needs if need.past]

    @property
    def launched(self) -> int:
        """How many partitions the runs are for."""
        return sum(map(len, self.runs))

    @property
    def price(self) -> int:
        return self.crawl.request.credits_per_url()

    @cached_property
    def jobs_of_runs(self) -> list[list[int]]:
        """The URLs of each batch job, run by run; jobs are filled across the partitions of a run."""
        packed = [pack({need.partition: need.to_send for need in run}, self.crawl.urls_per_job) for run in self.runs]
        return [[len(batch.pages) for batch in batches] for batches in packed]

    @property
    def run_credits(self) -> list[int]:
        """What each run may cost; a page that partitions of a run share is paid once."""
        return [sum(sizes) * self.price for sizes in self.jobs_of_runs]

    @property
    def credits(self) -> int:
        """What all runs may cost, without the partitions that could not be read."""
        return sum(self.run_credits)

    @property
    def unread(self) -> Mapping[Unread, Sequence[Need]]:
        """The partitions whose URLs, and so whose credits, jobs and time, nobody knows yet; by the reason."""
        found: dict[Unread, list[Need]] = {}
        for need in self.needs:
            if need.unread:
                found.setdefault(need.unread, []).append(need)
        return found

    @property
    def cost(self) -> str:
        """What the backfill may cost, in words, with what is not known of it."""
        unknown = [f"{len(needs):,} partition(s) whose URLs {reason}" for reason, needs in self.unread.items()]
        return ", and ".join([f"at most {self.credits:,} credits", *unknown])

    @cached_property
    def forecast(self) -> Forecast:
        """Requests and time of all runs together."""
        return forecast([size for sizes in self.jobs_of_runs for size in sizes], self.limits)

    def caps(self) -> list[str]:
        """What stops the backfill, or makes it take more runs or days: one sentence a cap."""
        return [text for text in (self._partition_cap(), self._run_cap(), self._day_cap()) if text]

    def _partition_cap(self) -> str | None:
        cap = self.crawl.max_credits_per_partition
        if cap is None:
            return None
        over = [need for need in self.needs if need.spent + len(need.to_send) * self.price > cap]
        if not over:
            return None
        names = ", ".join(str(need.partition) for need in over[:5]) + (", ..." if len(over) > 5 else "")  # noqa: PLR2004
        return f"max_credits_per_partition={cap:,} stops {len(over):,} partition(s) until it is raised: {names}"

    def _run_cap(self) -> str | None:
        cap = self.thunderbit.max_credits_per_run
        over = [cost for cost in self.run_credits if cap is not None and cost > cap]
        if cap is None or not over:
            return None
        if cap < self.price:
            return f"max_credits_per_run={cap:,} does not allow a single URL, which may cost {self.price:,}"
        more = sum(-(-cost // (cap - cap % self.price)) - 1 for cost in over)
        return f"max_credits_per_run={cap:,} stops {len(over):,} run(s); about {more:,} more run(s) will send the rest"

    def _day_cap(self) -> str | None:
        cap = self.thunderbit.max_credits_per_day
        if cap is None:
            return None
        left = max(0, cap - self.used_today)
        if self.credits <= left:
            return None
        if cap < self.price:
            return f"max_credits_per_day={cap:,} does not allow a single URL, which may cost {self.price:,}"
        days = -(-(self.credits - left) // (cap - cap % self.price))
        return (
            f"max_credits_per_day={cap:,} leaves {left:,} today ({self.used_today:,} are used or reserved); the rest "
            f"takes about {days:,} more day(s)"
        )


def plan_backfill(
    crawl: Crawl,
    thunderbit: ThunderbitResource,
    keys: Sequence[str | None],
    limits: Limits,
    instance: dg.DagsterInstance | None = None,
    *,
    as_sets: bool = False,
) -> Backfill:
    """What a backfill of some partitions would do now. Nothing is sent, and nothing is written.

    Without an ``instance`` nothing is known of open jobs and of credits used today. ``as_sets`` plans runs over any
    set of partitions, as ``thunderbit-dagster backfill`` launches them, without those that `past_dates` refuses;
    Dagster's own backfill makes a run for each contiguous range.
    """
    with dg.partition_loading_context(dynamic_partitions_store=instance):
        return _planned(crawl, thunderbit, keys, limits, instance, as_sets=as_sets)


def _planned(
    crawl: Crawl,
    thunderbit: ThunderbitResource,
    keys: Sequence[str | None],
    limits: Limits,
    instance: dg.DagsterInstance | None,
    *,
    as_sets: bool,
) -> Backfill:
    account = thunderbit.client.account_fingerprint
    open_now = _open_submissions(crawl, thunderbit.client.account_fingerprints, keys, instance) if instance else {}
    read = crawl.url_reader(added=crawl.added_keys) if instance else crawl.url_reader()
    needs = {key: read_need(crawl, read, crawl.partition(key), thunderbit, open_now.get(key)) for key in keys}
    taken = [key for key in keys if not (as_sets and needs[key].past)]
    runs = [[needs[key] for key in run] for run in cut_into_runs(crawl, taken, as_sets=as_sets)] if taken else []
    today = day_start(time.time())
    used = CreditReader(instance, account, today).tally().since(today) if instance else 0
    return Backfill(crawl, thunderbit, list(needs.values()), runs, used, limits)


def read_need(
    crawl: Crawl,
    read_urls: Callable[[Partition], list[str]],
    partition: Partition,
    thunderbit: ThunderbitResource,
    open_now: Submission | None,
) -> Need:
    """What a partition asks for, beside what its open submission has sent."""
    if open_now is None and (too_old := crawl.past_refusal(partition, time.time())):
        return Need(partition, problem=too_old, past=True)
    try:
        checked = check_urls(read_urls(partition), allow_private=thunderbit.is_local, fragments=crawl.fragments)
    except NeedsRunError as error:
        return Need(partition, problem=str(error), unread="only the run can read")
    except UrlSourceError as error:
        return Need(partition, problem=str(error), unread="could not be read")
    left = remaining(checked, open_now)
    doubtful = {item.position for post in open_now.orphans for item in post.intent.items} if open_now else set()
    return Need(
        partition,
        listed=checked.total,
        repeated=len(checked.duplicates),
        refused=len(checked.rejected),
        held=len(checked.wanted) - len(left.wanted),
        doubtful=sum(url.position in doubtful for url in left.wanted),
        to_send=left.wanted,
        spent=open_now.billable * crawl.request.credits_per_url() if open_now else 0,
    )


def _open_submissions(
    crawl: Crawl, accounts: Collection[str], keys: Sequence[str | None], instance: dg.DagsterInstance
) -> Mapping[str | None, Submission]:
    """Submissions that a run would continue: not collected, and of the same request and account."""
    reader = LedgerReader(instance, crawl)
    submissions, collected = reader.submissions(keys), reader.collected(keys)
    done = {record.submission_id for record in collected.values()}
    request = crawl.request.fingerprint()
    return {
        key: one
        for key, one in submissions.items()
        if one.id not in done and one.opened.request == request and one.opened.account in accounts
    }


def cut_into_runs(crawl: Crawl, keys: Sequence[str | None], *, as_sets: bool) -> Sequence[Sequence[str | None]]:
    """The partitions of each run: of any set of partitions as few as can be, or one for each range."""
    named = [key for key in keys if key is not None]
    if not named:
        return [tuple(keys)]
    if as_sets:
        return chunks(named, crawl.max_partitions_per_run)
    return [one.keys for one in group_into_ranges(named, crawl.axes, crawl.max_partitions_per_run)]
