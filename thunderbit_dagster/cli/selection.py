"""Which crawl, which partitions, which Dagster instance and which account a command is about."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from thunderbit_dagster.cli.code_location import FILE_HELP

if TYPE_CHECKING:
    import dagster as dg

    from thunderbit_dagster.cli.workspace import Workspace
    from thunderbit_dagster.crawl.crawl import Crawl
    from thunderbit_dagster.definitions import Built
    from thunderbit_dagster.resource import ThunderbitResource

Command = TypeVar("Command", bound=Callable[..., object])
FOLDER = Path("data")


def place_options(command: Command) -> Command:
    """The options that say where the crawls and Dagster are."""
    command = click.option(
        "--dir",
        "root",
        type=click.Path(path_type=Path),
        default=FOLDER,
        show_default=True,
        help="The folder of `dev` or `demo`. If set, DAGSTER_HOME determines the Dagster instance.",
    )(command)
    return click.option(
        "-f",
        "--python-file",
        "file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help=FILE_HELP,
    )(command)


def partition_options(command: Command) -> Command:
    """The options that name partitions; exactly one way of naming them is to be used."""
    named = [
        click.option("--partitions", metavar="KEY,...", help="Keys, patterns (2026-01-*) and ranges (KEY...KEY)."),
        click.option("--from", "first", metavar="KEY", help="With --to: a range, including both ends."),
        click.option("--to", "last", metavar="KEY"),
        click.option(
            "--every", "step", type=click.IntRange(min=1), help="Only every N-th of the range, counted by date."
        ),
        click.option("--all", "every", is_flag=True, help="All partitions of the crawl."),
        click.option("--missing", is_flag=True, help="Partitions that were never published and are not in progress."),
        click.option(
            "--failed", is_flag=True, help="Partitions that a run failed for and that were not published since."
        ),
    ]
    for option in reversed(named):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What the options of ``partition_options`` say."""

    partitions: str | None = None
    first: str | None = None
    last: str | None = None
    step: int | None = None
    every: bool = False
    missing: bool = False
    failed: bool = False

    @property
    def is_range(self) -> bool:
        return bool(self.first or self.last or self.step)

    @property
    def is_one(self) -> bool:
        """Whether the partitions are named in exactly one way."""
        return sum([bool(self.partitions), self.is_range, self.every, self.missing, self.failed]) == 1

    def keys(self, crawl: Crawl, instance: dg.DagsterInstance | None) -> list[str | None]:
        """The partitions that were asked for, in the crawl's order; [None] for a crawl without any.

        Raises:
            click.UsageError: they are not named, in two ways, or there are no such partitions.
        """
        import dagster as dg

        with dg.partition_loading_context(dynamic_partitions_store=instance):
            return list(self._keys(crawl, instance))

    def _keys(self, crawl: Crawl, instance: dg.DagsterInstance | None) -> Sequence[str | None]:
        from thunderbit_dagster.backfill.partition_status import failed_keys, missing_keys
        from thunderbit_dagster.partitions import UnknownPartitionError, select_keys

        if crawl.partitions_def is None:
            if self.partitions or self.is_range:
                raise click.UsageError(f"The crawl {crawl.name} has no partitions.")
            return [None]
        if not self.is_one:
            raise click.UsageError(
                "Say which partitions: --partitions KEY,..., or --from KEY --to KEY, or --all, --missing or --failed."
            )
        if reason := crawl.why_no_partition():
            return self._none(reason)
        try:
            known = select_keys(["*"], crawl.axes)
            if self.partitions:
                return select_keys(self.partitions.split(","), crawl.axes)
            if self.is_range:
                return _each(self._range(crawl, known), crawl, self.step or 1)
        except UnknownPartitionError as error:
            raise click.UsageError(f"The crawl {crawl.name} {error}.") from error
        if self.every:
            return known
        if instance is None:
            raise click.ClickException("No Dagster instance was found, so past runs are not known.")
        return (missing_keys if self.missing else failed_keys)(instance, crawl, known)

    def _none(self, reason: str) -> Sequence[str | None]:
        if self.partitions or self.is_range:
            raise click.UsageError(reason)
        click.echo(reason, err=True)
        return []

    def _range(self, crawl: Crawl, known: Sequence[str]) -> list[str]:
        from thunderbit_dagster.partitions import RANGE, select_keys

        ends = [self.first or known[0], self.last or known[-1]]
        for end in ends:
            select_keys([end], crawl.axes)
        return select_keys([RANGE.join(ends)], crawl.axes)


def _each(keys: Sequence[str], crawl: Crawl, step: int) -> list[str]:
    """Each ``step``-th of the range's dates, or of its keys without dates, from the first on."""
    places = {key: crawl.partition(key).date or key for key in keys}
    kept = set(list(dict.fromkeys(places.values()))[::step])
    return [key for key in keys if places[key] in kept]


def find_crawl(builds: list[Built], name: str | None, how: str) -> tuple[Built, Crawl]:
    """The crawl of a name, or the only one. ``how`` tells people how to name it.

    Raises:
        click.UsageError: there is none of that name, or there are several.
    """
    crawls = {crawl.name: (built, crawl) for built in builds for crawl in built.crawls}
    if name is None and len(crawls) == 1:
        return next(iter(crawls.values()))
    if name not in crawls:
        wrong = f"Name one {how}" if name is None else f"There is no crawl {name!r}"
        raise click.UsageError(f"{wrong}; the file declares {', '.join(sorted(crawls))}.")
    return crawls[name]


@contextmanager
def found_instance(workspace: Workspace) -> Iterator[dg.DagsterInstance | None]:
    """The Dagster instance, None when there is none: then nothing was ever submitted by it."""
    import dagster as dg

    home = workspace.dagster_home
    if not (home / "dagster.yaml").exists() and not (home / "storage").exists():
        yield None
        return
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance


@contextmanager
def resolved_selection(built: Built, instance: dg.DagsterInstance | None = None) -> Iterator[ThunderbitResource]:
    """The API's settings with the values of environment variables.

    Raises:
        click.ClickException: a variable is missing, or what it holds is wrong.
    """
    import dagster as dg

    try:
        with dg.build_resources({"thunderbit": built.thunderbit}, instance=instance) as resources:
            yield resources.thunderbit
    except dg.DagsterInvalidConfigError as error:
        reasons = "; ".join(one.message for one in error.errors)
        raise click.ClickException(f"The API's settings are not complete: {reasons}") from error
    except dg.DagsterResourceFunctionError as error:
        raise click.ClickException(f"The API's settings are wrong: {error.__cause__}") from error
