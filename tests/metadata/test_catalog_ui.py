"""What the UI is told, asked through the GraphQL API that it uses itself."""

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from ports import free_port

from thunderbit_dagster.cli.dagster_api import DagsterApi
from thunderbit_dagster.cli.processes import Children

PROJECT = Path(__file__).parent / "project.py"
ENTRIES = """
label
... on TextMetadataEntry { text }
... on UrlMetadataEntry { url }
... on IntMetadataEntry { intValue }
... on FloatMetadataEntry { floatValue }
... on TableMetadataEntry { table { records } }
... on TableSchemaMetadataEntry { schema { columns { name type description constraints { nullable } } } }
... on TableColumnLineageMetadataEntry { lineage { columnName columnDeps { assetKey { path } columnName } } }
... on CodeReferencesMetadataEntry { codeReferences { ... on LocalFileCodeReference { filePath lineNumber label } } }
"""
QUERY = f"""{{
  assetNodes {{
    assetKey {{ path }}
    kinds groupName description
    owners {{ ... on TeamAssetOwner {{ team }} }}
    tags {{ key value }}
    storageAddress {{ storageKind tableName }}
    internalFreshnessPolicy {{ ... on TimeWindowFreshnessPolicy {{ failWindowSeconds warnWindowSeconds }} }}
    metadataEntries {{ {ENTRIES} }}
    assetMaterializations(limit: 9) {{ partition metadataEntries {{ {ENTRIES} }} }}
    assetObservations(limit: 9) {{ partition metadataEntries {{ {ENTRIES} }} }}
    assetChecksOrError {{
      ... on AssetChecks {{
        checks {{
          name description blocking
          executionForLatestMaterialization {{
            status
            evaluation {{ success severity description metadataEntries {{ {ENTRIES} }} }}
          }}
        }}
      }}
    }}
  }}
}}"""


def entries(node):
    """Metadata by label; of each entry what is not its label."""
    return {entry["label"]: next((v for k, v in entry.items() if k != "label"), None) for entry in node}


@pytest.fixture(scope="module")
def catalog(emulator, pages, tmp_path_factory):
    """The assets of the project after one partition was crawled, by their names."""
    root = tmp_path_factory.mktemp("catalog")
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(root),
        "OUT": str(root),
        "URLS": " ".join([*pages.urls(3), *pages.urls(1, "missing")]),
        "KEY": emulator.api_key,
        "BASE_URL": emulator.base_url,
    }

    command = [sys.executable, "-m", "dagster", "asset", "materialize", "-f", str(PROJECT), "--select", "*"]
    options = {"env": environment, "capture_output": True, "text": True}
    done = subprocess.run([*command, "--partition", "2026-11-01|a"], check=False, **options)
    assert done.returncode == 0, done.stderr[-4000:]
    port = free_port()
    with Children(environment) as children:
        server = [sys.executable, "-m", "dagster_webserver", "-h", "127.0.0.1", "-p", str(port), "-f", str(PROJECT)]
        children.start("Dagster", server, root / "dagster.log")
        url = f"http://127.0.0.1:{port}"
        children.wait_until(DagsterApi(url).is_loaded, "Dagster", 120)
        answer = httpx.post(f"{url}/graphql", json={"query": QUERY}, timeout=60).json()
    assert "errors" not in answer, answer["errors"]
    return {node["assetKey"]["path"][-1]: node for node in answer["data"]["assetNodes"]}


@pytest.mark.slow
def test_the_catalog_shows_kinds_owners_place_freshness_and_columns(catalog):
    node = catalog["succeeded"]
    assert set(node["kinds"]) == {"thunderbit", "parquet"}
    assert node["owners"] == [{"team": "search"}]
    assert {"key": "domain", "value": "docs"} in node["tags"]
    assert node["storageAddress"] == {"storageKind": "file", "tableName": "docs.succeeded"}
    assert node["internalFreshnessPolicy"] == {"failWindowSeconds": 172_800, "warnWindowSeconds": 129_600}
    shown = entries(node["metadataEntries"])
    assert shown["dagster/uri"].endswith("/data/docs/succeeded")
    described = {column["name"]: column["description"] for column in shown["dagster/column_schema"]["columns"]}
    assert described["markdown"] == "Page as Markdown (distill)"
    [reference] = shown["dagster/code_references"]
    assert reference["filePath"] == str(PROJECT)
    assert "docs = Crawl(" in PROJECT.read_text().splitlines()[reference["lineNumber"] - 1]


@pytest.mark.slow
def test_a_partition_shows_numbers_that_plot_and_its_jobs_and_the_lineage_of_columns(catalog):
    [materialization] = catalog["succeeded"]["assetMaterializations"]
    assert materialization["partition"] == "2026-11-01|a"
    shown = entries(materialization["metadataEntries"])
    assert shown["dagster/partition_row_count"] == 3
    assert shown["success rate"] == 0.75
    [job] = map(json.loads, shown["jobs"]["records"])
    assert (job["status"], job["urls of this partition"]) == ("COMPLETED", 4)
    downstream = entries(catalog["chunks"]["assetMaterializations"][0]["metadataEntries"])
    assert downstream["dagster/row_count"] == 3
    succeeded = {"path": ["docs", "succeeded"]}
    assert downstream["dagster/column_lineage"] == [
        {
            "columnName": "text",
            "columnDeps": [
                {"assetKey": succeeded, "columnName": "markdown"},
                {"assetKey": succeeded, "columnName": "title"},
            ],
        }
    ]


@pytest.mark.slow
def test_checks_stand_beside_the_partition_with_their_verdict_and_numbers(catalog):
    checks = {check["name"]: check for check in catalog["succeeded"]["assetChecksOrError"]["checks"]}
    assert set(checks) == {"conservation", "success_rate", "blank_documents", "duplicate_content"}
    assert not any(check["blocking"] for check in checks.values())
    verdicts = {
        name: (
            check["executionForLatestMaterialization"]["evaluation"]["success"],
            check["executionForLatestMaterialization"]["evaluation"]["severity"],
        )
        for name, check in checks.items()
    }
    assert verdicts["success_rate"] == (False, "WARN")
    assert verdicts["conservation"][0] is True
    evaluation = checks["success_rate"]["executionForLatestMaterialization"]["evaluation"]
    assert evaluation["description"] == "1 of 1 partitions are below 90%"
    assert entries(evaluation["metadataEntries"])["lowest success rate"] == 0.75


@pytest.mark.slow
def test_the_progress_of_a_job_is_an_observation_whose_numbers_plot(catalog):
    observations = [entries(one["metadataEntries"]) for one in catalog["succeeded"]["assetObservations"]]
    last = next(one for one in observations if one.get("status") == "COMPLETED")
    assert (last["rows done"], last["rows in the job"]) == (4, 4)
    assert last["job"].startswith("distill/batch_")
