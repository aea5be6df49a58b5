"""Nobody waits in a run when the job sensor ticks; with the sensor off, "Materialize all" waits itself."""

import time
from functools import partial
from unittest import mock

import pytest
from crawl_world import crawl, until, waits
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import InProcessCodeLocationOrigin, RemoteInstigatorOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, SensorInstigatorData
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from thunderbit_dagster.collection import asset
from thunderbit_dagster.collection.wait import Waiter
from thunderbit_dagster.runs.names import SENSOR_NAME

BACKFILL = {"dagster/backfill": "abcdefgh"}


def record_sensor(instance, status, ticked):
    """The state of the job sensor as the daemon keeps it after a tick."""
    location = InProcessCodeLocationOrigin(LoadableTargetOrigin(python_file="definitions.py"), location_name="crawls")
    origin = RemoteInstigatorOrigin(
        repository_origin=RemoteRepositoryOrigin(code_location_origin=location, repository_name="__repository__"),
        instigator_name=SENSOR_NAME,
    )
    data = SensorInstigatorData(last_tick_timestamp=ticked, min_interval=30)
    instance.add_instigator_state(InstigatorState(origin, InstigatorType.SENSOR, status, data))


def test_materialize_all_with_the_sensor_off_waits_for_its_jobs_and_publishes(line, pages, held, own_instance):
    urls = [*pages.urls(3), *pages.urls(1, "missing")]
    docs = line(urls, instance=own_instance)
    with waits(docs) as slept:
        run = docs.materialize_all()
    assert run.success
    assert docs.checks(run) == [True]
    assert docs.urls("succeeded") == urls[:3]
    assert docs.urls("failed") == urls[3:]
    assert docs.posts == 1
    assert 0 < sum(slept) <= 15
    assert held.jobs[-1].status.is_terminal


def test_the_log_begins_with_the_url_of_the_job_and_tells_each_state_once(line, pages, held, own_instance):
    docs = line(pages.urls(3), instance=own_instance)
    with waits(docs):
        run = docs.materialize_all()
    job = f"batch/distill/{docs.jobs[0].id}"
    told = [entry.user_message for entry in own_instance.all_logs(run.run_id) if not entry.is_dagster_event]
    about_jobs = [text for text in told if "batch" in text and "asking again" not in text]
    assert about_jobs == [
        f"{held.base_url}/{job} submitted: 3 URLs of 1 partition(s)",
        f"{job.removeprefix('batch/')} is PROCESSING (0 of 3 rows)",
        "Waiting for 1 running batch job(s)",
        f"{job.removeprefix('batch/')} is COMPLETED (3 of 3 rows)",
        f"{job.removeprefix('batch/')}: 3 of 3 rows read, 0 missing",
    ]


@pytest.mark.parametrize(
    ("status", "ticked_ago", "tags"),
    [
        (InstigatorStatus.STOPPED, 1, {}),
        (InstigatorStatus.RUNNING, 3600, {}),
        (InstigatorStatus.RUNNING, 1, BACKFILL),
    ],
    ids=["sensor stopped", "daemon dead for an hour", "run of a backfill"],
)
@pytest.mark.usefixtures("held")
def test_a_run_waits_when_the_sensor_does_not_tick_or_a_backfill_asks(
    *, line, pages, own_instance, status, ticked_ago, tags
):
    docs = line(pages.urls(1), instance=own_instance)
    record_sensor(own_instance, status, time.time() - ticked_ago)
    with waits(docs) as slept:
        run = docs.materialize_all(tags=tags)
    assert run.success
    assert slept
    assert docs.published() == {"all"}


def test_with_the_sensor_ticking_a_run_ends_at_once_and_the_sensor_has_the_rest_collected(
    line, pages, held, own_instance
):
    docs = line({"a": pages.urls(1), "b": pages.urls(1)}, instance=own_instance)
    record_sensor(own_instance, InstigatorStatus.RUNNING, time.time())
    with waits(docs) as slept:
        run = docs.materialize_all("a", "b")
    assert run.success
    assert slept == []
    assert docs.published("submissions") == {"a", "b"}
    assert docs.published("succeeded") == docs.published("failed") == set()
    assert docs.checks(run) == []

    held.release()
    docs.until_jobs_end()
    [collected] = docs.tick_and_launch()
    assert collected.success
    assert docs.published("succeeded") == docs.published("failed") == {"a", "b"}
    assert docs.posts == 1


def test_partitions_whose_jobs_are_done_are_published_by_a_run_that_leaves_the_others_to_the_sensor(
    line, pages, held, own_instance
):
    docs = line(crawl({"done": pages.urls(1), "running": pages.urls(1)}), instance=own_instance)
    record_sensor(own_instance, InstigatorStatus.RUNNING, time.time())
    held.release()
    docs.submit("done")
    docs.until_jobs_end()
    held.hold_pages()
    docs.submit("running")
    run = docs.collect("done", "running")
    assert run.success
    assert docs.published("succeeded") == docs.published("failed") == {"done"}

    held.release()
    docs.until_jobs_end()
    [collected] = docs.tick_and_launch()
    assert collected.success
    assert docs.published("failed") == {"done", "running"}


def test_a_job_past_its_deadline_is_given_up_by_a_waiting_run_with_its_finished_rows_kept(
    line, pages, spoiled, own_instance
):
    emulator = spoiled(hold=True)
    docs = line(pages.urls(3), emulator=emulator, instance=own_instance)
    now = [time.time()]

    def sleep(seconds):
        now[0] += max(seconds, 3600.0)
        if emulator.jobs[0].completed == 0:
            emulator.release(1)
            until(lambda: emulator.jobs[0].completed == 1)

    with mock.patch.object(asset, "Waiter", partial(Waiter, clock=lambda: now[0], sleep=sleep)):
        run = docs.materialize_all()
    assert run.success
    assert docs.codes() == [("NOT_FINISHED", "NOT_FINISHED", "job")] * 2
    assert len(docs.rows("succeeded")) == 1
