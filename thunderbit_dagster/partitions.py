"""How a crawl is partitioned: Dagster's partition keys, their dimensions, shards, and ranges for one run."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import product
from types import MappingProxyType
from typing import TypeVar

import dagster as dg

T = TypeVar("T")

DATE = "date"
URLS = "urls"
SEPARATOR = "|"
"""Dagster joins the keys of a multi-partition by this, dimensions in alphabetical order."""

RANGE = "..."
"""Stands between the ends of a range of keys, as in Dagster's UI."""

PartitionsDef = dg.PartitionsDefinition[str] | None


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition of a crawl.

    Attributes:
        key: Dagster's key, such as ``2026-11-02|guides``; None for a crawl without partitions.
        dimensions: The key taken apart, such as ``{"date": "2026-11-02", "urls": "guides"}``.
    """

    key: str | None
    dimensions: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), hash=False)

    @property
    def date(self) -> str | None:
        """The key of the time dimension, None without a cadence."""
        return self.dimensions.get(DATE)

    @property
    def urls(self) -> str | None:
        """The name of the URL partition, None when the crawl has none."""
        return self.dimensions.get(URLS)

    def __str__(self) -> str:
        return self.key or "the whole crawl"


UNPARTITIONED = Partition(None)


def build_partitions_def(
    cadence: dg.TimeWindowPartitionsDefinition | None, url_keys: Sequence[str] | dg.DynamicPartitionsDefinition
) -> PartitionsDef:
    """Time, URLs, their product, or None; the dimensions are named ``date`` and ``urls``."""
    urls = url_keys if isinstance(url_keys, dg.DynamicPartitionsDefinition) else _static(url_keys)
    if cadence and urls:
        return dg.MultiPartitionsDefinition({DATE: cadence, URLS: urls})
    return cadence or urls


def _static(url_keys: Sequence[str]) -> dg.StaticPartitionsDefinition | None:
    return dg.StaticPartitionsDefinition(list(url_keys)) if url_keys else None


def parse_key(definition: PartitionsDef, key: str | None) -> Partition:
    """A Dagster key as a Partition, from the event log or from a run.

    A key of an earlier definition, which may have had other dimensions, gives a Partition without any.
    """
    if key is None:
        return UNPARTITIONED
    if definition is None:
        return Partition(str(key))
    names = dimension_names(definition)
    keys = [str(key)] if len(names) == 1 else key.split(SEPARATOR)
    dimensions = dict(zip(names, keys, strict=True)) if len(keys) == len(names) else {}
    return Partition(str(key), MappingProxyType(dimensions))


def dimension_names(definition: dg.PartitionsDefinition[str]) -> list[str]:
    """The dimensions of a crawl's partitions, in the order in which Dagster joins their keys."""
    if isinstance(definition, dg.MultiPartitionsDefinition):
        return sorted(dimension.name for dimension in definition.partitions_defs)
    return [DATE if isinstance(definition, dg.TimeWindowPartitionsDefinition) else URLS]


def shard_keys(shards: int) -> list[str]:
    """``shard-0`` ... of equal width, so that they sort."""
    width = len(str(shards - 1))
    return [f"shard-{number:0{width}d}" for number in range(shards)]


