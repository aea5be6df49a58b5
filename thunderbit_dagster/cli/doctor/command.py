"""``thunderbit-dagster doctor``: ten checks of the account, the store and Dagster, and what to do about each."""

from __future__ import annotations

import json
import logging
import os
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from thunderbit_dagster.api.codes import CREDITS_PER_DISTILL
from thunderbit_dagster.api.models import JobRef
from thunderbit_dagster.api.requests import is_http_url
from thunderbit_dagster.cli.selection import place_options

if TYPE_CHECKING:
    from thunderbit_dagster.cli.doctor.context import Context

REMOTE_PAGE: Final = "https://example.com/"
STYLES: Final = {"ok": "green", "warning": "yellow", "failed": "red", "skipped": "dim"}


def _job_ref(_context: click.Context, _option: click.Parameter, value: str | None) -> JobRef | None:
    try:
        return JobRef.parse(value) if value else None
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _webhook_url(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    if value and not is_http_url(value):
        raise click.BadParameter("must be an http or https URL with a host")
    return value or None


@click.command()
@place_options
@click.option("--url", help=f"The page to ask for; by default {REMOTE_PAGE}, on the emulator its demo site.")
@click.option("--free", is_flag=True, help="Only what costs nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask before paying.")
@click.option(
    "--webhook-url",
    envvar="THUNDERBIT_WEBHOOK_URL",
    show_envvar=True,
    callback=_webhook_url,
    help="Where the API reaches this machine; what calls it must end at --webhook-port. Not needed for an emulator "
    "that may call that port of 127.0.0.1.",
)
@click.option("--webhook-port", default=8720, show_default=True, help="The port of 127.0.0.1 to wait on for the call.")
@click.option(
    "--job",
    "earlier",
    metavar="KIND/ID",
    callback=_job_ref,
    help="An earlier job of more than 20 URLs: shows the page size.",
)
@click.option(
    "--wait",
    "seconds",
    default=120.0,
    show_default=True,
    type=click.FloatRange(min=0),
    help="Seconds that the job and its webhook may take.",
)
@click.option("--json", "as_json", is_flag=True, help="The findings as JSON.")
def doctor(
    *,
    file: Path | None,
    root: Path,
    url: str | None,
    free: bool,
    yes: bool,
    webhook_url: str | None,
    webhook_port: int,
    earlier: JobRef | None,
    seconds: float,
    as_json: bool,
) -> None:
    """Check the API, the store and Dagster, and say what to do where something is wrong.

    Without a code location, the settings in the environment are checked. Costs 1 credit, for one page; --free skips
    what needs it. Exit code 0 when nothing failed.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from thunderbit_dagster.cli.crawls import opened
    from thunderbit_dagster.cli.doctor.checks import run_checks
    from thunderbit_dagster.cli.doctor.context import DOCTOR_RETRY, MAX_WAIT, Context
    from thunderbit_dagster.cli.selection import resolved_selection
    from thunderbit_dagster.cli.workspace import Workspace
    from thunderbit_dagster.starter.crawls import SITE_PORT

    # The checks say what is unusual; the client's own words would come in between.
    logging.getLogger("thunderbit_dagster.api").addHandler(logging.NullHandler())
    workspace = Workspace(root.resolve())
    with ExitStack() as stack:
        builds = stack.enter_context(opened(file, workspace, needs_crawls=False))
        thunderbit = stack.enter_context(resolved_selection(builds[0]))
        site = os.environ.get("THUNDERBIT_DEMO_SITE", f"http://127.0.0.1:{SITE_PORT}")
        context = Context(
            thunderbit,
            client=stack.enter_context(thunderbit.open_client(max_wait=MAX_WAIT, retry=DOCTOR_RETRY)),
            store=builds[0].store,
            dagster_home=workspace.dagster_home,
            crawls=[crawl for built in builds for crawl in built.crawls],
            url=url or (f"{site}/" if thunderbit.is_local else REMOTE_PAGE),
            webhook_url=webhook_url,
            webhook_port=webhook_port,
            earlier=earlier,
            seconds=seconds,
            stack=stack,
            tell=lambda words: click.echo(f"{words} ...", err=True),
        )
        click.echo(f"Looking at {thunderbit.base_url}, account {context.client.account_fingerprint}.", err=True)
        if free:
            click.echo("Nothing will be paid.", err=True)
        else:
            _announce_cost(context, may_ask=not as_json, yes=yes)
        findings = run_checks(context, free=free)
    is_ok = all(finding.status != "failed" for finding in findings.values())
    if as_json:
        report = {
            "base_url": thunderbit.base_url,
            "account": context.client.account_fingerprint,
            "credits_at_most": 0 if free else CREDITS_PER_DISTILL,
            "ok": is_ok,
            "checks": [{"check": name, **asdict(finding)} for name, finding in findings.items()],
        }
        click.echo(json.dumps(report, indent=2))
    else:
        view = Table("check", "", "seen", "what to do")
        for name, one in findings.items():
            # Texts of the API are not markup.
            view.add_row(name, Text(one.status, STYLES[one.status]), Text(one.seen), Text(one.what_to_do))
        Console().print(view)
    raise SystemExit(not is_ok)


def _announce_cost(context: Context, *, may_ask: bool, yes: bool) -> None:
    """Say what will be asked for and what it costs, before it is; have it confirmed where it is paid."""
    is_local = context.thunderbit.is_local
    paid = "The emulator bills it to an account of its own." if is_local else "You pay for it."
    click.echo(f"One page will be asked for, {context.url}: {CREDITS_PER_DISTILL} credit. {paid}", err=True)
    if not is_local and not yes:
        if not may_ask:
            raise click.UsageError("--json asks no questions: say --yes to pay, or --free.")
        click.confirm(f"Pay {CREDITS_PER_DISTILL} credit?", abort=True, err=True)
