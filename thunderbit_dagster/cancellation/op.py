"""What a run of the job that stops open batch jobs does."""

import time

import dagster as dg

from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.jobs.cancel import Canceller, CancelVerdict, cancel_observation, log_verdicts, verdict_table
from thunderbit_dagster.jobs.open_jobs import KnownJob, of_partitions, open_jobs
from thunderbit_dagster.ledger.asset_events import Metadata
from thunderbit_dagster.partitions import UNPARTITIONED, Partition
from thunderbit_dagster.resource import ThunderbitResource

_CANCEL_SECONDS = 1_800.0
SLOT_SECONDS = 120.0


class CancelRun:
    """One run of the job, over its partitions."""

    def __init__(self, context: dg.OpExecutionContext, crawl: Crawl, thunderbit: ThunderbitResource) -> None:
        self._context = context
        self._crawl = crawl
        self._thunderbit = thunderbit

    def execute(self) -> None:
        """Stop the jobs and tell what became of each.

        Raises:
            dagster.Failure: no partition was named, or the API could not be asked about some job.
        """
        verdicts = self._cancel(self._open_jobs())
        log_verdicts(self._context.log, verdicts)
        unheard = [verdict for verdict in verdicts if verdict.progress is None]
        if unheard:
            text = f"{len(unheard)} of {len(verdicts)} jobs could not be cancelled. {unheard[0]}"
            raise dg.Failure(text, metadata=dict(cancel_summary(verdicts)), allow_retries=False)
        self._context.add_output_metadata(dict(cancel_summary(verdicts)))

    def _partitions(self) -> list[Partition]:
        if self._crawl.partitions_def is None:
            return [UNPARTITIONED]
        if not self._context.has_partition_key and not self._context.has_partition_key_range:
            raise dg.Failure("Choose the partition whose batch jobs you want to cancel.", allow_retries=False)
        return [self._crawl.partition(str(key)) for key in self._context.partition_keys]

    def _open_jobs(self) -> list[KnownJob]:
        partitions = self._partitions()
        return of_partitions(open_jobs(self._context.instance, [self._crawl], time.time()), partitions)

    def _cancel(self, jobs: list[KnownJob]) -> list[CancelVerdict]:
        verdicts = []
        with self._thunderbit.open_client(max_wait=SLOT_SECONDS) as client:
            canceller = Canceller(client, self._thunderbit.explain, time.monotonic() + _CANCEL_SECONDS)
            for verdict in canceller.cancel_all(jobs):
                verdicts.append(verdict)
                if seen := cancel_observation(verdict, f"run {self._context.run_id}"):
                    self._context.instance.report_runless_asset_event(seen)
        return verdicts


def cancel_summary(verdicts: list[CancelVerdict]) -> Metadata:
    """Numbers, and a table of the jobs."""
    numbers = {
        "jobs asked to stop": len(verdicts),
        "jobs cancelled": sum(verdict.was_cancelled for verdict in verdicts),
        "jobs that may still bill": sum(verdict.may_still_bill for verdict in verdicts),
        "rows finished and kept": sum((v.progress.done or 0) for v in verdicts if v.progress),
    }
    return {**numbers, **({"jobs": verdict_table(verdicts)} if verdicts else {})}
