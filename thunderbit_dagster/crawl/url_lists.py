"""The URL lists of a run's partitions: what they share is read once, and each list is split into shards once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

from thunderbit_dagster.partitions import DATE, UNPARTITIONED, Partition, shard_of
from thunderbit_dagster.storage.errors import InvalidKeyError
from thunderbit_dagster.storage.guesses import added_key_problem
from thunderbit_dagster.storage.layout import validate_key
from thunderbit_dagster.urls import (
    AssetColumn,
    Fragments,
    Sitemap,
    UrlFile,
    UrlSource,
    UrlSourceError,
    canonical_url,
    read_source,
    url_refusal,
)
from thunderbit_dagster.urls.source import LoadAsset, is_shared

ListPlace = tuple[int, Partition]


@dataclass
class UrlReader:
    """Gives a partition's URLs, from their source, now.

    With shards, a source is asked for the whole list of a date, never for that of a shard: were it asked again for each
    shard, a URL that comes or goes in between would be in two of them or in none.

    Attributes:
        source_of: The source of a partition's URLs.
        shard_keys: The names of the shards that lists are split into; empty: they are not split.
        load: What loads the asset of an ``AssetColumn``.
        fragments: Which fragments tell pages apart, so that their URLs may be in different shards.
        added: Gives the URL keys that were added at run time, in that order.
        empty: The partitions whose source gave no URL at all, and the source in words. A shard without URLs is not
            among them while others have some.
    """

    source_of: Callable[[Partition], UrlSource]
    shard_keys: Sequence[str]
    load: LoadAsset
    added: Callable[[], Sequence[str]] = tuple
    fragments: Fragments = "routes"
    empty: dict[Partition, str] = field(default_factory=dict)
    _lists: dict[ListPlace, list[str]] = field(default_factory=dict)
    _cuts: dict[tuple[str, ...], Mapping[str, list[str]]] = field(default_factory=dict)

    def __call__(self, partition: Partition) -> list[str]:
        """The URLs of a partition.

        Raises:
            UrlSourceError: the source cannot be read or does not give strings, or a key of the partition cannot be
                stored, or not read back.
        """
        _require_storable(partition)
        if partition.urls and (problem := added_key_problem(partition.urls, self._added_keys)):
            raise UrlSourceError(problem)
        source = self.source_of(partition)
        urls = self._listed(source, _without_shard(partition) if self.shard_keys else partition)
        if not urls:
            self.empty[partition] = in_words(source)
        return self._cut(urls).get(partition.urls or "", []) if self.shard_keys else urls

    @cached_property
    def _added_keys(self) -> Sequence[str]:
        return self.added()

    def by_empty_source(self) -> dict[str, list[Partition]]:
        """``empty``, source by source."""
        grouped: dict[str, list[Partition]] = {}
        for partition, source in self.empty.items():
            grouped.setdefault(source, []).append(partition)
        return grouped

    def _listed(self, source: UrlSource, partition: Partition) -> list[str]:
        shared = is_shared(source)
        if not shared and not self.shard_keys:
            return read_source(source, partition, self.load)
        place = (id(source), UNPARTITIONED if shared else partition)
        if place not in self._lists:
            self._lists[place] = read_source(source, partition, self.load)
        return self._lists[place]

    def _cut(self, urls: Sequence[str]) -> Mapping[str, list[str]]:
        """A list's shards; dates that have the same list share them."""
        known = tuple(urls)
        if known not in self._cuts:
            self._cuts[known] = cut_into_shards(urls, self.shard_keys, self.fragments)
        return self._cuts[known]


def cut_into_shards(urls: Sequence[str], keys: Sequence[str], fragments: Fragments = "routes") -> dict[str, list[str]]:
    """The URLs of each shard that has some, in the list's order, by a stable hash of their canonical form."""
    by_shard: dict[str, list[str]] = {}
    for url in urls:
        # A refused URL has no canonical form, but must still be reported by exactly one shard.
        stable = url if url_refusal(url, allow_private=True) else canonical_url(url, fragments)
        by_shard.setdefault(keys[shard_of(stable, len(keys))], []).append(url)
    return by_shard


def in_words(source: UrlSource) -> str:
    """A source as it is named in messages."""
    if isinstance(source, UrlFile):
        return f"the URL file {source.path}"
    if isinstance(source, Sitemap):
        return f"the sitemap {source.url}"
    if isinstance(source, AssetColumn):
        return f"the column {source.column!r} of the asset {source.name}"
    if callable(source):
        return f"the callable {getattr(source, '__qualname__', type(source).__qualname__)}"
    return "the list in the crawl's `urls`"


def _require_storable(partition: Partition) -> None:
    for key in partition.dimensions.values():
        try:
            validate_key(key)
        except InvalidKeyError as error:
            raise UrlSourceError(f"its rows could not be stored: {error}") from error


def _without_shard(partition: Partition) -> Partition:
    date = partition.date
    return UNPARTITIONED if date is None else Partition(date, MappingProxyType({DATE: date}))
