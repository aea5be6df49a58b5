import json

import pytest
from streams import runner

from thunderbit_dagster.cli import main


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder to work in, with a Dagster instance and nothing set."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    for name in ("BASE_URL", "DATA_URI", "WEBHOOK_URL", "WEBHOOK_SECRET", "REQUESTS_PER_MINUTE"):
        monkeypatch.delenv(f"THUNDERBIT_{name}", raising=False)
    return tmp_path


@pytest.fixture
def account(place, monkeypatch):  # noqa: ARG001 - the folder is worked in
    """Sets the environment to an emulator's account."""

    def use(emulator):
        monkeypatch.setenv("THUNDERBIT_API_KEY", emulator.api_key)
        monkeypatch.setenv("THUNDERBIT_BASE_URL", emulator.base_url)
        return emulator

    return use


@pytest.fixture
def doctor(place):  # noqa: ARG001 - the folder is worked in
    """Runs the command; its exit code and its findings by name."""

    def run(*arguments):
        result = runner().invoke(main, ["doctor", "--json", "--yes", *arguments], catch_exceptions=False)
        report = json.loads(result.stdout)
        return result.exit_code, {one["check"]: one for one in report["checks"]}

    return run


@pytest.fixture
def page(pages):
    return pages.urls(1)[0]
