"""The batch jobs that the ledger knows of, open or not, whichever submission they belong to."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

import dagster as dg

from thunderbit_dagster.api.models import JobRef
from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.jobs.state import JobState
from thunderbit_dagster.ledger.event_log import Entry, LedgerReader, newest_progress
from thunderbit_dagster.ledger.records import Collected, Intent, Progress, Recorded, Sealed
from thunderbit_dagster.partitions import Partition

_RECENT_SECONDS = 7 * 86_400.0
"""Jobs older than this, and than twice the crawl's deadline, are not looked for."""


@dataclass(frozen=True, slots=True)
class JobPart:
    """A partition's part in a job: how many of its URLs, in which submission, recorded by which run."""

    partition: Partition
    submission_id: str
    run_id: str
    rows: int


@dataclass
class KnownJob:
    """A batch job as the event log tells it.

    ``sealed`` says that all of its submissions are complete, so that the sensor polls it; ``collected`` that
    all of them are published.
    """

    crawl: Crawl
    watched: JobState
    shares: list[JobPart] = field(default_factory=list)
    sealed: bool = False
    collected: bool = False

    @property
    def ref(self) -> JobRef:
        return JobRef.parse(self.watched.job)

    @property
    def is_open(self) -> bool:
        """Whether the job may be running, as far as the event log knows."""
        return not self.watched.ended and not self.collected

    @property
    def status(self) -> str:
        """What the newest poll saw, SUBMITTED before the first."""
        return self.watched.progress.status if self.watched.progress else "SUBMITTED"

    @property
    def home(self) -> Partition:
        """The partition whose events tell of the job."""
        return self.shares[0].partition

    @property
    def partitions(self) -> list[Partition]:
        return [share.partition for share in self.shares]


def open_jobs(instance: dg.DagsterInstance, crawls: Iterable[Crawl], now: float) -> list[KnownJob]:
    """The recent jobs of some crawls that may be running at a Unix time."""
    found: list[KnownJob] = []
    for crawl in crawls:
        after = now - max(_RECENT_SECONDS, 2 * crawl.job_deadline.total_seconds())
        found += [job for job in read_jobs(LedgerReader(instance, crawl), after) if job.is_open]
    return found


def read_jobs(reader: LedgerReader, after: float) -> list[KnownJob]:
    """The jobs submitted after a Unix time, oldest first."""
    told = list(reader.since_time("submissions", after, observations=True))
    progress = newest_progress(reader.since_time("succeeded", after, observations=True))
    outcomes = [entry.record for entry in reader.outcomes_since_time(after)]
    sealed = {record.submission_id for record in outcomes if isinstance(record, Sealed)}
    collected = {record.submission_id for record in outcomes if isinstance(record, Collected)}
    return known_jobs(reader.crawl, told, progress, sealed, collected)


def known_jobs(
    crawl: Crawl,
    told: Iterable[Entry],
    progress: Mapping[str, Progress],
    sealed: Collection[str],
    collected: Collection[str],
) -> list[KnownJob]:
    """Intents and answers, given oldest first, put together by job."""
    intents: dict[tuple[str, str], Intent] = {}
    jobs: dict[str, KnownJob] = {}
    for entry in told:
        record = entry.record
        if isinstance(record, Intent):
            # Long lists of URLs come in several events.
            known = intents.get((record.submission_id, record.intent_id))
            items = (*known.items, *record.items) if known else record.items
            intents[record.submission_id, record.intent_id] = record.model_copy(update={"items": items})
        elif isinstance(record, Recorded) and (intent := intents.get((record.submission_id, record.intent_id))):
            watched = JobState(record.job, intent.size, record.at, progress.get(record.job))
            job = jobs.setdefault(record.job, KnownJob(crawl, watched))
            partition = crawl.partition(entry.partition_key)
            if partition not in job.partitions:
                job.shares.append(JobPart(partition, record.submission_id, entry.run_id, len(intent.items)))
    for job in jobs.values():
        submissions = {share.submission_id for share in job.shares}
        job.sealed, job.collected = submissions <= set(sealed), submissions <= set(collected)
    return list(jobs.values())


def wipe_warning(jobs: Iterable[KnownJob]) -> str | None:
    """What wiping assets would do to these jobs; None without jobs."""
    names = sorted({job.crawl.key("submissions").to_user_string() for job in jobs})
    if not names:
        return None
    return (
        f"Do not wipe {', '.join(f'`{name}`' for name in names)} in Dagster before these jobs are collected: that "
        "forgets them, and they run on and bill. Deleting runs is harmless."
    )


def of_runs(jobs: Iterable[KnownJob], run_ids: Collection[str]) -> list[KnownJob]:
    """The jobs that some runs submitted."""
    return [job for job in jobs if any(share.run_id in run_ids for share in job.shares)]


def of_partitions(jobs: Iterable[KnownJob], partitions: Collection[Partition]) -> list[KnownJob]:
    """The jobs that hold URLs of some partitions."""
    return [job for job in jobs if any(partition in partitions for partition in job.partitions)]
