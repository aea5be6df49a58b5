"""URL sources, evaluated when a run starts."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from thunderbit_dagster.urls.column import AssetColumn, texts_of
from thunderbit_dagster.urls.error import NeedsRunError, UrlSourceError
from thunderbit_dagster.urls.file import UrlFile
from thunderbit_dagster.urls.sitemap import Sitemap

if TYPE_CHECKING:
    from thunderbit_dagster.partitions import Partition

POSITIONAL, EITHER = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD

Given = Iterable[str] | UrlFile | Sitemap
"""What a callable may give: URLs, or where to read them."""
UrlSource = Sequence[str] | UrlFile | Sitemap | AssetColumn | Callable[[], Given] | Callable[["Partition"], Given]
"""A list, a ``UrlFile``, a ``Sitemap``, an ``AssetColumn``, or a callable evaluated at run time that takes nothing or
the ``Partition`` and gives URLs, a ``UrlFile`` or a ``Sitemap``."""
LoadAsset = Callable[[AssetColumn, "Partition"], object]
"""What a run gives to read an asset that others wrote."""


def not_in_a_run(column: AssetColumn, partition: Partition) -> object:
    """Where there is no run, nobody loads assets."""
    raise NeedsRunError(f"The URLs of {partition} are in the asset {column.name}, which only a run can load")


def read_source(source: UrlSource, partition: Partition, load: LoadAsset = not_in_a_run) -> list[str]:
    """The URLs of a source, evaluated now.

    Raises:
        UrlSourceError: the source cannot be read or does not give strings.
    """
    urls = _evaluate(source, partition, load)
    for url in urls:
        if not isinstance(url, str):
            raise UrlSourceError(f"A URL source must return strings, but returned {type(url).__name__}: {url!r:.80}")
    return urls


def _evaluate(source: UrlSource, partition: Partition, load: LoadAsset) -> list[str]:
    try:
        if isinstance(source, AssetColumn):
            return texts_of(load(source, partition), source.column)
        given: Given = _call(source, partition) if callable(source) else source
        if isinstance(given, UrlFile | Sitemap):
            return given.read()
        return [given] if isinstance(given, str) else list(given)
    except UrlSourceError:
        raise
    except Exception as error:
        raise UrlSourceError(f"The URL source failed with {type(error).__name__}: {error}") from error


def wants_partition(source: Callable[..., object]) -> bool:
    """Whether a callable takes the Partition.

    Only a parameter without a default is ours: ``lambda group=group: ...`` binds a loop's variable.
    """
    return bool(required_parameters(source))


def required_parameters(source: Callable[..., object]) -> list[str]:
    """The parameters that a callable must be given by place."""
    return [
        name
        for name, parameter in inspect.signature(source).parameters.items()
        if parameter.default is parameter.empty and parameter.kind in (POSITIONAL, EITHER)
    ]


def is_shared(source: UrlSource) -> bool:
    """Whether a source gives the same URLs for every partition of a run."""
    return not isinstance(source, AssetColumn) and not (callable(source) and wants_partition(source))


def _call(source: Callable[..., Given], partition: Partition) -> Given:
    given = source(partition) if wants_partition(source) else source()
    if isinstance(given, str):
        raise TypeError(f"it must return a list of URLs, but returned the single string {given!r:.80}")
    return given
