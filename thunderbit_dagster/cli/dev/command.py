"""``thunderbit-dagster dev``: the emulator and ``dagster dev`` together."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import click

from thunderbit_dagster.cli.code_location import FILE_HELP, CodeLocation, announce, find, starter
from thunderbit_dagster.cli.crawls import environment
from thunderbit_dagster.cli.processes import ChildEndedError, Children
from thunderbit_dagster.cli.selection import FOLDER
from thunderbit_dagster.cli.workspace import (
    Ports,
    Workspace,
    ignore_own_settings,
    named_origins,
    site_url,
    ui_url,
)
from thunderbit_dagster.starter.environment import emulator_base_url

CHECK_SECONDS = 0.5


@click.command()
@click.option(
    "-f",
    "--python-file",
    "file",
    type=click.Path(exists=True, path_type=Path),
    help=f"{FILE_HELP} If there is neither, the demo crawl.",
)
@click.option("--dir", "root", type=click.Path(path_type=Path), default=FOLDER, show_default=True)
@click.option("--urls", type=click.Path(exists=True, path_type=Path), help="Crawl the URLs in this file, one per line.")
@click.option("--allow-origin", "origins", multiple=True, metavar="ORIGIN", help="As for `emulator`.")
@click.option("--demo", is_flag=True, help="Show what `demo` crawled, and ignore your own code location and settings.")
def dev(file: Path | None, root: Path, urls: Path | None, origins: tuple[str, ...], *, demo: bool) -> None:
    """Start the emulator, a demo site and Dagster's UI; Ctrl+C stops them all.

    With THUNDERBIT_API_KEY set, Dagster uses the real API and no emulator starts.
    """
    if demo and file:
        raise click.UsageError("--demo shows the demo crawl, --python-file another one: use only one of them.")
    if demo:
        ignore_own_settings()
    location = starter(urls) if demo else code_location(file, urls)
    announce(location)
    # SIGTERM, too, must stop the children.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    workspace = Workspace(root.resolve())
    # Before anything else: Dagster reads the file `.env` where it is started, so a key in it reaches Dagster as well.
    with environment({} if demo else location.variables(), win=True), workspace.in_use() as ports:
        _serve(location, workspace, ports, urls, origins, cwd=workspace.root if demo else None)


def _serve(
    location: CodeLocation,
    workspace: Workspace,
    ports: Ports,
    urls: Path | None,
    origins: tuple[str, ...],
    *,
    cwd: Path | None,
) -> None:
    emulated = not os.environ.get("THUNDERBIT_API_KEY")
    env = workspace.environment(ports, emulated=emulated) | location.python_path()
    if urls:
        env["THUNDERBIT_URLS"] = str(urls.resolve())
    try:
        with Children(env, cwd) as children:
            if emulated:
                workspace.start_emulator(children, ports, [*origins, *named_origins(urls)])
                click.echo(f"Emulator   {emulator_base_url(ports.emulator)}")
                click.echo(f"Demo site  {site_url(ports)}")
            click.echo(f"Dagster    {ui_url(ports)}")
            click.echo(f"All data is kept in {workspace.root}. Press Ctrl+C to stop everything.")
            workspace.start_dagster(children, ports, location.arguments)
            while True:
                time.sleep(CHECK_SECONDS)
                children.check()
    except ChildEndedError as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        click.echo("Stopped.")


def code_location(file: Path | None, urls: Path | None) -> CodeLocation:
    """What ``dagster dev`` is told to load."""
    if file is None and urls is not None:
        return starter(urls)
    return find(file) or starter(os.environ.get("THUNDERBIT_URLS"))
