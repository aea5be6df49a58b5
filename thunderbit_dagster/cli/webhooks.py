"""``thunderbit-dagster webhooks``: the receiver of the API's calls, in the foreground."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from thunderbit_dagster.webhooks.server import Server
    from thunderbit_dagster.webhooks.verify import DeliveryRules

_INSTALL_HINT = "The receiver requires an extra: pip install 'thunderbit-dagster[webhooks]'"


@click.group()
def webhooks() -> None:
    """Let the API report when a batch job has ended, instead of waiting for a poll."""


@webhooks.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8720, show_default=True, help="0 picks a free port.")
@click.option("--path", default="/webhooks/thunderbit", show_default=True, help="The path that accepts deliveries.")
@click.option(
    "--secret",
    envvar="THUNDERBIT_WEBHOOK_SECRET",
    show_envvar=True,
    help="The webhook's secret, or two separated by a comma while one replaces the other, the new one first. "
    "Preferably set in the environment: other users of the machine can read a command line.",
)
@click.option(
    "--tolerance",
    default=2700.0,
    show_default=True,
    help="Seconds that a delivery's timestamp may differ from this machine's clock.",
)
@click.option(
    "--legacy-signature",
    is_flag=True,
    help="Accept the API's older scheme (hex, of the body alone) instead of the current one. It does not protect "
    "against replays.",
)
@click.option(
    "--insecure-no-signature", is_flag=True, help="Accept unsigned calls from anybody. For trials on one machine."
)
def serve_receiver(
    *,
    host: str,
    port: int,
    path: str,
    secret: str | None,
    tolerance: float,
    legacy_signature: bool,
    insecure_no_signature: bool,
) -> None:
    """Receive the API's calls and report them to Dagster, so that the sensor reads a finished job at its next tick.

    Requires DAGSTER_HOME, like every Dagster process. Set THUNDERBIT_WEBHOOK_URL in the code location to the address
    under which the API reaches this receiver. Put a proxy that terminates TLS in front of it.
    """
    from thunderbit_dagster.api.signatures import read_secrets
    from thunderbit_dagster.webhooks.verify import DeliveryRules

    try:
        rules = DeliveryRules(
            secrets=read_secrets(secret or ""),
            legacy=legacy_signature,
            tolerance=tolerance,
            unsigned=insecure_no_signature,
        )
    except ValueError as error:
        hint = "Set THUNDERBIT_WEBHOOK_SECRET, or pass --insecure-no-signature."
        raise click.UsageError(f"{error}. {hint}") from error
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    _serve(rules, host, port, path)


def _serve(rules: DeliveryRules, host: str, port: int, path: str) -> None:
    import dagster as dg

    try:
        from thunderbit_dagster.webhooks.receiver import Receiver
        from thunderbit_dagster.webhooks.report import Reporter, report_to
        from thunderbit_dagster.webhooks.server import Server
    except ImportError as error:
        raise click.ClickException(f"{_INSTALL_HINT} ({error})") from error
    try:
        with dg.DagsterInstance.get() as instance:
            server = Server(Receiver(rules, Reporter(report_to(instance)), path=path), host, port)
            server.on_ready = lambda: _announce(server, rules)
            server.run()
    except (dg.DagsterError, OSError, ValueError) as error:
        raise click.ClickException(str(error)) from error


def _announce(server: Server, rules: DeliveryRules) -> None:
    accepted = "calls from ANYBODY: signatures are not checked" if rules.unsigned else "signed calls"
    scheme = " (the older scheme, which does not protect against replays)" if rules.legacy else ""
    click.echo(f"Webhook receiver on {server.url}, accepting {accepted}{scheme}. Press Ctrl+C to stop.")
