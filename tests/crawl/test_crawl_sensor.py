"""The job sensor: what a tick asks, what it requests, and what it survives."""

from unittest import mock

import dagster as dg
import pytest
from crawl_world import ALWAYS_DUE, RUN_KEY, crawl, one_partition, resource, until

from thunderbit_dagster.api.budget import MemoryBudget
from thunderbit_dagster.emulator import Rule
from thunderbit_dagster.jobs import poll
from thunderbit_dagster.polling.cursor import read_cursor
from thunderbit_dagster.polling.refused_key import KeyRefusedError
from thunderbit_dagster.runs.liveness import STALE_SECONDS


def test_a_job_shared_by_partitions_is_polled_once_a_tick_and_for_one_row(line, pages, held):
    docs = line(crawl({name: pages.urls(2) for name in "abcd"}, batch_size=4))
    docs.submit("a", "d")
    before = len(docs.emulator.requests)
    result = docs.tick()
    polls = docs.emulator.requests[before:]
    assert [(request.method, request.query) for request in polls] == [("GET", "page=0&pageSize=1")] * 2
    assert len(result.asset_events) == 2  # one change a job
    assert result.skip_message.startswith("2 batch job(s) are open")
    quiet = docs.tick()
    assert quiet.asset_events == []  # nothing changed, nothing is told
    assert quiet.skip_message.startswith("2 batch job(s) are open")
    held.release()
    docs.until_jobs_end()
    assert len(docs.tick().run_requests) == 1


def test_a_job_is_not_asked_before_it_can_be_done(line, pages, held):
    docs = line(pages.urls(50))
    docs.submit()
    before = len(docs.reads())
    waiting = docs.tick(after=1.0)
    assert len(docs.reads()) == before
    assert "1 batch job(s) are open; the next is asked in 0:00:0" in waiting.skip_message
    docs.tick(after=10.0)
    assert len(docs.reads()) == before + 1
    held.release()
    docs.until_jobs_end()


class SlowPoller(poll.Poller):
    """A tick whose time is over after its first poll."""

    def _poll(self, watched, number):
        seen = super()._poll(watched, number)
        self.stop_at = float("-inf")
        return seen


@pytest.mark.usefixtures("held")
def test_a_tick_out_of_time_is_continued_by_the_next_one_until_every_job_was_asked(line, pages):
    docs = line(one_partition(pages.urls(3), batch_size=1))
    docs.submit()
    with (
        mock.patch("thunderbit_dagster.polling.sensor.Poller", SlowPoller),
        mock.patch("thunderbit_dagster.polling.sensor.WORKERS", 1),
    ):
        asked = [len(docs.tick(after=1.0 if number else ALWAYS_DUE).asset_events) for number in range(3)]
    assert asked == [1, 1, 1]
    assert len({request.path for request in docs.emulator.requests[-3:]}) == 3
    assert docs.tick(after=1.0).asset_events == []
    assert read_cursor(docs.cursor).after is None


def test_a_tick_that_had_no_request_left_for_its_first_job_asks_it_in_the_next_one(line, pages, held):
    docs = line(pages.urls(1))
    docs.submit()
    held.release()
    docs.until_jobs_end()
    empty = MemoryBudget(1)
    assert empty.acquire("somebody else") == 0.0
    with mock.patch("thunderbit_dagster.api.client.SharedBudget", return_value=empty):
        assert docs.tick().skip_message.startswith("1 batch job(s) are open")
    assert docs.tick(after=1.0).run_requests


def test_a_revoked_key_fails_the_tick(line, pages, emulator):
    docs = line(pages.urls(1))
    docs.submit()
    docs.until_jobs_end()
    before = docs.cursor
    docs.thunderbit = resource(emulator, api_key="tb_" + "e" * 32)
    with pytest.raises(KeyRefusedError, match="API_KEY_NOT_FOUND"):
        docs.tick()
    assert docs.cursor == before
    docs.thunderbit = resource(emulator)
    assert docs.tick_and_launch()[0].success


def test_one_job_that_cannot_be_read_does_not_keep_the_others_from_being_asked(line, pages, spoiled):
    emulator = spoiled(Rule("status", method="GET", route="/batch/*", nth=(1,), status=400))
    docs = line(crawl({"a": pages.urls(1), "b": pages.urls(1)}, batch_size=1), emulator=emulator)
    docs.submit("a", "b")
    docs.until_jobs_end()
    assert len(docs.tick().asset_events) == 1
    runs = [run for _ in range(2) for run in docs.tick_and_launch()]
    assert docs.published() == {"a", "b"}
    assert all(run.success for run in runs)


DAILY = dg.DailyPartitionsDefinition("2026-11-01", end_date="2026-11-05")
SHAPES = {
    "another URL partition": lambda urls, name: crawl({"new": urls}, name=name),
    "a date more": lambda urls, name: crawl({"old": urls}, name=name, cadence=DAILY),
    "dates alone": lambda urls, name: crawl(urls, name=name, cadence=DAILY),
    "no partitions": lambda urls, name: crawl(urls, name=name),
}


