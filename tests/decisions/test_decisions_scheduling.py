from datetime import datetime, timezone
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from decision_cases import crawl

from thunderbit_dagster.build import build_crawl_definitions, submit_job_name
from thunderbit_dagster.resource import ThunderbitResource
from thunderbit_dagster.run import RANGE_END_TAG, RANGE_START_TAG
from thunderbit_dagster.scheduling import build_schedule, date_ranges, last_date, run_request
from thunderbit_dagster.storage.store import ParquetStore

UTC = timezone.utc
BERLIN = ZoneInfo("Europe/Berlin")
DAILY = dg.DailyPartitionsDefinition("2026-03-01")
BERLIN_DAILY = dg.DailyPartitionsDefinition("2026-03-01", timezone="Europe/Berlin")
BERLIN_HOURLY = dg.HourlyPartitionsDefinition("2026-03-01-00:00", timezone="Europe/Berlin")


@pytest.mark.parametrize(
    ("cadence", "now", "date"),
    [
        (DAILY, datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC), None),
        (DAILY, datetime(2026, 3, 2, 0, 0, 0, tzinfo=UTC), "2026-03-01"),
        (DAILY, datetime(2026, 3, 2, 23, 59, 59, tzinfo=UTC), "2026-03-01"),
        (DAILY, datetime(2026, 3, 3, 0, 0, 0, tzinfo=UTC), "2026-03-02"),
        # 2026-03-29 has 23 hours in Berlin, 2026-10-25 has 25.
        (BERLIN_DAILY, datetime(2026, 3, 29, 23, 59, tzinfo=BERLIN), "2026-03-28"),
        (BERLIN_DAILY, datetime(2026, 3, 30, 0, 0, tzinfo=BERLIN), "2026-03-29"),
        (BERLIN_DAILY, datetime(2026, 3, 29, 22, 0, tzinfo=UTC), "2026-03-29"),
        (BERLIN_DAILY, datetime(2026, 10, 25, 22, 59, tzinfo=UTC), "2026-10-24"),
        (BERLIN_DAILY, datetime(2026, 10, 25, 23, 0, tzinfo=UTC), "2026-10-25"),
        # The hour from 2 to 3 does not exist on 2026-03-29.
        (BERLIN_HOURLY, datetime(2026, 3, 29, 1, 0, tzinfo=UTC), "2026-03-29-01:00"),
        (BERLIN_HOURLY, datetime(2026, 3, 29, 2, 0, tzinfo=UTC), "2026-03-29-03:00"),
        (dg.DailyPartitionsDefinition("2026-03-01", end_offset=1), datetime(2026, 3, 1, 1, tzinfo=UTC), "2026-03-01"),
        (dg.DailyPartitionsDefinition("2026-03-01", hour_offset=6), datetime(2026, 3, 2, 5, 59, tzinfo=UTC), None),
    ],
)
def test_the_last_date_is_the_newest_that_is_over(cadence, now, date):
    assert last_date(cadence, now) == date


def test_a_date_is_one_run():
    cut = crawl({"b": [], "a": [], "c": []}, cadence=DAILY)
    (whole,) = date_ranges(cut, "2026-03-01")
    assert whole.keys == ("2026-03-01|b", "2026-03-01|a", "2026-03-01|c")
    request = run_request(whole)
    assert request.partition_key is None
    assert request.tags == {RANGE_START_TAG: "2026-03-01|b", RANGE_END_TAG: "2026-03-01|c"}


def test_a_date_of_many_partitions_is_cut_at_the_limit():
    cut = crawl({f"u{n}": [] for n in range(7)}, cadence=DAILY, max_partitions_per_run=3)
    ranges = date_ranges(cut, "2026-03-01")
    assert [len(one.keys) for one in ranges] == [3, 3, 1]
    requests = [run_request(one) for one in ranges]
    assert len({request.run_key for request in requests}) == 3
    assert requests[-1].partition_key == "2026-03-01|u6"


@pytest.mark.parametrize(
    ("urls", "cadence", "moment", "keys"),
    [
        ([], DAILY, datetime(2026, 3, 4, tzinfo=UTC), ["2026-03-03"]),
        ({"a": [], "b": []}, DAILY, datetime(2026, 3, 4, tzinfo=UTC), ["2026-03-03|a", "2026-03-03|b"]),
        (
            {"a": [], "b": []},
            BERLIN_DAILY,
            datetime(2026, 3, 30, tzinfo=BERLIN),
            ["2026-03-29|a", "2026-03-29|b"],
        ),
        ({"a": []}, BERLIN_HOURLY, datetime(2026, 3, 29, 3, tzinfo=BERLIN), ["2026-03-29-01:00|a"]),
    ],
)
def test_a_tick_submits_the_date_that_ended_in_one_run(urls, cadence, moment, keys, tmp_path):
    cut = crawl(urls, cadence=cadence)
    defs = build_crawl_definitions(
        [cut],
        thunderbit=ThunderbitResource(api_key="tb_0123456789abcdef0123456789abcdef"),
        store=ParquetStore(tmp_path / "data"),
    )
    repository = defs.get_repository_def()
    schedule = repository.get_schedule_def("docs_schedule")
    context = dg.build_schedule_context(scheduled_execution_time=moment, repository_def=repository)
    (request,) = schedule.evaluate_tick(context).run_requests
    if len(keys) == 1:
        assert request.tags["dagster/partition"] == keys[0]
    else:
        assert (request.tags[RANGE_START_TAG], request.tags[RANGE_END_TAG]) == (keys[0], keys[-1])
    again = schedule.evaluate_tick(context).run_requests[0]
    assert again.run_key == request.run_key
    assert schedule.execution_timezone == cadence.timezone


def test_a_tick_before_the_first_date_says_so():
    cut = crawl({"a": []}, cadence=DAILY)
    schedule = build_schedule(cut, submit_job_name(cut), dg.DefaultScheduleStatus.STOPPED)
    context = dg.build_schedule_context(scheduled_execution_time=datetime(2026, 3, 1, tzinfo=UTC))
    ticked = schedule(context)
    assert isinstance(ticked, dg.SkipReason)
    assert "docs" in ticked.skip_message


def test_no_schedule_without_a_cadence_or_without_the_wish():
    assert build_schedule(crawl(), "job", dg.DefaultScheduleStatus.STOPPED) is None
    assert build_schedule(crawl(cadence=DAILY, schedule=False), "job", dg.DefaultScheduleStatus.STOPPED) is None
