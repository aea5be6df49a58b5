"""``thunderbit-dagster diff``: how one page stands since the dates before, and what was left out of the comparison."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from thunderbit_dagster.cli.selection import find_crawl, found_instance, place_options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thunderbit_dagster.changes.compare import Comparison
    from thunderbit_dagster.changes.history import Standing
    from thunderbit_dagster.changes.rows import ChangeReader
    from thunderbit_dagster.crawl.crawl import Crawl
    from thunderbit_dagster.partitions import Partition
    from thunderbit_dagster.storage.store import ParquetStore

_COLORS = {"-": "red", "+": "green", "@": "cyan"}


@click.command()
@place_options
@click.option("--crawl", "name", help="The crawl, if there are several.")
@click.option("--partition", "key", metavar="KEY", help="Default: the newest published partition that has the URL.")
@click.option("--explain", is_flag=True, help="Also show what was left out, and by which rule.")
@click.argument("url")
def diff(*, file: Path | None, root: Path, name: str | None, key: str | None, explain: bool, url: str) -> None:
    """Show how a page stands since the dates before it, and what changed.

    Works for each crawl with a cadence, also for one without `changes`.
    """
    import dagster as dg

    from thunderbit_dagster.cli.crawls import opened
    from thunderbit_dagster.cli.workspace import Workspace
    from thunderbit_dagster.storage.errors import StorageError
    from thunderbit_dagster.urls import canonical_url

    workspace = Workspace(root.resolve())
    with opened(file, workspace) as builds, found_instance(workspace) as instance:
        built, crawl = find_crawl(builds, name, "with --crawl")
        if crawl.cadence is None:
            raise click.ClickException(f"The crawl {crawl.name} has no cadence, so there are no dates to compare.")
        page = canonical_url(url, crawl.fragments)
        try:
            with dg.partition_loading_context(dynamic_partitions_store=instance):
                partition, reader = _found(crawl, built.store, page, key)
            standing, comparison = reader.explain(page)
        except StorageError as error:
            raise click.ClickException(str(error)) from error
    _print(partition, standing, comparison)
    if explain:
        _print_ignored(comparison)


def _found(crawl: Crawl, store: ParquetStore, page: str, key: str | None) -> tuple[Partition, ChangeReader]:
    """The partition to look at, and what compares it with the dates before.

    Raises:
        click.ClickException: no partition has the page.
    """
    from thunderbit_dagster.changes.asset import change_reader
    from thunderbit_dagster.changes.dates import NothingToCompareError

    partition = crawl.partition(key) if key else _newest_with(crawl, store, page)
    try:
        reader = change_reader(crawl, store, partition)
    except NothingToCompareError as error:
        raise click.ClickException(f"{crawl.name}, {partition}: {error}.") from error
    if page not in reader.history.pages():
        raise click.ClickException(f"Neither {partition} of {crawl.name} nor the dates before it have {page}.")
    return partition, reader


def _newest_with(crawl: Crawl, store: ParquetStore, page: str) -> Partition:
    from thunderbit_dagster.changes.dates import partitions_by_date
    from thunderbit_dagster.changes.published import read_dates

    for partition in reversed(partitions_by_date(crawl, store)):
        [published] = read_dates(store, crawl.name, [partition.dimensions])
        if published.outcome(page) != "unlisted":
            return partition
    raise click.ClickException(f"No published partition of {crawl.name} has {page}.")


def _print(partition: Partition, standing: Standing, comparison: Comparison | None) -> None:
    click.echo(f"{partition}: {standing.status}, since {standing.since or 'no date that is published'}")
    if standing.base:
        click.echo(f"compared with {standing.base}")
    if standing.pending_crawls:
        click.echo(f"a change stands for {standing.pending_crawls} crawl(s) and is not confirmed yet")
    if standing.missing:
        click.echo(f"missing in {standing.missing} crawl(s) in a row")
    for line in comparison.diff.splitlines() if comparison else ():
        click.secho(line, fg=_COLORS.get(line[:1]))


def _print_ignored(comparison: Comparison | None) -> None:
    ignored = comparison.ignored if comparison else ()
    click.echo(f"{len(ignored)} difference(s) ignored")
    for line in (line for one in ignored for line in _ignored_lines(*one)):
        click.echo(line)


def _ignored_lines(rules: str, before: str, now: str) -> Iterator[str]:
    from thunderbit_dagster.changes.normalize import why

    yield f"  {rules}: {why(rules)}"
    yield f"    - {before}"
    yield f"    + {now}"
