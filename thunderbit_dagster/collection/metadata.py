"""What the UI shows of a collected partition."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dagster as dg

from thunderbit_dagster.collection.partition_writer import JobReport, OutputReport, PartitionReport
from thunderbit_dagster.ledger.asset_events import Metadata
from thunderbit_dagster.metadata.catalog import column_schema
from thunderbit_dagster.metadata.tables import table
from thunderbit_dagster.storage.schema import SucceededRow
from thunderbit_dagster.storage.writer import Published
from thunderbit_dagster.urls import host_of

if TYPE_CHECKING:
    import pyarrow as pa

PREVIEW_CHARACTERS = 160
# With at most 20 rows a table, these keep the event small whatever the API answers.
URL_CHARACTERS = 300
HOST_CHARACTERS = 100
CODE_CHARACTERS = 60
_MESSAGE_CHARACTERS = 160
HOST_ROWS = 20


@dataclass(frozen=True, slots=True)
class Written:
    """A table that was published: of one partition, or of a crawl that has none."""

    published: Published
    schema: pa.Schema
    partitioned: bool

    @property
    def rows(self) -> Metadata:
        """The row count under the one of Dagster's two keys that says whether it is of a partition or of the table."""
        return {"dagster/partition_row_count" if self.partitioned else "dagster/row_count": self.published.rows}

    @property
    def place(self) -> Metadata:
        """Where the file is, how large, and what its columns are."""
        return {
            "dagster/size_bytes": self.published.size_bytes,
            "dagster/uri": dg.MetadataValue.url(self.published.uri),
            "dagster/column_schema": column_schema(self.schema),
        }


def succeeded_metadata(report: PartitionReport, written: Written, late: Metadata) -> Metadata:
    """Rows, credits, jobs and a preview; what people ask for first stands first."""
    seconds = [job.seconds for job in report.jobs if job.seconds is not None]
    return {
        "success rate": round(report.succeeded / report.submitted, 4) if report.submitted else 1.0,
        "urls submitted": report.submitted,
        **written.rows,
        **late,
        **(_output(report.output) if report.output else {"markdown characters": report.markdown_bytes}),
        **_credits(report),
        **({"longest job (s)": round(max(seconds), 2)} if seconds else {}),
        **_dropped(report),
        **_kept(report),
        **written.place,
        "jobs": job_table(report.jobs),
        "preview": _preview(report.preview),
    }


def _dropped(report: PartitionReport) -> Metadata:
    """What the API sent otherwise than one clean row for each URL; nothing, as a rule."""
    numbers = {
        "repeated rows dropped": report.duplicated,
        "rows of other URLs dropped": report.foreign,
        "rows with bytes that are not UTF-8": report.repaired,
    }
    return {name: number for name, number in numbers.items() if number}


def _kept(report: PartitionReport) -> Metadata:
    """The rows that an earlier run published and that stay, and what the API brings in their place now."""
    if not report.kept:
        return {}
    rows = table({"the API now returns": "string", "rows": "int"}, report.kept.most_common())
    return {"rows kept from before": report.kept.total(), "rows kept, by new result": rows}


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


def _credits(report: PartitionReport) -> Metadata:
    """What the API says was used, and by how much that is over the price list (under it: negative)."""
    shares = [share for job in report.jobs if (share := job.credits_share) is not None]
    estimated, used = report.credits_estimated, sum(shares)
    if not shares:
        return {"credits estimated": estimated}
    drift = round(used - estimated, 2)
    return {"credits used": round(used, 2), "credits estimated": estimated, "credits drift": drift}


def failed_metadata(report: PartitionReport, written: Written, late: Metadata) -> Metadata:
    """Rows, failures by class, code and host, the first failed URLs, and the jobs."""
    by_class: Counter[str] = Counter()
    for (_, error_class), count in report.failures.items():
        by_class[f"{error_class} failures"] += count
    return {
        "urls submitted": report.submitted,
        **written.rows,
        **dict(sorted(by_class.items())),
        "failures by code": failure_table(report),
        **_kept(report),
        **_failed_urls(report),
        **late,
        **written.place,
        "jobs": job_table(report.jobs),
    }


def failure_table(report: PartitionReport) -> dg.TableMetadataValue:
    """Failures by code, most frequent first."""
    rows = ((code, error_class, count) for (code, error_class), count in report.failures.most_common())
    return table({"code": "string", "class": "string", "rows": "int"}, rows)


def _failed_urls(report: PartitionReport) -> Metadata:
    """Which URLs failed and on which hosts; nothing when none did."""
    if not report.failed:
        return {}
    return {"failures by host": host_table(report), "first failed urls": failed_url_table(report)}


def host_table(report: PartitionReport) -> dg.TableMetadataValue:
    """Failures by host and code, most frequent first."""
    most = report.failures_by_host.most_common(HOST_ROWS)
    rows = ((_one_line(host, HOST_CHARACTERS), _one_line(code, CODE_CHARACTERS), count) for (host, code), count in most)
    return table({"host": "string", "code": "string", "rows": "int"}, rows)


def failed_url_table(report: PartitionReport) -> dg.TableMetadataValue:
    """The failed URLs that stand first in the partition's list, and how often each was sent to the API."""
    columns = {"url": "string", "code": "string", "message": "string", "host": "string", "attempts": "int"}
    rows = (
        (
            _one_line(row["url"], URL_CHARACTERS),
            _one_line(row["error_code"], CODE_CHARACTERS),
            _one_line(row.get("error_message") or "", _MESSAGE_CHARACTERS),
            _one_line(host_of(row["url"]), HOST_CHARACTERS),
            row.get("attempt") or 0,
        )
        for row in report.first_failed
    )
    return table(columns, rows)


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
    rows = ((job.job, job.status, job.rows, job.size, _rounded(job.seconds), job.credits_used) for job in jobs)
    return table(columns, rows)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 2)


def _preview(rows: Iterable[SucceededRow]) -> dg.TableMetadataValue:
    columns = {"url": "string", "title": "string", "begins": "string"}
    return table(columns, ((row["url"], row.get("title"), _beginning(row)) for row in rows))


def _beginning(row: SucceededRow) -> str:
    return _one_line(row.get("markdown") or row.get("data") or "", PREVIEW_CHARACTERS)


def _one_line(text: str, most: int) -> str:
    """The start of a text of foreign origin on one line, without what could break the UI."""
    printable = "".join(char if char.isprintable() else " " for char in text[: 4 * most])
    line = " ".join(printable.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
