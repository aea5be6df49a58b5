"""``thunderbit-dagster plan``: what a backfill would send, cost and take, before anything is sent."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import dagster as dg

    from thunderbit_dagster.build import Built
    from thunderbit_dagster.cli.workspace import Workspace
    from thunderbit_dagster.crawl import Crawl
    from thunderbit_dagster.resource import ThunderbitResource


@click.command()
@click.option(
    "-f",
    "--python-file",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The code location; by default definitions.py of this folder, else the demo crawl.",
)
@click.option("--crawl", "name", help="Which crawl, when the file declares several.")
@click.option("--partitions", metavar="KEY,KEY", help="These partitions.")
@click.option("--from", "first", metavar="KEY", help="With --to: a range, both ends included.")
@click.option("--to", "last", metavar="KEY")
@click.option("--all", "every", is_flag=True, help="All partitions of the crawl.")
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
@click.option(
    "--dir",
    "root",
    type=click.Path(path_type=Path),
    default=Path("data"),
    show_default=True,
    help="The folder of `dev` or `demo`; DAGSTER_HOME, when set, says where Dagster is.",
)
@click.option("--json", "as_json", is_flag=True, help="The figures as JSON.")
def plan(
    *,
    file: Path | None,
    name: str | None,
    partitions: str | None,
    first: str | None,
    last: str | None,
    root: Path,
    seconds_per_page: float,
    concurrent_jobs: int | None,
    every: bool,
    as_json: bool,
) -> None:
    """Say what a backfill would send, cost and take. Nothing is sent.

    Callables and files that give URLs are read, since only they know how many there are.
    """
    from thunderbit_dagster.backfill import plan_backfill
    from thunderbit_dagster.cli.crawls import environment, load_builds
    from thunderbit_dagster.cli.planview import figures, print_plan
    from thunderbit_dagster.cli.workspace import Workspace
    from thunderbit_dagster.forecast import Limits, plan_of

    workspace = Workspace(root.resolve())
    with environment(workspace.kept_environment()):
        built, crawl = _find(load_builds(file), name)
        keys = _keys(crawl, partitions, first, last, every=every)
        with _instance(workspace) as instance, _resolved(built) as thunderbit:
            account = plan_of(thunderbit.requests_per_minute)
            limits = Limits(
                requests_per_minute=thunderbit.requests_per_minute,
                concurrent_jobs=concurrent_jobs or account.concurrent_jobs,
                seconds_per_page=seconds_per_page,
                tick_seconds=built.sensor_interval_seconds,
            )
            backfill = plan_backfill(crawl, thunderbit, keys, limits, instance)
    found = figures(backfill, knows_dagster=instance is not None)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        print_plan(found)


def _find(builds: list[Built], name: str | None) -> tuple[Built, Crawl]:
    crawls = {crawl.name: (built, crawl) for built in builds for crawl in built.crawls}
    if name is None and len(crawls) == 1:
        return next(iter(crawls.values()))
    if name not in crawls:
        wrong = "Name one with --crawl" if name is None else f"There is no crawl {name!r}"
        raise click.UsageError(f"{wrong}; the file declares {', '.join(sorted(crawls))}.")
    return crawls[name]


def _keys(
    crawl: Crawl, partitions: str | None, first: str | None, last: str | None, *, every: bool
) -> list[str | None]:
    """The partitions that were asked for, in the crawl's order."""
    import dagster as dg

    definition = crawl.partitions_def
    asked = [bool(partitions), bool(first or last), every]
    if definition is None:
        if any(asked[:2]):
            raise click.UsageError(f"The crawl {crawl.name} has no partitions.")
        return [None]
    if sum(asked) != 1:
        raise click.UsageError("Say which partitions: --partitions KEY,KEY, or --from KEY --to KEY, or --all.")
    known = definition.get_partition_keys()
    named = partitions.split(",") if partitions else [key for key in (first, last) if key]
    if unknown := [key for key in named if key not in known]:
        raise click.UsageError(f"The crawl {crawl.name} has no partition {unknown[0]!r}; {_examples(known)}.")
    if every:
        return list(known)
    if partitions:
        return [key for key in known if key in set(named)]
    ends = dg.PartitionKeyRange(first or known[0], last or known[-1])
    return list(definition.get_partition_keys_in_range(ends))


def _examples(known: Sequence[str]) -> str:
    return f"it has {len(known):,}, from {known[0]!r} to {known[-1]!r}" if known else "it has none yet"


@contextmanager
def _instance(workspace: Workspace) -> Iterator[dg.DagsterInstance | None]:
    """The Dagster instance, None when there is none: then nothing was ever submitted by it."""
    import dagster as dg

    home = workspace.dagster_home
    if not (home / "dagster.yaml").exists() and not (home / "storage").exists():
        yield None
        return
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance


@contextmanager
def _resolved(built: Built) -> Iterator[ThunderbitResource]:
    """The API's settings with the values of environment variables."""
    import dagster as dg

    try:
        with dg.build_resources({"thunderbit": built.thunderbit}) as resources:
            yield resources.thunderbit
    except dg.DagsterInvalidConfigError as error:
        reasons = "; ".join(one.message for one in error.errors)
        raise click.ClickException(f"The API's settings are not complete: {reasons}") from error
