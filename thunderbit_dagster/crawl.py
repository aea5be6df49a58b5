"""``Crawl``: what to fetch, how it is cut into partitions, and how often."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

import dagster as dg

from thunderbit_dagster.api.codes import DEFAULT_EXTRACT_BATCH_URLS, MAX_BATCH_URLS, JobKind
from thunderbit_dagster.api.requests import Distill, Extract
from thunderbit_dagster.partitions import (
    DATE,
    URLS,
    Partition,
    PartitionsDef,
    build_partitions_def,
    parse_key,
    shard_keys,
    shard_of,
)
from thunderbit_dagster.storage.layout import validate_crawl_name, validate_key
from thunderbit_dagster.urls import UrlFile, UrlSource, canonical_url, read_source, refusal, wants_partition

AnyUrls = Mapping[str, UrlSource] | UrlSource


@dataclass(frozen=True, kw_only=True)
class Crawl:
    """A named set of URLs with one kind of request, its partitions and its cadence.

    Args:
        name: Letters, digits and underscores; the first part of every asset key.
        urls: A mapping gives one URL partition a key; a list, a ``UrlFile`` or a callable gives one
            URL partition, or ``shards`` of them. Callables and files are read when a run starts;
            a callable may take the ``Partition``.
        request: ``Distill(...)`` for Markdown or ``Extract(schema=...)`` for data.
        shards: Cut a list by a stable hash of the URL into so many URL partitions.
        cadence: A time-window partitions definition (daily, hourly, ...) as the second dimension.
        schedule: With a cadence, submit each new date by a schedule (default). The schedule is
            created stopped or running as ``build_crawl_definitions`` says.
        max_partitions_per_run: How many partitions may share one run (default 500).
        job_deadline: A batch job older than this is given up: its finished rows are kept, the rest
            go to ``failed`` (default 24 hours).
        cancel_on_deadline: Cancel such a job as well, so that it does not run on and bill (default: no).
        batch_size: URLs in a batch job, at most 100. Default 100 for distill and 50 for extract,
            since the API's pages disagree on the limit for extract; halved when the API refuses it.
        max_credits_per_partition: What one submission of a partition may cost, over all runs that continue it.
            What fits is sent; the rest is not submitted until the cap is raised. Default: no cap.

    Raises:
        ValueError: a setting is wrong; the text says which and what is allowed.
    """

    name: str
    urls: AnyUrls
    request: Distill | Extract
    shards: int | None = None
    cadence: dg.TimeWindowPartitionsDefinition | None = None
    schedule: bool = True
    max_partitions_per_run: int = 500
    job_deadline: timedelta = timedelta(hours=24)
    cancel_on_deadline: bool = False
    batch_size: int | None = None
    max_credits_per_partition: int | None = None

    def __post_init__(self) -> None:
        validate_crawl_name(self.name)
        for problem in self._problems():
            raise ValueError(f"Crawl {self.name!r}: {problem}")
        for key in [*self.url_keys, *self._date_example()]:
            validate_key(key)

    def _date_example(self) -> list[str]:
        return [self.cadence.start.strftime(self.cadence.fmt)] if self.cadence else []

    def _problems(self) -> list[str]:
        sources = list(self.urls.values()) if isinstance(self.urls, Mapping) else [self.urls]
        checks = {
            "`urls` is a single string; give a list of URLs": any(isinstance(source, str) for source in sources),
            "`urls` must be a list, a UrlFile, a callable, or a mapping of these": not all(
                isinstance(source, Sequence | UrlFile) or callable(source) for source in sources
            ),
            "`urls` is an empty mapping": isinstance(self.urls, Mapping) and not self.urls,
            "`shards` cuts a list; with a mapping the keys are the URL partitions": isinstance(self.urls, Mapping)
            and self.shards is not None,
            "`shards` must be at least 1": self.shards is not None and self.shards < 1,
            f"`batch_size` must lie between 1 and {MAX_BATCH_URLS}": not 1 <= self.urls_per_job <= MAX_BATCH_URLS,
            "`max_partitions_per_run` must be at least 1": self.max_partitions_per_run < 1,
            "`job_deadline` must be positive": self.job_deadline <= timedelta(0),
            f"`max_credits_per_partition` must allow one URL, which costs up to {self.request.credits_per_url()}": (
                self.max_credits_per_partition is not None
                and self.max_credits_per_partition < self.request.credits_per_url()
            ),
        }
        return [text for text, wrong in checks.items() if wrong]

    @property
    def url_keys(self) -> list[str]:
        """The names of the URL partitions; empty when the URLs are not cut."""
        if isinstance(self.urls, Mapping):
            return list(self.urls)
        return shard_keys(self.shards) if self.shards else []

    @property
    def urls_per_job(self) -> int:
        default = MAX_BATCH_URLS if self.request.kind is JobKind.DISTILL else DEFAULT_EXTRACT_BATCH_URLS
        return self.batch_size if self.batch_size is not None else default

    @cached_property
    def partitions_def(self) -> PartitionsDef:
        return build_partitions_def(self.cadence, self.url_keys)

    @property
    def backfill_policy(self) -> dg.BackfillPolicy | None:
        """Many partitions a run; Dagster allows no such policy without partitions."""
        return dg.BackfillPolicy.multi_run(self.max_partitions_per_run) if self.partitions_def else None

    @property
    def axes_names(self) -> list[str]:
        """The names of the dimensions, in Dagster's order."""
        return [*([DATE] if self.cadence else []), *([URLS] if self.url_keys else [])]

    @property
    def axes(self) -> list[Sequence[str]]:
        """The keys of each dimension, in Dagster's order: date, then urls."""
        dates = [self.cadence.get_partition_keys()] if self.cadence else []
        return [*dates, *([self.url_keys] if self.url_keys else [])]

    def key(self, asset: str) -> dg.AssetKey:
        """The key of one of the crawl's assets, such as ``docs/succeeded``."""
        return dg.AssetKey([self.name, asset])

    def partition(self, key: str | None) -> Partition:
        """A Dagster partition key taken apart."""
        return parse_key(self.partitions_def, key)

    def knows(self, partition: Partition) -> bool:
        """Whether the partition (still) exists in this definition."""
        if self.partitions_def is None:
            return partition.key is None
        if partition.key is None or len(partition.dimensions) != len(self.axes_names):
            return False
        return self.partitions_def.has_partition_key(partition.key)

    def read_urls(self, partition: Partition) -> list[str]:
        """The partition's URLs, from their source, now.

        Raises:
            UrlSourceError: the source cannot be read or does not give strings.
        """
        if isinstance(self.urls, Mapping):
            return read_source(self.urls[partition.urls or ""], partition)
        listed = read_source(self.urls, partition)
        if self.shards is None:
            return listed
        return [url for url in listed if self._shard_key(url) == partition.urls]

    def url_reader(self) -> Callable[[Partition], list[str]]:
        """``read_urls`` for the partitions of one run: a list that shards share is read and cut once."""
        source = self.urls
        if self.shards is None or isinstance(source, Mapping) or (callable(source) and wants_partition(source)):
            return self.read_urls
        shared = source
        cut: dict[str, list[str]] = {}

        def read(partition: Partition) -> list[str]:
            if not cut:
                listed = read_source(shared, partition)
                cut.update({key: [] for key in self.url_keys})
                for url in listed:
                    cut[self._shard_key(url)].append(url)
            return cut[partition.urls or ""]

        return read

    def _shard_key(self, url: str) -> str:
        # A refused URL has no canonical form, but must still be reported by exactly one shard.
        stable = url if refusal(url, allow_private=True) else canonical_url(url)
        return self.url_keys[shard_of(stable, self.shards or 1)]
