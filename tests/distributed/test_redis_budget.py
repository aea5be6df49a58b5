"""Promise: the machines that name one Redis send together no more requests than the plan allows."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import crawl_world
import pytest
import services

from thunderbit_dagster.api.budget import PERIOD, MemoryBudget, RateLimit, load_window
from thunderbit_dagster.api.client import ThunderbitClient
from thunderbit_dagster.api.redis_budget import RedisBudget
from thunderbit_dagster.api.requests import Distill
from thunderbit_dagster.emulator import Emulator

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("services_are_installed")]

MACHINES = 3
"""Two workers and the daemon."""
LIMIT = 100
TAKE = """
import sys
from thunderbit_dagster.api.budget import MemoryBudget
from thunderbit_dagster.api.client import ThunderbitClient
from thunderbit_dagster.api.redis_budget import RedisBudget

budget = RedisBudget(sys.argv[1], "account", 100, fallback=MemoryBudget(1))
print(sum(budget.acquire(f"{sys.argv[2]}-{number}") == 0 for number in range(60)))
"""
POLL = """
import sys
from threading import Thread
from thunderbit_dagster.api.client import ThunderbitClient
from thunderbit_dagster.api.models import JobRef

base_url, key, budget_url, job = sys.argv[1:]
client = ThunderbitClient(key, base_url=base_url, requests_per_minute=100, budget_url=budget_url, max_wait=300)


def poll():
    while True:
        client.get_job(JobRef.parse(job))
        print("polled", flush=True)


for _ in range(8):
    Thread(target=poll).start()
"""


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory, services_are_installed: bool) -> Iterator[str]:
    assert services_are_installed
    with services.redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield f"{url}/2"


def started(code: str, *arguments: str, state: Path) -> subprocess.Popen[str]:
    """A process that shares no file with others, as on a machine of its own."""
    env = {**os.environ, "THUNDERBIT_STATE_DIR": str(state)}
    return subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True, env=env)


def printed(processes: list[subprocess.Popen[str]]) -> list[str]:
    """What each of them printed until its end."""
    return [process.communicate(timeout=60)[0] for process in processes]


def test_machines_that_ask_at_once_take_exactly_the_slots_there_are(redis_url: str, tmp_path: Path) -> None:
    taken = printed([started(TAKE, redis_url, str(one), state=tmp_path / str(one)) for one in range(MACHINES)])
    assert sum(map(int, taken)) == LIMIT


def test_two_workers_and_the_daemon_are_not_refused_after_the_first_window(redis_url: str, tmp_path: Path) -> None:
    with (
        crawl_world.Pages().serving() as pages,
        Emulator(plan="pro", credits=crawl_world.PLENTY, allow_origins=(pages.origin,), hold=True) as emulator,
    ):
        with ThunderbitClient(
            emulator.api_key, base_url=emulator.base_url, requests_per_minute=LIMIT, budget_url=redis_url
        ) as client:
            job = client.submit(pages.urls(1), Distill()).ref
        arguments = (emulator.base_url, emulator.api_key, redis_url, str(job))
        machines = [started(POLL, *arguments, state=tmp_path / f"m{one}") for one in range(MACHINES)]
        began = emulator.requests[0].at
        try:
            crawl_world.until(lambda: sum(one.at >= began + PERIOD for one in emulator.requests) >= LIMIT // 2, 120)
        finally:
            for machine in machines:
                machine.kill()
        polls = [text.count("polled") for text in printed(machines)]
        refused = [one for one in emulator.requests if one.status == 429 and one.at >= began + PERIOD]
        in_first = sum(one.status == 200 for one in emulator.requests if one.at < began + PERIOD)
    assert not refused
    assert all(polls), "every machine had a part of the requests"
    assert LIMIT - MACHINES <= in_first <= LIMIT, "the rate is used, too"


def test_the_key_of_the_window_leaves_with_it(redis_url: str) -> None:
    budget = RedisBudget(redis_url, "leaving", LIMIT, fallback=MemoryBudget(1))
    assert budget.acquire("a") == 0
    budget.observe(RateLimit(limit=LIMIT, remaining=40, reset=time.time() + 30))
    redis = budget._database.redis
    window = load_window(str(redis.get("thunderbit:budget:leaving")))
    assert window is not None
    assert window.remaining == 40
    assert 30 < redis.ttl("thunderbit:budget:leaving") < 10 * PERIOD


def test_without_redis_the_machine_counts_alone_and_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with services.redis_server(tmp_path) as url:
        budget = RedisBudget(url, "gone", LIMIT, fallback=MemoryBudget(2))
        assert budget.acquire("a") == 0
    with caplog.at_level(logging.WARNING):
        waits = [budget.acquire(name) for name in "bcd"]
    assert waits[:2] == [0, 0]
    assert waits[2] > 0
    assert [record.message.partition(" cannot")[0] for record in caplog.records] == [
        "The request budget in Redis at 127.0.0.1"
    ]
