import math
from collections import Counter
from datetime import datetime, timedelta, timezone
from itertools import product

import dagster as dg
import pytest
from decision_cases import crawl, page
from hypothesis import given, settings
from hypothesis import strategies as st

from thunderbit_dagster.api.requests import Distill, Extract
from thunderbit_dagster.definitions import build_crawl_definitions
from thunderbit_dagster.partitions import (
    DATE,
    SEPARATOR,
    URLS,
    build_partitions_def,
    group_into_ranges,
    parse_key,
    shard_keys,
    shard_of,
)
from thunderbit_dagster.resource import ThunderbitResource
from thunderbit_dagster.storage.store import ParquetStore

PINNED = [4, 1, 4, 6, 0, 1, 3, 6]
NAMES = [f"u{number}" for number in range(9)]
DATES = [f"2026-01-{day:02d}" for day in range(1, 10)]


@st.composite
def chosen_from_axes(draw):
    """One or two axes, some of their keys, and how many may share a run."""
    first = draw(st.integers(1, len(DATES)))
    axes = [DATES[:first]]
    if draw(st.booleans()):
        axes.append(NAMES[: draw(st.integers(1, len(NAMES)))])
    every = [SEPARATOR.join(cell) for cell in product(*axes)]
    holes = draw(st.sets(st.sampled_from(every), max_size=min(len(every), 12)))
    keys = draw(st.permutations([key for key in every if key not in holes]))
    return axes, keys, draw(st.integers(1, 30))


def keys_as_dagster_reads(axes, one):
    """The keys of a range, from Dagster itself."""
    statics = [dg.StaticPartitionsDefinition(list(axis)) for axis in axes]
    definition = statics[0] if len(axes) == 1 else dg.MultiPartitionsDefinition({DATE: statics[0], URLS: statics[1]})
    return [str(key) for key in definition.get_partition_keys_in_range(dg.PartitionKeyRange(one.start, one.end))]


@given(chosen_from_axes())
def test_ranges_hold_each_key_once_and_nothing_else(chosen):
    axes, keys, limit = chosen
    ranges = group_into_ranges(keys, axes, limit)
    assert Counter(key for one in ranges for key in one.keys) == Counter(keys)
    assert all(1 <= len(one.keys) <= limit for one in ranges)
    for one in ranges:
        assert (one.start, one.end) == (one.keys[0], one.keys[-1])
        assert keys_as_dagster_reads(axes, one) == list(one.keys)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 90))
def test_a_full_grid_takes_few_ranges(dates, names, limit):
    """At most one more than twice the least possible: rows are cut at the limit, and rests are stacked."""
    axes = [DATES[:dates], NAMES[:names]]
    keys = [SEPARATOR.join(cell) for cell in product(*axes)]
    ranges = group_into_ranges(keys, axes, limit)
    assert len(ranges) <= 2 * math.ceil(len(keys) / limit) + 1
    if limit % names == 0 or limit >= len(keys):
        assert len(ranges) == math.ceil(len(keys) / limit)


@given(st.integers(1, 200), st.integers(1, 200))
def test_a_full_axis_takes_the_least_ranges(size, limit):
    axis = [f"k{number:03d}" for number in range(size)]
    assert len(group_into_ranges(axis, [axis], limit)) == math.ceil(size / limit)


def test_a_gap_parts_ranges():
    ranges = group_into_ranges(["a", "b", "d"], [["a", "b", "c", "d"]], 10)
    assert [(one.start, one.end) for one in ranges] == [("a", "b"), ("d", "d")]
    assert group_into_ranges([], [["a"]], 3) == []


def test_many_keys_are_grouped_in_the_time_that_they_take_to_read():
    """A set in place of a list: 5,000 keys against an axis of 5,000 would cost 12 million comparisons."""

    class Counting(str):
        __slots__ = ()
        compared = 0

        def __eq__(self, other):
            Counting.compared += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    axis = [f"k{number:04d}" for number in range(1_000)]
    group_into_ranges([Counting(key) for key in axis], [axis], 100)
    assert Counting.compared < 20_000


CADENCES = {
    "daily": dg.DailyPartitionsDefinition("2026-01-01"),
    "hourly": dg.HourlyPartitionsDefinition("2026-01-01-00:00", timezone="Europe/Berlin"),
    "monthly": dg.MonthlyPartitionsDefinition("2025-01-01"),
}


