"""``thunderbit-dagster plan``: what a backfill would send, cost and take, before anything is sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import click

from thunderbit_dagster.cli.selection import (
    Selection,
    find_crawl,
    found_instance,
    partition_options,
    place_options,
    resolved_selection,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack


class PartitionOptions(TypedDict):
    """The options of ``partition_options``."""

    partitions: str | None
    first: str | None
    last: str | None
    step: int | None
    every: bool
    missing: bool
    failed: bool


@click.command()
@place_options
@click.option("--crawl", "name", help="The crawl, if there are several.")
@partition_options
@click.option(
    "--seconds-per-page",
    default=2.0,
    show_default=True,
    type=click.FloatRange(min=0),
    help="Assumed duration of a batch job, divided by the number of its URLs.",
)
@click.option(
    "--concurrent-jobs",
    type=click.IntRange(min=1),
    help="Concurrent batch jobs. Default: what the plan with the configured requests per minute allows.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def plan(
    *,
    file: Path | None,
    name: str | None,
    root: Path,
    seconds_per_page: float,
    concurrent_jobs: int | None,
    as_json: bool,
    **asked: Unpack[PartitionOptions],
) -> None:
    """Show what a backfill would send, cost and take. Nothing is sent.

    Callables and files that return URLs are read, because only they know how many there are.
    """
    from thunderbit_dagster.backfill.estimate import limits_of
    from thunderbit_dagster.backfill.plan import plan_backfill
    from thunderbit_dagster.cli.backfill.plan_tables import figures, print_plan
    from thunderbit_dagster.cli.crawls import opened
    from thunderbit_dagster.cli.workspace import Workspace

    workspace = Workspace(root.resolve())
    with opened(file, workspace) as builds:
        built, crawl = find_crawl(builds, name, "with --crawl")
        with found_instance(workspace) as instance:
            keys = Selection(**asked).keys(crawl, instance)
            with resolved_selection(built) as thunderbit:
                limits = limits_of(
                    thunderbit.requests_per_minute, built.sensor_interval_seconds, concurrent_jobs, seconds_per_page
                )
                backfill = plan_backfill(crawl, thunderbit, keys, limits, instance)
    found = figures(backfill, knows_dagster=instance is not None)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        print_plan(found)
        click.echo("Nothing was sent.")
