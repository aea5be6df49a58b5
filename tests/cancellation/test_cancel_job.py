"""The job `{crawl}_cancel` stops the open batch jobs of the partition that it is launched for."""

import dagster as dg
import pytest
from crawl_world import crawl, records
from interrupting import deletes

from thunderbit_dagster.emulator import Rule
from thunderbit_dagster.runs.names import cancel_job_name


def output_metadata(run):
    [event] = [event for event in run.all_events if event.event_type_value == "STEP_OUTPUT"]
    return {name: value.value for name, value in event.step_output_data.metadata.items() if name != "jobs"}


def table(run):
    [event] = [event for event in run.all_events if event.event_type_value == "STEP_OUTPUT"]
    return records(event.step_output_data.metadata["jobs"])


@pytest.fixture
def docs(line, pages, held):
    del held
    return line(crawl({"a": pages.urls(3), "b": pages.urls(3)}, batch_size=3))


def test_the_jobs_of_the_partition_are_stopped_and_the_sensor_collects_its_finished_rows(docs, held):
    docs.submit("a")
    docs.submit("b")
    held.release(1)
    run = docs.run(cancel_job_name(docs.crawl), "a")
    assert run.success
    assert deletes(docs) == [docs.jobs[0].id]
    assert output_metadata(run)["jobs cancelled"] == 1
    assert output_metadata(run)["jobs that may still bill"] == 0
    assert [row["partitions"] for row in table(run)] == ["a"]
    [collected] = docs.tick_and_launch()
    assert docs.checks(collected) == [True]
    assert docs.published() == {"a"}
    assert len(docs.rows("succeeded", urls="a")) + len(docs.rows("failed", urls="a")) == 3
    assert {row["error_code"] for row in docs.rows("failed", urls="a")} == {"JOB_CANCELLED"}


def test_a_range_of_partitions_is_stopped_in_one_run(docs):
    docs.submit("a")
    docs.submit("b")
    assert docs.run(cancel_job_name(docs.crawl), "a", "b").success
    assert deletes(docs) == [job.id for job in docs.jobs]


def test_a_shared_job_is_stopped_once_and_names_everyone_whose_urls_it_holds(line, pages, held):
    del held
    docs = line({"a": pages.urls(1), "b": pages.urls(1)})
    docs.submit("a", "b")
    run = docs.run(cancel_job_name(docs.crawl), "b")
    assert len(deletes(docs)) == 1
    assert [row["partitions"] for row in table(run)] == ["a, b"]


def test_a_partition_without_open_jobs_needs_nothing(docs, held):
    held.release()
    docs.through("a")
    run = docs.run(cancel_job_name(docs.crawl), "a")
    assert run.success
    assert output_metadata(run)["jobs asked to stop"] == 0
    assert deletes(docs) == []


def test_a_crawl_without_partitions_has_its_jobs_stopped(line, pages, held):
    del held
    docs = line(crawl(pages.urls(2)))
    docs.submit()
    assert docs.run(cancel_job_name(docs.crawl)).success
    assert len(deletes(docs)) == 1


def test_without_a_partition_nothing_is_stopped(docs):
    docs.submit("a")
    job = docs.repository.get_job(cancel_job_name(docs.crawl))
    run = job.execute_in_process(instance=docs.instance, raise_on_error=False)
    assert not run.success
    assert deletes(docs) == []


def test_a_job_that_could_not_be_asked_about_fails_the_run_and_is_named(line, pages, spoiled):
    down = (Rule("status", method="DELETE", status=401), Rule("status", method="GET", status=401))
    docs = line(pages.urls(1), emulator=spoiled(*down, hold=True))
    docs.submit()
    run = docs.run(cancel_job_name(docs.crawl), "all")
    assert not run.success
    [event] = [event for event in run.all_events if event.event_type_value == "STEP_FAILURE"]
    failure = event.step_failure_data.user_failure_data
    assert docs.jobs[0].id in failure.description
    assert "may still bill" in failure.description
    assert isinstance(failure.metadata["jobs"], dg.TableMetadataValue)
