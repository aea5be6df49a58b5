"""What the UI shows of a collected partition."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import dagster as dg
import pyarrow as pa

from thunderbit_dagster.catalog import column_schema
from thunderbit_dagster.collection.partition import JobReport, OutputReport, PartitionReport
from thunderbit_dagster.publishing import Metadata
from thunderbit_dagster.storage.schema import SucceededRow
from thunderbit_dagster.storage.writer import Published
from thunderbit_dagster.tables import table

PREVIEW_CHARACTERS = 160


def succeeded_metadata(report: PartitionReport, published: Published, schema: pa.Schema) -> Metadata:
    """Rows, credits, jobs and a preview."""
    used = [share for job in report.jobs if (share := job.credits_share) is not None]
    seconds = [job.seconds for job in report.jobs if job.seconds is not None]
    numbers: dict[str, float] = {
        "urls submitted": report.submitted,
        "success rate": round(report.succeeded / report.submitted, 4) if report.submitted else 1.0,
        "credits estimated": report.credits_estimated,
        "markdown characters": report.markdown_bytes,
        "rows sent twice by the API": report.duplicated,
        "rows of no URL of ours": report.foreign,
    }
    measured = _bill(sum(used), report.credits_estimated) if used else {}
    longest = {"longest job (s)": max(seconds)} if seconds else {}
    tables = {"jobs": job_table(report.jobs), "preview": _preview(report.preview)}
    output = _output(report.output) if report.output else {}
    return {**numbers, **output, **measured, **longest, **_table_metadata(published, schema), **tables}


def _output(report: OutputReport) -> Metadata:
    """How many extracted rows fit the schema, and which fields do not."""
    numbers = {
        "items": report.items,
        "invalid items": report.invalid_items,
        "pages with invalid output": report.invalid_pages,
        "values of fields outside the schema": report.unnamed.total(),
    }
    return {**numbers, **({"invalid output by field": fault_table(report.faults)} if report.faults else {})}


def fault_table(faults: Mapping[tuple[str, str], int]) -> dg.TableMetadataValue:
    """What does not fit the schema of an extraction, most frequent first."""
    rows = ((field, rule, count) for (field, rule), count in sorted(faults.items(), key=lambda one: -one[1]))
    return table({"field": "string", "rule": "string", "faults": "int"}, rows)


def _bill(used: float, estimated: int) -> dict[str, float]:
    """What the API says was used, and by how much that is over the price list (under it: negative)."""
    return {"credits used": round(used, 2), "credits drift": round(used - estimated, 2)}


def failed_metadata(report: PartitionReport, published: Published, schema: pa.Schema) -> Metadata:
    """Rows, failures by code, and the jobs."""
    by_class: dict[str, int] = {}
    for (_, error_class), count in report.failures.items():
        by_class[f"{error_class} failures"] = by_class.get(f"{error_class} failures", 0) + count
    tables = {"failures by code": failure_table(report), "jobs": job_table(report.jobs)}
    return {"urls submitted": report.submitted, **by_class, **_table_metadata(published, schema), **tables}


def _table_metadata(published: Published, schema: pa.Schema) -> Metadata:
    return {
        "dagster/row_count": published.rows,
        "dagster/partition_row_count": published.rows,
        "dagster/size_bytes": published.size_bytes,
        "dagster/uri": dg.MetadataValue.url(published.uri),
        "dagster/column_schema": column_schema(schema),
    }


def failure_table(report: PartitionReport) -> dg.TableMetadataValue:
    """Failures by code, most frequent first."""
    rows = ((code, error_class, count) for (code, error_class), count in report.failures.most_common())
    return table({"code": "string", "class": "string", "rows": "int"}, rows)


def job_table(jobs: Iterable[JobReport]) -> dg.TableMetadataValue:
    """The batch jobs, how they ended, how long they took and what they cost."""
    columns = {
        "job": "string",
        "status": "string",
        "urls of this partition": "int",
        "urls in the job": "int",
        "seconds": "float",
        "credits used": "int",
    }
    return table(columns, ((job.job, job.status, job.rows, job.size, job.seconds, job.credits_used) for job in jobs))


def _preview(rows: Iterable[SucceededRow]) -> dg.TableMetadataValue:
    columns = {"url": "string", "title": "string", "begins": "string"}
    return table(columns, ((row["url"], row.get("title"), _beginning(row)) for row in rows))


def _beginning(row: SucceededRow) -> str:
    """The start of the text on one line: page text must not break the UI."""
    text = row.get("markdown") or row.get("data") or ""
    printable = "".join(char if char.isprintable() else " " for char in text[: 4 * PREVIEW_CHARACTERS])
    return " ".join(printable.split())[:PREVIEW_CHARACTERS]
