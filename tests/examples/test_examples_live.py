"""Each example as its page tells to run it: `thunderbit-dagster dev`, a click, and what follows by itself."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq
import pytest
from real_dagster import RealDagster
from terminal import Terminal

from thunderbit_dagster import ParquetStore
from thunderbit_dagster.cli.dagster_api import DagsterApi
from thunderbit_dagster.cli.processes import Children

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
AUTOMATION = "default_automation_condition_sensor"
Open = Callable[[str], RealDagster]


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("THUNDERBIT_", "DAGSTER_"))}
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    with Terminal(tmp_path, {**kept, "DAGSTER_DISABLE_TELEMETRY": "yes"}) as terminal:
        urls = tmp_path / "examples" / "url_archive" / "urls.txt"
        urls.write_text(terminal.says(urls.read_text()))
        yield terminal


@contextmanager
def opened(terminal: Terminal, example: str) -> Iterator[RealDagster]:
    """The UI of an example."""
    terminal.type(f"thunderbit-dagster dev -f examples/{example}/definitions.py")
    home = terminal.folder / "data" / "dagster_home"
    children = Children(terminal.env, [*terminal.servers.values()])
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield RealDagster(DagsterApi(f"http://127.0.0.1:{terminal.ui}"), instance, children, home)


def materialized(dagster: RealDagster, *asset: str) -> set[str | None]:
    """The partitions of an asset that are there."""
    return set(dagster.instance.get_materialized_partitions(dg.AssetKey(asset)))


def test_sections_of_the_documentation_become_chunks(terminal: Terminal) -> None:
    with opened(terminal, "docs_rag") as dagster:
        dagster.start_sensor(AUTOMATION)
        for section in ("guides", "reference"):
            dagster.materialize(["docs/submissions"], section)
        dagster.until(lambda: materialized(dagster, "docs", "chunks") == {"guides", "reference"}, "the chunks")
    chunks = pq.read_table(terminal.folder / "data" / "docs" / "chunks").to_pylist()
    assert {chunk["urls"] for chunk in chunks} == {"guides", "reference"}
    assert len({chunk["chunk_id"] for chunk in chunks}) == len(chunks) > 10


def test_the_changes_of_a_day_follow_its_crawl(terminal: Terminal) -> None:
    with opened(terminal, "product_catalogue") as dagster:
        dagster.start_sensor(AUTOMATION)
        days = dg.DailyPartitionsDefinition("2026-01-01").get_partition_keys()[-2:]
        for day in days:
            dagster.materialize(["catalogue/submissions"], day)
        dagster.until(lambda: materialized(dagster, "catalogue", "succeeded") == set(days), "the rows")
        dagster.until(lambda: days[1] in materialized(dagster, "changes"), "the changes")


def test_the_archive_is_backfilled_from_a_second_terminal(terminal: Terminal) -> None:
    ours = "-f examples/url_archive/definitions.py --partitions '2026-01-01*,2026-03-01*'"
    with opened(terminal, "url_archive") as dagster:
        assert terminal.type(f"thunderbit-dagster plan {ours}").count("|shard-") == 8
        terminal.type(f"thunderbit-dagster backfill archive {ours} --yes")
        dagster.until(lambda: len(materialized(dagster, "archive", "succeeded")) == 8, "the rows of eight partitions")
    store = ParquetStore(base_uri=str(terminal.folder / "data" / "parquet"))
    lines = (ROOT / "examples" / "url_archive" / "urls.txt").read_text().splitlines()
    urls = [line for line in lines if line.startswith("http")]
    assert store.scan("archive", "succeeded").count_rows() == 2 * len(urls)
