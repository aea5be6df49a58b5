"""``thunderbit-dagster emulator`` and ``site``: the local API and the demo site, in the foreground."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from thunderbit_dagster.starter.crawls import SITE_PORT
from thunderbit_dagster.starter.environment import EMULATOR_KEY, EMULATOR_PLAN, EMULATOR_PORT

if TYPE_CHECKING:
    from thunderbit_dagster.emulator import Listening

_INSTALL_HINT = "The emulator requires an extra: pip install 'thunderbit-dagster[emulator]'"
PARENT_CHECK_SECONDS = 1.0


@click.command()
@click.option("--port", default=EMULATOR_PORT, show_default=True, help="0 picks a free port.")
@click.option("--host", default="127.0.0.1", show_default=True, help="A loopback address; others are refused.")
@click.option("--plan", type=click.Choice(["free", "pro", "enterprise"]), default=EMULATOR_PLAN, show_default=True)
@click.option("--credits", "credits_", default=600, show_default=True, help="The balance of a new account.")
@click.option("--api-key", default=EMULATOR_KEY, show_default=True, help="The account's key.")
@click.option(
    "--data-dir", type=click.Path(path_type=Path), help="Where the account and jobs are stored. Default: in memory."
)
@click.option(
    "--allow-origin",
    "origins",
    multiple=True,
    metavar="ORIGIN",
    help="Fetch this origin although its address is private, such as http://127.0.0.1:8000. Can be repeated.",
)
@click.option(
    "--faults", type=click.Path(exists=True, path_type=Path), help="A JSON or TOML file with the faults to inject."
)
@click.option(
    "--pages-at-once", default=8, show_default=True, help="How many pages of one job are fetched concurrently."
)
@click.option("--robots/--no-robots", default=True, show_default=True, help="Honour robots.txt.")
@click.option("--with-parent", is_flag=True, help="Stop when the process that started this one ends.")
def emulator(
    *,
    port: int,
    host: str,
    plan: str,
    credits_: int,
    api_key: str,
    data_dir: Path | None,
    origins: tuple[str, ...],
    faults: Path | None,
    pages_at_once: int,
    robots: bool,
    with_parent: bool,
) -> None:
    """Serve the Thunderbit API on this machine: it really fetches pages and turns them into Markdown.

    Point the plugin at it with THUNDERBIT_BASE_URL, and leave THUNDERBIT_API_KEY unset.
    """
    try:
        from thunderbit_dagster.emulator import EmulatorSettings, Faults, PortInUseError, StoreInUseError, serve
    except ImportError as error:
        raise click.ClickException(f"{_INSTALL_HINT} ({error})") from error
    if with_parent:
        stop_with_parent()
    try:
        settings = EmulatorSettings(
            plan=plan,
            host=host,
            port=port,
            data_dir=data_dir,
            api_key=api_key,
            credits=credits_,
            allow_origins=origins,
            faults=Faults.load(faults) if faults else Faults(),
            pages_at_once=pages_at_once,
            honour_robots=robots,
        )
        serve(settings, _announce)
    except (ValueError, PortInUseError, StoreInUseError) as error:
        raise click.ClickException(str(error)) from error


def _announce(listening: Listening) -> None:
    kept = f"account and jobs in {listening.data_dir}" if listening.data_dir else "account and jobs in memory"
    click.echo(f"Thunderbit emulator on {listening.base_url} ({kept}). Press Ctrl+C to stop.")


@click.command()
@click.option("--port", default=SITE_PORT, show_default=True)
@click.option(
    "--revision",
    type=click.IntRange(1, 2),
    default=1,
    show_default=True,
    help="Content of the site; in revision 2 some pages have changed.",
)
@click.option("--with-parent", is_flag=True, help="Stop when the process that started this one ends.")
def site(port: int, revision: int, *, with_parent: bool) -> None:
    """Serve the demo site: a hundred good pages, and some that fail on purpose."""
    try:
        from thunderbit_dagster.emulator.site import serve_site
    except ImportError as error:
        raise click.ClickException(f"{_INSTALL_HINT} ({error})") from error
    if with_parent:
        stop_with_parent()
    click.echo(f"Demo site on http://127.0.0.1:{port}. Press Ctrl+C to stop.")
    serve_site(port=port, revision=revision)


def stop_with_parent() -> None:
    """End this process in an orderly way when its parent is gone, however that ended."""
    parent = os.getppid()
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(PARENT_CHECK_SECONDS):
            if os.getppid() != parent:
                os.kill(os.getpid(), signal.SIGTERM)
                return

    threading.Thread(target=watch, name="stop-with-parent", daemon=True).start()
