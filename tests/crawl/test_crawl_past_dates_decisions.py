"""How late a date may be fetched, what is said of a late one, and which schedules cannot be in time."""

from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from decision_cases import crawl
from hypothesis import given
from hypothesis import strategies as st

from thunderbit_dagster import Schedule
from thunderbit_dagster.crawl.past_dates import allowed_after, name_of, refusal_of, told_late, words

UTC = timezone.utc
BERLIN = ZoneInfo("Europe/Berlin")
HOURLY = dg.HourlyPartitionsDefinition("2026-03-01-00:00")
DAILY = dg.DailyPartitionsDefinition("2026-03-01")
BERLIN_DAILY = dg.DailyPartitionsDefinition("2026-03-01", timezone="Europe/Berlin")
WEEKLY = dg.WeeklyPartitionsDefinition("2026-03-02", day_offset=1)
MONTHLY = dg.MonthlyPartitionsDefinition("2026-03-01")
MID_MONTHS = dg.MonthlyPartitionsDefinition("2026-03-15", day_offset=15)
WEEKDAYS = dg.TimeWindowPartitionsDefinition(start="2026-03-02", fmt="%Y-%m-%d", cron_schedule="0 6 * * 1-5")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def window(cadence, key):
    return cadence.time_window_for_partition_key(key)


@pytest.mark.parametrize(
    ("cadence", "key", "name", "place"),
    [
        (HOURLY, "2026-03-05-05:00", "the hour that began 2026-03-05 05:00 UTC", "in that hour"),
        (HOURLY, "2026-03-05-00:00", "the hour that began 2026-03-05 00:00 UTC", "in that hour"),
        (DAILY, "2026-03-05", "the date 2026-03-05", "on that date"),
        (BERLIN_DAILY, "2026-03-29", "the date 2026-03-29", "on that date"),
        (WEEKLY, "2026-08-03", "the week that began 2026-08-03", "in that week"),
        (MONTHLY, "2026-08-01", "the month 2026-08", "in that month"),
        (MID_MONTHS, "2026-08-15", "the month that began 2026-08-15", "in that month"),
        (WEEKDAYS, "2026-03-05", "the day that began 2026-03-05 06:00 UTC", "on that date"),
        (WEEKDAYS, "2026-03-06", "the time from 2026-03-06 06:00 to 2026-03-09 06:00 UTC", "in that time"),
    ],
)
def test_a_late_fetch_names_its_window_and_when_the_pages_are_from(cadence, key, name, place):
    over = window(cadence, key)
    told = told_late(over, over.end + timedelta(days=81))
    then = over.end + timedelta(days=81)
    stamp = f"at {then:%Y-%m-%d %H:%M} UTC" if cadence is HOURLY else f"on {then:%Y-%m-%d}"
    assert told == f"Fetched 81 day(s) after {name} was over: pages as they were {stamp}, not {place}."


def test_a_fetch_is_dated_by_the_clock_of_the_cadence():
    told = told_late(window(BERLIN_DAILY, "2026-07-01"), datetime(2026, 7, 9, 22, 30, tzinfo=UTC))
    assert "as they were on 2026-07-10" in told


@pytest.mark.parametrize(
    ("cadence", "key", "patience", "silent_for"),
    [
        (HOURLY, "2026-03-05-05:00", HOUR, HOUR),
        (DAILY, "2026-03-05", DAY, DAY),
        (BERLIN_DAILY, "2026-03-29", DAY, DAY),  # 23 hours
        (BERLIN_DAILY, "2026-10-25", DAY, DAY),  # 25 hours
        (WEEKLY, "2026-03-02", 7 * DAY, DAY),
        (MONTHLY, "2026-03-01", 31 * DAY, DAY),
    ],
)
def test_refusal_begins_one_window_after_the_end_and_words_after_a_day_at_most(cadence, key, patience, silent_for):
    over, instant = window(cadence, key), timedelta(seconds=1)
    end = over.end.astimezone(UTC)
    assert refusal_of("refuse", over, end + patience - instant) is None
    refused = refusal_of("refuse", over, end + patience)
    assert refused.startswith(f"{name_of(over)} ended {words(patience)} ago")
    assert f"`past_dates` allows {words(patience)}" in refused
    assert told_late(over, end + silent_for - instant) is None
    assert told_late(over, end + silent_for)
    assert refusal_of("fetch", over, end + 1_000 * DAY) is None


