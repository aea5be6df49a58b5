"""The hour that comes twice when clocks are set back: both are submitted, stored and read, each under its own key."""

from datetime import datetime

import dagster as dg
import pytest
from crawl_world import crawl, failure_of

from thunderbit_dagster import read_partition, read_partitions

DAYS = {
    "Europe/Berlin": ("2025-10-26", "2025-10-26-02:00", "2025-10-26-02:00+0100"),
    "America/New_York": ("2025-11-02", "2025-11-02-01:00", "2025-11-02-01:00-0500"),
}


def hourly(zone, day, **options):
    return dg.HourlyPartitionsDefinition(f"{day}-00:00", f"{day}-06:00", timezone=zone, **options)


@pytest.mark.parametrize("zone", DAYS)
def test_both_hours_of_the_same_name_are_collected_and_read_apart(line, pages, tmp_path, zone):
    day, first, second = DAYS[zone]
    listed = {}

    def of_hour(partition):
        return listed.setdefault(partition.date, pages.urls(1))

    docs = line(crawl(of_hour, cadence=hourly(zone, day)))
    hours = docs.crawl.axes[0]
    assert len(hours) == 7
    [collected] = docs.through(hours[0], hours[-1])
    assert docs.checks(collected) == [True]
    assert docs.published("submissions") == docs.published("succeeded") == docs.published() == set(hours)
    for hour in (first, second):
        for given in (docs.crawl, docs.crawl.name):
            rows = read_partition(docs.store, given, hour).to_pylist()
            assert [(row["url"], row["date"]) for row in rows] == [(listed[hour][0], hour)]
    assert listed[first] != listed[second]
    everything = read_partitions(tmp_path / "data", docs.crawl, to="pandas")
    assert dict(zip(everything["date"], everything["url"], strict=True)) == {
        hour: url for hour, [url] in listed.items()
    }


def test_the_second_hour_is_a_partition_of_its_own_beside_url_partitions(line, pages):
    day, first, second = DAYS["Europe/Berlin"]
    lists = {"a": pages.urls(1), "b": pages.urls(2)}
    docs = line(crawl(lists, cadence=hourly("Europe/Berlin", day)))
    docs.through(f"{first}|a", f"{second}|b")
    cells = {f"{hour}|{name}" for hour in (first, second) for name in lists}
    assert docs.published() == cells
    for hour in (first, second):
        assert docs.urls("succeeded", date=hour, urls="b") == lists["b"]
        assert read_partition(docs.store, docs.crawl, f"{hour}|b").num_rows == 2


def test_a_date_whose_key_cannot_be_stored_fails_before_anything_is_paid_and_the_others_are_sent(line, pages):
    day = DAYS["Europe/Berlin"][0]
    start = datetime.fromisoformat(f"{day}T00:00")
    # The offset of the second hour makes its key longer than a key may be.
    long = dg.HourlyPartitionsDefinition(
        start, start.replace(hour=6), timezone="Europe/Berlin", fmt=f"{'x' * 80}%Y-%m-%d-%H:%M"
    )
    docs = line(crawl({"a": pages.urls(1)}, cadence=long))
    *_, last = hours = docs.crawl.axes[0]
    [unusable] = [hour for hour in hours if hour.endswith("+0100")]
    run = docs.submit(f"{hours[0]}|a", f"{last}|a")
    told = failure_of(run)[1]
    assert list(told) == [f"{unusable}|a"]
    assert "nothing was sent" in told[f"{unusable}|a"]
    assert "cannot be stored" in told[f"{unusable}|a"]
    assert docs.published("submissions") == {f"{hour}|a" for hour in hours if hour != unusable}
    assert not docs.submit(f"{unusable}|a").success
    assert docs.posts == 1
