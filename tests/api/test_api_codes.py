"""What each error code of a row calls for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thunderbit_dagster.api import HTTP_STATUS, PLANS, ErrorClass, JobKind, classify

PERMANENT, TRANSIENT, BUDGET, JOB = ErrorClass


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("INVALID_URL", PERMANENT),
        ("SCRAPE_TARGET_NOT_FOUND", PERMANENT),
        ("SCRAPE_TARGET_FORBIDDEN", PERMANENT),
        ("SCRAPE_CONTENT_TOO_LARGE", PERMANENT),
        ("SCRAPE_UNSUPPORTED_FILE", PERMANENT),
        ("SCRAPE_EMPTY_CONTENT", PERMANENT),
        ("SCRAPE_TIMEOUT", TRANSIENT),
        ("SCRAPE_SSL_ERROR", TRANSIENT),
        ("SCRAPE_DNS_RESOLUTION_ERROR", TRANSIENT),
        ("SCRAPE_SITE_ERROR", TRANSIENT),
        ("SCRAPE_TARGET_RATE_LIMITED", TRANSIENT),
        ("RATE_LIMIT_EXCEEDED", TRANSIENT),
        ("INTERNAL_ERROR", TRANSIENT),
        ("AI_TIMEOUT", TRANSIENT),
        ("INSUFFICIENT_CREDITS", BUDGET),
        ("API_KEY_REVOKED", BUDGET),
        ("JOB_NOT_FOUND", JOB),
        ("INVALID_INPUT", PERMANENT),
        ("MISSING_RESULT", JOB),
        ("JOB_LOST", JOB),
        ("JOB_FAILED", JOB),
        ("JOB_CANCELLED", JOB),
        ("NOT_FINISHED", JOB),
        ("NOT_SUBMITTED", BUDGET),
    ],
)
def test_known_codes_decide_by_themselves(code: str, expected: ErrorClass) -> None:
    assert classify(code) is expected
    assert classify(code, 418) is expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (None, TRANSIENT),
        (400, PERMANENT),
        (402, BUDGET),
        (404, PERMANENT),
        (408, TRANSIENT),
        (429, TRANSIENT),
        (503, TRANSIENT),
    ],
)
def test_unknown_codes_are_judged_by_their_status(status: int | None, expected: ErrorClass) -> None:
    assert classify("SOMETHING_NEW", status) is expected


@given(st.text() | st.sampled_from(sorted(HTTP_STATUS)), st.none() | st.integers())
def test_every_code_has_a_class(code: str, status: int | None) -> None:
    assert classify(code, status) in ErrorClass


def test_plans_and_kinds() -> None:
    assert {name: (plan.requests_per_minute, plan.concurrent_jobs) for name, plan in PLANS.items()} == {
        "free": (10, 2),
        "pro": (100, 10),
        "enterprise": (1000, 50),
    }
    assert [(kind.job_type, kind.path) for kind in JobKind] == [
        ("batch_distill", "/batch/distill"),
        ("batch_extract", "/batch/extract"),
    ]
