"""``thunderbit-dagster report``: what the crawls' history looks like, in one file."""

from __future__ import annotations

from datetime import datetime, timezone
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import click

from thunderbit_dagster.cli.selection import find_crawl, found_instance, place_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thunderbit_dagster.cli.report.figures import CrawlReport
    from thunderbit_dagster.crawl.crawl import Crawl
    from thunderbit_dagster.definitions import Built


@click.command()
@place_options
@click.option("--crawl", "name", help="Only this crawl. Default: all with `changes`.")
@click.option("--since", metavar="DATE", help="The first date to show, as its partition key has it.")
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("report.html"),
    show_default=True,
    help="The file to write.",
)
def report(*, file: Path | None, root: Path, name: str | None, since: str | None, out: Path) -> None:
    """Write the history of crawls with `changes` as one HTML page.

    It has plots of each date, what changed with the difference, failures by host and code, what was quarantined and
    why, and credits. It loads nothing from elsewhere.
    """
    import dagster as dg

    from thunderbit_dagster.cli.crawls import opened
    from thunderbit_dagster.cli.report.figures import crawl_report
    from thunderbit_dagster.cli.workspace import Workspace
    from thunderbit_dagster.storage.errors import StorageError

    workspace = Workspace(root.resolve())
    with opened(file, workspace) as builds, found_instance(workspace) as instance:
        crawls = _crawls(builds, name)
        try:
            with dg.partition_loading_context(dynamic_partitions_store=instance):
                reports = [crawl_report(crawl, built.store, since) for built, crawl in crawls]
        except StorageError as error:
            raise click.ClickException(str(error)) from error
    out.write_text(report_page(reports, datetime.now(timezone.utc)), encoding="utf-8")
    click.echo(f"Wrote {out} ({out.stat().st_size:,} bytes): {', '.join(one.name for one in reports)}")


def _crawls(builds: list[Built], name: str | None) -> list[tuple[Built, Crawl]]:
    if name is not None:
        chosen = find_crawl(builds, name, "with --crawl")
        if chosen[1].changes is None:
            raise click.ClickException(f"The crawl {name} has no `changes`: declare it with `changes=Changes()`.")
        return [chosen]
    found = [(built, crawl) for built in builds for crawl in built.crawls if crawl.changes]
    if not found:
        raise click.ClickException("No crawl has `changes`: declare one with `changes=Changes()`.")
    return found


def report_page(reports: Sequence[CrawlReport], now: datetime) -> str:
    """The page as HTML; whatever crawled pages hold is escaped."""
    from jinja2 import Environment

    from thunderbit_dagster.cli.report.figures import PLOTTED
    from thunderbit_dagster.cli.report.plots import BAR, HEIGHT, credit_plot, status_plot

    template = files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    crawls = [
        {"report": one, "plots": [("URLs by status", status_plot(one.dates)), ("credits", credit_plot(one.dates))]}
        for one in reports
    ]
    page = Environment(autoescape=True, trim_blocks=True).from_string(template)
    return page.render(
        title="Changes of " + ", ".join(one.name for one in reports),
        made=f"Made at {now:%Y-%m-%d %H:%M} UTC",
        crawls=crawls,
        kinds=[*PLOTTED, "credits"],
        height=HEIGHT,
        bar_width=BAR,
    )
