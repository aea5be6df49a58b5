from collections import Counter
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from decision_cases import crawl
from hypothesis import given
from hypothesis import strategies as st

from thunderbit_dagster import DynamicUrls, Schedule
from thunderbit_dagster.crawl.schedule import MOST_SLICES, slice_of
from thunderbit_dagster.definitions import build_crawl_definitions
from thunderbit_dagster.ledger.records import Opened, Sealed, to_metadata
from thunderbit_dagster.resource import ThunderbitResource
from thunderbit_dagster.runs.names import submit_job_name
from thunderbit_dagster.runs.partitions import RANGE_END_TAG, RANGE_START_TAG
from thunderbit_dagster.storage.store import ParquetStore
from thunderbit_dagster.submission.schedule import build_schedule, last_date, tick_requests

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


@pytest.mark.parametrize(
    ("zone", "day", "offset", "repeated"),
    [("Europe/Berlin", "2025-10-26", 2, "02:00+0100"), ("America/New_York", "2025-11-02", -4, "01:00-0500")],
)
def test_a_day_of_25_hours_has_25_ticks_each_of_an_hour_of_its_own(zone, day, offset, repeated):
    cut = crawl([], cadence=dg.HourlyPartitionsDefinition(f"{day}-00:00", timezone=zone))
    midnight = datetime.fromisoformat(f"{day}T00:00:00+00:00") - timedelta(hours=offset)
    bound, instance = cut.scheduled.bound(cut.cadence), dg.DagsterInstance.ephemeral()
    keys = [
        [one.partition_key for one in tick_requests(cut, bound, instance, midnight + timedelta(hours=n), as_sets=False)]
        for n in range(1, 26)
    ]
    assert [key for [key] in keys] == list(cut.cadence.get_partition_keys())[:25]
    assert [f"{day}-{repeated}"] in keys


def ticked(cut, *moment, schedule=None, instance=None, behind=timedelta(0)):
    """The runs of one tick, or why there are none; the daemon may be behind."""
    bound = (schedule or cut.scheduled).bound(cut.cadence)
    as_sets = bool(bound.spread or bound.catch_up)
    instance = instance or dg.DagsterInstance.ephemeral()
    with dg.partition_loading_context(dynamic_partitions_store=instance):
        now = datetime(*moment, tzinfo=UTC)
        return tick_requests(cut, bound, instance, now, as_sets=as_sets, clock=(now + behind).timestamp)


def named(request):
    return request.run_config["ops"]["docs__submit_partitions"]["config"]["partitions"]


def seal(instance, cut, *keys):
    """As if a run had submitted these partitions."""
    for key in keys:
        sealed = Sealed(submission_id=f"of-{key}", total=0)
        instance.report_runless_asset_event(
            dg.AssetMaterialization(cut.key("submissions"), partition=key, metadata=to_metadata(sealed))
        )


def test_a_date_is_one_run():
    cut = crawl({"b": [], "a": [], "c": []}, cadence=DAILY)
    (request,) = ticked(cut, 2026, 3, 2)
    assert request.partition_key is None
    assert request.tags == {RANGE_START_TAG: "2026-03-01|b", RANGE_END_TAG: "2026-03-01|c"}


def test_a_date_of_many_partitions_is_cut_at_the_limit():
    cut = crawl({f"u{n}": [] for n in range(7)}, cadence=DAILY, max_partitions_per_run=3)
    requests = ticked(cut, 2026, 3, 2)
    assert len({request.run_key for request in requests}) == len(requests) == 3
    assert requests[-1].partition_key == "2026-03-01|u6"


def test_what_is_submitted_already_is_left_out():
    cut, instance = crawl({"a": [], "b": [], "c": []}, cadence=DAILY), dg.DagsterInstance.ephemeral()
    seal(instance, cut, "2026-03-01|a", "2026-03-01|c")
    (request,) = ticked(cut, 2026, 3, 2, instance=instance)
    assert request.partition_key == "2026-03-01|b"
    seal(instance, cut, "2026-03-01|b")
    assert "are submitted" in ticked(cut, 2026, 3, 2, instance=instance).skip_message


