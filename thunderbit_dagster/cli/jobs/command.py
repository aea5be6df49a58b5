"""``thunderbit-dagster jobs``: look at batch jobs, follow one row by row, stop some."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console

from thunderbit_dagster.cli.jobs.context import JobsContext, job_options, open_jobs_context
from thunderbit_dagster.cli.jobs.tables import RowFeed, history, job_lines, jobs_table, share_table
from thunderbit_dagster.cli.jobs.unclaimed import (
    Unclaimed,
    claim_submissions,
    collect_submissions,
    find_unclaimed,
    unclaimed_table,
)
from thunderbit_dagster.cli.selection import resolved_selection
from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.definitions import Built
from thunderbit_dagster.jobs.cancel import Canceller, CancelVerdict, cancel_observation
from thunderbit_dagster.jobs.open_jobs import KnownJob, read_jobs, wipe_warning
from thunderbit_dagster.ledger.event_log import LedgerReader

_CANCEL_SECONDS = 600.0
COSTS = "Finished pages are billed and kept; unfinished ones are neither."


@click.group()
def jobs() -> None:
    """List, show, watch and cancel batch jobs."""


@jobs.command("list")
@job_options
@click.option("--all", "every", is_flag=True, help="Include jobs that have ended.")
def list_jobs(file: Path | None, root: Path, days: float, *, every: bool) -> None:
    """List open jobs by crawl and partition, as recorded in the event log."""
    with open_jobs_context(file, root, days) as jobs_context:
        found = [job for job in jobs_context.jobs() if every or job.is_open]
        unclaimed = find_unclaimed(jobs_context.instance, jobs_context.builds, jobs_context.after)
        if unclaimed:
            Console().print(unclaimed_table(unclaimed))
            click.echo("Pass a job to `jobs collect` or `jobs cancel`, or a crawl to `jobs claim`.")
        if not found:
            click.echo("No batch job was submitted." if every else "No batch job is open. --all shows the others.")
            return
        Console().print(jobs_table(found, time.time()))
        if warning := wipe_warning(job for job in found if job.is_open):
            click.echo(warning)


@jobs.command()
@job_options
@click.argument("job")
def show(file: Path | None, root: Path, days: float, job: str) -> None:
    """Show one JOB: its state at the API, its partitions, and its history in the event log."""
    console = Console()
    with open_jobs_context(file, root, days) as jobs_context:
        known = jobs_context.job(job)
        console.print(job_lines(known, time.time()))
        console.print(share_table(known))
        console.print(history(LedgerReader(jobs_context.instance, known.crawl), known))
        with jobs_context.api(known) as api:
            seen = api.get_job(known.ref).job
        rows = f"{seen.completed} completed, {seen.failed} failed of {seen.total}"
        console.print(f"The API says: {seen.status.value}, {rows}, {seen.credits_used} credits used", highlight=False)


@jobs.command()
@job_options
@click.argument("job")
@click.option(
    "--interval", default=5.0, show_default=True, type=click.FloatRange(min=0.1), help="Seconds between two polls."
)
def watch(file: Path | None, root: Path, days: float, job: str, interval: float) -> None:
    """Show the rows of a JOB as they complete, until it ends. Ctrl+C stops watching, not the job."""
    with open_jobs_context(file, root, days) as jobs_context:
        known = jobs_context.job(job)
        try:
            with jobs_context.api(known) as api, RowFeed(Console(), known) as feed:
                for row in api.stream_rows(known.ref, interval=interval):
                    feed.add(row)
                feed.end(api.get_job(known.ref).job)
        except KeyboardInterrupt:
            raise click.ClickException(f"Stopped watching; {known.watched.job} keeps running.") from None


@jobs.command()
@job_options
@click.argument("crawl")
def claim(file: Path | None, root: Path, days: float, crawl: str) -> None:
    """Take over open jobs of a CRAWL that another code location or another store began, after a move or a rename."""
    with open_jobs_context(file, root, days) as jobs_context:
        built, declared = _declared(jobs_context, crawl)
        taken = list(claim_submissions(jobs_context.instance, declared, built, jobs_context.after))
    click.echo(
        "\n".join(taken) if taken else f"No open submission of {crawl} belongs to another code location or store."
    )
    if taken:
        click.echo("From now on the sensor collects them into this store.")


@jobs.command()
@job_options
@click.argument("names", metavar="JOB...", nargs=-1, required=True)
def collect(file: Path | None, root: Path, days: float, names: tuple[str, ...]) -> None:
    """Publish the rows of JOBs that no definition covers, under the crawl and the key they were submitted for."""
    with open_jobs_context(file, root, days) as jobs_context:
        wanted = [
            one
            for one in find_unclaimed(jobs_context.instance, jobs_context.builds, jobs_context.after)
            if set(names) & _names_of(one)
        ]
        if not wanted:
            raise click.ClickException("No such job is without a definition; see `jobs list`.")
        built = jobs_context.builds[0]
        with resolved_selection(built, jobs_context.instance) as api:
            for one in wanted:
                succeeded, failed = collect_submissions(jobs_context.instance, built, api, one)
                click.echo(f"{one}: {succeeded} row(s) succeeded, {failed} failed")


def _names_of(one: Unclaimed) -> set[str]:
    return {name for job in one.jobs for name in (job, job.partition("/")[2])}


def _declared(jobs_context: JobsContext, name: str) -> tuple[Built, Crawl]:
    for built in jobs_context.builds:
        for crawl in built.crawls:
            if crawl.name == name:
                return built, crawl
    declared = ", ".join(crawl.name for built in jobs_context.builds for crawl in built.crawls)
    raise click.ClickException(f"There is no crawl {name}; the definitions declare {declared}.")


@jobs.command("cancel")
@job_options
@click.argument("names", metavar="[JOB]...", nargs=-1)
@click.option("--crawl", help="All open jobs of this crawl.")
@click.option("--partition", help="With --crawl: only jobs that contain URLs of this partition.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
def cancel_jobs(
    file: Path | None,
    root: Path,
    days: float,
    names: tuple[str, ...],
    *,
    crawl: str | None,
    partition: str | None,
    yes: bool,
) -> None:
    """Cancel JOBs, or all open jobs of a crawl. Finished rows are billed, kept, and collected by the sensor."""
    if bool(names) == bool(crawl):
        raise click.UsageError("Name jobs, or a crawl with --crawl.")
    if partition and not crawl:
        raise click.UsageError("--partition needs --crawl.")
    console = Console()
    with open_jobs_context(file, root, days) as jobs_context:
        chosen = [_job(jobs_context, name) for name in names] if names else _open_jobs(jobs_context, crawl, partition)
        if not chosen:
            click.echo("No batch job is open there.")
            return
        console.print(jobs_table(chosen, time.time()))
        if not yes:
            click.confirm(f"Cancel {len(chosen)} batch job(s)? {COSTS}", abort=True)
        verdicts = [verdict for job in chosen for verdict in _cancel(jobs_context, job)]
    _tell(console, verdicts)


def _job(jobs_context: JobsContext, name: str) -> KnownJob:
    """The job that is named, also one of a crawl that has another name by now."""
    for one in find_unclaimed(jobs_context.instance, jobs_context.builds, jobs_context.after):
        if name in _names_of(one):
            crawl = replace(jobs_context.builds[0].crawls[0], name=one.crawl)
            jobs = read_jobs(LedgerReader(jobs_context.instance, crawl), jobs_context.after)
            return next(job for job in jobs if name in (job.watched.job, job.ref.id))
    return jobs_context.job(name)


def _open_jobs(jobs_context: JobsContext, crawl: str | None, partition: str | None) -> list[KnownJob]:
    _declared(jobs_context, crawl or "")
    found = [job for job in jobs_context.jobs() if job.crawl.name == crawl and job.is_open]
    return [job for job in found if partition is None or partition in map(str, job.partitions)]


def _cancel(jobs_context: JobsContext, job: KnownJob) -> Iterable[CancelVerdict]:
    with jobs_context.api(job) as api:
        canceller = Canceller(api.client, api.explain, time.monotonic() + _CANCEL_SECONDS)
        for verdict in canceller.cancel_all([job]):
            if seen := cancel_observation(verdict, "thunderbit-dagster jobs cancel"):
                jobs_context.instance.report_runless_asset_event(seen)
            yield verdict


def _tell(console: Console, verdicts: list[CancelVerdict]) -> None:
    for verdict in verdicts:
        console.print(str(verdict), style="yellow" if verdict.may_still_bill else "", highlight=False, soft_wrap=True)
    if any(verdict.job.sealed for verdict in verdicts):
        console.print("The sensor collects the finished rows; the others go to `failed` as JOB_CANCELLED.")
    if not all(verdict.job.sealed for verdict in verdicts):
        console.print("Some partitions were not sent completely; materialize their `submissions` to continue.")
    if any(verdict.may_still_bill for verdict in verdicts):
        raise SystemExit(1)
