"""What a person sees and clicks in Dagster's UI: a crawl of twelve partitions, one of which fails and is mended.

The tests run in this order, on one Dagster: the first sees it before the backfill, the last mends what failed.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from harbour import Harbour
from ui_page import Page

pytestmark = pytest.mark.slow

GROUP = "/locations/harbour_definitions.py/asset-groups/harbour/lineage"
ASSETS = ("submissions", "succeeded", "failed")
KEYS = (
    "changelog-0 changelog-1 changelog-2 guides-a-f guides-g-m guides-n-z partners products-a-k products-l-z "
    "reference-a-f reference-g-p reference-q-z"
)
URLS, PAGES, FAILURES = 113, 104, 9
BACKFILL_SECONDS = 300


@dataclass(frozen=True)
class Backfill:
    """A backfill that was launched by clicking and has ended."""

    id: str


def box(page: Page, asset: str) -> str:
    """What the graph shows of an asset: its box and the kinds below."""
    path = f'//*[normalize-space(.)="{asset}"]/ancestor::*[contains(., "Partitions") and contains(., "thunderbit")]'
    return " ".join(page.driver.find_elements("xpath", path)[-1].text.split())


def boxes_show(page: Page, text: str) -> None:
    """Wait until the graph shows a text in the box of each asset."""
    page.shows(text, *ASSETS)
    page.until(lambda: all(text in box(page, asset) for asset in ASSETS), f"{text!r} in three boxes")


def materialize(page: Page, choice: str, button: str) -> None:
    """Launch the whole crawl for a choice of partitions, from the graph."""
    page.open(GROUP)
    page.click("Materialize all…")
    page.shows("Launch runs to materialize 3 assets")
    page.click(choice)
    page.keep(f"launch-{choice.lower()}")
    page.click(button)
    page.hides("Launch runs to materialize 3 assets")


@pytest.fixture(scope="module")
def backfill(page: Page) -> Backfill:
    """All twelve partitions, launched by clicking; ended, and collected by the sensor."""
    materialize(page, "All", "Launch backfill")
    page.shows("Created backfill")
    page.click("View")
    backfill = page.address_part(r"/runs/b/(\w+)")
    page.shows("Status Failed", "12 partitions", seconds=BACKFILL_SECONDS)
    page.comes_to_show("/assets/harbour/failed?view=partitions", "Materialized (11)", seconds=BACKFILL_SECONDS)
    return Backfill(backfill)


def test_the_lineage_shows_three_assets_and_their_kinds(page: Page) -> None:
    page.open(GROUP)
    boxes_show(page, "0% filled")
    boxes_show(page, "12 partitions")
    page.keep("lineage-before")
    assert [asset for asset in ASSETS if "Parquet" in box(page, asset)] == ["succeeded", "failed"]


def test_the_backfill_says_how_many_partitions_failed(page: Page, backfill: Backfill) -> None:
    page.open(f"/runs/b/{backfill.id}")
    page.shows("Partition selection 12 partitions Status Failed")
    page.shows(*(f"harbour / {asset} 100% completed 12 0 11 1" for asset in ASSETS))
    page.keep("backfill")


@pytest.mark.usefixtures("backfill")
def test_the_lineage_shows_that_one_partition_failed(page: Page) -> None:
    page.open(GROUP)
    boxes_show(page, "91% filled (1 failed)")
    page.keep("lineage-failed")


@pytest.mark.usefixtures("backfill")
@pytest.mark.parametrize("asset", ASSETS)
def test_partitions_are_11_materialized_and_1_failed(page: Page, asset: str) -> None:
    page.open(f"/assets/harbour/{asset}")
    page.click("Partitions")
    page.shows("Failed (1) Materialized (11) Materializing (0) Missing (0)", KEYS)
    page.keep(f"partitions-{asset}")
    page.click("partners")
    page.shows("failed, and did not materialize this asset.", "View all historical events (0)")
    page.keep(f"partition-failed-{asset}")


def test_the_failed_run_says_what_failed_and_why(page: Page, harbour: Harbour, backfill: Backfill) -> None:
    page.open(f"/runs/b/{backfill.id}")
    page.shows("Overview Runs Timeline")
    page.click("Runs")
    page.shows("Manually launched Failure")
    page.click("View")
    page.shows("Errored (1) harbour__submissions")
    page.write("Filter…", "type:STEP_FAILURE")
    reason = f"nothing was sent: The URL file {harbour.partners} does not exist. Put it there, or correct the crawl's"
    page.shows(f"harbour/submissions, partners: {reason}", "11 other partition(s) of this run are done.")
    page.shows(f"partition reason partners {reason}")
    page.keep("run-failed")


@pytest.mark.usefixtures("backfill")
def test_the_check_passed_over_all_rows(page: Page) -> None:
    page.open("/assets/harbour/succeeded")
    page.click("Checks")
    page.click("conservation")
    page.shows("conservation Succeeded", "Evaluation result Passed")
    # The sensor may have collected in several runs, each of which checked its own partitions.
    page.click("Execute")
    page.shows("partitions checked 11", f"rows failed {FAILURES}", f"rows succeeded {PAGES}", f"urls submitted {URLS}")
    page.keep("checks")
    page.click("success_rate")
    page.shows("lowest success rate", "partitions with a warning or in error", "partitions in error")
    page.keep("check-success-rate")
    page.click("duplicate_content")
    page.shows("No two pages of a partition")
    page.keep("check-duplicate-content")


@pytest.mark.usefixtures("backfill")
def test_numbers_plot_over_the_partitions(page: Page) -> None:
    page.open("/assets/harbour/succeeded")
    page.shows("Storage", "Metadata")
    page.click("Plots")
    page.shows("credits estimated", "credits used", "dagster/partition_row_count", "success rate", "urls submitted")
    page.shows("When graphing values by partition")
    page.scroll_to("dagster/partition_row_count")
    page.until(lambda: page.drawn_canvases() >= 5, "five plots")
    page.keep("plots")


@pytest.mark.usefixtures("backfill")
def test_an_event_tells_rows_jobs_and_a_preview(page: Page) -> None:
    page.open("/assets/harbour/succeeded?view=partitions")
    page.click("guides-n-z")
    page.shows("guides-n-z Materialized", "success rate 0.9286 urls submitted 14 dagster/partition_row_count 13")
    page.shows("job status urls of this partition urls in the job seconds credits used distill/batch_")
    page.shows("COMPLETED 14 100", "url title begins", "urls=guides-n-z/rows.parquet")
    page.keep("partition")
    page.scroll_to("thunderbit/record")
    page.keep("partition-end")
    page.click("Events")
    page.shows("Partition reference-q-z materialized in run")
    page.click("guides-n-z")
    page.shows("Partition guides-n-z materialized in run", "urls submitted 14")
    page.keep("events")


@pytest.mark.usefixtures("backfill")
def test_failures_are_named_by_their_codes(page: Page) -> None:
    page.open("/assets/harbour/failed?view=partitions&partition=guides-n-z")
    page.shows("urls submitted 14 dagster/partition_row_count 1 permanent failures 1 failures by code")
    page.shows("code class rows SCRAPE_TARGET_NOT_FOUND permanent 1")
    page.keep("failures")


@pytest.mark.usefixtures("backfill")
def test_submissions_tell_urls_jobs_and_the_credits_expected(page: Page) -> None:
    page.open("/assets/harbour/submissions?view=partitions&partition=guides-n-z")
    page.shows("urls submitted 14 urls refused 0 urls repeated 0 batch jobs 1 credits estimated 14")
    page.keep("submissions")


@pytest.mark.usefixtures("backfill")
def test_mended_and_clicked_again_the_failed_partition_is_materialized(page: Page, harbour: Harbour) -> None:
    harbour.partners.write_text(f"{harbour.site}/guides/install\n{harbour.site}/products/tide-clock\n")
    materialize(page, "Failed", "Launch 1 run")
    page.shows("Launched run")
    page.comes_to_show(GROUP, "100% filled", "4 / 4 Passed", seconds=BACKFILL_SECONDS)
    boxes_show(page, "100% filled")
    page.keep("lineage")
    page.open("/assets/harbour/succeeded?view=partitions")
    page.shows("Failed (0) Materialized (12)")
    page.click("partners")
    page.shows("partners Materialized", "urls submitted 2 dagster/partition_row_count 2", "/guides/install")
    page.keep("partition-mended")
