"""The crawls of a definitions file: it is loaded, and what it hands to ``build_crawl_definitions`` is noted."""

from __future__ import annotations

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

from thunderbit_dagster.build import Built, builds
from thunderbit_dagster.crawl import Crawl
from thunderbit_dagster.starter import starter_definitions

DEFAULT_FILE = Path("definitions.py")


def load_crawls(file: Path | None) -> list[Crawl]:
    """The crawls of a definitions file; None: ``definitions.py`` of this folder, else the starter crawl.

    Raises:
        click.ClickException: the file cannot be loaded or declares no crawl.
    """
    return [crawl for built in load_builds(file) for crawl in built.crawls]


def load_builds(file: Path | None) -> list[Built]:
    """The same, with the API and the store that serve the crawls."""
    if file is None and DEFAULT_FILE.exists():
        file = DEFAULT_FILE
    noted: list[Built] = []
    token = builds.set(noted)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", dg.BetaWarning)
            starter_definitions() if file is None else _load(file)
    finally:
        builds.reset(token)
    if not noted:
        raise click.ClickException(f"{file} declares no crawl: it does not call `build_crawl_definitions`.")
    return noted


def _load(file: Path) -> None:
    spec = importlib.util.spec_from_file_location(f"thunderbit_definitions_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise click.ClickException(f"{file} is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module
    with _importable(Path.cwd(), file.resolve().parent):
        try:
            spec.loader.exec_module(module)
            _make_lazy(module)
        except Exception as error:  # the file is the user's own code, and may fail in any way
            raise click.ClickException(f"{file} cannot be loaded: {type(error).__name__}: {error}") from error


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
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Settings for what is loaded in the block, for those that are not set."""
    added = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
