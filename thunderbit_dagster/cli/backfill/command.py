"""``thunderbit-dagster backfill``: any partitions of a crawl, packed into as few runs and batch jobs as can be."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from thunderbit_dagster.cli.backfill.plan_command import PartitionOptions
from thunderbit_dagster.cli.selection import (
    Selection,
    find_crawl,
    found_instance,
    partition_options,
    place_options,
    resolved_selection,
)

if TYPE_CHECKING:
    import dagster as dg
    from typing_extensions import Unpack

    from thunderbit_dagster.backfill.plan import Backfill
    from thunderbit_dagster.cli.workspace import Workspace
    from thunderbit_dagster.crawl.crawl import Crawl
    from thunderbit_dagster.definitions import Built


@click.command()
@click.argument("name", metavar="[CRAWL]", required=False)
@place_options
@partition_options
@click.option("--url", help="Launch the runs through this Dagster webserver, which must use the same instance.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
def backfill(
    *, name: str | None, file: Path | None, root: Path, url: str | None, yes: bool, **asked: Unpack[PartitionOptions]
) -> None:
    """Submit any partitions of a CRAWL, contiguous or not, in as few runs as `max_partitions_per_run` allows.

    The plan is shown first. The runs are launched through the webserver given by --url, or through the one that
    `thunderbit-dagster dev` started in this folder. Without a webserver they are executed here, in the same Dagster
    instance. The runs submit and end; the job sensor launches runs that collect the rows.
    """
    from thunderbit_dagster.cli.crawls import opened
    from thunderbit_dagster.cli.workspace import Workspace

    workspace = Workspace(root.resolve())
    with opened(file, workspace) as builds:
        built, crawl = find_crawl(builds, name, "as the first argument")
        with found_instance(workspace) as instance:
            if instance is None:
                raise click.ClickException(
                    f"There is no Dagster instance in {workspace.dagster_home}. Set DAGSTER_HOME."
                )
            keys = Selection(**asked).keys(crawl, instance)
            if not keys:
                click.echo("No partition matches: nothing to do.")
                return
            planned = _plan(built, crawl, keys, instance)
        if not planned.runs:
            click.echo("None of these partitions can be fetched: nothing to do.")
            return
        if not yes:
            click.confirm(f"Submit {planned.launched:,} partition(s), for {planned.cost}?", abort=True)
        _launch(planned, workspace, file, url)


def _plan(built: Built, crawl: Crawl, keys: Sequence[str | None], instance: dg.DagsterInstance) -> Backfill:
    from thunderbit_dagster.backfill.estimate import limits_of
    from thunderbit_dagster.backfill.plan import plan_backfill
    from thunderbit_dagster.cli.backfill.plan_tables import figures, print_plan

    with resolved_selection(built) as thunderbit:
        limits = limits_of(thunderbit.requests_per_minute, built.sensor_interval_seconds)
        planned = plan_backfill(crawl, thunderbit, keys, limits, instance, as_sets=True)
    print_plan(figures(planned, knows_dagster=True))
    return planned


def _launch(planned: Backfill, workspace: Workspace, file: Path | None, url: str | None) -> None:
    from thunderbit_dagster.runs.names import backfill_job_name, submit_job_name, submit_set_op
    from thunderbit_dagster.runs.partitions import set_config

    crawl, server = planned.crawl, url or _own_server(workspace)
    for number, run in enumerate(planned.runs, start=1):
        keys = [need.partition.key for need in run if need.partition.key is not None]
        job = backfill_job_name(crawl) if keys else submit_job_name(crawl)
        config = set_config(submit_set_op(crawl), keys) if keys else {}
        click.echo(f"Run {number} of {len(planned.runs)}: {job}, {len(keys) or 1:,} partition(s)")
        if server:
            _launch_there(server, job, config)
        else:
            _execute_here(workspace, file, job, config)


def _own_server(workspace: Workspace) -> str | None:
    """The webserver of `dev` in this folder, if it answers and the instance is the folder's own."""
    from thunderbit_dagster.cli.processes import answers
    from thunderbit_dagster.cli.workspace import ui_url

    ports = None if "DAGSTER_HOME" in os.environ else workspace.kept_ports()
    return ui_url(ports) if ports and answers(f"{ui_url(ports)}/server_info") else None


def _launch_there(url: str, job: str, config: dict[str, object]) -> None:
    import httpx

    from thunderbit_dagster.cli.dagster_api import DagsterApi, DagsterApiError

    try:
        run_id = DagsterApi(url.rstrip("/")).launch(job, {}, config)
    except (httpx.HTTPError, DagsterApiError) as error:
        raise click.ClickException(f"Dagster at {url} did not launch {job}: {error}") from error
    click.echo(f"Launched as run {run_id} at {url}.")


def _execute_here(workspace: Workspace, file: Path | None, job: str, config: dict[str, object]) -> None:
    """Dagster's own command, so that the run finds the whole code location, as a launched one does."""
    from thunderbit_dagster.cli.code_location import require_location

    location = require_location(file, started=workspace.kept_ports() is not None)
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "run.yaml"
        settings.write_text(json.dumps(config))  # JSON is YAML
        command = [sys.executable, "-W", "ignore", "-m", "dagster", "job", "execute", *location.arguments]
        environment = os.environ | location.python_path() | {"DAGSTER_HOME": str(workspace.dagster_home.resolve())}
        done = subprocess.run([*command, "-j", job, "-c", str(settings)], env=environment, check=False)  # noqa: S603 - our own words
    if done.returncode:
        raise click.ClickException(
            f"{job} failed; see its run in Dagster for the reason. Other partitions are not affected."
        )
