"""The ``conservation`` check: an audit of what lies in storage, apart from the step that wrote it."""

from dataclasses import dataclass

import dagster as dg

from thunderbit_dagster.crawl import Crawl
from thunderbit_dagster.ledger.log import LedgerReader
from thunderbit_dagster.ledger.records import Sealed
from thunderbit_dagster.partitions import UNPARTITIONED, Partition
from thunderbit_dagster.run import names_partitions, run_partitions
from thunderbit_dagster.storage.store import Pair, ParquetStore
from thunderbit_dagster.tables import table


@dataclass(frozen=True, slots=True)
class Audit:
    """One partition's counts, and what is wrong with them (None: nothing)."""

    partition: Partition
    submitted: int
    succeeded: int
    failed: int
    fault: str | None


def build_conservation_check(crawl: Crawl, store: ParquetStore) -> dg.AssetChecksDefinition:
    """Every submitted URL is in ``succeeded`` or ``failed``: read back from the Parquet footers.

    In a run it audits the run's partitions; executed on its own, every partition in storage.
    """

    @dg.asset_check(
        asset=crawl.key("succeeded"),
        name="conservation",
        description="Every submitted URL lies in `succeeded` or `failed`, and both tables are of one submission.",
        additional_deps=[crawl.key("failed")],
    )
    def conservation(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        named = crawl.partitions_def is None or names_partitions(context.run)
        partitions = run_partitions(context, crawl) if named else stored_partitions(crawl, store)
        sealed = LedgerReader(context.instance, crawl).past([one.key for one in partitions]).sealed
        audits = [
            audit(partition, store.pair(crawl.name, partition.dimensions), sealed.get(partition.key))
            for partition in partitions
        ]
        return result_of(audits)

    return conservation


def stored_partitions(crawl: Crawl, store: ParquetStore) -> list[Partition]:
    """The crawl's partitions that lie in storage."""
    keys = ["|".join(dims[name] for name in sorted(dims)) for dims in store.partitions(crawl.name, "succeeded")]
    return [crawl.partition(key) if key else UNPARTITIONED for key in keys]


def audit(partition: Partition, pair: Pair, sealed: Sealed | None) -> Audit:
    """Hold a published pair against what it says was submitted, and against the event log."""
    if pair.succeeded is None or pair.failed is None:
        return Audit(partition, 0, 0, 0, "the Parquet files are not there")
    succeeded, failed = pair.succeeded.num_rows, pair.failed.num_rows
    submitted = int(pair.succeeded.metadata.get("submitted", "-1"))
    same_submission = sealed is not None and sealed.submission_id == pair.submission_id
    faults = {
        "`succeeded` and `failed` are of different submissions; collect this partition again": not pair.consistent,
        f"{submitted} URLs were submitted, {succeeded} + {failed} rows are there": submitted != succeeded + failed,
        "the event log counts other submitted URLs than the files": same_submission
        and sealed is not None
        and sealed.total != submitted,
    }
    return Audit(partition, submitted, succeeded, failed, next((text for text, wrong in faults.items() if wrong), None))


def result_of(audits: list[Audit]) -> dg.AssetCheckResult:
    """The check's result, with numbers that plot and the faults by partition."""
    faults = [one for one in audits if one.fault]
    numbers = {
        "urls submitted": sum(one.submitted for one in audits),
        "rows succeeded": sum(one.succeeded for one in audits),
        "rows failed": sum(one.failed for one in audits),
        "partitions audited": len(audits),
    }
    fault_table = table({"partition": "string", "fault": "string"}, ((str(one.partition), one.fault) for one in faults))
    return dg.AssetCheckResult(
        passed=not faults,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={**numbers, **({"faults": fault_table} if faults else {})},
    )
