"""docs/scaling.md holds what the forecast computes, and names settings that the code and deploy/ have."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import yaml

from thunderbit_dagster.api.codes import MAX_BATCH_URLS, PLANS
from thunderbit_dagster.backfill.estimate import Forecast, forecast, limits_of

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
DAY_SECONDS = 86_400
CASES = [
    (10_000, "free", 2.0),
    (10_000, "free", 0.5),
    (10_000, "pro", 2.0),
    (1_000_000, "pro", 2.0),
    (1_000_000, "pro", 0.5),
    (1_000_000, "enterprise", 2.0),
    (1_000_000, "enterprise", 0.5),
]


def predicted(urls: int, plan: str, seconds_per_page: float) -> Forecast:
    jobs = [MAX_BATCH_URLS] * math.ceil(urls / MAX_BATCH_URLS)
    return forecast(jobs, limits_of(PLANS[plan].requests_per_minute, 5.0, seconds_per_page=seconds_per_page))


def accounts(urls: int, plan: str, seconds_per_page: float) -> int:
    """The fewest accounts that are done within a day."""
    needed = math.ceil(urls * seconds_per_page / PLANS[plan].concurrent_jobs / DAY_SECONDS)
    while predicted(math.ceil(urls / needed), plan, seconds_per_page).seconds > DAY_SECONDS:
        needed += 1
    return needed


@pytest.mark.parametrize(("urls", "plan", "seconds_per_page"), CASES)
def test_a_row_of_the_table_is_what_the_forecast_says(urls, plan, seconds_per_page):
    one = predicted(urls, plan, seconds_per_page)
    hours, oldest = one.seconds / 3600, one.oldest_job_seconds / 3600
    row = (
        f"| {urls:,} | {plan} | {seconds_per_page} | {one.submits:,} | {one.polls:,} | {one.page_reads:,} "
        f"| {one.requests:,} | {hours:.1f} | {oldest:.1f} |"
    )
    assert row in TEXT, row


@pytest.mark.parametrize("seconds_per_page", [2.0, 0.5])
def test_the_number_of_accounts_is_what_the_forecast_says(seconds_per_page):
    needed = accounts(100_000_000, "enterprise", seconds_per_page)
    share = predicted(math.ceil(100_000_000 / needed), "enterprise", seconds_per_page)
    row = f"| {seconds_per_page} | {needed} | {share.submits:,} | {share.requests:,} | {share.seconds / 3600:.1f} |"
    assert row in TEXT, row


@pytest.mark.parametrize("plan", PLANS)
def test_the_limits_of_a_plan_are_those_of_the_code(plan):
    limits = PLANS[plan]
    needed = 3 / MAX_BATCH_URLS
    by_requests = int(limits.requests_per_minute * 1440 / needed)
    by_slots = [int(limits.concurrent_jobs * DAY_SECONDS / seconds) for seconds in (2.0, 0.5)]
    row = (
        f"| {plan} | {limits.requests_per_minute:,} | {limits.concurrent_jobs} | {by_requests:,} "
        f"| {by_slots[0]:,} | {by_slots[1]:,} |"
    )
    assert row in TEXT, row


def test_the_settings_that_the_text_names_are_those_of_the_deployment():
    dagster = yaml.safe_load((ROOT / "deploy" / "dagster.yaml").read_text())
    celery = yaml.safe_load((ROOT / "deploy" / "celery.yaml").read_text())["execution"]["config"]["config_source"]
    said = {
        "max_runtime_seconds": dagster["run_monitoring"]["max_runtime_seconds"],
        "free_slots_after_run_end_seconds": dagster["run_monitoring"]["free_slots_after_run_end_seconds"],
        "max_retries": dagster["run_retries"]["max_retries"],
        "default_limit": dagster["concurrency"]["pools"]["default_limit"],
        "max_concurrent_runs": dagster["concurrency"]["runs"]["max_concurrent_runs"],
        "visibility_timeout": celery["broker_transport_options"]["visibility_timeout"],
    }
    assert dict(re.findall(r"^\| `(\w+)` \| ([\d,]+) \|", TEXT, re.MULTILINE)) == {
        name: f"{value:,}" for name, value in said.items()
    }
    assert said["max_runtime_seconds"] > said["visibility_timeout"]
