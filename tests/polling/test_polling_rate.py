"""Twenty jobs at once stay within the account's requests a minute, on the small plan and the middle one."""

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle

import pytest
from crawl_world import PLENTY

from thunderbit_dagster.api.client import ThunderbitClient
from thunderbit_dagster.api.codes import PLANS
from thunderbit_dagster.api.errors import BudgetExceededError
from thunderbit_dagster.api.requests import Distill
from thunderbit_dagster.api.shared_budget import SharedBudget
from thunderbit_dagster.emulator import Emulator

JOBS = 20
WINDOW = 60.0


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self):
        self.now = 1_780_000_000.0

    def time(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def emulator_of(plan, pages, **options):
    return Emulator(plan=plan, credits=PLENTY, allow_origins=(pages.origin,), hold=True, **options)


def refused_after_the_first_window(emulator):
    began = emulator.requests[0].at
    return [one for one in emulator.requests if one.status == 429 and one.at >= began + WINDOW]


def per_window(emulator):
    """Requests that were served in each minute since the first."""
    began = emulator.requests[0].at
    served = [int((one.at - began) // WINDOW) for one in emulator.requests if one.status != 429]
    return [served.count(minute) for minute in range(max(served) + 1)]


@pytest.mark.parametrize("guess", ["right", "too high"])
@pytest.mark.parametrize("plan", ["free", "pro"])
def test_twenty_jobs_of_two_processes_are_polled_without_a_refusal(plan, guess, pages, tmp_path):
    clock, limit = Clock(), PLANS[plan].requests_per_minute
    believed = limit if guess == "right" else 1_000
    with emulator_of(plan, pages, clock=clock.time) as emulator:
        clients = [
            ThunderbitClient(
                emulator.api_key,
                base_url=emulator.base_url,
                budget=SharedBudget("account", believed, directory=tmp_path, clock=clock.time),
                clock=clock.time,
                sleep=clock.sleep,
            )
            for _ in range(2)
        ]
        turns = cycle(clients)
        refs = [next(turns).submit([url], Distill()).ref for url in pages.urls(JOBS)]
        began = clock.now
        while clock.now < began + 5 * WINDOW:
            for ref in refs:
                next(turns).get_job(ref)
            clock.sleep(1.0)
        for client in clients:
            client.close()
        assert refused_after_the_first_window(emulator) == []
        if guess == "right":
            assert all(one.status != 429 for one in emulator.requests)
        assert max(per_window(emulator)) <= limit
        assert per_window(emulator)[1:-1] == [limit] * len(per_window(emulator)[1:-1]), "the rate is used, too"


@pytest.mark.slow
def test_twenty_jobs_polled_by_twenty_threads_for_two_minutes_are_not_refused_after_the_first_one(pages):
    with emulator_of("free", pages) as free, emulator_of("pro", pages) as pro, ThreadPoolExecutor(2 * JOBS) as pool:
        until, clients = time.monotonic() + 2.2 * WINDOW, []
        for emulator in (free, pro):
            client = ThunderbitClient(
                emulator.api_key,
                base_url=emulator.base_url,
                requests_per_minute=PLANS[emulator.settings.plan].requests_per_minute,
                max_wait=1.5 * WINDOW,
            )
            for url in pages.urls(JOBS):
                pool.submit(submit_and_poll, client, url, until)
            clients.append(client)
        pool.shutdown(wait=True)
        for client in clients:
            client.close()
        for emulator in (free, pro):
            print(emulator.settings.plan, per_window(emulator))  # noqa: T201
            assert refused_after_the_first_window(emulator) == []
            assert len(emulator.jobs) == JOBS or emulator is free


def submit_and_poll(client, url, until):
    try:
        ref = client.submit([url], Distill()).ref
        while time.monotonic() < until:
            client.get_job(ref)
            time.sleep(1.0)
    except BudgetExceededError:
        return
