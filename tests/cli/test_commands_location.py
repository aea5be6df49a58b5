"""Which code location a command reads, that it says so, and that it never takes the demo crawl for the user's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from streams import runner

from thunderbit_dagster.cli import main
from thunderbit_dagster.cli.dev.command import code_location
from thunderbit_dagster.cli.workspace import Workspace

PYPROJECT = """
[project]
name = "my-project"

[tool.dg]
directory_type = "project"

[tool.dg.project]
root_module = "{module}"
"""
# What `create-dagster project` writes.
LAZY = """
from pathlib import Path

from dagster import definitions, load_from_defs_folder


@definitions
def defs():
    return load_from_defs_folder(path_within_project=Path(__file__).parent)
"""
YAML = """
type: thunderbit_dagster.ThunderbitCrawlComponent
attributes:
  crawls:
    - {name: pages, urls: {a: ["https://example.com/1"]}, request: {type: distill}}
  thunderbit: {requests_per_minute: 7, max_credits_per_run: "{{ env.MOST | int }}"}
"""
FILE = """
from thunderbit_dagster import Crawl, Distill, build_crawl_definitions
from thunderbit_dagster.starter.environment import resource_from_environment, store_from_environment

defs = build_crawl_definitions(
    [Crawl(name="own", urls=["https://example.com/1"], request=Distill())],
    thunderbit=resource_from_environment(),
    store=store_from_environment(),
)
"""
BESIDE_CRAWLS = (["plan", "--all"], ["backfill", "--all"], ["jobs", "list"])


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder to work in, with a Dagster instance and nothing set."""
    for name in [name for name in os.environ if name.startswith("THUNDERBIT_")]:
        monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def lay_out(root, module="my_project", yaml=YAML):
    package = root / "src" / module
    (package / "defs" / "docs").mkdir(parents=True)
    for folder in (package, package / "defs"):
        (folder / "__init__.py").touch()
    (package / "definitions.py").write_text(LAZY)
    (package / "defs" / "docs" / "defs.yaml").write_text(yaml)
    (root / "pyproject.toml").write_text(PYPROJECT.format(module=module))
    (root / ".env").write_text("MOST=3\n")
    return package


def run(place, *arguments):
    """The command in a process of its own, since it imports the project's module."""
    command = [sys.executable, "-m", "thunderbit_dagster.cli", *arguments]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_in_a_dg_project_its_own_crawls_are_looked_at(place):
    package = lay_out(place)
    planned = run(package / "defs", "plan", "--all", "--json")
    assert json.loads(planned.stdout)["crawl"] == "pages"
    assert f"Reading my_project.definitions of {place}/pyproject.toml" in planned.stderr


@pytest.mark.slow
def test_the_module_that_the_project_names_is_the_one(place):
    package = lay_out(place)
    (package / "definitions.py").rename(package / "elsewhere.py")
    settings = (place / "pyproject.toml").read_text()
    (place / "pyproject.toml").write_text(settings + 'code_location_target_module = "my_project.elsewhere"\n')
    planned = run(place, "plan", "--all", "--json")
    assert json.loads(planned.stdout)["crawl"] == "pages"


