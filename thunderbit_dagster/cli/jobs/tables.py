"""How batch jobs look on a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from types import TracebackType

from rich import progress
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text
from typing_extensions import Self

from thunderbit_dagster.api.codes import RowStatus
from thunderbit_dagster.api.models import Job, Row
from thunderbit_dagster.jobs.open_jobs import KnownJob
from thunderbit_dagster.jobs.state import next_poll
from thunderbit_dagster.ledger.event_log import CLOCK_SLACK_SECONDS, Entry, LedgerReader
from thunderbit_dagster.ledger.records import Collected, Intent, Lost, Progress, Recorded, Sealed

MAX_PARTITIONS = 4
_MAX_TEXT = 200

Told = Intent | Recorded | Lost | Progress | Sealed | Collected
"""What the event log tells of a job."""


def jobs_table(jobs: Iterable[KnownJob], now: float) -> Table:
    """One line a job."""
    view = Table("crawl", "partitions", "job", "status", "age", "rows done", "next poll", box=None, pad_edge=False)
    for column in (4, 5, 6):
        view.columns[column].justify = "right"
    for job in jobs:
        cells = (job.crawl.name, partitions_text(job), job.watched.job, status_text(job))
        numbers = (span(now - job.watched.submitted_at), rows_text(job), poll_text(job, now))
        view.add_row(*map(escape, (*cells, *numbers)))
    return view


def partitions_text(job: KnownJob) -> str:
    """The partitions whose URLs the job holds, few of them by name."""
    names = [str(partition) for partition in job.partitions]
    more = f" and {len(names) - MAX_PARTITIONS} more" if len(names) > MAX_PARTITIONS else ""
    return ", ".join(names[:MAX_PARTITIONS]) + more


def status_text(job: KnownJob) -> str:
    """The status last seen, and what is still to happen."""
    if job.collected:
        return f"{job.status}, collected"
    return job.status if job.sealed else f"{job.status}, submission incomplete"


def rows_text(job: KnownJob) -> str:
    """Finished rows as last seen, of all."""
    seen = job.watched.progress
    done = seen.done if seen else None
    return f"{'?' if done is None else done}/{job.watched.size}"


def poll_text(job: KnownJob, now: float) -> str:
    """When the sensor asks again; it polls complete submissions only."""
    if not job.is_open or not job.sealed:
        return "-"
    return f"in {span(max(0.0, next_poll(job.watched, now) - now))}"


def span(seconds: float) -> str:
    """A time span as ``1:02:03``."""
    return str(timedelta(seconds=round(max(0.0, seconds))))


def job_lines(job: KnownJob, now: float) -> Text:
    """The head of a job's page."""
    lines = {
        "Job": job.watched.job,
        "Crawl": job.crawl.name,
        "Status": f"{status_text(job)} (as last seen)",
        "Submitted": f"{moment(job.watched.submitted_at)}, {span(now - job.watched.submitted_at)} ago",
        "Rows done": rows_text(job),
        "Next poll": poll_text(job, now),
    }
    return Text("\n".join(f"{name:<10} {value}" for name, value in lines.items()) + "\n")


def share_table(job: KnownJob) -> Table:
    """Whose URLs the job holds."""
    view = Table("partition", "URLs", "submission", "run", box=None, pad_edge=False)
    for share in job.shares:
        view.add_row(escape(str(share.partition)), str(share.rows), share.submission_id, share.run_id)
    return view


def history(reader: LedgerReader, job: KnownJob) -> Table:
    """What the event log holds of a job, oldest first."""
    view = Table("time", "event", "", box=None, pad_edge=False, title="History", title_justify="left")
    for entry, record in sorted(_told(reader, job), key=lambda told: told[0].storage_id):
        view.add_row(moment(entry.at), record.event, escape(_detail(entry, record)))
    return view


def _told(reader: LedgerReader, job: KnownJob) -> Iterator[tuple[Entry, Told]]:
    after = job.watched.submitted_at - CLOCK_SLACK_SECONDS
    sent = list(reader.since_time("submissions", after, observations=True))
    intents = {e.record.intent_id for e in sent if isinstance(e.record, Recorded) and e.record.job == job.watched.job}
    for entry in sent:
        if isinstance(entry.record, Intent | Recorded | Lost) and entry.record.intent_id in intents:
            yield entry, entry.record
    for entry in reader.since_time("succeeded", after, observations=True):
        if isinstance(entry.record, Progress) and entry.record.job == job.watched.job:
            yield entry, entry.record
    submissions = {share.submission_id for share in job.shares}
    copies = set[tuple[str | None, Told]]()
    for entry in reader.outcomes_since_time(after):
        record, key = entry.record, entry.partition_key
        if not isinstance(record, Sealed | Collected) or (key, record) in copies:
            continue
        if record.submission_id in submissions:
            copies.add((key, record))
            yield entry, record


def _detail(entry: Entry, record: Told) -> str:
    if isinstance(record, Progress):
        used = "" if record.credits_used is None else f", {record.credits_used} credits used"
        return f"{record.status}, {'?' if record.done is None else record.done} of {record.total} rows{used}"
    where = entry.partition_key or "the whole crawl"
    if isinstance(record, Intent):
        return f"{where}: {len(record.items)} of the job's {record.size} URLs"
    if isinstance(record, Collected):
        return f"{where}: {record.succeeded} succeeded, {record.failed} failed"
    return where


def moment(timestamp: float) -> str:
    """A Unix time in local time."""
    return datetime.fromtimestamp(timestamp).astimezone().isoformat(" ", "seconds")


class RowFeed:
    """A line for each row as it completes, and a bar below."""

    def __init__(self, console: Console, job: KnownJob) -> None:
        self._console = console
        self._job = job
        columns = (
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeElapsedColumn(),
        )
        self._bar = progress.Progress(*columns, console=console)
        self._task = self._bar.add_task(job.watched.job, total=job.watched.size)
        self._seen: Counter[RowStatus] = Counter()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def add(self, row: Row) -> None:
        """Show a finished row."""
        self._seen[row.status] += 1
        self._console.print(Text(f"{row.status.value:<9} {row.url}  {outcome(row)}"), soft_wrap=True)
        self._bar.advance(self._task)

    def end(self, job: Job) -> None:
        """The job is over."""
        counts = ", ".join(f"{count} {status.value.lower()}" for status, count in self._seen.items()) or "no rows"
        missing = self._job.watched.size - self._seen.total()
        unfinished = f", {missing} not finished" if missing > 0 else ""
        used = "" if job.credits_used is None else f"; {job.credits_used} credits used"
        self._console.print(Text(f"{self._job.watched.job} is {job.status.value}: {counts}{unfinished}{used}"))


def outcome(row: Row) -> str:
    """What came of a row: how much text or data, or the error."""
    if row.error:
        return f"{row.error.code}: {row.error.message}"[:_MAX_TEXT]
    if row.data is not None:
        return f"{len(row.data)} records"
    return f"{len(row.markdown or ''):,} characters"
