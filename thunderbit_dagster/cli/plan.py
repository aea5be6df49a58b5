"""``thunderbit-dagster plan``: what a backfill would send, cost and take, before anything is sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import click

from thunderbit_dagster.cli.choice import (
    Choice,
    find_crawl,
    found_instance,
    partition_options,
    place_options,
    resolved,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Asked(TypedDict):
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
@click.option("--crawl", "name", help="Which crawl, when there are several.")
@partition_options
@click.option(
    "--seconds-per-page",
    default=2.0,
    show_default=True,
    type=click.FloatRange(min=0),
    help="Assumed: how long a batch job takes, divided by its URLs.",
)
@click.option(
    "--concurrent-jobs",
    type=click.IntRange(min=1),
    help="Batch jobs at one time; by default what the plan with this many requests a minute allows.",
)
@click.option("--json", "as_json", is_flag=True, help="The figures as JSON.")
def plan(
    *,
    file: Path | None,
    name: str | None,
    root: Path,
    seconds_per_page: float,
    concurrent_jobs: int | None,
    as_json: bool,
    **asked: Unpack[Asked],
) -> None:
    """Say what a backfill would send, cost and take. Nothing is sent.

    Callables and files that give URLs are read, since only they know how many there are.
    """
    from thunderbit_dagster.backfill import plan_backfill
    from thunderbit_dagster.cli.crawls import opened
    from thunderbit_dagster.cli.planview import figures, print_plan
    from thunderbit_dagster.cli.workspace import Workspace
    from thunderbit_dagster.forecast import limits_of

    workspace = Workspace(root.resolve())
    with opened(file, workspace) as builds:
        built, crawl = find_crawl(builds, name, "with --crawl")
        with found_instance(workspace) as instance:
            keys = Choice(**asked).keys(crawl, instance)
            with resolved(built) as thunderbit:
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