@pytest.mark.parametrize("cadence", [None, *CADENCES])
@pytest.mark.parametrize("names", [[], ["guides", "a:b", "x.y_z-1"]])
def test_keys_are_taken_apart_and_put_together(cadence, names):
    definition = build_partitions_def(CADENCES.get(cadence), names)
    with dg.partition_loading_context(effective_dt=datetime(2026, 2, 3, tzinfo=timezone.utc)):
        keys = definition.get_partition_keys()[:200] if definition else [None]
    assert keys
    for key in keys:
        one = parse_key(definition, key)
        assert one.key == (None if key is None else str(key))
        assert list(one.dimensions) == [name for name, present in ((DATE, cadence), (URLS, names)) if present]
        assert SEPARATOR.join(one.dimensions.values()) == (one.key or "")
        assert one.urls in (names or [None])
        assert (one.date is None) == (cadence is None)
        assert len({one, parse_key(definition, key)}) == 1


def test_a_crawl_names_its_dimensions_as_dagster_orders_them():
    cut = crawl({"b": [], "a": []}, cadence=CADENCES["daily"])
    with dg.partition_loading_context(effective_dt=datetime(2026, 1, 3, 12, tzinfo=timezone.utc)):
        assert cut.axes == [["2026-01-01", "2026-01-02"], ["b", "a"]]
        assert cut.knows(cut.partition("2026-01-02|a"))
        assert not cut.knows(cut.partition("2026-01-03|a"))
        assert not cut.knows(cut.partition("2026-01-02|c"))
    assert cut.partition("2026-01-02|a").urls == "a"


def test_shards_are_pinned():
    """A change of the hash would move every URL of every user to another partition."""
    assert [shard_of(page(number), 7) for number in range(8)] == PINNED
    assert shard_of("https://example.org/\ud800", 7) == shard_of("https://example.org/\ud800", 7)


@given(st.lists(st.integers(0, 10_000), max_size=30), st.lists(st.integers(0, 10_000), max_size=30), st.integers(1, 20))
def test_adding_urls_moves_none(before, more, shards):
    one = {n: shard_of(page(n), shards) for n in before}
    two = {n: shard_of(page(n), shards) for n in [*more, *before]}
    assert all(two[n] == shard for n, shard in one.items())
    assert all(0 <= shard < shards for shard in two.values())


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**32))
def test_a_thousand_new_urls_move_no_old_one_to_another_of_100_shards(seed):
    old, new = ([f"https://example.org/{seed}/{part}/{n}" for n in range(1_000)] for part in ("old", "new"))
    before, after = crawl(old, shards=100), crawl([*new, *old], shards=100)
    read_before, read_after = before.url_reader(), after.url_reader()
    for key in before.url_keys:
        stayed = [url for url in read_after(after.partition(key)) if "/old/" in url]
        assert stayed == read_before(before.partition(key))


def test_shards_are_about_equal():
    sizes = Counter(shard_of(page(number), 10) for number in range(10_000))
    assert len(sizes) == 10
    assert min(sizes.values()) > 850
    assert max(sizes.values()) < 1_150


@given(st.integers(1, 1_200))
def test_shard_keys_sort_as_they_count(shards):
    keys = shard_keys(shards)
    assert len(set(keys)) == shards
    assert keys == sorted(keys)


def test_spellings_of_one_page_share_a_shard():
    spellings = ["https://example.org/?b=1&a=2#x", "HTTPS://example.org/?a=2&b=1&utm_id=3"]
    cut = crawl(spellings, shards=50)
    assert sorted(len(cut.read_urls(cut.partition(key))) for key in cut.url_keys)[-2:] == [0, 2]


