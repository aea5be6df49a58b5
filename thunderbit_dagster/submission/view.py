"""What the UI shows of a submission."""

from __future__ import annotations

from datetime import datetime, timezone

import dagster as dg

from thunderbit_dagster.ledger.fold import Submission
from thunderbit_dagster.publishing import MAX_ROWS, Metadata


def submission_metadata(submission: Submission, credits_per_url: int) -> Metadata:
    """Numbers that plot, and tables of jobs and of refused URLs."""
    covered = len({(p.intent.intent_id, i.job_position) for p in submission.running for i in p.intent.items})
    numbers = {
        "urls": len(submission.known),
        "urls in jobs": covered,
        "urls refused": len(submission.rejected),
        "urls repeated": len(submission.duplicates),
        "batch jobs": len(submission.running),
        "credits estimated": covered * credits_per_url,
    }
    tables = {"jobs": _jobs(submission), "refused": _refused(submission)}
    return {**numbers, **{name: table for name, table in tables.items() if table.records}}


def _jobs(submission: Submission) -> dg.TableMetadataValue:
    return dg.MetadataValue.table(
        records=[
            dg.TableRecord(
                {
                    "job": share.job,
                    "urls of this partition": share.rows,
                    "urls in the job": share.size,
                    "submitted": datetime.fromtimestamp(share.at, timezone.utc).isoformat(timespec="seconds"),
                }
            )
            for share in submission.jobs[:MAX_ROWS]
        ]
    )


def _refused(submission: Submission) -> dg.TableMetadataValue:
    return dg.MetadataValue.table(
        records=[
            dg.TableRecord({"position": url.position, "url": url.url[:200], "reason": url.reason})
            for url in submission.rejected[:MAX_ROWS]
        ]
    )
