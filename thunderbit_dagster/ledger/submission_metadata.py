"""What the UI shows of a submission."""

from __future__ import annotations

from datetime import datetime, timezone

import dagster as dg

from thunderbit_dagster.ledger.asset_events import Metadata
from thunderbit_dagster.ledger.submissions import Submission
from thunderbit_dagster.metadata.tables import table

SHOWN_URLS = 200
SHOWN_CHARACTERS = 300


def shorten(url: str) -> str:
    """A URL as a table shows it."""
    return url if len(url) <= SHOWN_CHARACTERS else f"{url[:SHOWN_CHARACTERS]}... ({len(url):,} characters)"


def submission_metadata(submission: Submission, credits_per_url: int, late: Metadata) -> Metadata:
    """Numbers that plot, and tables of jobs and of refused URLs."""
    covered = len({(p.intent.intent_id, i.job_position) for p in submission.running for i in p.intent.items})
    numbers = {
        "urls submitted": len(submission.known),
        "urls refused": len(submission.rejected),
        "urls repeated": len(submission.duplicates),
        "batch jobs": len(submission.running),
        "credits estimated": covered * credits_per_url,
    }
    tables = {"jobs": _jobs(submission), "refused": _refused(submission)}
    return {**numbers, **late, **{name: table for name, table in tables.items() if table.records}}


def emptiness_metadata(source: str | None) -> Metadata:
    """Which source gave no URL at all, if one did."""
    return {"no urls": dg.MetadataValue.text(f"No URLs came from {source}")} if source else {}


def _jobs(submission: Submission) -> dg.TableMetadataValue:
    columns = {"job": "string", "urls of this partition": "int", "urls in the job": "int", "submitted": "string"}
    return table(columns, ((share.job, share.rows, share.size, _time(share.at)) for share in submission.jobs))


def _refused(submission: Submission) -> dg.TableMetadataValue:
    columns = {"position": "int", "url": "string", "reason": "string"}
    shown = submission.rejected[:SHOWN_URLS]
    return table(columns, ((url.position, shorten(url.url), url.reason[:SHOWN_CHARACTERS]) for url in shown))


def _time(timestamp: float) -> str:
    return datetime.fromtimestamp(timestamp, timezone.utc).isoformat(timespec="seconds")
