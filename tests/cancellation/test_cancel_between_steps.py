"""A run that its user cancels between two of its steps, where no step is there to stop its jobs: the sensor does."""

from functools import partial
from unittest import mock

import dagster as dg
import pytest
from crawl_world import crawl
from interrupting import cancel_by_user, deletes, evict, interrupted_run

from thunderbit_dagster.api.client import ThunderbitClient
from thunderbit_dagster.collection import asset
from thunderbit_dagster.emulator import Rule


@pytest.fixture
def docs(line, pages, held):
    del held
    return line(crawl({"a": pages.urls(2), "b": pages.urls(2)}, batch_size=2))


def ended_between_steps(docs, end, *keys):
    """A run of all assets that is told to end when its URLs are sent and nothing is collected."""
    with mock.patch.object(asset, "CollectionRun", side_effect=lambda *_: end(docs.instance)):
        return interrupted_run(docs, partial(docs.materialize_all, *keys))


def test_the_jobs_are_cancelled_by_the_next_tick_each_once(docs):
    run = ended_between_steps(docs, cancel_by_user, "a", "b")
    assert run.status is dg.DagsterRunStatus.CANCELED
    assert deletes(docs) == []
    docs.tick(after=1.0)
    assert sorted(deletes(docs)) == sorted(job.id for job in docs.jobs)
    assert {job.status.value for job in docs.jobs} == {"CANCELLED"}
    runs = docs.tick_and_launch()
    assert [run.success for run in runs] == [True]
    assert docs.codes(urls="a") == [("CANCELLED", "JOB_CANCELLED", "job")] * 2
    assert len(deletes(docs)) == 2


def test_jobs_of_an_evicted_run_and_of_other_runs_go_on(docs):
    ended_between_steps(docs, evict, "a")
    ended_between_steps(docs, cancel_by_user, "b")
    docs.tick()
    assert deletes(docs) == [docs.jobs[1].id]
    assert docs.jobs[0].status.value == "PROCESSING"


def test_a_job_that_an_earlier_run_sent_is_not_cancelled_with_the_run_that_continued_it(line, pages, spoiled):
    broke = Rule("status", method="POST", nth=(2,), status=402)
    docs = line(crawl({"a": pages.urls(4)}, batch_size=2), emulator=spoiled(broke, hold=True))
    assert not docs.submit("a").success
    ended_between_steps(docs, cancel_by_user, "a")
    docs.tick()
    assert deletes(docs) == [docs.jobs[1].id]


def test_a_cancel_without_an_answer_is_asked_for_again_and_one_with_an_answer_is_not(line, pages, spoiled):
    deaf = Rule("status", method="DELETE", nth=(1,), status=503)
    docs = line(crawl({"a": pages.urls(1)}), emulator=spoiled(deaf, hold=True))
    ended_between_steps(docs, cancel_by_user, "a")
    for _ in range(4):
        docs.tick(after=1.0)
    assert len(deletes(docs)) == 2
    assert docs.jobs[0].status.value == "CANCELLED"


def test_a_job_that_goes_on_although_it_was_asked_to_stop_is_polled_and_not_asked_again(docs):
    ended_between_steps(docs, cancel_by_user, "a")
    asked = []

    def deaf(client, ref):
        asked.append(ref)
        return client.get_job(ref).job

    with mock.patch.object(ThunderbitClient, "cancel_job", deaf):
        for _ in range(3):
            docs.tick()
    assert len(asked) == 1
    assert len(docs.reads()) == 3
