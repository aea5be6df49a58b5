"""Whatever happens in whatever order: nothing is lost, nothing is paid twice, nothing published shrinks."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from crash_points import COLLECTING, SUBMITTING, TICKING, Crash
from crawl_world import Pages
from faulty_world import KEYS, STALE, CrashError, Rule, World, violations
from hypothesis import HealthCheck, Phase, event, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import FlakyStrategyDefinition
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from thunderbit_dagster.runs.names import submit_job_name

QUICK_EXAMPLES, QUICK_STEPS = 2, 20
"""The first example of Hypothesis is always the dullest: the same step again and again."""
# A crash leaves files open, and what Python does about them later meets the crash, too.
pytestmark = pytest.mark.filterwarnings(
    "ignore:unclosed file:ResourceWarning",
    "ignore:Exception ignored in. <function ParquetWriter.__del__:pytest.PytestUnraisableExceptionWarning",
)
SLOW_STEPS, SLOW_LENGTH = int(os.environ.get("RELIABILITY_STEPS", "2000")), 50
PARTS = 4
"""Tests, so that xdist begins with them before it comes to files of one test."""
ROUND = 10
"""Worlds of one seed."""
SEED = int(os.environ.get("RELIABILITY_SEED", "20261123"))

ranges = st.sampled_from([("a",), ("b",), ("c",), ("a", "b"), ("b", "c"), KEYS])
crashes = st.sampled_from(
    [f"{when} {step}" for step in (*SUBMITTING, *COLLECTING, *TICKING) for when in ("before", "after")]
)
LOSSES = ("drop_before", "drop_after", "garbage", "truncate")
SPOILT = ("rows_duplicated", "rows_shuffled", "rows_foreign", "completed_early", "job_lost", "status_word")


def boom() -> None:
    raise CrashError


class Machine(RuleBasedStateMachine):
    """One world; Hypothesis decides what happens in it."""

    pages: Pages
    steps = 0

    @initialize(policy=st.sampled_from(["wait", "fail", "resubmit"]), sizes=st.tuples(*[st.integers(0, 4)] * 3))
    def begin(self, policy, sizes):
        base = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - only quicker
        self.root = Path(tempfile.mkdtemp(prefix="reliability-", dir=base))
        self.running = World(self.root, self.pages, policy).running()
        self.world = self.running.__enter__()
        self.spare = self.pages.urls(6)
        self.is_held = self.has_second = False
        for key, size in zip(KEYS, sizes, strict=True):
            self.world.lists[key] = self.pages.urls(size)

    def _count(self):
        type(self).steps += 1

    # What people do

    @rule(keys=ranges)
    def submit(self, keys):
        self._count()
        event(f"submit {'ok' if self.world.submit(*keys) else 'failed'}")

    @precondition(lambda self: not self.is_held)
    @rule(keys=ranges)
    def collect_by_hand(self, keys):
        self._count()
        event(f"collect {'ok' if self.world.collect(*keys) else 'failed'}")

    @precondition(lambda self: not self.is_held)
    @rule(keys=ranges)
    def backfill(self, keys):
        self._count()
        self.world.backfill(*keys)

    @rule(keys=ranges)
    def re_execute(self, keys):
        """From the failure of the newest run of the submit job."""
        self._count()
        name = submit_job_name(self.world.line.crawl)
        runs = [run for run in self.world.instance.get_runs() if run.job_name == name and run.is_finished]
        keys = self.world.defined(keys)
        if runs:
            self.world.execute(name, keys, parent_run_id=runs[0].run_id, root_run_id=runs[0].run_id)

    @rule(
        key=st.sampled_from(KEYS),
        kind=st.sampled_from(["add", "spell", "repeat", "remove", "nonsense", "missing", "share", "turn"]),
        at=st.integers(0, 5),
    )
    def edit(self, key, kind, at):
        self._count()
        [key] = self.world.defined((key,))
        urls = self.world.lists[key]
        chosen = urls[at % len(urls)] if urls else None
        if kind == "add":
            urls.insert(min(at, len(urls)), self.pages.urls(1)[0])
        elif kind == "missing":
            urls.append(self.pages.urls(1, "missing")[0])
        elif kind == "share":
            urls.insert(0, self.spare[at])
        elif kind == "nonsense":
            urls.insert(0, ["nonsense", "ftp://example.org/x", "http://"][at % 3])
        elif kind == "turn":
            urls.reverse()
        elif chosen:
            {"repeat": urls.append, "spell": lambda url: urls.append(f"{url}#part"), "remove": urls.remove}[kind](
                chosen
            )

    @rule()
    def rotate_the_key(self):
        self._count()
        self.world.rotate_the_key()

    @rule(number=st.integers(1, len(KEYS)))
    def change_shards(self, number):
        self._count()
        self.world.change_shards(number)

    # Once a world: it crawls everything a second time.
    @precondition(lambda self: not self.is_held and not self.has_second)
    @rule(keys=ranges)
    def a_second_deployment(self, keys):
        self._count()
        self.has_second = True
        self.world.second_deployment(*keys)

    @rule(at=st.integers(0, 50))
    def delete_a_run(self, at):
        """Any run: finished, dead, or never begun."""
        self._count()
        if runs := self.world.instance.get_runs():
            self.world.delete(runs[at % len(runs)])

    # What the daemon does

    @rule(after=st.sampled_from([0.0, 30.0, 130.0, 130.0, STALE]))
    def tick(self, after):
        self._count()
        self.world.tick(after)

    @precondition(lambda self: not self.is_held)
    @rule(keys=ranges, times=st.integers(1, 3))
    def submit_and_tick(self, keys, times):
        """Jobs that have ended, and a daemon that is slow to start the runs it is asked for."""
        self._count()
        self.world.submit(*keys)
        self.world.line.until_jobs_end()
        for _ in range(times):
            self.world.tick(130.0)

    @precondition(lambda self: self.world.queue)
    @rule(at=st.integers(0, 5))
    def work(self, at):
        self._count()
        queue = self.world.queue
        self.world.work_on(queue.pop(at % len(queue)))

    @rule(seconds=st.sampled_from([-3_600.0, -60.0, 600.0, 20_000.0]))
    def step_the_clock(self, seconds):
        self._count()
        self.world.line.ahead += seconds

    @precondition(lambda self: self.world.dead)
    @rule()
    def find_the_dead(self):
        self._count()
        self.world.find_the_dead()

    @rule()
    def lose_the_cursor(self):
        self._count()
        self.world.line.cursor = None

    # What the API does

    @precondition(lambda self: not self.is_held)
    @rule()
    def let_pages_finish(self):
        self._count()
        self.world.line.until_jobs_end()

    @rule()
    def hold(self):
        self._count()
        self.is_held = True
        self.world.emulator.hold_pages()

    @precondition(lambda self: self.is_held)
    @rule(pages=st.sampled_from([1, 2, None, None]))
    def release(self, pages):
        self._count()
        self.world.emulator.release(pages)
        self.is_held = pages is not None

    @precondition(lambda self: self.world.line.jobs)
    @rule(at=st.integers(0, 20))
    def cancel(self, at):
        self._count()
        jobs = self.world.line.jobs
        self.world.cancel(jobs[at % len(jobs)])

    @precondition(lambda self: self.world.line.jobs)
    @rule(at=st.integers(0, 20), intent=st.booleans())
    def webhook(self, at, intent):
        self._count()
        jobs = self.world.line.jobs
        self.world.notify(jobs[-1 - at % len(jobs)], intent=intent)

    # What breaks

    @rule(action=st.sampled_from([*LOSSES, "402", "500"]), later=st.integers(0, 2))
    def break_a_submit(self, action, later):
        self._count()
        fault = Rule("status", status=int(action)) if action.isdigit() else Rule(action)
        self.world.post_faults.extend([*[Rule("delay")] * later, fault])

    @rule(action=st.sampled_from(SPOILT))
    def spoil_a_read(self, action):
        self._count()
        self.world.read_faults.append(Rule(action))

    @rule(point=crashes, nth=st.integers(1, 3), forever=st.booleans())
    def crash(self, point, nth, forever):
        """What is executed next meets its end there, if it gets there."""
        self._count()
        self.world.crash = Crash(point, nth, boom, forever=forever)

    @invariant()
    def everything_holds(self):
        if hasattr(self, "world"):
            self.world.check()

    def teardown(self):
        if not hasattr(self, "running"):
            return
        try:
            self.world.heal()
        finally:
            self.running.__exit__(None, None, None)
            shutil.rmtree(self.root, ignore_errors=True)


def run_machine(pages, *, examples, steps, begin=SEED) -> int:
    """So many worlds of so many steps each, by the seed; the number of steps taken."""
    machine = type("SeededMachine", (Machine,), {"pages": pages, "steps": 0})
    seed(begin)(machine)
    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        print_blob=True,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    violations.clear()
    # How far a page has come is a matter of time, so that the same choices are not always open again.
    with suppress(FlakyStrategyDefinition):
        run_state_machine_as_test(machine, settings=chosen)
    assert not violations
    gc.collect()  # what a crash left open is closed here, where nobody minds
    return machine.steps


def test_nothing_is_lost_or_paid_twice_whatever_happens_in_whatever_order(pages):
    """About 40 steps; the seed is `RELIABILITY_SEED`."""
    assert run_machine(pages, examples=QUICK_EXAMPLES, steps=QUICK_STEPS) > QUICK_STEPS


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_nothing_is_lost_or_paid_twice_in_two_thousand_steps(pages, part):
    """Two thousand steps, or `RELIABILITY_STEPS`, over all parts."""
    done, begin = 0, SEED + 1_000 * part
    while done < SLOW_STEPS / PARTS:
        taken = run_machine(pages, examples=ROUND, steps=SLOW_LENGTH, begin=begin)
        assert taken, "a round without a step"
        done, begin = done + taken, begin + 1
