"""Any set of partitions in one run: submitted by configuration, collected together."""

import math
import re
from pathlib import Path

import dagster as dg
import pytest
import yaml
from crawl_world import QUIET, crawl, error_text, failure_of

from thunderbit_dagster.emulator import Rule
from thunderbit_dagster.runs.names import backfill_job_name, collect_set_op, submit_set_op
from thunderbit_dagster.runs.partitions import set_config

YEAR = dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-03-02")
DATES = [str(key) for key in YEAR.get_partition_keys()]
SPARSE = DATES[::3]


def backfill(docs, *wanted):
    """The job `<crawl>_backfill` as the launchpad runs it."""
    return docs.repository.get_job(backfill_job_name(docs.crawl)).execute_in_process(
        instance=docs.instance,
        run_config={**QUIET, **set_config(submit_set_op(docs.crawl), wanted)},
        raise_on_error=False,
    )


def daily(pages, count=4, **options):
    """A crawl whose dates have URLs of their own."""
    lists = {}
    return crawl(lambda partition: lists.setdefault(partition.date, pages.urls(count)), cadence=YEAR, **options), lists


@pytest.fixture
def apart(line, pages):
    made, lists = daily(pages)
    return line(made), lists


def test_a_sparse_set_is_two_runs_and_as_few_jobs_as_its_urls_need(apart):
    docs, lists = apart
    assert backfill(docs, *SPARSE).success
    assert sorted(map(len, docs.sent())) == [len(SPARSE) * 4]
    docs.until_jobs_end()
    runs = docs.tick_and_launch()
    assert [run.success for run in runs] == [True]
    assert docs.published("submissions") == docs.published("succeeded") == docs.published() == set(SPARSE)
    assert all(docs.urls("succeeded", date=date) == lists[date] for date in SPARSE)
    assert docs.checks(runs[0]) == [True]
    assert docs.tick_and_launch() == []


def test_it_records_what_a_range_run_records(line, pages):
    made, _ = daily(pages)
    docs = line(made)
    backfill(docs, DATES[0])
    docs.submit(DATES[1])
    docs.until_jobs_end()
    docs.tick_and_launch()
    for asset in ("submissions", "succeeded", "failed"):
        by_set, by_key = docs.metadata(asset, DATES[0]), docs.metadata(asset, DATES[1])
        assert by_set.keys() == by_key.keys()


def test_sets_are_cut_at_the_limit_of_a_run(line, pages):
    made, _ = daily(pages, 1, max_partitions_per_run=8)
    docs = line(made)
    refused = backfill(docs, *SPARSE)
    assert not refused.success
    assert docs.posts == 0
    for start in range(0, len(SPARSE), 8):
        assert backfill(docs, *SPARSE[start : start + 8]).success
    docs.until_jobs_end()
    runs = docs.tick_and_launch()
    assert len(runs) == math.ceil(len(SPARSE) / 8)
    assert docs.published() == set(SPARSE)


def test_a_set_over_two_dimensions_is_named_by_patterns_and_ranges(line, pages):
    lists = {"guides": pages.urls(1), "news": pages.urls(1), "reference": pages.urls(1)}
    docs = line(crawl(lists, cadence=YEAR))
    assert backfill(docs, "2026-01-0?|news", "2026-02-01|guides...2026-02-02|news").success
    expected = {f"2026-01-0{day}|news" for day in range(1, 10)} | {
        f"2026-02-0{day}|{name}" for day in (1, 2) for name in ("guides", "news")
    }
    assert docs.published("submissions") == expected
    assert len(docs.jobs) == 1
    docs.until_jobs_end()
    assert len(docs.tick_and_launch()) == 1
    assert docs.published() == expected