def shard_of(canonical_url: str, shards: int) -> int:
    """A URL's shard: a stable hash, so that adding a URL moves no other."""
    digest = hashlib.sha256(canonical_url.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") % shards


@dataclass(frozen=True, slots=True)
class KeyRange:
    """Partitions that one Dagster run can cover: from ``start`` to ``end``, both included.

    Over two dimensions Dagster reads a range as the product of a range in each.
    """

    start: str
    end: str
    keys: tuple[str, ...]


def group_into_ranges(keys: Collection[str], axes: Sequence[Sequence[str]], limit: int) -> list[KeyRange]:
    """Cover exactly ``keys`` with few ranges of at most ``limit`` partitions.

    ``axes`` holds the keys of each dimension in Dagster's order (one axis, or date and urls).
    """
    if len(axes) == 1:
        return [_range([(key,) for key in run]) for run in _runs(frozenset(keys), axes[0], limit)]
    rows: dict[str, set[str]] = {}
    for row, column in (key.split(SEPARATOR) for key in keys):
        rows.setdefault(row, set()).add(column)
    return list(_rectangles(rows, axes[0], axes[1], limit))


def _range(cells: Sequence[tuple[str, ...]]) -> KeyRange:
    keys = tuple(SEPARATOR.join(cell) for cell in cells)
    return KeyRange(keys[0], keys[-1], keys)


def _runs(members: Collection[str], axis: Sequence[str], limit: int) -> list[list[str]]:
    """The stretches of ``axis`` whose keys are all members, none longer than ``limit``."""
    runs: list[list[str]] = [[]]
    for key in axis:
        if key not in members:
            runs.append([])
        elif len(runs[-1]) == limit:
            runs.append([key])
        else:
            runs[-1].append(key)
    return [run for run in runs if run]


def _rectangles(
    rows: Mapping[str, Collection[str]], first: Sequence[str], second: Sequence[str], limit: int
) -> Iterator[KeyRange]:
    """Rows with the same stretch, stacked while they touch and the limit holds."""
    stacks: dict[tuple[str, ...], list[str]] = {}
    for row in first:
        stretches = dict.fromkeys(tuple(run) for run in _runs(rows.get(row, ()), second, limit))
        for ended in [run for run in stacks if run not in stretches]:
            yield _range(list(product(stacks.pop(ended), ended)))
        for run in stretches:
            if len(run) * (len(stacks.get(run, ())) + 1) > limit:
                yield _range(list(product(stacks.pop(run), run)))
            stacks.setdefault(run, []).append(row)
    for run, stacked in stacks.items():
        yield _range(list(product(stacked, run)))


class UnknownPartitionError(ValueError):
    """A key, a pattern or the end of a range names no partition; the text goes on a sentence about the crawl."""


def select_keys(wanted: Iterable[str], axes: Sequence[Sequence[str]]) -> list[str]:
    """The partitions that keys, patterns and ranges name, each once, in the crawl's order.

    ``2026-01-02`` is a key, ``2026-01-*`` a pattern (``*``, ``?``), ``2026-01-02...2026-02-01`` a range with both ends;
    over two dimensions a pattern is held against the whole key and a range is the product of a range in each.
    ``axes`` are those of ``group_into_ranges``.

    Raises:
        UnknownPartitionError: one of them names nothing.
    """
    known = [SEPARATOR.join(cell) for cell in product(*axes)]
    members = frozenset(known)
    named: set[str] = set()
    for text in wanted:
        found = [text] if text in members else list(_named(text, known, axes))
        if not found:
            raise UnknownPartitionError(f"has no partition {text!r}; {examples(known)}")
        named.update(found)
    return [key for key in known if key in named]


def _named(text: str, known: Sequence[str], axes: Sequence[Sequence[str]]) -> Iterator[str]:
    start, separator, end = text.partition(RANGE)
    if not separator:
        return (key for key in known if fnmatchcase(key, text))
    ends = list(zip(start.split(SEPARATOR), end.split(SEPARATOR), axes, strict=False))
    if len(ends) != len(axes) or any(not {first, last} <= set(axis) for first, last, axis in ends):
        return iter(())
    spans = [axis[axis.index(first) : axis.index(last) + 1] for first, last, axis in ends]
    return (SEPARATOR.join(cell) for cell in product(*spans))


def examples(known: Sequence[str]) -> str:
    """What there is, for an error's text."""
    return f"it has {len(known):,}, from {known[0]!r} to {known[-1]!r}" if known else "there are none yet"


def chunks(keys: Sequence[T], limit: int) -> list[tuple[T, ...]]:
    """Any keys, contiguous or not, in as few groups of at most ``limit`` as there can be."""
    return [tuple(keys[start : start + limit]) for start in range(0, len(keys), limit)]
