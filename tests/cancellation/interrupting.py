"""Interrupting a run in the middle of its work, as Dagster does: by a signal, with or without a user's request."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from unittest import mock

import dagster as dg
from crawl_world import Line

from thunderbit_dagster.api.client import ThunderbitClient
from thunderbit_dagster.api.models import Job
from thunderbit_dagster.collection import asset
from thunderbit_dagster.collection.wait import Waiter

ACTIVE = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.NOT_STARTED]


def cancel_by_user(instance: dg.DagsterInstance) -> None:
    """What "Terminate" in the UI does: the wish is stored, then the process is told."""
    [run] = instance.get_runs(dg.RunsFilter(statuses=ACTIVE), limit=1)
    instance.report_run_canceling(run)
    signal.raise_signal(signal.SIGINT)


def evict(instance: dg.DagsterInstance) -> None:
    """What a platform does that takes a machine away: the process is told, and nobody else."""
    del instance
    signal.raise_signal(signal.SIGTERM)


@contextmanager
def interrupted_at_post(number: int, interrupt: Callable[[], None]) -> Iterator[None]:
    """An interrupt that comes when the API has accepted the POST of this number, before anyone knows of it."""
    posts, submit = [], ThunderbitClient.submit

    def interrupted(client: ThunderbitClient, *args: object, **options: object) -> Job:
        job = submit(client, *args, **options)
        posts.append(job)
        if len(posts) == number:
            interrupt()
        return job

    with mock.patch.object(ThunderbitClient, "submit", interrupted):
        yield


@contextmanager
def interrupted_while_waiting(line: Line, interrupt: Callable[[], None], finished: int = 0) -> Iterator[None]:
    """An interrupt that comes while a run waits for its jobs, of which so many pages are done."""

    def sleep(seconds: float) -> None:
        del seconds
        if finished:
            line.emulator.release(finished)
            stop_by = time.monotonic() + 20
            while line.jobs[-1].completed < finished and time.monotonic() < stop_by:
                time.sleep(0.005)
        interrupt()

    with mock.patch.object(asset, "Waiter", partial(Waiter, sleep=sleep)):
        yield


def interrupted_run(line: Line, launch: Callable[[], object]) -> dg.DagsterRun:
    """A run that is interrupted; as it is stored afterwards."""
    launch()
    return line.instance.get_runs(limit=1)[0]


def deletes(line: Line) -> list[str]:
    """The jobs for which DELETE was sent, as often as it was."""
    asked = line.emulator.requests[line._requests_before :]
    return [request.path.rsplit("/", 1)[-1] for request in asked if request.method == "DELETE"]


def said(line: Line, run_id: str) -> str:
    """Everything the run logged."""
    return "\n".join(entry.user_message for entry in line.instance.all_logs(run_id))
