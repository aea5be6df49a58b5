"""``thunderbit-dagster doctor``: ten checks of the account, the store and Dagster, and what to do about each."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypedDict

import click

if TYPE_CHECKING:
    from thunderbit_dagster.api.models import JobRef
    from thunderbit_dagster.cli.doctor.checks import Finding
    from thunderbit_dagster.cli.doctor.examination import Patient, Terms

REMOTE_PAGE: Final = "https://example.com/"
STYLES: Final = {"ok": "green", "warning": "yellow", "failed": "red", "skipped": "dim"}


@click.command()
@click.option(
    "-f",
    "--python-file",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The code location whose API and store are looked at; by default definitions.py of this folder, else the "
    "`dg` project around it, else what the environment says.",
)
@click.option(
    "--dir",
    "root",
    type=click.Path(path_type=Path),
    default=Path("data"),
    show_default=True,
    help="The folder of `dev` or `demo`; DAGSTER_HOME, when set, says where Dagster is.",
)
@click.option("--url", help=f"The page to ask for; by default {REMOTE_PAGE}, on the emulator its demo site.")
@click.option("--free", is_flag=True, help="Only what costs nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask before paying.")
@click.option(
    "--webhook-url",
    envvar="THUNDERBIT_WEBHOOK_URL",
    show_envvar=True,
    help="Where the API reaches this machine; what calls it must end at --webhook-port. Not needed for an emulator "
    "that may call that port of 127.0.0.1.",
)
@click.option("--webhook-port", default=8720, show_default=True, help="The port of 127.0.0.1 to wait on for the call.")
@click.option("--job", "earlier", metavar="KIND/ID", help="An earlier job of more than 20 URLs: shows the page size.")
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
    earlier: str | None,
    seconds: float,
    as_json: bool,
) -> None:
    """Check the API, the store and Dagster, and say what to do where something is wrong.

    Costs 1 credit, for one page; --free skips what needs it. Exit code 0 when nothing failed.
    """
    from thunderbit_dagster.cli.doctor.checks import exit_code
    from thunderbit_dagster.cli.doctor.examination import Terms, examine, open_patient

    # The checks say what is unusual; the client's own words would come in between.
    logging.getLogger("thunderbit_dagster.api").addHandler(logging.NullHandler())
    with open_patient(file, root.resolve()) as patient:
        page = url or patient.page or REMOTE_PAGE
        terms = None if free else Terms(page, webhook_url, webhook_port, _ref(earlier), seconds)
        _announce(patient, terms, may_ask=not as_json, yes=yes)
        with _progress() as tell:
            findings = examine(patient, terms, tell)
    if as_json:
        click.echo(json.dumps(_report(patient, terms, findings), indent=2))
    else:
        _print(findings)
    raise SystemExit(exit_code(findings))


def _ref(text: str | None) -> JobRef | None:
    from thunderbit_dagster.api.errors import ConfigurationError
    from thunderbit_dagster.api.models import JobRef

    try:
        return JobRef.parse(text) if text else None
    except ConfigurationError as error:
        raise click.UsageError(f"--job: {error}") from error


def _announce(patient: Patient, terms: Terms | None, *, may_ask: bool, yes: bool) -> None:
    """Say what will be asked for and what it costs, before it is; have it confirmed where it is paid."""
    click.echo(f"Looking at {patient.thunderbit.base_url}, account {patient.account}.", err=True)
    if terms is None:
        click.echo("Nothing will be paid.", err=True)
        return
    paid = "The emulator bills it to an account of its own." if patient.thunderbit.is_local else "You pay for it."
    price = patient.price
    click.echo(f"One page will be asked for, {terms.page}: {price} credit{'s' * (price != 1)}. {paid}", err=True)
    if patient.thunderbit.is_local or yes:
        return
    if not may_ask:
        raise click.UsageError("--json asks no questions: say --yes to pay, or --free.")
    click.confirm(f"Pay {price} credit{'s' * (price != 1)}?", abort=True, err=True)


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Shows what is being waited for: one line that changes on a terminal, else a line each."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda words: click.echo(f"{words} ...", err=True)
        return
    with console.status("") as status:
        yield lambda words: status.update(Text(f"{words} ..."))


class DoctorReport(TypedDict):
    """What ``--json`` prints."""

    base_url: str
    account: str
    credits_at_most: int
    ok: bool
    checks: list[dict[str, str]]


def _report(patient: Patient, terms: Terms | None, findings: Sequence[Finding]) -> DoctorReport:
    from thunderbit_dagster.cli.doctor.checks import exit_code

    return DoctorReport(
        base_url=patient.thunderbit.base_url,
        account=patient.account,
        credits_at_most=patient.price if terms else 0,
        ok=not exit_code(findings),
        checks=[
            {"check": one.check, "status": one.status.value, "seen": one.seen, "what_to_do": one.advice}
            for one in findings
        ],
    )


def _print(findings: Sequence[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    view = Table("check", "", "seen", "what to do")
    for one in findings:
        # Texts of the API are not markup.
        view.add_row(one.check, Text(one.status.value, STYLES[one.status.value]), Text(one.seen), Text(one.advice))
    Console().print(view)