@pytest.mark.parametrize(
    ("settings_", "word"),
    [
        ({"name": "my docs"}, "my docs"),
        ({"name": "_docs"}, "_docs"),
        ({"urls": "https://example.org/"}, "single string"),
        ({"urls": {"guides": "https://example.org/"}}, "single string"),
        ({"urls": {}}, "empty mapping"),
        ({"urls": {"a|b": []}}, r"a\|b"),
        ({"urls": {"a/b": []}}, "a/b"),
        ({"urls": None}, "urls"),
        ({"urls": {"a": []}, "shards": 2}, "shards"),
        ({"urls": {"Guides": [], "news": [], "guides": []}}, "'Guides' and 'guides' differ only by case"),
        ({"urls": {"1.10": [], "1.1": []}}, "'1.10' and '1.1', but Polars reads both as 1.1"),
        ({"urls": {"07": []}, "cadence": dg.DailyPartitionsDefinition("2026-01-01")}, "'07', but pandas, pyarrow and"),
        ({"shards": 0}, "shards"),
        ({"shards": -1}, "shards"),
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": 101}, "batch_size.*100"),
        ({"max_partitions_per_run": 0}, "max_partitions_per_run"),
        ({"job_deadline": timedelta(0)}, "job_deadline"),
        # Its keys hold a slash, so that nothing of the crawl could be stored once it is paid for.
        (
            {
                "cadence": dg.TimeWindowPartitionsDefinition(
                    start="2026/01/01", fmt="%Y/%m/%d", cron_schedule="0 0 * * *"
                )
            },
            "2026/01/01",
        ),
    ],
)
def test_wrong_settings_are_refused_by_name(settings_, word):
    settings_.setdefault("urls", [])
    with pytest.raises(ValueError, match=word):
        crawl(**settings_)


def test_batch_sizes():
    assert crawl().urls_per_job == 100
    assert crawl(request=Extract(schema={"name": "product name"})).urls_per_job == 50
    assert crawl(request=Distill(), batch_size=7).urls_per_job == 7


@pytest.mark.parametrize("urls", [[], {"a": []}], ids=["unpartitioned", "partitioned"])
@pytest.mark.parametrize("cadence", [None, CADENCES["daily"]], ids=["once", "daily"])
def test_every_shape_of_crawl_builds(urls, cadence, tmp_path):
    resource = ThunderbitResource(api_key="tb_0123456789abcdef0123456789abcdef")
    built = build_crawl_definitions(
        [crawl(urls, cadence=cadence)], thunderbit=resource, store=ParquetStore(tmp_path / "data")
    )
    names = {key.path[-1] for key in built.resolve_all_asset_keys()}
    assert names == {"submissions", "succeeded", "failed"}


def test_crawls_of_one_name_are_refused(tmp_path):
    resource = ThunderbitResource(api_key="tb_0123456789abcdef0123456789abcdef")
    with pytest.raises(ValueError, match=r"different names.*docs"):
        build_crawl_definitions([crawl(), crawl()], thunderbit=resource, store=ParquetStore(tmp_path / "data"))
    alike = [crawl(), crawl(name="other"), crawl(name="Docs")]
    with pytest.raises(ValueError, match=r"more than case.*docs, Docs"):
        build_crawl_definitions(alike, thunderbit=resource, store=ParquetStore(tmp_path / "data"))


@settings(max_examples=30)
@given(st.sampled_from(["daily", "hourly"]), st.integers(1, 5))
def test_the_ranges_of_a_crawl_are_ranges_of_its_own_definition(cadence, limit):
    """Time windows, not only static keys, come back from Dagster as the keys that were put in."""
    cut = crawl({"b": [], "a": [], "c": []}, cadence=CADENCES[cadence], max_partitions_per_run=limit)
    with dg.partition_loading_context(effective_dt=datetime(2026, 1, 4, tzinfo=timezone.utc)):
        axes = [list(cut.axes[0])[:6], cut.axes[1]]
        keys = [SEPARATOR.join(cell) for cell in product(*axes)]
        for one in group_into_ranges(keys, axes, limit):
            read = cut.partitions_def.get_partition_keys_in_range(dg.PartitionKeyRange(one.start, one.end))
            assert [str(key) for key in read] == list(one.keys)


def test_a_list_that_shards_share_is_read_once_a_run():
    reads = []

    def listed():
        reads.append(1)
        return [f"https://example.org/{n}" for n in range(50)]

    cut = crawl(listed, shards=5)
    read = cut.url_reader()
    parts = [cut.partition(key) for key in cut.url_keys]
    assert [read(part) for part in parts] == [cut.read_urls(part) for part in parts]
    assert len(reads) == 1 + len(parts)
