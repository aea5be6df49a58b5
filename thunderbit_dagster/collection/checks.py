"""The ``conservation`` check: an audit of what lies in storage, apart from the step that wrote it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import dagster as dg

from thunderbit_dagster.api.requests import Extract
from thunderbit_dagster.collection.check_names import CONSERVATION, SCHEMA_DRIFT
from thunderbit_dagster.collection.extract_check import LOOK_BACK, drift_of, drift_result
from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.ledger.event_log import LedgerReader
from thunderbit_dagster.ledger.records import Sealed
from thunderbit_dagster.metadata.tables import table
from thunderbit_dagster.partitions import UNPARTITIONED, Partition
from thunderbit_dagster.storage.store import Pair, ParquetStore


@dataclass(frozen=True, slots=True)
class Audit:
    """One partition's counts, and what is wrong with them (None: nothing)."""

    partition: Partition
    submitted: int
    succeeded: int
    failed: int
    fault: str | None


def audits_of(
    instance: dg.DagsterInstance, crawl: Crawl, store: ParquetStore, partitions: Sequence[Partition]
) -> list[Audit]:
    """The audits of some partitions, as they lie in storage now."""
    sealed = LedgerReader(instance, crawl).readable_sealed([partition.key for partition in partitions])
    return [
        audit(partition, store.pair(crawl.name, partition.dimensions), sealed.get(partition.key))
        for partition in partitions
    ]


def audit_partitions(
    instance: dg.DagsterInstance, crawl: Crawl, store: ParquetStore, partitions: Sequence[Partition]
) -> Iterator[dg.AssetCheckEvaluation]:
    """The checks ``conservation`` and, of an extraction, ``schema_drift`` for some partitions, as events."""
    yield evaluation(crawl, CONSERVATION, conservation_result(audits_of(instance, crawl, store, partitions)))
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
        return Audit(partition, 0, 0, 0, "the Parquet files are missing")
    succeeded, failed = pair.succeeded.num_rows, pair.failed.num_rows
    submitted = int(pair.succeeded.metadata.get("submitted", "-1"))
    same_submission = sealed is not None and sealed.submission_id == pair.submission_id
    faults = {
        "`succeeded` and `failed` belong to different submissions; collect this partition again": not pair.consistent,
        f"{submitted} URLs were submitted, but there are {succeeded} + {failed} rows": submitted != succeeded + failed,
        "the event log and the files count different numbers of submitted URLs": same_submission
        and sealed is not None
        and sealed.total != submitted,
    }
    return Audit(partition, submitted, succeeded, failed, next((text for text, wrong in faults.items() if wrong), None))


def conservation_result(audits: list[Audit]) -> dg.AssetCheckResult:
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
