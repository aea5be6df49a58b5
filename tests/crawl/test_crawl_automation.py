"""What runs by itself: slices of a spread, dates of a daemon that was down, and assets downstream."""

from datetime import datetime, timedelta, timezone

import dagster as dg
from crawl_world import QUIET, RUN_KEY, crawl
from test_crawl_schedule import requests_at

from thunderbit_dagster import Schedule

DAILY = dg.DailyPartitionsDefinition("2026-11-01")


def at(day, hour=0, minute=0):
    return datetime(2026, 11, day, hour, minute, tzinfo=timezone.utc)


def launch(docs, requests):
    """What the daemon does with a schedule's requests: a run key that it has seen is dropped."""
    schedule = docs.repository.get_schedule_def(f"{docs.crawl.name}_schedule")
    seen = {run.tags.get(RUN_KEY) for run in docs.instance.get_runs()}
    runs = [
        docs.repository.get_job(schedule.job_name).execute_in_process(
            instance=docs.instance,
            run_config={**QUIET, **request.run_config},
            partition_key=request.partition_key,
            tags={**request.tags, RUN_KEY: request.run_key},
        )
        for request in requests or []
        if request.run_key not in seen
    ]
    assert all(run.success for run in runs)
    return len(runs)


def test_a_spread_date_is_submitted_slice_by_slice_and_each_partition_once(line, pages):
    lists = {f"p{number}": pages.urls(1) for number in range(9)}
    docs = line(crawl(lists, cadence=DAILY, schedule=Schedule(spread=timedelta(minutes=20))))
    counts = []
    for minute in (0, 5, 10, 10, 15, 20, 40):
        launch(docs, requests_at(docs, at(4, 0, minute)).run_requests)
        counts.append(len(docs.published("submissions")))
    assert counts[-1] == 9
    assert counts == sorted(counts)
    assert len(set(counts[:5])) > 2, "everything was submitted at once"
    assert counts[4] == 9
    assert sorted(url for job in docs.sent() for url in job) == sorted(url for urls in lists.values() for url in urls)
    docs.until_jobs_end()
    docs.tick_and_launch()
    assert docs.published() == {f"2026-11-03|{name}" for name in lists}


def test_after_days_without_a_daemon_one_tick_submits_what_is_missing_once(line, pages):
    lists = {}
    urls = lambda partition: lists.setdefault(partition.date, pages.urls(1))  # noqa: E731
    docs = line(crawl({"a": urls}, cadence=DAILY, schedule=Schedule(catch_up=5)))
    docs.submit("2026-11-02|a")
    assert launch(docs, requests_at(docs, at(7)).run_requests) == 1
    assert docs.published("submissions") == {f"2026-11-0{day}|a" for day in (1, 2, 3, 4, 5, 6)}
    assert docs.posts == 2
    assert launch(docs, requests_at(docs, at(7)).run_requests) == 0
    assert docs.posts == 2


def test_a_crawl_without_dates_is_fetched_again_by_cron(line, pages):
    docs = line(crawl({"a": pages.urls(1), "b": pages.urls(1)}, schedule=Schedule("0 6 * * *", "Europe/Berlin")))
    assert docs.repository.get_schedule_def(f"{docs.crawl.name}_schedule").execution_timezone == "Europe/Berlin"
    # In the year 2099, so that the submissions of now are not taken for those of the tick.
    for day in (4, 5):
        moment = datetime(2099, 11, day, 5, tzinfo=timezone.utc)
        assert launch(docs, requests_at(docs, moment).run_requests) == 1
        docs.until_jobs_end()
        docs.tick_and_launch()
    assert docs.posts == 2


def test_an_asset_downstream_is_requested_for_the_partitions_that_were_published(line, pages):
    docs = line(crawl({"a": pages.urls(1), "b": pages.urls(1), "c": pages.urls(1)}))

    @dg.asset(
        key=f"words_of_{docs.crawl.name}",
        deps=[docs.crawl.key("succeeded")],
        partitions_def=docs.crawl.partitions_def,
        automation_condition=dg.AutomationCondition.eager(),
    )
    def words() -> None: ...

    defs = dg.Definitions.merge(docs.definitions, dg.Definitions(assets=[words]))
    before = dg.evaluate_automation_conditions(defs, docs.instance)
    assert before.get_num_requested(words.key) == 0
    docs.submit("a", "b")
    submitted = dg.evaluate_automation_conditions(defs, docs.instance, cursor=before.cursor)
    assert submitted.get_num_requested(words.key) == 0
    docs.until_jobs_end()
    docs.tick_and_launch()
    published = dg.evaluate_automation_conditions(defs, docs.instance, cursor=submitted.cursor)
    assert published.get_requested_partitions(words.key) == {"a", "b"}
    again = dg.evaluate_automation_conditions(defs, docs.instance, cursor=published.cursor)
    assert again.get_num_requested(words.key) == 0


def test_partitions_that_were_collected_as_a_set_are_requested_downstream_too(line, pages):
    docs = line(crawl({name: pages.urls(1) for name in "abcde"}))

    @dg.asset(
        key=f"counts_of_{docs.crawl.name}",
        deps=[docs.crawl.key("succeeded")],
        partitions_def=docs.crawl.partitions_def,
        automation_condition=dg.AutomationCondition.eager(),
    )
    def counts() -> None: ...

    defs = dg.Definitions.merge(docs.definitions, dg.Definitions(assets=[counts]))
    before = dg.evaluate_automation_conditions(defs, docs.instance)
    for key in "ace":
        docs.submit(key)
    docs.until_jobs_end()
    [run] = docs.tick_and_launch()
    assert run.job_def.name.endswith("_collect_partitions")
    after = dg.evaluate_automation_conditions(defs, docs.instance, cursor=before.cursor)
    assert after.get_requested_partitions(counts.key) == {"a", "c", "e"}
