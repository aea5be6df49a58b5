"""A step that is executed again while the first execution may live: neither sends what the other has sent."""

from __future__ import annotations

from types import SimpleNamespace

import dagster as dg
import pytest
from crawl_world import crawl

from thunderbit_dagster.runs.reexecution import PARENT_RUN_TAG
from thunderbit_dagster.runs.step_lock import SILENT_SECONDS, EarlierExecutions

pytestmark = pytest.mark.slow

TAG = "thunderbit/submitting_any"


@dg.job
def empty():
    pass


class Clock:
    """Time that passes by sleeping, and what happens at some of its seconds."""

    def __init__(self, events) -> None:
        self.now = 0.0
        self.events = dict(events)

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        self.events.pop(round(self.now), lambda: None)()


def waited(instance, run, events=()):
    """How long an execution for a run waits for those before it."""
    clock = Clock(events)
    context = SimpleNamespace(instance=instance, run=run, log=dg.get_dagster_logger())
    EarlierExecutions(context, TAG, "now", monotonic=clock.monotonic, sleep=clock.sleep).outwait()
    return clock.now


def started(instance, tags):
    run = instance.create_run_for_job(empty, tags=tags)
    instance.report_engine_event("begun", run)
    return instance.get_run_by_id(run.run_id)


def test_the_first_execution_waits_for_nobody(instance):
    assert waited(instance, started(instance, {})) == 0
    assert waited(instance, started(instance, {TAG: "done"})) == 0


def test_an_execution_before_it_that_is_silent_is_taken_for_dead(instance):
    assert waited(instance, started(instance, {TAG: "now"})) == SILENT_SECONDS


def test_one_that_writes_events_is_waited_for_until_it_has_ended(instance):
    run = started(instance, {TAG: "now"})
    events = {second: lambda: instance.report_engine_event("sent", run) for second in (20, 45, 70)}
    events[80] = lambda: instance.add_run_tags(run.run_id, {TAG: "done"})
    assert waited(instance, run, events) == 80


def test_the_run_that_is_repeated_is_waited_for(instance):
    parent = started(instance, {TAG: "now"})
    again = started(instance, {PARENT_RUN_TAG: parent.run_id})
    assert waited(instance, again) == SILENT_SECONDS
    instance.add_run_tags(parent.run_id, {TAG: "done"})
    assert waited(instance, again) == 0


def test_a_step_whose_run_is_over_sends_nothing_and_the_next_run_sends_everything(line, instance, pages, emulator):
    urls, dead = pages.urls(3), []

    def listed():
        if not dead:
            [run] = instance.get_runs(dg.RunsFilter(job_name=f"{docs.name}_submit"))
            instance.report_run_failed(run, "its process was taken for dead")
            dead.append(run)
        return urls

    docs = crawl({"all": listed}, batch_size=1)
    one, before = line(docs), len(emulator.jobs)
    assert not one.submit("all").success
    assert len(emulator.jobs) == before
    one.through("all")
    assert one.urls("succeeded") == urls
    assert len(emulator.jobs) == before + 3
