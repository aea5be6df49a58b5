"""A crawl of three pages and more, published date by date without an API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone

import dagster as dg
import pytest

from thunderbit_dagster import Changes, Crawl, Distill, Extract, ParquetStore, ThunderbitResource, read_changes
from thunderbit_dagster.definitions import build_crawl_definitions
from thunderbit_dagster.storage.schema import content_hash

HOST = "https://site.example/"
ITEMS = {"type": "object", "properties": {"price": {"type": "number"}, "name": {"type": "string"}}}
Row = dict[str, object]


@dataclass
class Published:
    """A crawl with `changes`, whose dates are written into its store as a collect run would."""

    store: ParquetStore
    settings: Changes
    instance: dg.DagsterInstance
    content: str = "markdown"
    collections: int = 0

    def __post_init__(self) -> None:
        request = Distill() if self.content == "markdown" else Extract(schema=ITEMS)
        self.crawl = Crawl(
            name="docs",
            urls={"guides": [HOST], "news": [HOST]},
            request=request,
            cadence=dg.DailyPartitionsDefinition("2026-11-01"),
            changes=self.settings,
        )
        resource = ThunderbitResource(api_key="tb_" + "0" * 32, base_url="http://127.0.0.1:9/openapi/v1")
        self.definitions = build_crawl_definitions([self.crawl], thunderbit=resource, store=self.store)

    def collect(
        self, day: int, pages: Mapping[str, str], failed: Mapping[str, str] | None = None, urls: str = "guides"
    ) -> None:
        """Publish a date: texts by path, and error codes by path."""
        self.collections += 1
        submission = f"s{day:02}-{self.collections}"
        at = datetime(2026, 11, day, 12, tzinfo=timezone.utc)
        common = {"collected_at": at, "completed_at": at, "submission_id": submission, "run_id": "run"}
        numbers = {path: number for number, path in enumerate((*pages, *(failed or {})))}
        names = {
            path: {"url": HOST + path, "canonical_url": HOST + path, "position": numbers[path]} for path in numbers
        }
        with self.store.open_partition("docs", {"date": f"2026-11-{day:02}", "urls": urls}) as writer:
            for path, text in pages.items():
                page = {self.content: text, "content_hash": content_hash(text), "title": path}
                writer.write_succeeded({**names[path], **common, **page})
            for path, code in (failed or {}).items():
                reason = {"status": "FAILED", "error_code": code, "error_class": "permanent", "retryable": False}
                writer.write_failed({**names[path], **common, **reason})
            writer.commit({"submission_id": submission, "submitted": str(len(numbers))})

    def materialize(self, *days: int, urls: str = "guides", success: bool = True) -> dg.ExecuteInProcessResult:
        """Materialize `changes` of some dates, each in a run."""
        assets = [one for one in self.definitions.assets if self.crawl.key("changes") in one.keys]
        for day in days:
            key = f"2026-11-{day:02}|{urls}"
            result = dg.materialize(assets, partition_key=key, instance=self.instance, raise_on_error=False)
            assert result.success is success
        return result

    def rows(self, day: int, urls: str = "guides") -> dict[str, Row]:
        """The rows of a date, by path."""
        rows = read_changes(self.store, self.crawl, [f"2026-11-{day:02}|{urls}"]).to_pylist()
        return {row["url"].removeprefix(HOST): row for row in rows}

    def statuses(self, day: int) -> dict[str, object]:
        self.materialize(day)
        return {path: row["status"] for path, row in self.rows(day).items()}

    def check(self, day: int | None = None) -> dg.AssetCheckEvaluation:
        """The check `up_to_date`, by itself or in a run of a date."""
        changes = [one for one in self.definitions.assets if self.crawl.key("changes") in one.keys]
        [check] = [
            one for one in self.definitions.asset_checks if any(key.name == "up_to_date" for key in one.check_keys)
        ]
        chosen = dg.AssetSelection.checks_for_assets(self.crawl.key("changes"))
        if day is None:
            definitions = dg.Definitions(
                assets=changes, asset_checks=[check], jobs=[dg.define_asset_job("alone", chosen)]
            )
            result = definitions.resolve_job_def("alone").execute_in_process(instance=self.instance)
        else:
            result = dg.materialize([*changes, check], partition_key=f"2026-11-{day:02}|guides", instance=self.instance)
        [evaluation] = result.get_asset_check_evaluations()
        return evaluation


@pytest.fixture
def docs(tmp_path, own_instance):
    """Makes a crawl with some settings of `Changes`."""

    def make(content: str = "markdown", **settings: object) -> Published:
        return Published(ParquetStore(tmp_path), Changes(**settings), own_instance, content)

    return make
