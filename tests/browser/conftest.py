"""One `dagster dev` and one headless Chromium for all tests of this folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from harbour import Harbour, running_harbour
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from ui_page import Page

PICTURES = pytest.StashKey[Path]()
VIEW = {"width": 1400, "height": 900, "deviceScaleFactor": 1, "mobile": False}
FLAGS = ["headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "disable-background-networking"]


# Ended with their tests: a browser on a page of Dagster's, and a sensor that ticks, take a tenth of a processor each.
@pytest.fixture(scope="module")
def harbour(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harbour]:
    with running_harbour(tmp_path_factory.mktemp("harbour")) as running:
        yield running


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("chromium and chromedriver are not installed: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    profile = tmp_path_factory.mktemp("chromium")
    for flag in [*FLAGS, f"user-data-dir={profile}"]:
        options.add_argument(f"--{flag}")
    started = webdriver.Chrome(options=options, service=Service(driver))
    started.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", VIEW)
    yield started
    started.quit()


@pytest.fixture(scope="session")
def pictures(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(os.environ.get("UI_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    request.config.stash[PICTURES] = folder
    return folder


@pytest.fixture(scope="module")
def page(browser: webdriver.Chrome, harbour: Harbour, pictures: Path) -> Page:
    return Page(browser, harbour.ui, pictures)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if PICTURES in config.stash:
        terminalreporter.write_line(f"screenshots of Dagster's UI: {config.stash[PICTURES]}")
