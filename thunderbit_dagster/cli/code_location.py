"""Which code location a command reads, and how Dagster's own commands are told of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
from dotenv import dotenv_values

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # Dagster brings it

DEFAULT_FILE: Final = Path("definitions.py")
PROJECT_FILES: Final[Mapping[str, tuple[str, ...]]] = {
    "dg.toml": ("project",),
    "pyproject.toml": ("tool", "dg", "project"),
}
"""Where `dg` keeps the settings of a project, and under which table."""
STARTER: Final = "thunderbit_dagster.starter.location"
FILE_HELP: Final = "The code location. Default: definitions.py in this folder, else the `dg` project around it."


@dataclass(frozen=True)
class CodeLocation:
    """A file, or a module of the project in ``root``."""

    name: str
    file: Path | None = None
    module: str = STARTER
    root: Path | None = None

    @property
    def is_starter(self) -> bool:
        """Whether it is the crawl to start from, or only what the environment says."""
        return self.file is None and self.module == STARTER

    @property
    def arguments(self) -> list[str]:
        """What a command of Dagster is told to load."""
        if self.file is not None:
            return ["-f", str(self.file)]
        return ["-m", self.module, *(["-d", str(self.root)] if self.root else [])]

    @property
    def folders(self) -> list[Path]:
        """Where its modules are imported from, beside what is installed."""
        if self.file is not None:
            return [Path.cwd(), self.file.resolve().parent]
        return [self.root / "src", self.root] if self.root else []

    def python_path(self) -> dict[str, str]:
        """The same for another process."""
        given = os.environ.get("PYTHONPATH")
        path = [*map(str, self.folders), *([given] if given else [])]
        return {"PYTHONPATH": os.pathsep.join(path)} if self.root else {}

    def variables(self) -> dict[str, str]:
        """The variables of its file `.env`, which in Dagster take the place of those in the environment."""
        found = dotenv_values((self.root or Path.cwd()) / ".env")
        return {name: value for name, value in found.items() if value is not None}


FROM_ENVIRONMENT: Final = CodeLocation(
    "the settings in the environment, since there is no definitions.py or `dg` project"
)


def starter(urls: str | os.PathLike[str] | None = None) -> CodeLocation:
    """The crawl to start from, of a file of URLs or of the demo site."""
    return CodeLocation(f"the starter crawl, of {urls or 'the demo site'}")


def find(file: Path | None) -> CodeLocation | None:
    """The file that is named, else ``definitions.py`` of this folder, else the project of `dg` around it.

    Raises:
        click.ClickException: a project's settings cannot be read.
    """
    if file is None and DEFAULT_FILE.exists():
        file = DEFAULT_FILE
    return CodeLocation(str(file), file=file) if file else _project(Path.cwd())


def require_location(file: Path | None, *, started: bool) -> CodeLocation:
    """The code location of a command about crawls.

    Args:
        file: What the user named.
        started: Whether `dev` or `demo` ran here, with the starter crawl when there was nothing else.

    Raises:
        click.ClickException: there is none.
    """
    urls = os.environ.get("THUNDERBIT_URLS")
    found = find(file) or (starter(urls) if started or urls else None)
    if found is None:
        raise click.ClickException(
            f"There is no code location: neither {DEFAULT_FILE} in {Path.cwd()}, nor a `dg` project there or above "
            "([tool.dg.project] in pyproject.toml). Name a file with -f FILE."
        )
    return found


def announce(location: CodeLocation) -> None:
    """Say what is read."""
    click.secho(f"Reading {location.name}.", dim=True, err=True)


def _project(folder: Path) -> CodeLocation | None:
    """The project that a folder belongs to, with the module that `dg` would load."""
    for file in _settings_files(folder):
        settings = _table(file)
        module, root_module = settings.get("code_location_target_module"), settings.get("root_module")
        if root_module:
            module = module or f"{root_module}.definitions"
            return CodeLocation(f"{module} of {file}", module=str(module), root=file.parent)
    return None


def _settings_files(folder: Path) -> Iterator[Path]:
    for parent in (folder, *folder.parents):
        yield from (parent / name for name in PROJECT_FILES if (parent / name).is_file())


def _table(file: Path) -> Mapping[str, object]:
    try:
        settings: object = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise click.ClickException(f"{file} cannot be read: {error}") from error
    for name in PROJECT_FILES[file.name]:
        settings = settings.get(name) if isinstance(settings, Mapping) else None
    return settings if isinstance(settings, Mapping) else {}
