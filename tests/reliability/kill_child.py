"""Runs a crawl in forked processes that die where they are told to; one request a line, as JSON.

The point is in the environment of the forked process, as `before intent:2`; nothing of the product reads it.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import dagster as dg
from crash_points import CURSOR, Crash
from crawl_world import Line, crawl, resource
from quick_dagster import quick_dagster

from thunderbit_dagster.ledger.event_log import LedgerReader

CRASH_AT = "RELIABILITY_CRASH_AT"
CHILD_ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1] / "shared")}
"""For whoever starts this file, or one that imports it, as a program of its own."""
KEYS = ("a", "b", "c")
NAME = "killed"
STALE = 2_000.0
PATIENCE = 30.0
UNDECIDED = 3
"""Exit code: a submit without a known answer waits for somebody to decide."""


class Account:
    """What a line wants to know of an emulator that another process runs."""

    def __init__(self, base_url: str, api_key: str) -> None:
        self.base_url, self.api_key = base_url, api_key
        self.jobs, self.requests = [], []


def open_instance(root: Path) -> dg.DagsterInstance:
    """Dagster's default storage, without the processes that keep what runs print."""
    home = root / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    quiet = {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}
    return dg.DagsterInstance.local_temp(str(home), overrides={"telemetry": {"enabled": False}, "compute_logs": quiet})


def declare(lists: dict[str, list[str]]):
    return crawl(lists, name=NAME, batch_size=2)


def crash_from_environment() -> Crash | None:
    text = os.environ.get(CRASH_AT)
    if not text:
        return None
    point, nth = text.rsplit(":", 1)
    return Crash(point, int(nth), lambda: os.kill(os.getpid(), signal.SIGKILL))


def to_the_end(line: Line, reader: LedgerReader, crash: Crash | None) -> int:
    """Submit what is not sent, then tick and collect until everything is published."""
    submissions, sealed = reader.submissions(KEYS), reader.sealed(KEYS)
    complete = {key for key in submissions if key in sealed and sealed[key].submission_id == submissions[key].id}
    begins = crash is not None or not submissions
    if (begins or complete != set(KEYS)) and not line.submit(*KEYS).success:
        return UNDECIDED
    stop_by = time.monotonic() + PATIENCE
    while time.monotonic() < stop_by:
        result = line.tick(130.0 if begins else STALE)
        if crash:
            crash.at("before", CURSOR)
            crash.at("after", CURSOR)
        for request in result.run_requests or []:
            line.launch(request)
        if all_collected(reader):
            line.tick(130.0)
            return 0
        time.sleep(0.02)
    return 1


def all_collected(reader: LedgerReader, keys: Sequence[str] = KEYS) -> bool:
    submissions, collected = reader.submissions(keys), reader.collected(keys)
    return all(key in collected and collected[key].submission_id == submissions[key].id for key in keys)


def live(wish: dict[str, object]) -> int:
    logging.disable(logging.CRITICAL)
    root = Path(wish["root"])
    account = Account(wish["base_url"], wish["api_key"])
    crash = crash_from_environment()
    with open_instance(root) as instance:
        declared = declare(wish["lists"])
        line = Line(instance, account, root, [declared], resource(account, on_lost_reply=wish["policy"]))
        reader = LedgerReader(instance, declared)
        cursor = root / "cursor"
        line.cursor = cursor.read_text() if cursor.exists() else None
        if wish["again"]:
            assert line.submit(*KEYS).success
        with crash.armed(instance) if crash else nullcontext():
            code = to_the_end(line, reader, crash)
        if line.cursor:
            cursor.write_text(line.cursor)
    return code


def fork(wish: dict[str, object]) -> int:
    """The exit code of a process that grants one wish; negative is the number of the signal that ended it."""
    pid = os.fork()
    if not pid:
        os.environ[CRASH_AT] = wish["crash_at"]
        code = 1
        try:
            code = live(wish)
        finally:
            sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def main() -> None:
    with quick_dagster():
        for request in sys.stdin:
            sys.stdout.write(f"{fork(json.loads(request))}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
