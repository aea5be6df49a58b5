"""What an interrupted step does about its batch jobs.

Dagster raises the same exception when a user cancels the run and when the run's worker is evicted; the run's
stored status tells them apart. A cancelled run stops the jobs it has paid for; an evicted one leaves them
alone, and the next attempt continues with them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import dagster as dg

from thunderbit_dagster.api.retry import RetryPolicy
from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.jobs.cancel import Canceller, CancelVerdict, cancel_observation, log_verdicts
from thunderbit_dagster.jobs.open_jobs import KnownJob, of_runs, read_jobs
from thunderbit_dagster.ledger.event_log import CLOCK_SLACK_SECONDS, LedgerReader
from thunderbit_dagster.resource import ThunderbitResource
from thunderbit_dagster.runs.partitions import Step
from thunderbit_dagster.runs.reexecution import reexecutions_of
from thunderbit_dagster.runs.signals import hold_interrupts

_CANCEL_SECONDS = 15.0
"""Time for all requests to stop; container platforms kill a process some 30 s after they interrupt it."""
REQUEST_SECONDS = 5.0


def is_cancelled(status: dg.DagsterRunStatus | None) -> bool:
    """Whether an interrupted run was cancelled, by a user or on Dagster's own account.

    Any other status, or a run that was deleted, means that only its process was told to end.
    """
    return status in (dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED)


@contextmanager
def stopping_jobs(
    context: Step,
    crawl: Crawl,
    thunderbit: ThunderbitResource,
    *,
    waiting_for: Callable[[], set[str]] = set,
    after_cancel: Callable[[], None] = lambda: None,
) -> Iterator[None]:
    """Around a step's work: when it is interrupted, its jobs are stopped or left alone as the run's status says.

    Args:
        context: The step.
        crawl: Whose jobs these are.
        thunderbit: The API.
        waiting_for: Jobs that the step waits for, whoever submitted them.
        after_cancel: What a cancelled step does last, its jobs being stopped.
    """
    try:
        yield
    except dg.DagsterExecutionInterruptedError:
        with hold_interrupts():
            step = InterruptedStep(context, crawl, thunderbit, waiting_for())
            if step.settle():
                after_cancel()
        raise


@dataclass
class InterruptedStep:
    """A step that was told to end."""

    context: Step
    crawl: Crawl
    thunderbit: ThunderbitResource
    waiting_for: set[str]

    def settle(self) -> bool:
        """Stop the step's jobs if the run was cancelled; whether it was."""
        run = self.context.instance.get_run_by_id(self.context.run.run_id)
        jobs = self._open_jobs()
        names = ", ".join(job.watched.job for job in jobs) or "none"
        if not is_cancelled(run.status if run else None):
            self.context.log.warning(
                "The run's process was told to end, but nobody cancelled the run: its batch jobs are left alone and go "
                "on (%s). Retry or re-execute the run, or launch a new one: it continues with them",
                names,
            )
            return False
        self.context.log.info("The run was cancelled: %d open batch job(s) to stop (%s)", len(jobs), names)
        log_verdicts(self.context.log, self._cancel(jobs))
        return True

    def _cancel(self, jobs: list[KnownJob]) -> list[CancelVerdict]:
        verdicts = []
        stop_at = time.monotonic() + _CANCEL_SECONDS
        with self.thunderbit.open_client(
            max_wait=REQUEST_SECONDS, request_timeout=REQUEST_SECONDS, retry=RetryPolicy(attempts=1)
        ) as client:
            for verdict in Canceller(client, self.thunderbit.explain, stop_at).cancel_all(jobs):
                verdicts.append(verdict)
                if seen := cancel_observation(verdict, f"cancelled run {self.context.run.run_id}"):
                    self.context.instance.report_runless_asset_event(seen)
        return verdicts

    def _open_jobs(self) -> list[KnownJob]:
        """The open jobs that the run, or the attempts it continues, submitted, and those that the step waits for."""
        attempts = reexecutions_of(self.context.instance, self.context.run.run_id)
        began = attempts.began
        reader = LedgerReader(self.context.instance, self.crawl)
        if self.waiting_for:
            began = min(began, time.time() - self.crawl.job_deadline.total_seconds())
        jobs = read_jobs(reader, began - CLOCK_SLACK_SECONDS)
        own = {job.watched.job for job in of_runs(jobs, attempts.run_ids)}
        return [job for job in jobs if job.is_open and job.watched.job in own | self.waiting_for]
