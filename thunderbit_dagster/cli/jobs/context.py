"""What the commands about jobs work on: a Dagster instance, the crawls of a definitions file, and their API."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import click
import dagster as dg

from thunderbit_dagster.api.errors import ThunderbitError
from thunderbit_dagster.cli.code_location import FILE_HELP
from thunderbit_dagster.cli.crawls import opened
from thunderbit_dagster.cli.selection import resolved_selection
from thunderbit_dagster.cli.workspace import Workspace
from thunderbit_dagster.definitions import Built
from thunderbit_dagster.jobs.open_jobs import KnownJob, read_jobs
from thunderbit_dagster.jobs.queue import with_expectations
from thunderbit_dagster.ledger.credits import DAY_SECONDS
from thunderbit_dagster.ledger.event_log import LedgerReader
from thunderbit_dagster.resource import ThunderbitResource

JobsCommand = TypeVar("JobsCommand", bound=Callable[..., object])


def job_options(command: JobsCommand) -> JobsCommand:
    """The options that say where the jobs are."""
    folder = click.Path(path_type=Path)
    file = click.Path(exists=True, dir_okay=False, path_type=Path)
    command = click.option(
        "--days", default=7.0, show_default=True, type=click.FloatRange(min=0), help="How far back to look."
    )(command)
    command = click.option(
        "--dir",
        "root",
        type=folder,
        default=Path("data"),
        show_default=True,
        help="The folder of `dev` or `demo`. If set, DAGSTER_HOME determines the Dagster instance.",
    )(command)
    return click.option(
        "-f",
        "--python-file",
        "file",
        type=file,
        help=FILE_HELP,
    )(command)


@dataclass(frozen=True)
class JobsContext:
    """A Dagster instance and the crawls in it; jobs submitted before ``after`` (a Unix time) are not looked at."""

    instance: dg.DagsterInstance
    builds: list[Built]
    after: float

    def jobs(self) -> list[KnownJob]:
        """The batch jobs of all crawls, oldest first."""
        found = [job for built in self.builds for job in self._jobs_of(built)]
        return sorted(found, key=lambda job: job.watched.submitted_at)

    def _jobs_of(self, built: Built) -> list[KnownJob]:
        """The batch jobs of an account, with what the sensor expects of them."""
        found = [job for crawl in built.crawls for job in read_jobs(LedgerReader(self.instance, crawl), self.after)]
        states = with_expectations((job.watched for job in found), built.thunderbit.concurrent_jobs)
        expected = {state.job: state for state in states}
        return [replace(job, watched=expected[job.watched.job]) for job in found]

    def job(self, name: str) -> KnownJob:
        """The job that is named, with or without its kind.

        Raises:
            click.ClickException: no crawl knows it.
        """
        for job in self.jobs():
            if name in (job.watched.job, job.ref.id):
                return job
        names = ", ".join(crawl.name for built in self.builds for crawl in built.crawls)
        raise click.ClickException(
            f"The crawls {names} have submitted no job {name} in that time. See `jobs list --all` for their jobs; use "
            "--days to look further back, or --dir and DAGSTER_HOME to look elsewhere."
        )

    @contextmanager
    def api(self, job: KnownJob) -> Iterator[ThunderbitResource]:
        """The API that serves a job's crawl; its errors end the command with what they say.

        Raises:
            click.ClickException: the key is not there, or the API refused or did not answer.
        """
        built = next((built for built in self.builds if job.crawl in built.crawls), self.builds[0])
        with resolved_selection(built, self.instance) as resource, _explained(resource):
            yield resource


@contextmanager
def _explained(resource: ThunderbitResource) -> Iterator[None]:
    try:
        yield
    except ThunderbitError as error:
        raise click.ClickException(resource.explain(error)) from error


@contextmanager
def open_jobs_context(file: Path | None, root: Path, days: float) -> Iterator[JobsContext]:
    """The instance and the crawls.

    Raises:
        click.ClickException: there is no Dagster instance, or no code location that can be loaded.
    """
    workspace = Workspace(root.resolve())
    home = workspace.dagster_home
    if not (home / "dagster.yaml").exists() and not (home / "storage").exists():
        raise click.ClickException(
            f"There is no Dagster instance in {home}. Set DAGSTER_HOME, or name the folder of `thunderbit-dagster dev` "
            "or `demo` with --dir."
        )
    with (
        opened(file, workspace) as builds,
        dg.DagsterInstance.from_config(str(home)) as instance,
    ):
        yield JobsContext(instance, builds, time.time() - days * DAY_SECONDS)