@pytest.mark.slow
def test_a_run_that_is_executed_here_finds_the_project(place, pages, emulator):
    crawl = f"""
type: thunderbit_dagster.ThunderbitCrawlComponent
attributes:
  crawls:
    - {{name: pages, urls: {{a: {pages.urls(1)}}}, request: {{type: distill}}}}
  thunderbit: {{api_key: {emulator.api_key}, base_url: "{emulator.base_url}"}}
"""
    package, before = lay_out(place, yaml=crawl), len(emulator.jobs)
    done = run(package / "defs", "backfill", "--all", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [job.total for job in emulator.jobs[before:]] == [1]


def test_dev_starts_the_project_and_else_the_starter(place, tmp_path):
    assert code_location(None, None).arguments == ["-m", "thunderbit_dagster.starter.location"]
    lay_out(place)
    assert code_location(None, None).arguments == ["-m", "my_project.definitions", "-d", str(place)]
    assert code_location(None, tmp_path / "urls.txt").arguments == ["-m", "thunderbit_dagster.starter.location"]
    (place / "definitions.py").write_text(FILE)
    assert code_location(None, None).arguments == ["-f", "definitions.py"]


def test_the_file_of_variables_counts_as_it_does_in_dagster(place, monkeypatch):
    (place / "definitions.py").write_text(FILE)
    (place / ".env").write_text("THUNDERBIT_BASE_URL=http://127.0.0.1:9/of-the-file\n")
    for name, value in (("BASE_URL", "http://127.0.0.1:9/other"), ("DATA_URI", "elsewhere")):
        monkeypatch.setenv(f"THUNDERBIT_{name}", value)
    told = runner().invoke(main, ["doctor", "--free"])
    assert "Looking at http://127.0.0.1:9/of-the-file," in told.stderr
    assert f"Writing to file://{place}/elsewhere" in told.stderr
    assert os.environ["THUNDERBIT_BASE_URL"] == "http://127.0.0.1:9/other"


@pytest.mark.parametrize("command", BESIDE_CRAWLS, ids=" ".join)
@pytest.mark.usefixtures("place")
def test_without_a_code_location_a_command_about_crawls_refuses(command):
    refused = runner().invoke(main, command)
    assert refused.exit_code == 1
    assert all(word in refused.stderr for word in ("definitions.py", "[tool.dg.project]", "-f FILE"))
    assert "demo" not in refused.output


@pytest.mark.parametrize("command", BESIDE_CRAWLS, ids=" ".join)
def test_where_dev_ran_with_the_starter_it_is_looked_at(place, command):
    Workspace(place / "data").prepare()
    done = runner().invoke(main, command, input="n\n")
    assert "Reading the starter crawl, of the demo site." in done.stderr
    assert "There is no code location" not in done.stderr


def test_definitions_py_comes_first_and_is_named(place):
    lay_out(place, "other_project")
    (place / "definitions.py").write_text(FILE)
    planned = runner().invoke(main, ["plan", "--json"])
    assert json.loads(planned.stdout)["crawl"] == "own"
    assert "Reading definitions.py." in planned.stderr


def test_a_project_file_that_cannot_be_read_is_named(place):
    (place / "pyproject.toml").write_text("[tool.dg.project\n")
    refused = runner().invoke(main, ["plan", "--all"])
    assert refused.exit_code == 1
    assert refused.stderr.startswith(f"Error: {place}/pyproject.toml cannot be read: ")
    assert len(refused.stderr.splitlines()) == 1


def test_a_pyproject_of_no_dg_project_is_passed_by(place):
    (place / "pyproject.toml").write_text("[tool.dg]\nproject = 3\n")
    refused = runner().invoke(main, ["plan", "--all"])
    assert "There is no code location" in refused.stderr


WRONG = [
    ("THUNDERBIT_DATA_URI", "ftp://x/y", "'ftp'"),
    ("THUNDERBIT_REQUESTS_PER_MINUTE", "abc", "'abc'"),
    ("THUNDERBIT_REQUESTS_PER_MINUTE", "0", "1 or more"),
    ("THUNDERBIT_REQUESTS_PER_MINUTE", "-3", "1 or more"),
    ("THUNDERBIT_BASE_URL", "localhost:8710", "http://"),
    ("THUNDERBIT_BASE_URL", "https://ann:secret@example.com/v1", "credentials"),
    ("THUNDERBIT_BASE_URL", "http://x:port/", "http://"),
]


@pytest.mark.parametrize("wrong", WRONG, ids=" ".join)
@pytest.mark.parametrize("with_file", [False, True])
def test_a_wrong_setting_is_named_by_its_variable_in_one_line(place, monkeypatch, wrong, with_file):
    variable, value, said = wrong
    if with_file:
        (place / "definitions.py").write_text(FILE)
    monkeypatch.setenv(variable, value)
    refused = runner().invoke(main, ["doctor", "--free"])
    assert refused.exit_code == 1
    assert isinstance(refused.exception, SystemExit)
    errors = [line for line in refused.stderr.splitlines() if not line.startswith("Reading ")]
    assert len(errors) == 1, refused.stderr
    assert variable in errors[0]
    assert said in errors[0]
    assert "secret" not in refused.output


def test_the_url_of_the_webhook_is_looked_at_with_a_key(place, monkeypatch):
    (place / "definitions.py").write_text(FILE)
    monkeypatch.setenv("THUNDERBIT_API_KEY", "tb_" + "1" * 32)
    monkeypatch.setenv("THUNDERBIT_WEBHOOK_URL", "example.com/hook")
    refused = runner().invoke(main, ["plan"])
    assert refused.exit_code == 1
    assert "THUNDERBIT_WEBHOOK_URL is not a URL" in refused.stderr


def test_an_empty_variable_counts_as_not_set(place, monkeypatch):
    (place / "definitions.py").write_text(FILE)
    plain = runner().invoke(main, ["plan", "--json"])
    for name in ("API_KEY", "BASE_URL", "REQUESTS_PER_MINUTE", "DATA_URI", "WEBHOOK_URL", "WEBHOOK_SECRET"):
        monkeypatch.setenv(f"THUNDERBIT_{name}", "")
    assert runner().invoke(main, ["plan", "--json"]).stdout == plain.stdout
    assert json.loads(plain.stdout)["crawl"] == "own"
    # Those of the folder of `dev` take an empty one's place as well.
    ports = Workspace(place / "data").prepare()
    told = runner().invoke(main, ["doctor", "--free"])
    assert f"Looking at http://127.0.0.1:{ports.emulator}/" in told.stderr
