"""A run that waits for its jobs itself keeps to the deadline, also when the API cannot be reached."""

import logging

from crawl_world import PLENTY
from polling_world import KEY, job_name

from thunderbit_dagster.api.budget import MemoryBudget
from thunderbit_dagster.api.client import ThunderbitClient
from thunderbit_dagster.api.retry import RetryPolicy
from thunderbit_dagster.collection.wait import Waiter
from thunderbit_dagster.jobs.state import JobState

NOW = 1_780_000_000.0
NOWHERE = "http://127.0.0.1:9/openapi/v1"


def waited(base_url, kinds):
    """What becomes of jobs within an hour, and how long was waited."""
    clock, told = [NOW], []

    def sleep(seconds):
        clock[0] += seconds

    with ThunderbitClient(KEY, base_url=base_url, budget=MemoryBudget(PLENTY), retry=RetryPolicy(attempts=1)) as client:
        waiter = Waiter(client, logging.getLogger("test"), 3_600.0, told.append, clock=lambda: clock[0], sleep=sleep)
        jobs = {job_name(n, kind): JobState(job_name(n, kind), 10, NOW) for n, kind in enumerate(kinds)}
        waiter.wait(waiter.look(jobs))
    return {one.job: one.status for one in told}, clock[0] - NOW


def test_an_api_out_of_reach_is_waited_for_until_the_deadline_and_no_longer():
    ends, seconds = waited(NOWHERE, ["running", "running"])
    assert set(ends.values()) == {"EXPIRED"}
    assert len(ends) == 2
    assert 3_600 <= seconds < 3_600 + 300


def test_broken_jobs_are_given_up_at_the_deadline_and_the_others_are_not(api):
    kinds = ["done", "error", "garbage", "gone", "running"]
    ends, seconds = waited(api.base_url, kinds)
    assert [ends[job_name(n, kind)] for n, kind in enumerate(kinds)] == [
        "COMPLETED",
        "EXPIRED",
        "EXPIRED",
        "LOST",
        "EXPIRED",
    ]
    assert 3_600 <= seconds < 3_600 + 300
