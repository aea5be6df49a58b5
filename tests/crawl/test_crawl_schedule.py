"""The schedule of a crawl with a cadence: one run over all URL partitions of each new date."""

from datetime import datetime, timezone

import dagster as dg
from crawl_world import crawl

DAILY = dg.DailyPartitionsDefinition("2026-11-01")


def requests_at(docs, moment):
    schedule = docs.repository.get_schedule_def(f"{docs.crawl.name}_schedule")
    with dg.build_schedule_context(
        instance=docs.instance,
        scheduled_execution_time=moment,
        repository_def=docs.repository,
        resources={"thunderbit": docs.thunderbit},
    ) as context:
        return schedule.evaluate_tick(context)


def test_a_date_that_is_over_is_submitted_in_one_run_over_all_url_partitions(line, pages):
    lists = {"guides": pages.urls(1), "changelog": pages.urls(2), "reference": pages.urls(1)}
    docs = line(crawl(lists, cadence=DAILY))
    [request] = requests_at(docs, datetime(2026, 11, 4, tzinfo=timezone.utc)).run_requests
    job = docs.repository.get_job(request.job_name or f"{docs.crawl.name}_submit")
    run = job.execute_in_process(instance=docs.instance, tags=request.tags, raise_on_error=False)
    assert run.success
    cells = {f"2026-11-03|{name}" for name in lists}
    assert docs.published("submissions") == cells
    assert len(docs.jobs) == 1
    docs.until_jobs_end()
    [collected] = docs.tick_and_launch()
    assert collected.success
    assert docs.published() == cells
    assert docs.urls("succeeded", date="2026-11-03", urls="changelog") == lists["changelog"]


def test_a_tick_evaluated_twice_asks_for_the_same_run_and_the_next_day_for_another(line, pages):
    docs = line(crawl({"guides": pages.urls(1)}, cadence=DAILY))
    keys = [
        requests_at(docs, datetime(2026, 11, day, hour, tzinfo=timezone.utc)).run_requests[0].run_key
        for day, hour in ((4, 0), (4, 0), (5, 0))
    ]
    assert keys[0] == keys[1] != keys[2]


def test_a_crawl_of_dates_alone_is_scheduled_by_its_partition(line, pages):
    docs = line(crawl(pages.urls(1), cadence=DAILY))
    [request] = requests_at(docs, datetime(2026, 11, 4, tzinfo=timezone.utc)).run_requests
    assert request.partition_key == "2026-11-03"


def test_before_the_first_date_is_over_nothing_is_requested(line, pages):
    docs = line(crawl({"guides": pages.urls(1)}, cadence=DAILY))
    skipped = requests_at(docs, datetime(2026, 11, 1, 12, tzinfo=timezone.utc))
    assert not skipped.run_requests
    assert docs.crawl.name in skipped.skip_message


def test_a_date_with_more_partitions_than_a_run_may_hold_takes_several_runs(line, pages):
    docs = line(crawl({f"p{number}": pages.urls(1) for number in range(5)}, cadence=DAILY, max_partitions_per_run=2))
    requests = requests_at(docs, datetime(2026, 11, 4, tzinfo=timezone.utc)).run_requests
    assert len(requests) == 3
    assert len({request.run_key for request in requests}) == 3


def test_crawls_without_a_cadence_or_without_a_wish_for_one_have_no_schedule(line, pages):
    docs = line(crawl({"a": pages.urls(1)}), crawl({"a": pages.urls(1)}, cadence=DAILY, schedule=False))
    assert not docs.repository.schedule_defs