def test_the_configuration_that_the_page_gives_for_the_launchpad_runs(line, pages):
    page = Path(__file__).parents[2] / "docs" / "schedules.md"
    [text] = re.findall(r"`(ops: .*)`", page.read_text(encoding="utf-8"))
    wanted = yaml.safe_load(text)
    cadence = dg.DailyPartitionsDefinition("2026-11-01", end_date="2026-11-14")
    docs = line(crawl({"guides": pages.urls(1), "changelog": pages.urls(1)}, name="news", cadence=cadence))
    job = docs.repository.get_job("news_backfill")
    assert job.execute_in_process(instance=docs.instance, run_config={**QUIET, **wanted}).success
    expected = {f"2026-11-0{day}|guides" for day in range(1, 10)} | {"2026-11-12|changelog"}
    assert docs.published("submissions") == expected


def test_a_name_that_fits_nothing_stops_the_run_before_anything_is_sent(apart):
    docs, _ = apart
    run = backfill(docs, SPARSE[0], "2027-*")
    assert not run.success
    assert "2027-*" in error_text(run)
    assert docs.posts == 0
    assert not docs.published("submissions")


def test_a_partition_whose_list_cannot_be_read_fails_alone_and_a_rerun_touches_nothing_else(line, pages):
    broken = {SPARSE[3], SPARSE[7]}
    asked = []

    def of_date(partition):
        asked.append(partition.date)
        if partition.date in broken:
            raise OSError("the list is not there yet")
        return pages.urls(2)

    docs = line(crawl(of_date, cadence=YEAR))
    run = backfill(docs, *SPARSE)
    assert not run.success
    assert set(failure_of(run)[1]) == broken
    assert docs.published("submissions") == set(SPARSE) - broken
    docs.until_jobs_end()
    docs.tick_and_launch()
    assert docs.published() == set(SPARSE) - broken
    failed, posts = set(broken), docs.posts
    broken.clear()
    asked.clear()
    assert backfill(docs, *failed).success
    assert set(asked) == failed
    assert docs.posts == posts + 1
    docs.until_jobs_end()
    docs.tick_and_launch()
    assert docs.published() == set(SPARSE)


def test_a_job_that_cannot_be_collected_marks_exactly_its_partitions(line, pages, spoiled):
    made, lists = daily(pages, 1, batch_size=5)
    # Four polls, then the rows of the first job; those of the second are refused once.
    docs = line(made, emulator=spoiled(Rule("status", method="GET", route="/batch/*", nth=(6,), status=400)))
    assert backfill(docs, *SPARSE).success
    docs.until_jobs_end()
    [request] = docs.tick().run_requests
    assert request.run_config["ops"][collect_set_op(docs.crawl)]["config"]["partitions"] == SPARSE
    run = docs.launch(request)
    lost = set(SPARSE[5:10])
    assert not run.success
    assert set(failure_of(run)[1]) == lost
    assert docs.published() == set(SPARSE) - lost
    before = {date: docs.metadata("failed", date) for date in set(SPARSE) - lost}
    again = docs.tick_and_launch(after=600.0)
    assert [one.success for one in again] == [True]
    assert docs.published() == set(SPARSE)
    assert {date: docs.metadata("failed", date) for date in before} == before
    assert all(docs.urls("succeeded", date=date) == lists[date] for date in SPARSE)


def test_a_set_that_is_running_is_not_sent_twice_and_others_do_not_wait_for_it(apart, held):
    docs, _ = apart
    assert backfill(docs, *SPARSE).success
    posts = docs.posts
    assert backfill(docs, *SPARSE[:5]).success
    assert docs.posts == posts
    assert docs.submit(DATES[1]).success
    assert docs.posts == posts + 1
    held.release()
    docs.until_jobs_end()
    runs = docs.tick_and_launch()
    assert len(runs) == 1
    assert docs.published() == {*SPARSE, DATES[1]}


def test_a_crawl_without_partitions_has_no_such_jobs(line, pages):
    docs = line(crawl(pages.urls(1)))
    assert not any("partitions" in name or "backfill" in name for name in docs.repository.job_names)
