"""``thunderbit-dagster jobs``: look at batch jobs, follow one row by row, stop some."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

import click
from rich.console import Console

from thunderbit_dagster.cancellation.cancel import Canceller, Verdict, observation
from thunderbit_dagster.cancellation.known import KnownJob
from thunderbit_dagster.cli.desk import Desk, desk_options, open_desk
from thunderbit_dagster.cli.jobview import RowFeed, history, job_lines, jobs_table, share_table
from thunderbit_dagster.ledger.log import LedgerReader

CANCEL_SECONDS = 600.0
COSTS = "Finished pages are billed and kept; unfinished ones are neither."


@click.group()
def jobs() -> None:
    """List, show, watch and cancel batch jobs."""


@jobs.command("list")
@desk_options
@click.option("--all", "every", is_flag=True, help="Also the jobs that have ended.")
def list_jobs(file: Path | None, root: Path, days: float, *, every: bool) -> None:
    """List open jobs by crawl and partition, as the event log knows them."""
    with open_desk(file, root, days) as desk:
        found = [job for job in desk.jobs() if every or job.is_open]
        if not found:
            click.echo("No batch job was submitted." if every else "No batch job is open. --all shows the others.")
            return
        Console().print(jobs_table(found, time.time()))


@jobs.command()
@desk_options
@click.argument("job")
def show(file: Path | None, root: Path, days: float, job: str) -> None:
    """Show one JOB: its state at the API, its partitions, and its history in the event log."""
    console = Console()
    with open_desk(file, root, days) as desk:
        known = desk.job(job)
        console.print(job_lines(known, time.time()))
        console.print(share_table(known))
        console.print(history(LedgerReader(desk.instance, known.crawl), known))
        with desk.api(known) as api:
            seen = api.get_job(known.ref).job
        rows = f"{seen.completed} completed, {seen.failed} failed of {seen.total}"
        console.print(f"The API says: {seen.status.value}, {rows}, {seen.credits_used} credits used", highlight=False)


@jobs.command()
@desk_options
@click.argument("job")
@click.option(
    "--interval", default=5.0, show_default=True, type=click.FloatRange(min=0.1), help="Seconds between two looks."
)
def watch(file: Path | None, root: Path, days: float, job: str, interval: float) -> None:
    """Show the rows of a JOB as they complete, until it ends. Ctrl+C stops watching, not the job."""
    with open_desk(file, root, days) as desk:
        known = desk.job(job)
        try:
            with desk.api(known) as api, RowFeed(Console(), known) as feed:
                for row in api.stream_rows(known.ref, interval=interval):
                    feed.add(row)
                feed.end(api.get_job(known.ref).job)
        except KeyboardInterrupt:
            raise click.ClickException(f"Stopped watching; {known.watched.job} goes on.") from None


@jobs.command()
@desk_options
@click.argument("names", metavar="[JOB]...", nargs=-1)
@click.option("--crawl", help="All open jobs of this crawl.")
@click.option("--partition", help="With --crawl: only those that hold URLs of this partition.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def cancel(
    file: Path | None,
    root: Path,
    days: float,
    names: tuple[str, ...],
    *,
    crawl: str | None,
    partition: str | None,
    yes: bool,
) -> None:
    """Cancel JOBs, or all open jobs of a crawl. What is finished is billed, kept, and collected by the sensor."""
    if bool(names) == bool(crawl):
        raise click.UsageError("Name jobs, or a crawl with --crawl.")
    if partition and not crawl:
        raise click.UsageError("--partition needs --crawl.")
    console = Console()
    with open_desk(file, root, days) as desk:
        chosen = [desk.job(name) for name in names] if names else _open_jobs(desk, crawl, partition)
        if not chosen:
            click.echo("No batch job is open there.")
            return
        console.print(jobs_table(chosen, time.time()))
        if not yes:
            click.confirm(f"Cancel {len(chosen)} batch job(s)? {COSTS}", abort=True)
        verdicts = [verdict for job in chosen for verdict in _cancel(desk, job)]
    _tell(console, verdicts)


def _open_jobs(desk: Desk, crawl: str | None, partition: str | None) -> list[KnownJob]:
    names = [one.name for built in desk.builds for one in built.crawls]
    if crawl not in names:
        raise click.ClickException(f"There is no crawl {crawl}; the definitions declare {', '.join(names)}.")
    found = [job for job in desk.jobs() if job.crawl.name == crawl and job.is_open]
    return [job for job in found if partition is None or partition in map(str, job.partitions)]


def _cancel(desk: Desk, job: KnownJob) -> Iterable[Verdict]:
    with desk.api(job) as api:
        canceller = Canceller(api.client, api.explain, time.monotonic() + CANCEL_SECONDS)
        for verdict in canceller.cancel_all([job]):
            if seen := observation(verdict, "thunderbit-dagster jobs cancel"):
                desk.instance.report_runless_asset_event(seen)
            yield verdict


def _tell(console: Console, verdicts: list[Verdict]) -> None:
    for verdict in verdicts:
        console.print(str(verdict), style="yellow" if verdict.may_still_bill else "", highlight=False, soft_wrap=True)
    if any(verdict.job.sealed for verdict in verdicts):
        console.print("The sensor collects the finished rows; the others go to `failed` as JOB_CANCELLED.")
    if not all(verdict.job.sealed for verdict in verdicts):
        console.print(
            "Of some partitions not everything was sent yet; materialize their `submissions` to continue there."
        )
    if any(verdict.may_still_bill for verdict in verdicts):
        raise SystemExit(1)
