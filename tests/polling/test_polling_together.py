"""Two of everything: sensors, collect runs and clicks on one partition do no harm and pay once."""

import json
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest import mock

import dagster as dg
import pytest
from crawl_world import RUN_KEY, crawl, one_partition, until
from hypothesis import given
from hypothesis import strategies as st

from thunderbit_dagster.api.client import ThunderbitClient
from thunderbit_dagster.emulator import Rule
from thunderbit_dagster.partitions import URLS, Partition
from thunderbit_dagster.runs import lock
from thunderbit_dagster.runs.lock import Submitting, earlier_runs, locked_partitions, submitting_tag
from thunderbit_dagster.runs.partitions import range_tags


class OtherProcess:
    """Makes runs in another process, one after the other."""

    def __init__(self):
        child = [sys.executable, "-W", "ignore", str(Path(__file__).with_name("run_child.py"))]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(child, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)

    def tell(self, line):
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def ready(self, docs, job, *keys, wait_seconds=30.0):
        """A run that is ready to begin."""
        spec = {
            "home": docs.instance.root_directory,
            "root": str(docs.root),
            "base_url": docs.emulator.base_url,
            "key": docs.emulator.api_key,
            "name": docs.crawl.name,
            "urls": docs.crawl.urls,
            "job": job,
            "keys": keys,
            "wait_seconds": wait_seconds,
        }
        self.tell(json.dumps(spec))
        assert self.process.stdout.readline() == "ready\n"
        return self

    def begin(self):
        self.tell("go")

    def result(self):
        return json.loads(self.process.stdout.readline())


@pytest.fixture(scope="module")
def other_process():
    other = OtherProcess()
    with other.process:
        yield other
        other.process.kill()


@contextmanager
def in_the_middle_of_the_post(action):
    """Do something when the first POST is about to go out, its intent being recorded."""
    submit, done = ThunderbitClient.submit, []

    def paused(self, *args, **kwargs):
        if not done:
            done.append(True)
            action()
        return submit(self, *args, **kwargs)

    with mock.patch.object(ThunderbitClient, "submit", paused):
        yield


def sending(docs):
    """How many runs say that they are submitting."""
    wanted = dg.RunsFilter(tags={submitting_tag(docs.crawl): lock.SENDING}, statuses=lock.UNDER_WAY)
    return len(docs.instance.get_run_records(wanted))


def test_two_sensors_ask_for_the_same_runs_and_dagster_drops_the_second_ones(line, pages):
    docs = line(crawl({"a": pages.urls(1), "b": pages.urls(1)}))
    docs.submit("a", "b")
    docs.until_jobs_end()
    other = replace(docs)
    [first], [second] = docs.tick().run_requests, other.tick().run_requests
    assert first.run_key == second.run_key
    assert docs.launch(first).success
    assert other.launch(second) is None
    assert not docs.tick().run_requests
    assert not other.tick().run_requests
    assert docs.posts == 1


def test_two_collect_runs_of_one_partition_at_once_leave_one_whole_partition(line, pages, other_process):
    urls = [*pages.urls(30), *pages.urls(5, "missing")]
    docs = line(one_partition(urls))
    docs.submit()
    docs.until_jobs_end()
    other = other_process.ready(docs, "collect", "all")
    other.begin()
    assert docs.collect().success
    assert other.result()["success"]
    assert docs.urls("succeeded") == urls[:30]
    assert docs.urls("failed") == urls[30:]
    assert not docs.tick().run_requests
    assert docs.posts == 1


def test_of_two_clicks_on_one_partition_the_second_waits_and_goes_on_with_the_jobs_of_the_first(
    line, pages, other_process
):
    urls = pages.urls(3)
    docs = line(one_partition(urls))
    other = other_process.ready(docs, "submit", "all")

    def click_again():
        other.begin()
        until(lambda: sending(docs) == 2)

    with in_the_middle_of_the_post(click_again):
        assert docs.submit().success
    assert other.result()["success"]
    assert docs.posts == 1
    docs.until_jobs_end()
    docs.tick_and_launch()
    assert docs.urls("succeeded") == urls


