"""Plain values from which the tests of the decisions are built."""

from itertools import count

from thunderbit_dagster.api.codes import JobKind, JobStatus
from thunderbit_dagster.api.models import Job, JobRef
from thunderbit_dagster.api.requests import Distill
from thunderbit_dagster.crawl.crawl import Crawl
from thunderbit_dagster.ledger.records import (
    Amended,
    DuplicateUrl,
    Intent,
    JobShare,
    Opened,
    Recorded,
    RejectedUrl,
    Sealed,
    SentUrl,
)
from thunderbit_dagster.ledger.submissions import Submission, apply
from thunderbit_dagster.partitions import URLS, Partition
from thunderbit_dagster.polling.open_submissions import OpenSubmission
from thunderbit_dagster.submission.plan import remaining
from thunderbit_dagster.urls import check_urls

NOW = 1_780_000_000.0

_ids = count(1)


def page(number, spelling=""):
    return f"https://example.org/page-{number}{spelling}"


def partition(key):
    return Partition(key, {URLS: key})


def crawl(urls=(), **settings):
    settings.setdefault("name", "docs")
    return Crawl(urls=urls, request=settings.pop("request", Distill()), **settings)


def job(number=1, status=JobStatus.PENDING, **fields):
    return Job(JobRef(JobKind.DISTILL, f"batch_{number}"), status, **fields)


def submission_of(checked, submission_id="s1"):
    """A submission that was opened for a checked list, of which nothing is sent yet."""
    return Submission(
        Opened(
            submission_id=submission_id,
            request="r",
            account="a",
            total=checked.total,
            rejected=tuple(RejectedUrl(position=r.position, url=r.url, reason=r.reason) for r in checked.rejected),
        )
    )


def record_job(submission, wanted, *, size=None):
    """Let a submission have sent some of its URLs in one job, which was recorded."""
    wanted = list(wanted)
    if not wanted:
        return
    number = next(_ids)
    items = tuple(SentUrl(job_position=n, position=w.position, url=w.url) for n, w in enumerate(wanted))
    intent = Intent(submission_id=submission.id, intent_id=f"i{number}", size=size or len(items), items=items)
    apply(submission, intent)
    apply(
        submission,
        Recorded(submission_id=submission.id, intent_id=intent.intent_id, job=f"distill/batch_{number}", at=NOW),
    )


def opened_with(urls):
    checked = check_urls(urls)
    return checked, submission_of(checked)


def name_repeats(submission, checked):
    """As a run does after sending: repeats of pages that are held get a row of their own."""
    repeats = remaining(checked, submission).duplicates
    named = tuple(DuplicateUrl(position=d.position, url=d.url, first=d.first) for d in repeats)
    apply(submission, Amended(submission_id=submission.id, duplicates=named))


def sealed_submission(key, jobs, *, run_id="run-1", storage_id=1, at=NOW, submission_id=None):
    """An open submission of a partition that waits for jobs, each of ten URLs."""
    shares = tuple(JobShare(job=name, rows=10, size=10, at=at) for name in jobs)
    sealed = Sealed(submission_id=submission_id or f"of-{key}", total=10 * len(shares), jobs=shares)
    where = Partition(None) if key is None else partition(key)
    return OpenSubmission(where, sealed, run_id, storage_id, at)
