"""The web is fetched as it is now: a date that is over is fetched late, and says so, or is refused before paying."""

from datetime import datetime, timedelta, timezone

import dagster as dg
import pytest
from crawl_world import crawl, failure_of

from thunderbit_dagster import Schedule

TODAY = datetime.now(timezone.utc).date()
DAILY = dg.DailyPartitionsDefinition(str(TODAY - timedelta(days=40)))
MONTHLY = dg.MonthlyPartitionsDefinition(str((TODAY - timedelta(days=100)).replace(day=1)))
YESTERDAY, OLD = str(TODAY - timedelta(days=1)), str(TODAY - timedelta(days=30))


def test_a_late_fetch_is_told_by_every_table(line, pages):
    docs = line(crawl({"a": pages.urls(1)}, cadence=DAILY))
    docs.through(f"{OLD}|a", f"{OLD}|a")
    docs.through(f"{YESTERDAY}|a", f"{YESTERDAY}|a")
    for asset in ("submissions", "succeeded", "failed"):
        late, fresh = docs.metadata(asset, f"{OLD}|a"), docs.metadata(asset, f"{YESTERDAY}|a")
        assert 29 * 24 <= late["hours from date to fetch"].value <= 30 * 24
        told = f"29 day(s) after the date {OLD} was over: pages as they were on {TODAY}, not on that date."
        assert late["fetched late"].value == f"Fetched {told}"
        assert 0 <= fresh["hours from date to fetch"].value <= 24
        assert "fetched late" not in fresh
    [row] = docs.rows("succeeded", date=OLD, urls="a")
    assert (datetime.now(timezone.utc) - row["submitted_at"]) < timedelta(hours=1)


def test_an_hour_is_late_and_refused_once_another_has_passed(line, pages):
    now = datetime.now(timezone.utc).replace(minute=0, second=0, microsecond=0)
    hourly = dg.HourlyPartitionsDefinition((now - timedelta(hours=6)).strftime("%Y-%m-%d-%H:%M"))
    fresh, old = (f"{now - timedelta(hours=ago):%Y-%m-%d-%H:%M}" for ago in (1, 3))
    urls = pages.urls(1)
    docs = line(crawl(urls, cadence=hourly))
    docs.through(fresh, fresh)
    docs.through(old, old)
    told = docs.metadata("succeeded", old)["fetched late"].value
    assert "hour(s) after the hour that began" in told
    assert told.endswith("UTC, not in that hour.")
    assert "fetched late" not in docs.metadata("succeeded", fresh)
    strict = line(crawl(urls, cadence=hourly, past_dates="refuse"))
    assert strict.submit(fresh).success
    assert not strict.submit(old).success


def test_a_scheduled_run_asks_for_no_date_that_it_would_refuse(line, pages):
    made = crawl({"a": pages.urls(1)}, cadence=DAILY, schedule=Schedule(catch_up=3), past_dates="refuse")
    docs = line(made)
    schedule = docs.repository.get_schedule_def(f"{made.name}_schedule")
    midnight = datetime.combine(TODAY, datetime.min.time(), timezone.utc)
    with dg.build_schedule_context(
        instance=docs.instance, scheduled_execution_time=midnight, repository_def=docs.repository
    ) as context:
        [request] = schedule.evaluate_tick(context).run_requests
        job = docs.repository.get_job(f"{made.name}_backfill")
        assert job.execute_in_process(instance=docs.instance, run_config=request.run_config).success
        skipped = schedule.evaluate_tick(context).skip_message
    assert docs.published("submissions") == {f"{YESTERDAY}|a"}
    assert f"{TODAY - timedelta(days=2)}" in skipped
    assert "3 date(s) are too old" in skipped


def test_a_crawl_without_dates_says_nothing_of_it(line, pages):
    docs = line(crawl({"a": pages.urls(1)}))
    docs.through("a")
    assert not any("date" in name for name in docs.metadata("succeeded", "a"))


@pytest.mark.parametrize("limit", ["refuse", timedelta(days=3)])
def test_a_date_too_long_ago_is_refused_before_its_urls_are_read(line, pages, limit):
    asked = []

    def listed(partition):
        asked.append(partition.date)
        return pages.urls(1)

    docs = line(crawl({"a": listed}, cadence=DAILY, past_dates=limit))
    run = docs.submit(f"{OLD}|a", f"{YESTERDAY}|a")
    refused = failure_of(run)[1]
    assert len(refused) == 30 - (3 if limit != "refuse" else 1)
    assert "`past_dates` allows" in refused[f"{OLD}|a"]
    assert OLD not in asked
    assert YESTERDAY in asked
    assert f"{YESTERDAY}|a" in docs.published("submissions")
    assert f"{OLD}|a" not in docs.published("submissions")


def test_what_is_submitted_already_is_finished_whatever_its_age(line, pages, held):
    urls = {"a": pages.urls(1)}
    made = crawl(urls, cadence=DAILY)
    docs = line(made)
    docs.submit(f"{OLD}|a")
    stricter = line(crawl(urls, name=made.name, cadence=DAILY, past_dates="refuse"))
    assert stricter.submit(f"{OLD}|a").success
    held.release()
    stricter.until_jobs_end()
    stricter.tick_and_launch()
    assert stricter.published() == {f"{OLD}|a"}
    assert not stricter.submit(f"{OLD}|a").success


def test_a_month_has_a_month_of_patience(line, pages):
    docs = line(crawl({"a": pages.urls(1)}, cadence=MONTHLY, past_dates="refuse"))
    dates = docs.crawl.axes[0]
    assert docs.submit(f"{dates[-1]}|a").success
    assert not docs.submit(f"{dates[0]}|a").success


@pytest.mark.parametrize("setting", ["never", timedelta(days=-1), None])
def test_another_word_is_refused(setting):
    with pytest.raises(ValueError, match="past_dates"):
        crawl({"a": []}, past_dates=setting)
