"""The crawls of a code location: it is loaded, and what it hands to ``build_crawl_definitions`` is noted."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import click
import dagster as dg

from thunderbit_dagster.api.errors import ConfigurationError
from thunderbit_dagster.cli.code_location import FROM_ENVIRONMENT, CodeLocation, announce, find, require_location
from thunderbit_dagster.cli.workspace import Workspace
from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.definitions import Built, builds
from thunderbit_dagster.starter.crawls import starter_definitions


def load_crawls(file: Path) -> list[Crawl]:
    """The crawls of a definitions file.

    Raises:
        click.ClickException: the file cannot be loaded or declares no crawl.
    """
    return [crawl for built in load_builds(CodeLocation(str(file), file=file)) for crawl in built.crawls]


def load_builds(location: CodeLocation) -> list[Built]:
    """The crawls of a code location, with the API and the store that serve them.

    Raises:
        click.ClickException: it cannot be loaded or declares no crawl.
    """
    noted: list[Built] = []
    token = builds.set(noted)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", dg.BetaWarning)
            warnings.simplefilter("ignore", dg.PreviewWarning)
            _load(location)
    finally:
        builds.reset(token)
    if not noted:
        raise click.ClickException(
            f"{location.name} declares no crawl: it does not call `build_crawl_definitions`, and no "
            "ThunderbitCrawlComponent is in it."
        )
    return noted


@contextmanager
def opened(file: Path | None, workspace: Workspace, *, needs_crawls: bool = True) -> Iterator[list[Built]]:
    """The builds of a command's code location, in the environment that it has when Dagster loads it.

    Without ``needs_crawls`` the settings in the environment are taken where there is no code location.

    Raises:
        click.ClickException: there is none, or it cannot be loaded.
    """
    started = workspace.kept_ports() is not None
    location = require_location(file, started=started) if needs_crawls else find(file) or FROM_ENVIRONMENT
    announce(location)
    with environment(location.variables(), win=True), environment(workspace.kept_environment()):
        yield load_builds(location)


def _load(location: CodeLocation) -> None:
    with _importable(*location.folders):
        try:
            if location.is_starter:
                starter_definitions()
            else:
                _make_lazy(_file_module(location.file) if location.file else importlib.import_module(location.module))
        except click.ClickException:
            raise
        except Exception as error:  # the code is the user's own, and may fail in any way
            why = _words(error)
            told = why if location.is_starter else f"{location.name} cannot be loaded: {why}"
            raise click.ClickException(told) from error


def _words(error: Exception) -> str:
    """What went wrong. Dagster wraps what its loading of components meets; the cause tells the line."""
    while isinstance(error, dg.DagsterError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    return str(error) if isinstance(error, ConfigurationError) else f"{type(error).__name__}: {error}"


def _file_module(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"thunderbit_definitions_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise click.ClickException(f"{file} is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module
    spec.loader.exec_module(module)
    return module


def _make_lazy(module: ModuleType) -> None:
    """Definitions behind Dagster's ``@definitions`` are made when they are asked for."""
    lazy = type(dg.definitions(_no_definitions))
    for value in vars(module).values():
        if isinstance(value, lazy):
            make: Callable[..., dg.Definitions] = value
            make()


def _no_definitions() -> dg.Definitions:
    return dg.Definitions()


@contextmanager
def _importable(*folders: Path) -> Iterator[None]:
    before = list(sys.path)
    sys.path[:0] = [str(folder) for folder in folders]
    try:
        yield
    finally:
        sys.path[:] = before


@contextmanager
def environment(values: Mapping[str, str], *, win: bool = False) -> Iterator[None]:
    """Settings for what is loaded in the block, in place of those that are not set or empty; or of all that `win`."""
    added = {name: value for name, value in values.items() if win or not os.environ.get(name)}
    before = {name: os.environ[name] for name in added if name in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
        os.environ.update(before)
