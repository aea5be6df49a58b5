"""``Crawl``: what to fetch, how it is partitioned, and how often."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import cached_property
from typing import Literal

import dagster as dg

from thunderbit_dagster.api.codes import DEFAULT_EXTRACT_BATCH_URLS, MAX_BATCH_URLS, JobKind
from thunderbit_dagster.api.requests import Distill, Extract
from thunderbit_dagster.crawl.changes import Changes
from thunderbit_dagster.crawl.code_reference import calling_line
from thunderbit_dagster.crawl.past_dates import problems, refusal_of
from thunderbit_dagster.crawl.schedule import Schedule
from thunderbit_dagster.crawl.url_lists import UrlReader
from thunderbit_dagster.partitions import (
    DATE,
    URLS,
    Partition,
    PartitionsDef,
    build_partitions_def,
    parse_key,
    shard_keys,
)
from thunderbit_dagster.storage.guesses import key_problem
from thunderbit_dagster.storage.layout import validate_crawl_name, validate_key
from thunderbit_dagster.urls import (
    AssetColumn,
    DynamicUrls,
    Fragments,
    Sitemap,
    UrlFile,
    UrlSource,
)
from thunderbit_dagster.urls.source import LoadAsset, not_in_a_run, required_parameters
from thunderbit_dagster.validation import (
    FLAG,
    LENGTH,
    NONE,
    POSITIVE_LENGTH,
    TEXT,
    TEXT_BY_TEXT,
    TEXTS,
    Expected,
    instance_of,
    is_texts,
    one_of,
    require_setting,
    shown,
    unread_variable,
    variable_in,
    whole,
)

AnyUrls = Mapping[str, UrlSource] | DynamicUrls | UrlSource


def _are_thresholds(given: object) -> bool:
    if not isinstance(given, Sequence) or len(given) != 2 or not all(isinstance(one, int | float) for one in given):  # noqa: PLR2004 - a pair
        return False
    return bool(0 <= given[1] <= given[0] <= 1)


_EXPECTED: Mapping[str, Expected] = {
    "request": instance_of("a Distill(...) or an Extract(schema=...)", Distill, Extract),
    "shards": whole(1) | NONE,
    "cadence": instance_of("a time-window partitions definition of Dagster", dg.TimeWindowPartitionsDefinition) | NONE,
    "schedule": instance_of("True, False, a cron string or a Schedule", bool, str, Schedule),
    "fragments": one_of("routes", "keep", "drop"),
    "past_dates": one_of("fetch", "refuse") | LENGTH,
    "max_partitions_per_run": whole(1),
    "job_deadline": POSITIVE_LENGTH,
    "cancel_on_deadline": FLAG,
    "batch_size": whole(1, MAX_BATCH_URLS) | NONE,
    "max_credits_per_partition": whole(1) | NONE,
    "success_rate": Expected("two shares, such as (0.95, 0.8), for the warning and the error", _are_thresholds) | NONE,
    "changes": instance_of("a Changes(...)", Changes) | NONE,
    "description": instance_of("text", str) | NONE,
    "group": TEXT | NONE,
    "owners": TEXTS,
    "tags": TEXT_BY_TEXT,
    "freshness": one_of("cadence", "never") | instance_of("a dagster.FreshnessPolicy", dg.FreshnessPolicy),
}


@dataclass(frozen=True, kw_only=True)
class Crawl:
    """A named set of URLs with one kind of request, its partitions and its cadence.

    Args:
        name: Letters, digits and underscores; the first part of every asset key.
        urls: A mapping gives one URL partition a key; a list, a ``UrlFile``, a ``Sitemap``, an ``AssetColumn`` or a
            callable gives one URL partition, or ``shards`` of them; ``DynamicUrls`` gives URL partitions that are
            added at run time. All but lists are read when a run starts; a callable may take the ``Partition``. Two
            keys must differ by more than case, and pandas, pyarrow, Polars and DuckDB must read each key as it is.
        request: ``Distill(...)`` for Markdown or ``Extract(schema=...)`` for data.
        shards: Split a list by a stable hash of the URL into so many URL partitions. The source gives the whole list,
            once a run for each date: the ``Partition`` that a callable takes, and by which the partition of an
            ``AssetColumn`` is found, has the date alone (``partition.urls`` is None).
        cadence: A time-window partitions definition (daily, hourly, ...) as the second dimension.
        schedule: When Dagster submits the crawl by itself. True (default): each date of the cadence when it is
            complete; without a cadence never. A cron string, or a ``Schedule`` with time zone, spread and more:
            each new date then, or without a cadence all URL partitions again. False: never. The schedule is created
            stopped or running as ``build_crawl_definitions`` says.
        fragments: Whether URLs that differ only behind ``#`` are different pages, each fetched and paid for.
            ``"routes"`` (default): those of single-page applications are, ``#/...`` and ``#!...``. ``"keep"``: all
            are. ``"drop"``: none are.
        past_dates: What a date partition means once its time is over, since the web is fetched as it is now:
            ``"fetch"`` (default) fetches it, and its metadata say how much later that was; ``"refuse"`` sends nothing
            once as much time has passed since the end of a date as it lasted: an hour, a day, a month; a ``timedelta``
            does so after that time. What is submitted already is finished all the same. The schedule leaves dates out
            that are refused; one that would submit each date too late is a mistake.
        max_partitions_per_run: How many partitions may share one run (default 500).
        job_deadline: A batch job older than this is given up: its finished rows are kept, the rest
            go to ``failed`` (default 24 hours).
        cancel_on_deadline: Cancel such a job as well, so that it does not run on and bill (default: no).
        batch_size: URLs in a batch job, at most 100. Default 100 for distill and 50 for extract,
            since the API's pages disagree on the limit for extract; halved when the API refuses it.
        max_credits_per_partition: What one submission of a partition may cost, over all runs that continue it.
            What fits is sent; the rest is not submitted until the cap is raised. Default: no cap.
        success_rate: The check ``success_rate`` warns when less than the first share of a partition's URLs
            succeeded, and is an error below the second (default 0.95 and 0.8). None: there is no such check.
        changes: ``Changes(...)`` adds the asset ``changes``: what became of each URL since the dates before. It needs a
            cadence. Default: there is no such asset.
        description: What the crawl is for; stands first in the description of each asset.
        group: The asset group (default: the crawl's name).
        owners: E-mail addresses and ``team:...``, as Dagster has them.
        tags: Tags of each asset.
        freshness: When ``succeeded`` and ``failed`` count as stale. ``"cadence"`` (default): when nothing was
            collected for one and a half windows of the cadence (warning) or two (failure), or times between two ticks
            of the schedule if that is longer; without either, and when the cadence ends, never. ``"never"``, or a
            policy of Dagster's.

    Raises:
        ValueError: a setting is wrong; the text says which and what is allowed.
    """

    name: str
    urls: AnyUrls
    request: Distill | Extract
    shards: int | None = None
    cadence: dg.TimeWindowPartitionsDefinition | None = None
    schedule: bool | str | Schedule = True
    fragments: Fragments = "routes"
    past_dates: Literal["fetch", "refuse"] | timedelta = "fetch"
    max_partitions_per_run: int = 500
    job_deadline: timedelta = timedelta(hours=24)
    cancel_on_deadline: bool = False
    batch_size: int | None = None
    max_credits_per_partition: int | None = None
    success_rate: tuple[float, float] | None = (0.95, 0.8)
    changes: Changes | None = None
    description: str | None = None
    group: str | None = None
    owners: Sequence[str] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    freshness: dg.FreshnessPolicy | Literal["cadence", "never"] = "cadence"
    declared_at: tuple[str, int] | None = field(default_factory=calling_line, repr=False, compare=False)

    def __post_init__(self) -> None:
        require_setting("Crawl", vars(self), {"name": TEXT})
        validate_crawl_name(self.name)
        require_setting(f"Crawl {self.name!r}", vars(self), _EXPECTED)
        for problem in self._problems():
            raise ValueError(f"Crawl {self.name!r}: {problem}")
        for key in [*([] if self.is_dynamic else self.url_keys), *self._date_example()]:
            validate_key(key)
        if not self.is_dynamic and (misread := key_problem(self.url_keys)):
            raise ValueError(f"Crawl {self.name!r}: {misread}")

    def _date_example(self) -> list[str]:
        return [self.cadence.start.strftime(self.cadence.fmt)] if self.cadence else []

    def _problems(self) -> Iterator[str]:
        wrong_urls = _wrong_urls(self.urls)
        if wrong_urls:
            yield f"`urls` {wrong_urls}"
        if isinstance(self.urls, Mapping | DynamicUrls) and self.shards is not None:
            yield "`shards` splits a list; with a mapping or DynamicUrls the keys are the URL partitions"
        cap, price = self.max_credits_per_partition, self.request.credits_per_url()
        if cap is not None and cap < price:
            yield f"`max_credits_per_partition` is {cap}, but must allow one URL, which costs up to {price}"
        if self.cadence is None and self.past_dates != "fetch":
            yield "`past_dates` refuses dates, so it needs a `cadence`"
        if self.cadence is None and self.changes is not None:
            yield "`changes` compares dates, so it needs a `cadence`"
        yield from self._schedule_problems()
        yield from self._catalog_problems()

    def _schedule_problems(self) -> Iterator[str]:
        try:
            schedule = self.scheduled
        except ValueError as error:
            yield f"`schedule` is wrong: {error}"
            return
        if schedule:
            yield from schedule.problems(self.cadence, has_url_keys=self.has_url_keys)
        if schedule and self.cadence:
            yield from problems(self.past_dates, schedule.bound(self.cadence), self.cadence)

    def _catalog_problems(self) -> Iterator[str]:
        """What Dagster itself would say of owners, tags and group, before it is asked to make assets of them."""
        key = self.key("succeeded")
        makes: Mapping[str, Callable[[], dg.AssetSpec]] = {
            "group": lambda: dg.AssetSpec(key, group_name=self.group),
            "owners": lambda: dg.AssetSpec(key, owners=self.owners),
            "tags": lambda: dg.AssetSpec(key, tags=self.tags),
        }
        for name, make in makes.items():
            try:
                make()
            except dg.DagsterError as error:
                yield f"`{name}` is refused by Dagster: {error}"

    @property
    def scheduled(self) -> Schedule | None:
        """When Dagster submits the crawl by itself, None for never."""
        if isinstance(self.schedule, Schedule):
            return self.schedule
        if isinstance(self.schedule, str):
            return Schedule(self.schedule)
        return Schedule() if self.schedule and self.cadence else None

    def _sources(self) -> list[UrlSource]:
        if isinstance(self.urls, Mapping):
            return list(self.urls.values())
        return [self.urls.source if isinstance(self.urls, DynamicUrls) else self.urls]

    @property
    def is_dynamic(self) -> bool:
        """Whether URL partitions are added at run time."""
        return isinstance(self.urls, DynamicUrls)

    @property
    def has_url_keys(self) -> bool:
        """Whether there are URL partitions."""
        return self.is_dynamic or bool(self.url_keys)

    @property
    def upstream(self) -> list[dg.AssetKey]:
        """The assets whose columns hold the URLs."""
        return list(dict.fromkeys(source.key for source in self._sources() if isinstance(source, AssetColumn)))

    @property
    def url_keys(self) -> list[str]:
        """The names of the URL partitions; empty without URL partitions.

        Dynamic ones are those that the instance has now; ask within ``dagster.partition_loading_context``.
        """
        if isinstance(self.urls, DynamicUrls):
            return self.urls.keys()
        if isinstance(self.urls, Mapping):
            return list(self.urls)
        return shard_keys(self.shards) if self.shards else []

    @property
    def urls_per_job(self) -> int:
        default = MAX_BATCH_URLS if self.request.kind is JobKind.DISTILL else DEFAULT_EXTRACT_BATCH_URLS
        return self.batch_size if self.batch_size is not None else default

    @cached_property
    def partitions_def(self) -> PartitionsDef:
        dynamic = self.urls.partitions_def if isinstance(self.urls, DynamicUrls) else None
        return build_partitions_def(self.cadence, dynamic or self.url_keys)

    @property
    def backfill_policy(self) -> dg.BackfillPolicy | None:
        """Many partitions a run; Dagster allows no such policy without partitions."""
        return dg.BackfillPolicy.multi_run(self.max_partitions_per_run) if self.partitions_def else None

    @property
    def axes_names(self) -> list[str]:
        """The names of the dimensions, in Dagster's order."""
        return [*([DATE] if self.cadence else []), *([URLS] if self.has_url_keys else [])]

    @property
    def axes(self) -> list[Sequence[str]]:
        """The keys of each dimension, in Dagster's order: date, then urls."""
        dates = [self.cadence.get_partition_keys()] if self.cadence else []
        return [*dates, *([self.url_keys] if self.has_url_keys else [])]

    def why_no_partition(self) -> str | None:
        """Why a partitioned crawl has no partition now, None when it has some; ask as for ``url_keys``."""
        if self.cadence and not self.cadence.get_partition_keys():
            return f"The crawl {self.name} has no partition yet: no date of its cadence is complete."
        if isinstance(self.urls, DynamicUrls) and not self.url_keys:
            return (
                f"The crawl {self.name} has no partition yet: no key was added to its dynamic partitions "
                f"{self.urls.name!r}."
            )
        return None

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

    def window(self, partition: Partition) -> dg.TimeWindow | None:
        """The time that a partition's date stands for; None without a date."""
        if self.cadence is None or partition.date is None:
            return None
        return self.cadence.time_window_for_partition_key(partition.date)

    def past_refusal(self, partition: Partition, at: float) -> str | None:
        """Why a partition is too old to be fetched at a Unix time, None when it is not."""
        if self.past_dates == "fetch" or (window := self.window(partition)) is None:
            return None
        return refusal_of(self.past_dates, window, datetime.fromtimestamp(at, timezone.utc))

    def read_urls(self, partition: Partition, load: LoadAsset = not_in_a_run) -> list[str]:
        """The partition's URLs, from their source, now.

        Raises:
            UrlSourceError: the source cannot be read or does not give strings, or a key of the partition, that of its
                date or of its URLs, cannot be stored.
        """
        return self.url_reader(load)(partition)

    def url_reader(self, load: LoadAsset = not_in_a_run, added: Callable[[], Sequence[str]] = tuple) -> UrlReader:
        """``read_urls`` for the partitions of one run: what they share is read, and split into shards, once.

        With ``added_keys`` as ``added``, the keys of the partitions must agree with one another.
        """
        return UrlReader(self._source_of, shard_keys(self.shards) if self.shards else [], load, added, self.fragments)

    def added_keys(self) -> Sequence[str]:
        """The URL keys that were added at run time, in that order; ask as for ``url_keys``."""
        return self.url_keys if self.is_dynamic else ()

    def _source_of(self, partition: Partition) -> UrlSource:
        if isinstance(self.urls, Mapping):
            return self.urls[partition.urls or ""]
        return self.urls.source if isinstance(self.urls, DynamicUrls) else self.urls


def _wrong_urls(urls: object) -> str | None:
    """What is wrong with ``urls``; the text goes on the setting's name."""
    if variable := variable_in(urls):
        return f"must hold URLs as text, not {unread_variable(variable)}"
    if isinstance(urls, DynamicUrls):
        return None
    if not isinstance(urls, Mapping):
        return _wrong_source(urls)
    if not urls:
        return "is an empty mapping"
    if strange := [key for key in urls if not isinstance(key, str)]:
        return f"must have names of URL partitions (text) as keys, not {shown(strange[0])}"
    wrong = ((key, _wrong_source(source)) for key, source in urls.items())
    return next((f"of {key!r} {problem}" for key, problem in wrong if problem), None)


def _wrong_source(source: object) -> str | None:
    if isinstance(source, str):
        return "is a single string; give a list of URLs"
    if isinstance(source, list | tuple) and not is_texts(source):
        strange = next(one for one in source if not isinstance(one, str))
        return f"must hold URLs as text, not {shown(strange)}"
    if inspect.isfunction(source) and len(names := required_parameters(source)) > 1:
        return f"may only take the Partition, but {source.__qualname__} requires {', '.join(names)}"
    is_list = isinstance(source, Sequence) and not isinstance(source, bytes)
    is_callable = callable(source) and not isinstance(source, type)
    if is_list or is_callable or isinstance(source, UrlFile | Sitemap | AssetColumn):
        return None
    return (
        "must be a list, a UrlFile, a Sitemap, an AssetColumn, a callable, a mapping of these, or DynamicUrls, not "
        f"{shown(source)}"
    )