def test_of_missed_ticks_only_the_last_date_is_submitted_unless_it_is_to_catch_up():
    cut, instance = crawl({"a": [], "b": []}, cadence=DAILY), dg.DagsterInstance.ephemeral()
    seal(instance, cut, "2026-03-01|a", "2026-03-01|b", "2026-03-03|b")
    (last,) = ticked(cut, 2026, 3, 6, instance=instance)
    assert last.tags == {RANGE_START_TAG: "2026-03-05|a", RANGE_END_TAG: "2026-03-05|b"}
    (missing,) = ticked(cut, 2026, 3, 6, instance=instance, schedule=Schedule(catch_up=3))
    assert named(missing) == [f"2026-03-0{day}" for day in ("2|a", "2|b", "3|a", "4|a", "4|b", "5|a", "5|b")]
    seal(instance, cut, *named(missing))
    assert isinstance(ticked(cut, 2026, 3, 6, instance=instance, schedule=Schedule(catch_up=3)), dg.SkipReason)


def test_refused_dates_are_left_out_of_a_tick_and_named_when_nothing_else_is_left():
    cut = crawl({"a": [], "b": []}, cadence=DAILY, schedule=Schedule("0 6 * * *", catch_up=3), past_dates="refuse")
    instance = dg.DagsterInstance.ephemeral()
    (request,) = ticked(cut, 2026, 3, 6, 6, instance=instance)
    assert named(request) == ["2026-03-05|a", "2026-03-05|b"]
    seal(instance, cut, *named(request), "2026-03-03|a", "2026-03-03|b")
    skipped = ticked(cut, 2026, 3, 6, 6, instance=instance).skip_message
    assert "2 date(s) are too old (2026-03-02, 2026-03-04)" in skipped
    assert "The date 2026-03-02 ended 3 day(s) 6 hour(s) ago" in skipped
    assert "`past_dates` allows 1 day(s)" in skipped


def test_of_dates_to_catch_up_those_within_the_allowed_time_are_submitted():
    cut = crawl([], cadence=DAILY, schedule=Schedule(catch_up=5), past_dates=timedelta(days=2, hours=1))
    (request,) = ticked(cut, 2026, 3, 8)
    assert named(request) == ["2026-03-05", "2026-03-06", "2026-03-07"]


def test_what_is_refused_by_the_time_a_late_daemon_looks_is_not_asked_for():
    cut = crawl([], cadence=DAILY, schedule="0 6 * * *", past_dates="refuse")
    assert ticked(cut, 2026, 3, 6, 6, behind=timedelta(hours=17))[0].partition_key == "2026-03-05"
    assert "too old (2026-03-05)" in ticked(cut, 2026, 3, 6, 6, behind=timedelta(hours=18)).skip_message


@pytest.mark.parametrize("same", [True, False])
def test_a_refused_date_that_a_run_has_begun_to_submit_is_finished(same):
    cut = crawl([], cadence=DAILY, schedule=Schedule(catch_up=2), past_dates="refuse")
    instance, request = dg.DagsterInstance.ephemeral(), cut.request.fingerprint() if same else "another"
    opened = Opened(submission_id="s1", request=request, account="a", total=1)
    instance.report_runless_asset_event(
        dg.AssetObservation(cut.key("submissions"), partition="2026-03-03", metadata=to_metadata(opened))
    )
    (asked,) = ticked(cut, 2026, 3, 6, instance=instance)
    assert named(asked) == (["2026-03-03", "2026-03-05"] if same else ["2026-03-05"])


def test_a_crawl_without_dates_is_submitted_again_with_each_tick():
    cut = crawl({"a": [], "b": []}, schedule="0 6 * * *")
    keys = [ticked(cut, 2026, 3, day, hour)[0].run_key for day, hour in ((2, 6), (2, 7), (3, 5), (3, 6))]
    assert keys[0] == keys[1] == keys[2] != keys[3]
    whole = crawl([], schedule="0 6 * * *")
    assert ticked(whole, 2026, 3, 2, 6)[0].run_key != ticked(whole, 2026, 3, 3, 6)[0].run_key


