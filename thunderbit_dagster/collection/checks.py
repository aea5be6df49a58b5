"""The ``conservation`` check: an audit of what lies in storage, apart from the step that wrote it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import dagster as dg

from thunderbit_dagster.api.requests import Extract
from thunderbit_dagster.collection.extract_check import LOOK_BACK, SCHEMA_DRIFT, drift_of
from thunderbit_dagster.collection.extract_check import result_of as drift_result
from thunderbit_dagster.crawl import Crawl
from thunderbit_dagster.ledger.log import LedgerReader
from thunderbit_dagster.ledger.records import Sealed
from thunderbit_dagster.partitions import UNPARTITIONED, Partition
from thunderbit_dagster.run import names_partitions, run_partitions
from thunderbit_dagster.storage.store import Pair, ParquetStore
from thunderbit_dagster.tables import table

CONSERVATION = "conservation"


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
        name=CONSERVATION,
        description="No URL is lost: every submitted one has its row in `succeeded` or `failed`, as counted in the "
        "files, and both tables are of the same submission. Anything else is an error.",
        additional_deps=[crawl.key("failed")],
    )
    def conservation(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        named = crawl.partitions_def is None or names_partitions(context.run)
        partitions = run_partitions(context, crawl) if named else stored_partitions(crawl, store)
        return result_of(audits_of(context.instance, crawl, store, partitions))

    return conservation


def audits_of(
    instance: dg.DagsterInstance, crawl: Crawl, store: ParquetStore, partitions: Sequence[Partition]
) -> list[Audit]:
    """The audits of some partitions, as they lie in storage now."""
    sealed = LedgerReader(instance, crawl).past([partition.key for partition in partitions]).sealed
    return [
        audit(partition, store.pair(crawl.name, partition.dimensions), sealed.get(partition.key))
        for partition in partitions
    ]


def audit_partitions(
    instance: dg.DagsterInstance, crawl: Crawl, store: ParquetStore, partitions: Sequence[Partition]
) -> Iterator[dg.AssetCheckEvaluation]:
    """The checks ``conservation`` and, of an extraction, ``schema_drift`` for some partitions, as events."""
    yield evaluation(crawl, CONSERVATION, result_of(audits_of(instance, crawl, store, partitions)))
    if isinstance(crawl.request, Extract):
        named = [partition.dimensions for partition in partitions]
        others = [one for one in store.partitions(crawl.name, "succeeded") if one not in named][-LOOK_BACK:]
        yield evaluation(crawl, SCHEMA_DRIFT, drift_result(drift_of(crawl, store, named, others)))


def evaluation(crawl: Crawl, name: str, result: dg.AssetCheckResult) -> dg.AssetCheckEvaluation:
    """A check's result as an event."""
    return dg.AssetCheckEvaluation(
        asset_key=crawl.key("succeeded"),
        check_name=name,
        passed=result.passed,
        severity=result.severity,
        metadata=result.metadata,
        description=result.description,
    )


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
        "partitions checked": len(audits),
    }
    fault_table = table({"partition": "string", "fault": "string"}, ((str(one.partition), one.fault) for one in faults))
    return dg.AssetCheckResult(
        passed=not faults,
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"{len(faults):,} of {len(audits):,} partitions do not add up" if faults else None,
        metadata={**numbers, **({"faults": fault_table} if faults else {})},
    )
