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
from thunderbit_dagster.cli.workspace import Workspace, named_origins, site_url, ui_url
from thunderbit_dagster.settings import emulator_base_url

CHECK_SECONDS = 0.5


@click.command()
@click.option(
    "-f",
    "--python-file",
    "file",
    type=click.Path(exists=True, path_type=Path),
    help=f"{FILE_HELP} Else the demo crawl.",
)
@click.option("--dir", "root", type=click.Path(path_type=Path), default=Path("data"), show_default=True)
@click.option("--urls", type=click.Path(exists=True, path_type=Path), help="Crawl the URLs of this file, one a line.")
@click.option("--allow-origin", "origins", multiple=True, metavar="ORIGIN", help="As for `emulator`.")
def dev(file: Path | None, root: Path, urls: Path | None, origins: tuple[str, ...]) -> None:
    """Start the emulator, a demo site and Dagster's UI; Ctrl+C stops them all.

    With THUNDERBIT_API_KEY set, Dagster speaks to the real API and no emulator starts.
    """
    location = code_location(file, urls)
    announce(location)
    # SIGTERM, too, must stop the children.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Before anything else, since a key in the file `.env` reaches Dagster as well.
    with environment(location.variables(), win=True):
        _serve(location, Workspace(root.resolve()), urls, origins)


def _serve(location: CodeLocation, workspace: Workspace, urls: Path | None, origins: tuple[str, ...]) -> None:
    emulated = not os.environ.get("THUNDERBIT_API_KEY")
    ports = workspace.prepare()
    env = workspace.environment(ports, emulated=emulated) | location.python_path()
    if urls:
        env["THUNDERBIT_URLS"] = str(urls.resolve())
    try:
        with Children(env) as children:
            if emulated:
                workspace.start_emulator(children, ports, [*origins, *named_origins(urls)])
                click.echo(f"Emulator   {emulator_base_url(ports.emulator)}")
                click.echo(f"Demo site  {site_url(ports)}")
            click.echo(f"Dagster    {ui_url(ports)}")
            click.echo(f"Everything is kept in {workspace.root}. Ctrl+C stops all of it.")
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