def test_dynamic_partitions_are_those_of_the_moment():
    cut, instance = crawl(DynamicUrls("s", lambda _: []), cadence=DAILY), dg.DagsterInstance.ephemeral()
    told = ticked(cut, 2026, 3, 2, instance=instance).skip_message
    assert told == "The crawl docs has no partition yet: no key was added to its dynamic partitions 's'."
    instance.add_dynamic_partitions("s", ["x", "y"])
    (request,) = ticked(cut, 2026, 3, 2, instance=instance)
    assert request.tags == {RANGE_START_TAG: "2026-03-01|x", RANGE_END_TAG: "2026-03-01|y"}


SPREADS = st.timedeltas(timedelta(minutes=1), timedelta(hours=23))
KEYS = st.lists(st.text("abcdefgh0123", min_size=1, max_size=6), unique=True, min_size=1, max_size=40)


@given(KEYS, SPREADS)
def test_a_spread_submits_each_partition_once_in_its_slice_and_within_its_time(keys, spread):
    bound = Schedule("0 0 * * *", spread=spread).bound(None)
    tick = datetime(2026, 3, 2, tzinfo=UTC)
    begun = []
    now = tick
    while now < tick + spread + timedelta(hours=1):
        fresh = [number for number in bound.slices_begun(tick, now) if number not in begun]
        assert len(fresh) <= 1
        begun += fresh
        assert not fresh or now - tick < spread
        now += bound.step
    slices = [slice_of(key, bound.slices) for key in keys]
    assert begun == list(range(bound.slices))
    assert set(slices) <= set(begun)


@given(KEYS, KEYS, st.integers(1, 100))
def test_a_new_partition_moves_no_other_to_another_slice(keys, more, slices):
    before = {key: slice_of(key, slices) for key in keys}
    after = {key: slice_of(key, slices) for key in [*more, *keys]}
    assert all(after[key] == number for key, number in before.items())
    assert all(0 <= number < slices for number in after.values())


def test_slices_are_about_equal():
    sizes = Counter(slice_of(f"part-{number}", 24) for number in range(24_000))
    assert 850 < min(sizes.values()) <= max(sizes.values()) < 1_150


@given(SPREADS)
def test_a_spread_is_cut_so_that_cron_can_say_when(spread):
    bound = Schedule("0 0 * * *", spread=spread).bound(None)
    assert timedelta(hours=1) % bound.step == timedelta(0)
    assert bound.slices == -(-spread // bound.step)
    assert bound.slices <= MOST_SLICES or bound.step == timedelta(hours=1)
    assert Schedule(bound.crons[1]).bound(None).shortest_gap() == bound.step


def test_the_slices_of_a_spread_are_runs_of_their_own_and_missed_ones_are_made_up_for():
    cut = crawl({f"p{n}": [] for n in range(60)}, cadence=DAILY, schedule=Schedule(spread=timedelta(hours=1)))
    instance = dg.DagsterInstance.ephemeral()
    (first,) = ticked(cut, 2026, 3, 2, 0, 0, instance=instance)
    seal(instance, cut, *named(first))
    two = ticked(cut, 2026, 3, 2, 0, 14, instance=instance)
    assert [request.run_key[-9:] for request in two] == ["slice-1/0", "slice-2/0"]
    rest = ticked(cut, 2026, 3, 2, 20, 0, instance=instance)
    keys = [key for request in [first, *rest] for key in named(request)]
    assert sorted(keys) == sorted(f"2026-03-01|p{n}" for n in range(60))
    assert {request.run_key for request in two} < {request.run_key for request in rest}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"schedule": "0 6 * *"}, "cron"),
        ({"schedule": Schedule()}, "needs a cron"),
        ({"schedule": Schedule("0 6 * * *", spread=timedelta(days=1))}, "two ticks may be only 1 day"),
        ({"schedule": Schedule("0 0,6 * * *", spread=timedelta(hours=8))}, "only 6:00:00 apart"),
        ({"schedule": Schedule("0 6 * * *", catch_up=2)}, "`catch_up`"),
        ({"urls": [], "schedule": Schedule("0 6 * * *", spread=timedelta(hours=1))}, "`spread`"),
    ],
)
def test_a_wrong_schedule_is_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        crawl(**{"urls": {"a": []}, **settings})