@pytest.mark.parametrize("redefine", SHAPES.values(), ids=SHAPES.keys())
def test_open_submissions_of_partitions_that_a_redefined_crawl_lacks_are_ignored_with_a_warning(
    line, pages, capfd, redefine
):
    docs = line({"old": pages.urls(1)})
    docs.submit("old")
    docs.until_jobs_end()
    docs.crawls = [redefine(pages.urls(1), docs.crawl.name)]
    result = docs.tick()
    assert not result.run_requests
    assert result.skip_message == "No batch job is open."
    assert "partitions that no longer exist are ignored: old" in capfd.readouterr().err


def test_a_collect_run_that_fails_is_tried_three_times_with_growing_pauses(line, pages, tmp_path):
    docs = line(pages.urls(1))
    docs.submit()
    docs.until_jobs_end()
    obstacle = tmp_path / "data" / docs.crawl.name / "succeeded" / "urls=all"
    obstacle.parent.mkdir(parents=True)
    obstacle.write_text("")
    # A failure is stamped with our clock, which the sensor's is ahead of by what has passed before it.
    began = docs.ahead
    pauses = (ALWAYS_DUE, -80.0, 20.0, 160.0, 40.0, 100_000.0)
    attempts = [[run.success for run in docs.tick_and_launch(after=pause)] for pause in pauses]
    assert docs.ahead > began
    assert attempts == [[False], [], [False], [], [False], []]
    obstacle.unlink()
    assert docs.collect().success
    assert not docs.tick().run_requests


def test_a_sensor_that_waits_to_collect_again_says_so(line, pages, tmp_path):
    docs = line(pages.urls(1))
    docs.submit()
    docs.until_jobs_end()
    obstacle = tmp_path / "data" / docs.crawl.name / "succeeded" / "urls=all"
    obstacle.parent.mkdir(parents=True)
    obstacle.write_text("")
    [run] = docs.tick_and_launch(after=ALWAYS_DUE)
    assert not run.success
    waiting = docs.tick(after=-ALWAYS_DUE).skip_message
    assert waiting.startswith("No batch job is open. Collecting 1 partition(s) failed (see the collect runs)")
    assert "the next try is in 0:0" in waiting


def unfinished_run(docs, request):
    """The run of a request, queued or started by a daemon and never ended."""
    job = docs.repository.get_job(request.job_name)
    run = docs.instance.create_run_for_job(
        job, tags={**request.tags, RUN_KEY: request.run_key}, status=dg.DagsterRunStatus.STARTED
    )
    return docs.instance.get_run_by_id(run.run_id)


def test_nothing_is_requested_while_a_collect_run_is_under_way(line, pages):
    docs = line(pages.urls(1))
    docs.submit()
    docs.until_jobs_end()
    [request] = docs.tick().run_requests
    run = unfinished_run(docs, request)
    assert not docs.tick().run_requests
    docs.instance.report_run_failed(run)
    [again] = docs.tick().run_requests
    assert docs.launch(again).success


def test_a_collect_run_that_died_without_a_word_is_replaced(line, pages):
    docs = line(pages.urls(1))
    docs.submit()
    docs.until_jobs_end()
    [request] = docs.tick().run_requests
    unfinished_run(docs, request)
    runs = docs.tick_and_launch(after=STALE_SECONDS + ALWAYS_DUE)
    assert [run.success for run in runs] == [True], "the daemon dropped the request: its run key was used before"


@pytest.mark.parametrize("cursor", [None, "not json"])
def test_a_lost_cursor_is_rebuilt_from_the_event_log(line, pages, cursor):
    docs = line({"done": pages.urls(1), "open": pages.urls(1)})
    docs.through("done")
    docs.submit("open")
    docs.until_jobs_end()
    docs.cursor = cursor
    runs = docs.tick_and_launch()
    assert len(runs) == 1
    assert docs.published() == {"done", "open"}
    assert docs.posts == 2


def test_the_cursor_is_small_and_does_not_grow_with_the_jobs(line, pages):
    docs = line(one_partition(pages.urls(12), batch_size=1))
    docs.submit()
    docs.tick()
    assert len(docs.cursor) < 500
    docs.until_jobs_end()


def test_the_sensor_reads_on_from_where_everything_was_collected(line, pages):
    docs = line(pages.urls(1))
    docs.through()
    settled = read_cursor(docs.tick().cursor).low[docs.crawl.name]
    assert settled > 0
    assert settled >= docs.instance.fetch_materializations(docs.crawl.key("failed"), limit=1).records[0].storage_id


def test_partitions_of_one_run_are_collected_together_but_none_waits_long_for_the_others(line, pages, spoiled):
    emulator = spoiled(hold=True)
    docs = line(crawl({"a": pages.urls(1), "b": pages.urls(1)}, batch_size=1), emulator=emulator)
    docs.submit("a", "b")
    emulator.release(1)
    until(lambda: any(job.status.is_terminal for job in docs.jobs))
    assert not docs.tick(after=30.0).run_requests
    [request] = docs.tick(after=ALWAYS_DUE).run_requests
    assert request.partition_key in ("a", "b")


def test_a_clock_that_steps_back_does_not_stop_the_polling(line, pages, held):
    docs = line(pages.urls(1))
    docs.submit()
    docs.tick(after=3600)
    held.release()
    docs.until_jobs_end()
    docs.ahead = 0.0
    docs.tick(after=0.0)
    assert docs.tick(after=ALWAYS_DUE).run_requests
