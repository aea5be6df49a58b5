"""The README's section on `dg`, followed to the letter: its commands with the real `dg`, and its YAML."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import dagster as dg
import pytest
from dg_project import BIN, Project
from ports import free_port
from real_dagster import RealDagster

from thunderbit_dagster import Extract, ParquetStore, ThunderbitCrawlComponent
from thunderbit_dagster.cli.dagster_api import DagsterApi
from thunderbit_dagster.cli.processes import Children
from thunderbit_dagster.cli.workspace import Ports, Workspace, site_url

HEADING = "## In a `dg` project, in YAML"
PAGES = """
from pydantic import BaseModel


class Product(BaseModel):
    name: str
    price: float


def products():
    return ["https://example.com/products/1", "https://example.com/products/2"]
"""
SHOWN = """
{ assetNodes { assetKey { path } }
  sensorsOrError: repositoriesOrError { ... on RepositoryConnection { nodes { sensors { name sensorState { status } }
    location { dagsterLibraryVersions { name version } } } } } }
"""


def section():
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    return readme.split(HEADING, 1)[1].split("\n## ", 1)[0]


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", section(), re.DOTALL)


def commands(number):
    return [line.removeprefix("$ ") for line in blocks("console")[number].splitlines()]


@pytest.fixture
def plain_env():
    return {name: value for name, value in os.environ.items() if not name.startswith(("THUNDERBIT_", "DAGSTER_"))} | {
        "DAGSTER_DISABLE_TELEMETRY": "yes",
        "DG_CLI_SUPPRESS_UPDATE_CHECK": "1",
    }


def test_the_yaml_of_the_readme_says_what_stands_beside_it(project, monkeypatch):
    monkeypatch.setenv("THUNDERBIT_API_KEY", "tb_" + "1" * 32)
    project.write("docs/__init__.py", "")
    project.write("docs/pages.py", PAGES)
    project.write("docs/reference.txt", "https://example.com/reference/1\n")
    (text,) = blocks("yaml")
    project.write("docs/defs.yaml", text)
    tree = project.tree()
    (component,) = tree.get_all_components(ThunderbitCrawlComponent)
    docs, products = component.crawls
    assert docs.url_keys == ["guides", "reference"]
    assert docs.read_urls(docs.partition("2026-11-02|reference")) == ["https://example.com/reference/1"]
    assert isinstance(products.request, Extract)
    assert set(products.request.schema_["properties"]) == {"name", "price"}
    assert sum(len(products.read_urls(products.partition(key))) for key in products.url_keys) == 2
    assert isinstance(component.thunderbit.api_key, dg.EnvVar)
    repository = tree.build_defs().get_repository_def()
    assert dg.AssetKey(["web", "docs", "succeeded"]) in repository.asset_graph.get_all_asset_keys()
    (schedule,) = repository.schedule_defs
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING


@pytest.mark.slow
def test_a_new_user_follows_the_readme(tmp_path, plain_env):
    project = Project(tmp_path, plain_env)
    assert "Crawls of URLs with Thunderbit" in project.run("dg list components --package thunderbit_dagster")
    _install, *scaffold_and_check = commands(0)
    for command in scaffold_and_check:
        project.run(command)
    assert "docs/succeeded" in project.run("dg list defs --json")

    yaml = project.package / "defs" / "docs" / "defs.yaml"
    written = yaml.read_text()
    yaml.write_text(written.replace("type: distill", "type: distil"))
    said = project.run("dg check yaml", succeeds=False)
    line = written.splitlines().index(next(one for one in written.splitlines() if "type: distill" in one)) + 1
    assert f"defs.yaml:{line} - " in said
    assert "'distil' is not one of ['distill', 'extract']" in said

    site, emulator, dev = commands(1)
    assert [site.split()[1], emulator.split()[1], dev] == ["site", "emulator", "dg dev"]
    workspace, ports = Workspace(tmp_path / "demo"), Ports(free_port(), free_port(), free_port())
    workspace.prepare()
    # The ports of the README may be taken on a machine that runs tests.
    yaml.write_text(written.replace("http://127.0.0.1:8711", site_url(ports)))
    env = project.env | {"THUNDERBIT_BASE_URL": workspace.environment(ports, emulated=True)["THUNDERBIT_BASE_URL"]}
    home = workspace.dagster_home
    log = home / "dagster.log"
    with Children(env | {"DAGSTER_HOME": str(home)}) as children, dg.DagsterInstance.from_config(str(home)) as instance:
        workspace.start_emulator(children, ports)
        at = ["--target-path", str(project.root), "--host", "127.0.0.1", "--port", str(ports.ui)]
        children.start("dg", [str(BIN / "dg"), *dev.split()[1:], *at], log)
        api = DagsterApi(f"http://127.0.0.1:{ports.ui}")
        children.wait_until(api.is_loaded, "Dagster", 120)
        dagster = RealDagster(api, instance, children, home)
        shown = dagster.graphql(SHOWN)
        assert {tuple(node["assetKey"]["path"]) for node in shown["assetNodes"]} == {
            ("docs", asset) for asset in ("submissions", "succeeded", "failed")
        }
        said = json.dumps(shown)
        assert '"name": "thunderbit_jobs", "sensorState": {"status": "RUNNING"}' in said
        assert '"name": "thunderbit-dagster"' in said
        run = dagster.materialize(["docs/submissions"])
        dagster.until(lambda: dagster.finished(run), "the end of the run")
        assert instance.get_run_by_id(run).is_success
        succeeded = dg.AssetKey(["docs", "succeeded"])
        dagster.until(lambda: instance.get_latest_materialization_event(succeeded) is not None, "the collection")
    rows = ParquetStore(project.root / "data").read("docs", "succeeded", {}, columns=["url", "markdown"])
    assert sorted(rows["url"].to_pylist()) == sorted(
        line.strip().removeprefix('- "').rstrip('"') for line in yaml.read_text().splitlines() if '- "http' in line
    )
    assert all(len(text) > 100 for text in rows["markdown"].to_pylist())