@pytest.mark.parametrize(
    ("cron", "zone", "gap"),
    [
        ("0 6 * * *", "UTC", timedelta(days=1)),
        ("0 6 * * *", "Europe/Berlin", timedelta(days=1)),  # also where the clocks change
        ("0 6 * * 1", "UTC", timedelta(days=7)),
        ("0 6 * * 1-5", "UTC", timedelta(days=3)),
        ("*/15 9-17 * * 1-5", "UTC", timedelta(days=2, hours=15, minutes=15)),
        ("5,20 6 * * *", "UTC", timedelta(hours=23, minutes=45)),
        ("*/5 * * * *", "Asia/Kolkata", timedelta(minutes=5)),
        ("0,10 * * * *", "UTC", timedelta(minutes=50)),
        ("0 6 1 * *", "UTC", timedelta(days=31)),
        ("0 6 15 6 *", "UTC", timedelta(days=366)),
        ("@hourly", "UTC", timedelta(hours=1)),
    ],
)
def test_the_longest_gap_spans_nights_weekends_and_months(cron, zone, gap):
    assert Schedule(cron, zone).bound(None).longest_gap() == gap


def test_summer_time_moves_ticks_with_the_clock_on_the_wall():
    bound = Schedule("30 6 * * *", "Europe/Berlin").bound(None)
    assert bound.tick(datetime(2026, 3, 28, 12, tzinfo=UTC)) == datetime(2026, 3, 28, 5, 30, tzinfo=UTC)
    assert bound.tick(datetime(2026, 3, 29, 12, tzinfo=UTC)) == datetime(2026, 3, 29, 4, 30, tzinfo=UTC)


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
def test_a_tick_submits_the_date_that_ended_in_one_run(urls, cadence, moment, keys, tmp_path, instance):  # noqa: PLR0917 - cases and fixtures
    cut = crawl(urls, cadence=cadence)
    defs = build_crawl_definitions(
        [cut],
        thunderbit=ThunderbitResource(api_key="tb_0123456789abcdef0123456789abcdef"),
        store=ParquetStore(tmp_path / "data"),
    )
    repository = defs.get_repository_def()
    schedule = repository.get_schedule_def("docs_schedule")
    context = dg.build_schedule_context(scheduled_execution_time=moment, repository_def=repository, instance=instance)
    (request,) = schedule.evaluate_tick(context).run_requests
    if len(keys) == 1:
        assert request.tags["dagster/partition"] == keys[0]
    else:
        assert (request.tags[RANGE_START_TAG], request.tags[RANGE_END_TAG]) == (keys[0], keys[-1])
    again = schedule.evaluate_tick(context).run_requests[0]
    assert again.run_key == request.run_key
    assert schedule.execution_timezone == cadence.timezone


def test_a_tick_before_the_first_date_says_so(instance):
    cut = crawl({"a": []}, cadence=DAILY)
    schedule = build_schedule(cut, submit_job_name(cut), dg.DefaultScheduleStatus.STOPPED)
    context = dg.build_schedule_context(scheduled_execution_time=datetime(2026, 3, 1, tzinfo=UTC), instance=instance)
    skipped = schedule(context)
    assert isinstance(skipped, dg.SkipReason)
    assert "docs" in skipped.skip_message


def test_no_schedule_without_a_cadence_or_without_the_wish():
    assert build_schedule(crawl(), "job", dg.DefaultScheduleStatus.STOPPED) is None
    assert build_schedule(crawl(cadence=DAILY, schedule=False), "job", dg.DefaultScheduleStatus.STOPPED) is None
