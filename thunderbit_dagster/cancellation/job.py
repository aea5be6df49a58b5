"""The Dagster job that stops the open batch jobs of a partition, from the UI or from code."""

import time

import dagster as dg

from thunderbit_dagster.cancellation.cancel import Canceller, Verdict, observation, report, verdict_table
from thunderbit_dagster.cancellation.known import KnownJob, of_partitions, read_jobs
from thunderbit_dagster.crawl import Crawl
from thunderbit_dagster.ledger.log import LedgerReader
from thunderbit_dagster.partitions import UNPARTITIONED, Partition
from thunderbit_dagster.publishing import Metadata
from thunderbit_dagster.resource import ThunderbitResource

RECENT_SECONDS = 7 * 86_400.0
"""Jobs older than this, and than twice the crawl's deadline, are not looked for."""
CANCEL_SECONDS = 1_800.0
SLOT_SECONDS = 120.0


def cancel_job_name(crawl: Crawl) -> str:
    """The job that stops a crawl's open batch jobs."""
    return f"{crawl.name}_cancel"


def recent(crawl: Crawl, now: float) -> float:
    """The Unix time after which a crawl's jobs are looked for."""
    return now - max(RECENT_SECONDS, 2 * crawl.job_deadline.total_seconds())


def build_cancel_job(crawl: Crawl, executor: dg.ExecutorDefinition) -> dg.JobDefinition:
    """The job ``{crawl}_cancel``: stops the open batch jobs of the partitions that it is launched for."""
    text = f"Stop the open batch jobs of {'a partition of ' if crawl.partitions_def else ''}the crawl `{crawl.name}`."

    @dg.op(
        name=f"{crawl.name}__cancel",
        description=text,
        out=dg.Out(dg.Nothing),
        tags={"kind": "thunderbit"},
    )
    def cancel(context: dg.OpExecutionContext, thunderbit: ThunderbitResource) -> None:
        CancelRun(context, crawl, thunderbit).execute()

    @dg.job(
        name=cancel_job_name(crawl),
        partitions_def=crawl.partitions_def,
        executor_def=executor,
        description=f"{text} What is finished is billed, kept, and collected by the sensor; a job that several "
        "partitions share stops for all of them.",
    )
    def cancel_partition() -> None:
        cancel()

    return cancel_partition


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
        report(self._context.log, verdicts)
        unheard = [verdict for verdict in verdicts if verdict.progress is None]
        if unheard:
            text = f"{len(unheard)} of {len(verdicts)} jobs could not be cancelled. {unheard[0]}"
            raise dg.Failure(text, metadata=dict(summary(verdicts)), allow_retries=False)
        self._context.add_output_metadata(dict(summary(verdicts)))

    def _partitions(self) -> list[Partition]:
        if self._crawl.partitions_def is None:
            return [UNPARTITIONED]
        if not self._context.has_partition_key and not self._context.has_partition_key_range:
            raise dg.Failure("Choose the partition whose batch jobs are to be cancelled.", allow_retries=False)
        return [self._crawl.partition(str(key)) for key in self._context.partition_keys]

    def _open_jobs(self) -> list[KnownJob]:
        partitions = self._partitions()
        jobs = read_jobs(LedgerReader(self._context.instance, self._crawl), recent(self._crawl, time.time()))
        return [job for job in of_partitions(jobs, partitions) if job.is_open]

    def _cancel(self, jobs: list[KnownJob]) -> list[Verdict]:
        verdicts = []
        with self._thunderbit.open_client(max_wait=SLOT_SECONDS) as client:
            canceller = Canceller(client, self._thunderbit.explain, time.monotonic() + CANCEL_SECONDS)
            for verdict in canceller.cancel_all(jobs):
                verdicts.append(verdict)
                if seen := observation(verdict, f"run {self._context.run_id}"):
                    self._context.log_event(seen)
        return verdicts


def summary(verdicts: list[Verdict]) -> Metadata:
    """Numbers, and a table of the jobs."""
    numbers = {
        "jobs asked to stop": len(verdicts),
        "jobs cancelled": sum(verdict.was_cancelled for verdict in verdicts),
        "jobs that may still bill": sum(verdict.may_still_bill for verdict in verdicts),
        "rows finished and kept": sum((v.progress.done or 0) for v in verdicts if v.progress),
    }
    return {**numbers, **({"jobs": verdict_table(verdicts)} if verdicts else {})}
