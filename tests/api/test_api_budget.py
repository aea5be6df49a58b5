"""The request budget: its arithmetic, its queue, its file, and that processes really share it."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import stat
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st
from loopback import Clock

from thunderbit_dagster.api import ConfigurationError, MemoryBudget, RateLimit, SharedBudget
from thunderbit_dagster.api.budget import (
    PERIOD,
    Window,
    drop,
    dump_window,
    empty,
    fingerprint,
    fresh,
    learn,
    load_window,
    roll,
    take,
)
from thunderbit_dagster.api.shared_budget import private_directory

NOW = 1_700_000_000.0


def drain(window: Window, now: float, limit: int = 10_000) -> int:
    """How many slots a window hands out at one moment."""
    for count in range(limit):
        window, wait = take(window, now, f"drain{count}")
        if wait > 0:
            return count
    return limit


# Arithmetic.


def test_a_window_hands_out_its_limit_and_then_waits_for_its_end() -> None:
    window = fresh(3, NOW)
    for _ in range(3):
        window, wait = take(window, NOW + 1, "a")
        assert wait == 0
    window, wait = take(window, NOW + 10, "a")
    assert wait == PERIOD - 10
    window, wait = take(window, NOW + 60, "a")
    assert (wait, window.remaining) == (0, 2)


def test_within_one_window_the_smaller_count_holds() -> None:
    window, _ = take(replace(fresh(10, NOW), told=True), NOW, "a")
    less = learn(window, NOW, RateLimit(10, 4, window.reset))
    assert less.remaining == 4
    more = learn(less, NOW, RateLimit(10, 9, window.reset))
    assert more.remaining == 4


def test_a_guessed_window_yields_to_the_one_the_service_tells_of() -> None:
    window = fresh(10, NOW)
    for name in "abc":  # two more requests are under way while the first is answered
        window, _ = take(window, NOW, name)
    told = learn(window, NOW, RateLimit(100, 99, NOW + 20))
    assert (told.limit, told.remaining, told.reset, told.told) == (100, 97, NOW + 20, True)


def test_more_room_is_believed_only_up_to_what_the_service_says() -> None:
    assert drain(learn(fresh(10, NOW), NOW, RateLimit(100, 30, NOW + 20)), NOW) == 30


def test_a_new_window_of_the_service_counts_anew() -> None:
    used = replace(fresh(10, NOW), remaining=0, taken=10, told=True)
    assert learn(used, NOW + 58, RateLimit(10, 9, NOW + 118)).remaining == 9


def test_a_late_answer_about_an_old_window_changes_nothing() -> None:
    window = replace(fresh(10, NOW), told=True)
    assert learn(window, NOW + 5, RateLimit(10, 0, NOW + 10)) == replace(window, since=NOW + 5)


def test_headers_that_say_nothing_change_nothing() -> None:
    window = fresh(10, NOW)
    assert learn(window, NOW, RateLimit()) == window
    assert learn(window, NOW, RateLimit(0, None, NOW - 5)) == window


def test_a_refusal_holds_back_until_the_time_given_whatever_late_answers_say() -> None:
    window = empty(fresh(10, NOW), NOW, NOW + 30)
    window = learn(window, NOW, RateLimit(10, 8, NOW + 50))
    _, wait = take(window, NOW + 10, "a")
    assert wait == 20
    _, wait = take(window, NOW + 30, "a")
    assert wait == 0


def test_a_clock_that_steps_back_neither_frees_nor_blocks_for_longer() -> None:
    window, _ = take(fresh(1, NOW), NOW + 50, "a")
    back, wait = take(window, NOW - 86_400, "b")
    assert wait == 10
    assert back.reset == NOW - 86_400 + 10


def test_slots_go_in_the_order_of_asking() -> None:
    window, _ = take(fresh(1, NOW), NOW, "first")
    for name in "abc":
        window, wait = take(window, NOW + 1, name)
    assert wait == 59 + 2 * PERIOD  # two windows of one slot are spoken for
    later = NOW + 60
    window, wait = take(window, later, "newcomer")
    assert wait > 0
    window, wait = take(window, later, "a")
    assert wait == 0


def test_those_who_do_not_come_back_lose_their_place() -> None:
    window, _ = take(fresh(1, NOW), NOW, "first")
    window, wait = take(window, NOW, "gone")
    assert wait == 60
    _, wait = take(window, NOW + 60 + 5.1, "newcomer")
    assert wait == 0


def test_those_who_give_up_make_room() -> None:
    window, _ = take(fresh(1, NOW), NOW, "first")
    window, _ = take(window, NOW, "gives up")
    _, wait = take(drop(window, "gives up"), NOW + 60, "newcomer")
    assert wait == 0


windows = st.builds(
    lambda limit, used, since, lasts, told, shut: Window(
        limit, max(0, limit - used), used, since, since + lasts, told, shut and since + shut
    ),
    st.integers(1, 50),
    st.integers(0, 60),
    st.floats(1e9, 2e9),
    st.floats(0, 100),
    st.booleans(),
    st.just(0.0) | st.floats(0, 100),
)
seen = st.builds(
    RateLimit,
    st.none() | st.integers(0, 100),
    st.none() | st.integers(0, 100),
    st.none() | st.floats(0, 2e11),
)
shifts = st.floats(-1e6, 1e6)


@given(windows, seen, shifts)
def test_any_headers_leave_a_sound_window_that_never_blocks_for_ever(window, headers, shift) -> None:
    now = window.since + shift
    after = learn(window, now, headers)
    assert 0 <= after.remaining <= after.limit
    assert load_window(dump_window(after)) == after
    moment = now
    for _ in range(3):
        after, wait = take(after, moment, "me")
        if wait == 0:
            return
        moment += wait
    raise AssertionError("no slot after three waits")


@given(windows, shifts, st.integers(1, 5))
def test_no_window_hands_out_more_than_it_has(window, shift, workers) -> None:
    now = window.since + shift
    room = roll(window, now).remaining if now >= window.shut else 0
    if now < window.since:  # then all times move back with the clock
        room = roll(window, now).remaining if roll(window, now).shut <= now else 0
    taken = 0
    for turn in range(room + workers):
        window, wait = take(window, now, f"worker{turn}")
        taken += wait == 0
    assert taken == room


@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
def test_any_garbage_is_no_window(text: str) -> None:
    assert load_window(text) is None


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"limit": 0},
        {"limit": "x"},
        {"remaining": 11},
        {"remaining": -1},
        {"reset": 1e18},
        {"reset": float("nan")},
        {"shut": float("inf")},
        {"waiting": [["a", float("inf")]]},
        {"waiting": 5},
        {"since": None},
    ],
)
def test_states_beyond_reason_are_no_window(change: dict) -> None:
    state = json.loads(dump_window(fresh(10, NOW)))
    assert load_window(json.dumps(state)) is not None
    assert load_window(json.dumps({**state, **change})) is None


def test_headers_of_the_service() -> None:
    headers = {"x-ratelimit-limit": "10", "x-ratelimit-remaining": " 3 ", "x-ratelimit-reset": "1700000060000"}
    assert RateLimit.from_headers(headers) == RateLimit(10, 3, 1_700_000_060.0)
    odd = {"x-ratelimit-limit": "-1", "x-ratelimit-remaining": "²", "x-ratelimit-reset": "soon"}
    assert RateLimit.from_headers(odd) == RateLimit()


# The shared file.


def test_two_budgets_of_one_account_share_their_slots(tmp_path: Path, clock: Clock) -> None:
    one, two = (SharedBudget("acc1", 3, directory=tmp_path, clock=clock) for _ in range(2))
    other = SharedBudget("acc2", 3, directory=tmp_path, clock=clock)
    assert [budget.acquire("t") for budget in (one, two, one)] == [0, 0, 0]
    assert two.acquire("t") == PERIOD
    assert other.acquire("t") == 0
    one.exhaust(clock.now + 90)
    assert two.acquire("t") == 90
    clock.now += 90
    two.observe(RateLimit(100, 50, clock.now + 30))
    assert one.acquire("t") == 0


def test_the_file_is_private_and_names_no_key(tmp_path: Path, clock: Clock) -> None:
    key = "tb_0123456789abcdef0123456789abcdef"
    SharedBudget(fingerprint("https://e.test", key), directory=tmp_path, clock=clock).acquire("t")
    [directory] = tmp_path.iterdir()
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    for file in directory.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert key[3:] not in file.name + file.read_text()


def test_the_directory_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THUNDERBIT_STATE_DIR", str(tmp_path / "state"))
    assert private_directory().parent == tmp_path / "state"
    private_directory().chmod(0o755)
    assert stat.S_IMODE(private_directory().stat().st_mode) == 0o700


def test_a_link_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    target = private_directory(tmp_path / "real")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / target.name).symlink_to(target)
    with pytest.raises(OSError, match="not a directory of its own"):
        private_directory(tmp_path / "linked")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b'{"version": 1}'])
def test_a_damaged_file_starts_anew(tmp_path: Path, clock: Clock, content: bytes) -> None:
    budget = SharedBudget("acc", 2, directory=tmp_path, clock=clock)
    (private_directory(tmp_path) / "budget-acc.json").write_bytes(content)
    assert [budget.acquire("t") for _ in range(2)] == [0, 0]
    assert budget.acquire("t") > 0


def test_a_changed_setting_counts_after_an_idle_minute(tmp_path: Path, clock: Clock) -> None:
    SharedBudget("acc", 1, directory=tmp_path, clock=clock).acquire("t")
    clock.now += 2 * PERIOD + 1
    grown = SharedBudget("acc", 5, directory=tmp_path, clock=clock)
    assert [grown.acquire("t") for _ in range(5)] == [0] * 5


def test_without_a_place_to_share_the_budget_holds_for_the_process(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    budget = SharedBudget("acc", 2, directory=tmp_path / "file", clock=clock)
    with caplog.at_level(logging.WARNING):
        assert [budget.acquire("t") for _ in range(2)] == [0, 0]
        assert budget.acquire("t") == PERIOD
    assert caplog.text.count("not shared") == 1


def test_a_lock_that_stays_taken_asks_to_come_back(tmp_path: Path, clock: Clock) -> None:
    budget = SharedBudget("acc", 2, directory=tmp_path, clock=clock, lock_timeout=0.05)
    with FileLock(private_directory(tmp_path) / "budget-acc.lock"):
        assert 0 < budget.acquire("t") <= 1
        budget.observe(RateLimit(5, 5, clock.now + 5))
    assert budget.acquire("t") == 0


def test_a_lock_holder_that_dies_frees_the_lock(tmp_path: Path, clock: Clock) -> None:
    budget = SharedBudget("acc", 2, directory=tmp_path, clock=clock, lock_timeout=5)
    lock = private_directory(tmp_path) / "budget-acc.lock"
    code = f"import os; from filelock import FileLock; FileLock({str(lock)!r}).acquire(); os._exit(9)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert budget.acquire("t") == 0


def _slow_clock() -> float:
    """It is asked between reading and writing the file: without the lock, all four would be in there at once."""
    time.sleep(0.002)
    return NOW


def _worker(directory: str, account: str, ready: object, results: object) -> None:
    budget = SharedBudget(account, 20, directory=directory, clock=_slow_clock, lock_timeout=30)
    ready.wait()
    got = 0
    for turn in range(20):
        got += budget.acquire(f"{os.getpid()}-{turn}") == 0
    results.put(got)


def test_four_processes_take_exactly_the_slots_there_are(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["thunderbit_dagster.api.shared_budget"])
    ready, results = context.Barrier(4), context.Queue()
    workers = [context.Process(target=_worker, args=(str(tmp_path), "acc", ready, results)) for _ in range(4)]
    for worker in workers:
        worker.start()
    shares = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    assert sum(shares) == 20


@pytest.mark.parametrize("shared", [True, False])
def test_threads_take_exactly_the_slots_there_are(tmp_path: Path, clock: Clock, shared: bool) -> None:
    budget = SharedBudget("acc", 20, directory=tmp_path, clock=clock) if shared else MemoryBudget(20, clock=clock)
    got: list[int] = []

    def take_ten(name: int) -> None:
        got.append(sum(budget.acquire(f"{name}-{turn}") == 0 for turn in range(10)))

    threads = [threading.Thread(target=take_ten, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(got) == 20


def test_a_queue_of_many_stays_bounded(clock: Clock) -> None:
    budget = MemoryBudget(1, clock=clock)
    for turn in range(1200):
        budget.acquire(str(turn))
    assert len(budget.window.waiting) == 1000
    budget.forget("5")
    assert len(budget.window.waiting) == 999


def test_settings_are_checked() -> None:
    for make in (lambda: MemoryBudget(0), lambda: SharedBudget("a", 0), lambda: SharedBudget("../a", 1)):
        with pytest.raises(ConfigurationError):
            make()