@given(st.timedeltas(timedelta(0), timedelta(days=40)), st.timedeltas(timedelta(0), timedelta(days=40)))
def test_a_length_of_time_refuses_from_then_on(allowed, late):
    over = window(DAILY, "2026-03-05")
    assert allowed_after(allowed, over) == allowed
    assert (refusal_of(allowed, over, over.end + late) is None) == (late < allowed)


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (timedelta(0), "0 minute(s)"),
        (timedelta(minutes=59), "59 minute(s)"),
        (timedelta(minutes=90), "1.5 hour(s)"),
        (timedelta(hours=36), "1 day(s) 12 hour(s)"),
        (timedelta(days=2), "2 day(s)"),
        (timedelta(days=1_081, hours=5), "1,081 day(s)"),
    ],
)
def test_lengths_of_time_are_told_in_the_unit_that_fits(span, text):
    assert words(span) == text


URLS = {"a": [], "b": []}
SIX = "0 6 * * *"


@pytest.mark.parametrize(
    "settings",
    [
        {"past_dates": "refuse"},
        {"past_dates": "refuse", "schedule": SIX},
        {"past_dates": "refuse", "schedule": Schedule(SIX, catch_up=3)},
        {"past_dates": "refuse", "schedule": Schedule(SIX, spread=timedelta(hours=18))},
        {"past_dates": "refuse", "schedule": "0 6 * * 1"},  # Sundays alone, six hours late
        {"past_dates": "refuse", "cadence": HOURLY, "schedule": "59 * * * *"},
        {"past_dates": "refuse", "cadence": MONTHLY, "schedule": "0 6 * * 1"},
        {"past_dates": timedelta(hours=7), "schedule": SIX},
        {"past_dates": timedelta(0), "schedule": False},
        {"past_dates": "refuse", "cadence": dg.DailyPartitionsDefinition("2026-03-01", end_date="2026-03-03")},
        {"past_dates": timedelta(0), "cadence": dg.DailyPartitionsDefinition("2026-03-01", end_offset=1)},
    ],
)
def test_a_schedule_that_is_in_time_is_accepted(settings):
    assert crawl(URLS, **{"cadence": DAILY, **settings})


@pytest.mark.parametrize(
    ("settings", "arithmetic"),
    [
        (
            {"past_dates": timedelta(hours=1), "schedule": SIX},
            ["`past_dates` is 1 hour(s)", "('0 6 * * *')", "2026-03-01 6 hour(s) after its end"],
        ),
        ({"past_dates": timedelta(0)}, ["until 0 minute(s) after", "2026-03-01 0 minute(s) after its end"]),
        (
            {"past_dates": "refuse", "schedule": Schedule(SIX, spread=timedelta(hours=23))},
            [
                "`past_dates` is 'refuse'",
                "until 1 day(s) after",
                "`spread` takes 23 hour(s)",
                "1 day(s) 5 hour(s)",
            ],
        ),
        ({"past_dates": timedelta(days=3), "cadence": MONTHLY, "schedule": "0 6 * * 1"}, ["the month 2026-"]),
        ({"past_dates": timedelta(hours=30), "cadence": WEEKLY, "schedule": "0 6 * * 2"}, ["1 day(s) 6 hour(s)"]),
    ],
)
def test_a_schedule_that_is_always_too_late_is_refused_with_the_arithmetic(settings, arithmetic):
    with pytest.raises(ValueError, match=r"^Crawl 'docs': `past_dates`") as refused:
        crawl(URLS, **{"cadence": DAILY, **settings})
    for text in arithmetic:
        assert text in str(refused.value)


@pytest.mark.parametrize("setting", ["refuse", timedelta(days=2), timedelta(0)])
def test_without_dates_there_is_nothing_to_refuse(setting):
    with pytest.raises(ValueError, match="`past_dates` refuses dates, so it needs a `cadence`"):
        crawl(URLS, schedule="0 6 * * *", past_dates=setting)