def test_a_click_that_waits_too_long_fails_before_it_pays_and_names_the_other_run(line, pages, other_process):
    docs = line(crawl({"a": pages.urls(1), "b": pages.urls(1)}))
    results = []
    other = other_process.ready(docs, "submit", "a", "b", wait_seconds=0.0)

    def click_again():
        other.begin()
        results.append(other.result())

    with in_the_middle_of_the_post(click_again):
        first = docs.submit("a")
    assert first.success
    assert not results[0]["success"]
    assert f"run {first.run_id}, which started earlier, is submitting this partition" in results[0]["said"]
    assert docs.published("submissions") == {"a", "b"}, "the partition that nobody else sends is sent"
    assert docs.posts == 2


def earlier_run(docs, *, keys=("all",), state=lock.SENDING, status=dg.DagsterRunStatus.STARTED):
    """A run that announced itself, in some state."""
    where = {"dagster/partition": keys[0]} if len(keys) == 1 else range_tags(keys[0], keys[-1])
    run = dg.DagsterRun(job_name="any", status=status, tags={**where, submitting_tag(docs.crawl): state, RUN_KEY: "x"})
    docs.instance.add_run(run)
    return run


@pytest.mark.parametrize(
    ("state", "status", "blocks"),
    [
        (lock.SENDING, dg.DagsterRunStatus.STARTED, True),
        (lock.SENDING, dg.DagsterRunStatus.CANCELING, True),
        (lock.DONE, dg.DagsterRunStatus.STARTED, False),
        (lock.SENDING, dg.DagsterRunStatus.FAILURE, False),
        (lock.SENDING, dg.DagsterRunStatus.CANCELED, False),
        (lock.SENDING, dg.DagsterRunStatus.NOT_STARTED, False),
    ],
)
def test_only_a_run_that_is_still_sending_holds_others_back(*, line, pages, monkeypatch, state, status, blocks):
    monkeypatch.setattr(lock, "WAIT_SECONDS", 0.0)
    docs = line(one_partition(pages.urls(1)))
    earlier_run(docs, state=state, status=status)
    time.sleep(0.01)  # so that the runs have not started at the same moment
    assert docs.submit().success is not blocks
    assert docs.posts == (0 if blocks else 1)


def test_a_run_over_other_partitions_holds_nobody_back(line, pages, monkeypatch):
    monkeypatch.setattr(lock, "WAIT_SECONDS", 0.0)
    docs = line(crawl({name: pages.urls(1) for name in "abcd"}))
    earlier_run(docs, keys=("a", "b", "c"))
    assert docs.submit("d").success
    assert not docs.submit("c").success
    assert docs.posts == 1


def test_a_run_says_that_it_is_done_also_when_it_fails(line, pages):
    docs = line(one_partition(pages.urls(1)), Rule("status", method="POST", route="/batch/*", status=402))
    run = docs.submit()
    assert not run.success
    assert docs.instance.get_run_by_id(run.run_id).tags[submitting_tag(docs.crawl)] == lock.DONE


runs = st.builds(
    Submitting,
    st.uuids().map(str),
    st.floats(0, 5) | st.sampled_from([1.0, 2.0]),  # clocks are coarse: runs may have started at the same moment
    st.none() | st.frozensets(st.sampled_from("abc")),
)


@given(st.lists(runs, min_size=2, max_size=6, unique_by=lambda run: run.run_id))
def test_of_runs_that_see_each_other_exactly_one_sends_a_partition(together):
    partition = Partition("a", {URLS: "a"})
    wanting = [run for run in together if run.covers(partition)]
    free = [
        run
        for run in wanting
        if not locked_partitions([partition], earlier_runs(run, [one for one in wanting if one != run]))
    ]
    assert len(free) == min(1, len(wanting))
