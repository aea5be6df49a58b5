"""What the jobs, steps, pools and the sensor of a crawl are called in Dagster."""

from __future__ import annotations

from thunderbit_dagster.crawl.crawl import Crawl

SUBMIT_POOL, COLLECT_POOL = "thunderbit_submit", "thunderbit_collect"
"""Pools of the steps that speak to the API; Dagster limits them when the instance sets a limit."""


def collect_step(crawl: Crawl) -> str:
    """The step that publishes ``succeeded`` and ``failed``."""
    return f"{crawl.name}__collect"


def submit_set_op(crawl: Crawl) -> str:
    """The op that submits any set of a crawl's partitions."""
    return f"{crawl.name}__submit_partitions"


def collect_set_op(crawl: Crawl) -> str:
    """The op that collects any set of a crawl's partitions."""
    return f"{crawl.name}__collect_partitions"


def backfill_job_name(crawl: Crawl) -> str:
    """The job that submits any set of a crawl's partitions in one run."""
    return f"{crawl.name}_backfill"


def collect_set_job_name(crawl: Crawl) -> str:
    """The job that collects any set of a crawl's partitions in one run."""
    return f"{crawl.name}_collect_partitions"


SENSOR_NAME = "thunderbit_jobs"
"""Collection looks for it to learn whether anyone polls."""


def collect_job_name(crawl: Crawl) -> str:
    """The job that the sensor asks to collect."""
    return f"{crawl.name}_collect"


def submit_job_name(crawl: Crawl) -> str:
    """The job that submits a crawl's partitions."""
    return f"{crawl.name}_submit"


def cancel_job_name(crawl: Crawl) -> str:
    """The job that stops a crawl's open batch jobs."""
    return f"{crawl.name}_cancel"
