"""The report as a person sees it: plots and one difference, at the width of a desk and of a phone."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from thunderbit_dagster.cli.report.command import report_page
from thunderbit_dagster.cli.report.figures import CrawlReport, DateCounts, News, Quarantined, side_by_side

pytestmark = pytest.mark.slow

DIFF = "@@\n- Price: 12 EUR\n+ Price: 13 EUR\n@@\n+ In stock again"
DATES = [
    DateCounts(f"2026-11-{day:02}", {"changed": 3 * day, "new": 1, "failed": 2, "unchanged": 90}, 100 + day)
    for day in range(1, 11)
]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    news = News("2026-11-10", "guides", "https://site.example/pump", "Pump", "changed", "2026-11-09", 0.98, [])
    report = CrawlReport(
        name="docs",
        dates=DATES,
        news=[News(*[getattr(news, name) for name in news.__slots__[:-1]], list(side_by_side(DIFF)))],
        more_news=0,
        failures=[("site.example", "SCRAPE_TIMEOUT", 20)],
        quarantined=[Quarantined("2026-11-10", "https://site.example/rope", 3.0, "wall-human: asks for proof")],
        not_compared=[],
    )
    file = tmp_path_factory.mktemp("report") / "report.html"
    file.write_text(report_page([report], datetime(2026, 11, 11, tzinfo=timezone.utc)), encoding="utf-8")
    return file.as_uri()


@pytest.fixture(params=[(1400, 900), (390, 844)], ids=["desk", "phone"])
def window(request: pytest.FixtureRequest, browser: webdriver.Chrome, address: str) -> webdriver.Chrome:
    width, height = request.param
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 700}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(address)
    return browser


def boxes(window: webdriver.Chrome, selector: str) -> list[dict[str, float]]:
    return [one.rect for one in window.find_elements(By.CSS_SELECTOR, selector)]


def test_plots_and_a_difference_are_seen_and_nothing_is_cut_off(window: webdriver.Chrome, pictures: Path) -> None:
    width = window.execute_script("return document.documentElement.clientWidth")
    window.save_screenshot(str(pictures / f"report-{width}.png"))
    assert window.execute_script("return document.documentElement.scrollWidth") <= width
    bars = boxes(window, "svg[aria-label='URLs by status'] rect.changed")
    assert len(bars) == len(DATES) - 1
    heights = [bar["height"] for bar in bars]
    assert heights == sorted(heights)
    assert heights[-1] == pytest.approx(10 * heights[0] / 2, rel=0.1)
    [old], new = boxes(window, ".diff .old"), boxes(window, ".diff .new")
    assert len(new) == 2
    is_beside = abs(old["y"] - new[0]["y"]) < 2 and new[0]["x"] > old["x"]
    is_below = new[0]["y"] > old["y"] and new[0]["x"] == old["x"]
    assert is_beside if width > 700 else is_below
    text = window.find_element(By.TAG_NAME, "body").text
    assert "Price: 12 EUR" in text
    assert "wall-human: asks for proof" in text
