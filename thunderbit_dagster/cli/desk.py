"""What the commands about jobs work on: a Dagster instance, the crawls of a definitions file, and their API."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click
import dagster as dg

from thunderbit_dagster.api.errors import ThunderbitError
from thunderbit_dagster.build import Built
from thunderbit_dagster.cancellation.known import KnownJob, read_jobs
from thunderbit_dagster.cli.choice import resolved
from thunderbit_dagster.cli.code_location import FILE_HELP
from thunderbit_dagster.cli.crawls import opened
from thunderbit_dagster.cli.workspace import Workspace
from thunderbit_dagster.ledger.log import LedgerReader
from thunderbit_dagster.resource import ThunderbitResource

Command = TypeVar("Command", bound=Callable[..., object])
DAY_SECONDS = 86_400.0


def desk_options(command: Command) -> Command:
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
        help="The folder of `dev` or `demo`; DAGSTER_HOME, when set, says where Dagster is.",
    )(command)
    return click.option(
        "-f",
        "--python-file",
        "file",
        type=file,
        help=FILE_HELP,
    )(command)


@dataclass(frozen=True)
class Desk:
    """A Dagster instance and the crawls in it; jobs submitted before ``after`` (a Unix time) are not looked at."""

    instance: dg.DagsterInstance
    builds: list[Built]
    after: float

    def jobs(self) -> list[KnownJob]:
        """The batch jobs of all crawls, oldest first."""
        crawls = [crawl for built in self.builds for crawl in built.crawls]
        found = [job for crawl in crawls for job in read_jobs(LedgerReader(self.instance, crawl), self.after)]
        return sorted(found, key=lambda job: job.watched.submitted_at)

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
            f"The crawls {names} have submitted no job {name} in that time. `jobs list --all` shows those that they "
            "have; --days looks further back, --dir and DAGSTER_HOME elsewhere."
        )

    @contextmanager
    def api(self, job: KnownJob) -> Iterator[ThunderbitResource]:
        """The API that serves a job's crawl; its errors end the command with what they say.

        Raises:
            click.ClickException: the key is not there, or the API refused or did not answer.
        """
        built = next(built for built in self.builds if job.crawl in built.crawls)
        with resolved(built, self.instance) as resource, _explained(resource):
            yield resource


@contextmanager
def _explained(resource: ThunderbitResource) -> Iterator[None]:
    try:
        yield
    except ThunderbitError as error:
        raise click.ClickException(resource.explain(error)) from error


@contextmanager
def open_desk(file: Path | None, root: Path, days: float) -> Iterator[Desk]:
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
        yield Desk(instance, builds, time.time() - days * DAY_SECONDS)
