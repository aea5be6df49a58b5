"""The fixtures that several folders of tests share are in `shared/`, which pytest's `pythonpath` makes importable."""

import gc
import os

import pytest

pytest_plugins = ["crawl_fixtures"]
gc.set_threshold(50_000, 20, 100)  # Dagster keeps half a million objects alive, and looking through them takes time


class FailuresAtOnce:
    """Prints a failure as soon as it is known: where a suite is stopped, there is no summary."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            terminal = self._config.get_terminal_writer()
            terminal.line(f"\n{report.nodeid}: {report.when} failed\n{report.longreprtext}")


def pytest_configure(config: pytest.Config) -> None:
    if "CI" in os.environ and "PYTEST_XDIST_WORKER" not in os.environ:
        config.pluginmanager.register(FailuresAtOnce(config))


LONGEST = (
    "test_docs_terminal.py",
    "test_celery_postgres.py",
    "test_kill.py",
    "test_examples_live.py",
    "test_ui.py",
    "test_reliability_kill.py",
    "test_reliability_machine.py",
)
"""Slow files to begin with: what is long and begins last is waited for alone."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest of the slow files."""
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    is_long = item.path.name in LONGEST and item.get_closest_marker("slow")
    return LONGEST.index(item.path.name) if is_long else len(LONGEST)
