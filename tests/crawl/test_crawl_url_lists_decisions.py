"""How often the sources of a run are asked, and how often their lists are cut into shards."""

from itertools import groupby

import dagster as dg
import pandas as pd
import pytest
from decision_cases import crawl, page

from thunderbit_dagster import AssetColumn
from thunderbit_dagster.partitions import SEPARATOR
from thunderbit_dagster.urls import UrlSourceError, canonical_url

LISTED = [page(number) for number in range(40)]
DAILY = dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-01-03")
DATES = ["2026-01-01", "2026-01-02"]


def all_at_once():
    return list(LISTED)


def all_of_any_date(partition):
    assert partition.date in DATES
    return list(LISTED)


def all_of_its_date(partition):
    return [*LISTED, page(partition.date)]


def all_of_no_date(partition):
    assert partition.date is None
    return list(LISTED)


@pytest.fixture
def canonicalised(monkeypatch):
    """The URLs whose canonical form a cut has asked for."""
    asked = []

    def counted(url, fragments):
        asked.append(url)
        return canonical_url(url, fragments)

    monkeypatch.setattr("thunderbit_dagster.crawl.url_lists.canonical_url", counted)
    return asked


def cells(cut):
    dates = DATES if cut.cadence else [None]
    keys = [SEPARATOR.join(part for part in (date, shard) if part) for date in dates for shard in cut.url_keys]
    return [cut.partition(key) for key in keys]


@pytest.mark.parametrize(
    ("source", "cadence", "cut_urls"),
    [
        (LISTED, DAILY, LISTED),
        (all_at_once, DAILY, LISTED),
        (all_of_any_date, DAILY, LISTED),
        (all_of_its_date, DAILY, [*LISTED, page(DATES[0]), *LISTED, page(DATES[1])]),
        (all_of_no_date, None, LISTED),
        (AssetColumn("feed"), DAILY, LISTED),
        (AssetColumn("feed"), None, LISTED),
    ],
)
def test_each_list_is_cut_once_a_run_whatever_gives_it(canonicalised, source, cadence, cut_urls):
    cut = crawl(source, shards=20, cadence=cadence)
    read = cut.url_reader(lambda *_: pd.DataFrame({"url": LISTED}))
    for date, shards in groupby(cells(cut), key=lambda cell: cell.date):
        of_date = [url for shard in shards for url in read(shard)]
        assert sorted(of_date) == sorted([*LISTED, page(date)] if source is all_of_its_date else LISTED)
    assert canonicalised == cut_urls


@pytest.mark.parametrize(("cadence", "dates"), [(DAILY, DATES), (None, [None])])
def test_with_shards_a_source_is_asked_once_for_each_date_and_sees_no_shard(cadence, dates):
    called, loaded = [], []

    def listed(partition):
        called.append(partition)
        return LISTED

    def load(_, partition):
        loaded.append(partition)
        return LISTED

    for source, asked in ((listed, called), (AssetColumn("feed"), loaded)):
        cut = crawl(source, shards=20, cadence=cadence)
        read = cut.url_reader(load)
        assert sum(len(read(cell)) for cell in cells(cut)) == len(LISTED) * len(dates)
        assert [(one.key, one.date, one.urls) for one in asked] == [(date, date, None) for date in dates]


def test_a_list_that_changes_while_shards_are_read_loses_no_url_and_repeats_none():
    growing = []

    def listed(_):
        growing.append(page(len(growing)))
        return list(growing)

    cut = crawl(listed, shards=7)
    read = cut.url_reader()
    assert [url for cell in cells(cut) for url in read(cell)] == [page(0)]


def test_without_shards_a_callable_is_asked_for_each_partition():
    called = []
    cut = crawl({"a": called.append, "b": called.append}, cadence=DAILY)
    read = cut.url_reader()
    for key in (f"{date}|{name}" for date in DATES for name in "ab"):
        with pytest.raises(UrlSourceError):  # it gives None
            read(cut.partition(key))
    assert [one.key for one in called] == [f"{date}|{name}" for date in DATES for name in "ab"]
