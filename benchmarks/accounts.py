"""The account as whoever measures sees it: a process to start, and a journal to read."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import httpx

from benchmarks.journal import Journal
from benchmarks.pages import Site

ROOT = Path(__file__).parents[1]


@contextmanager
def account(site: Site, plan: str, key: str) -> Iterator[str]:
    """An account in a process of its own; where it is."""
    given = {name: value for name, value in asdict(site).items() if value is not None}
    settings = [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]
    command = [sys.executable, "-m", "benchmarks.account", "--plan", plan, "--key", key, *settings]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment()) as process:
        try:
            yield process.stdout.readline().strip() if process.stdout else ""
        finally:
            process.terminate()


def end_in_order() -> None:
    """Let SIGTERM end this process as an exception would, so that it stops what it started."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def environment() -> dict[str, str]:
    """That of every process: nothing of the user's account, and no proxy in between."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("THUNDERBIT_")}
    return {**kept, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "PYTHONPATH": str(ROOT)}


def read_journal(origin: str) -> Journal:
    return Journal.read(httpx.get(f"{origin}/_account/journal", timeout=60.0, trust_env=False).json())
