"""What the crawl tests stand on: a quick page server, an emulator, and a code location driven as the daemon would."""

from __future__ import annotations

import itertools
import operator
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import dagster as dg

from thunderbit_dagster import Crawl, Distill, ParquetStore, ThunderbitResource, build_crawl_definitions
from thunderbit_dagster.api.budget import MemoryBudget
from thunderbit_dagster.api.client import ThunderbitClient
from thunderbit_dagster.api.codes import Plan
from thunderbit_dagster.api.models import JobRef
from thunderbit_dagster.collection import asset
from thunderbit_dagster.collection.wait import Waiter
from thunderbit_dagster.emulator import EmulatedJob, Emulator, Faults
from thunderbit_dagster.polling import sensor
from thunderbit_dagster.runs.names import SENSOR_NAME, collect_job_name, submit_job_name
from thunderbit_dagster.runs.partitions import range_tags

if TYPE_CHECKING:
    from dagster._core.definitions.sensor_definition import SensorExecutionData

PLENTY = 1_000_000
WIDE = Plan("test", 1_000_000, 50)
"""An account whose limits no test meets by accident."""
PATIENCE = 20.0
ALWAYS_DUE = 130.0
"""Longer than the longest pause between two polls of a job, and than the wait for sibling partitions."""
RUN_KEY = "dagster/run_key"
QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}

_names = itertools.count(1)
_paths = itertools.count(1)


def until(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Return as soon as the condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the awaited condition did not come about"
        time.sleep(0.005)


class Pages:
    """Pages at once: `/ok/...` are articles, `/missing/...` are not there, and whatever `html` holds."""

    def __init__(self) -> None:
        self.html: dict[str, str] = {}
        self.asked: list[str] = []
        self.headers: dict[str, Mapping[str, str]] = {}
        """Of the newest request for each path."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.origin = f"http://127.0.0.1:{self._server.server_port}"

    def urls(self, count: int, kind: str = "ok") -> list[str]:
        """URLs that no other test uses."""
        return [f"{self.origin}/{kind}/{next(_paths)}" for _ in range(count)]

    def page(self, html: str) -> str:
        """The URL of a page with this HTML."""
        path = f"/own/{next(_paths)}"
        self.html[path] = html
        return self.origin + path

    @contextmanager
    def serving(self) -> Iterator[Pages]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


_ARTICLE = "<html><head><title>{0}</title></head><body><main><h1>{0}</h1><p>Its text.</p></main></body></html>"


def _handler(pages: Pages) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            pages.asked.append(self.path)
            pages.headers[self.path] = dict(self.headers.items())
            title = f"Page {self.path}"
            known = self.path.startswith("/ok/") or self.path in pages.html
            html = pages.html.get(self.path, _ARTICLE.format(title))
            body = html.encode()
            self.send_response(200 if known else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def new_emulator(pages: Pages, *, faults: Faults | None = None, **options: object) -> Emulator:
    """An emulator that may fetch the pages and whose limits are wide."""
    settings: dict[str, object] = {"plan": WIDE, "credits": PLENTY, "allow_origins": (pages.origin,), **options}
    return Emulator(faults=faults, **settings)  # type: ignore[arg-type]


def new_instance(home: Path, *, spare: bool = False) -> dg.DagsterInstance:
    """A Dagster instance whose storage is in a directory.

    As it is by default, or `spare`: all events in one file in place of one a run, and no processes that keep what runs
    print. Both are quicker.
    """
    settings: dict[str, object] = {"telemetry": {"enabled": False}}
    if spare:
        settings["compute_logs"] = {
            "module": "dagster._core.storage.noop_compute_log_manager",
            "class": "NoOpComputeLogManager",
        }
        settings["event_log_storage"] = {
            "module": "dagster._core.storage.event_log",
            "class": "ConsolidatedSqliteEventLogStorage",
            "config": {"base_dir": str(home)},
        }
    return dg.DagsterInstance.local_temp(str(home), overrides=settings)


def resource(emulator: Emulator, **options: object) -> ThunderbitResource:
    settings = {"api_key": emulator.api_key, "base_url": emulator.base_url, "requests_per_minute": 1_000_000, **options}
    return ThunderbitResource(**settings)


def crawl(urls: object, **options: object) -> Crawl:
    """A crawl whose name no other test uses, so that tests may share an instance."""
    settings: dict[str, object] = {"name": f"crawl_{next(_names)}", "request": Distill(), **options}
    return Crawl(urls=urls, **settings)  # type: ignore[arg-type]


def one_partition(urls: object, **options: object) -> Crawl:
    """A crawl with the one partition `all`."""
    return crawl({"all": urls}, **options)


@dataclass
class Line:
    """A code location with one crawl or more, and everything the daemon does for it."""

    instance: dg.DagsterInstance
    emulator: Emulator
    root: Path
    crawls: Sequence[Crawl]
    thunderbit: ThunderbitResource
    tick_seconds: float = 20.0
    cursor: str | None = None
    ahead: float = 0.0
    """How far the sensor's clock is ahead of ours, in seconds."""
    ticks: list[SensorExecutionData] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._jobs_before = len(self.emulator.jobs)
        self._requests_before = len(self.emulator.requests)
        self.store = ParquetStore(self.root / "data")
        self._loaded: tuple[tuple[object, ...], dg.RepositoryDefinition] | None = None

    @property
    def crawl(self) -> Crawl:
        return self.crawls[0]

    @property
    def definitions(self) -> dg.Definitions:
        return build_crawl_definitions(
            self.crawls, thunderbit=self.thunderbit, store=self.store, sensor_tick_seconds=self.tick_seconds
        )

    @property
    def repository(self) -> dg.RepositoryDefinition:
        """As a code server holds it: loaded anew only where what it is made of has changed."""
        made_of = (*self.crawls, self.thunderbit, self.store, self.tick_seconds)
        loaded = self._loaded
        if not loaded or len(loaded[0]) != len(made_of) or any(map(operator.is_not, loaded[0], made_of)):
            loaded = self._loaded = (made_of, self.definitions.get_repository_def())
        return loaded[1]

    # The account

    @property
    def jobs(self) -> list[EmulatedJob]:
        """The batch jobs of this line, oldest first."""
        return self.emulator.jobs[self._jobs_before :]

    @property
    def posts(self) -> int:
        return sum(request.method == "POST" for request in self.emulator.requests[self._requests_before :])

    def reads(self, since: int = 0) -> list[str]:
        """The queries of the status requests."""
        asked = self.emulator.requests[self._requests_before :][since:]
        return [request.query for request in asked if request.method == "GET"]

    def sent(self) -> list[list[str]]:
        """The URLs of each batch job, asked of the API itself."""
        with self.client() as client:
            return [[row.url for row in client.iter_rows(JobRef(job.kind, job.id))] for job in self.jobs]

    def client(self) -> ThunderbitClient:
        return ThunderbitClient(self.emulator.api_key, base_url=self.emulator.base_url, budget=MemoryBudget(1_000_000))

    def until_jobs_end(self) -> None:
        until(lambda: all(job.status.is_terminal for job in self.jobs))

    # Runs

    def submit(self, *keys: str, tags: dict[str, str] | None = None) -> dg.ExecuteInProcessResult:
        """A run of the submit job: of one partition, of a range given by its ends, or of all partitions."""
        return self.run(submit_job_name(self.crawl), *keys, tags=tags)

    def collect(self, *keys: str, tags: dict[str, str] | None = None) -> dg.ExecuteInProcessResult:
        """A run of the collect job, launched by hand."""
        return self.run(collect_job_name(self.crawl), *keys, tags=tags)

    def run(self, job: str, *keys: str, tags: dict[str, str] | None = None) -> dg.ExecuteInProcessResult:
        keys = keys or self._all_keys()
        ends = range_tags(keys[0], keys[-1]) if len(keys) > 1 else {}
        return self.repository.get_job(job).execute_in_process(
            instance=self.instance,
            partition_key=keys[0] if len(keys) == 1 else None,
            tags={**ends, **(tags or {})},
            run_config=QUIET,
            raise_on_error=False,
        )

    def materialize_all(self, *keys: str, tags: dict[str, str] | None = None) -> dg.ExecuteInProcessResult:
        """All three assets and the check in one run, as the button does."""
        keys = keys or self._all_keys()
        ends = range_tags(keys[0], keys[-1]) if len(keys) > 1 else {}
        definitions = self.definitions
        return dg.materialize(
            [*(definitions.assets or []), *(definitions.asset_checks or [])],  # type: ignore[list-item]
            instance=self.instance,
            resources=definitions.resources,
            partition_key=keys[0] if len(keys) == 1 else None,
            tags={**ends, **(tags or {})},
            run_config=QUIET,
            raise_on_error=False,
        )

    # The daemon

    def tick(self, after: float = ALWAYS_DUE) -> SensorExecutionData:
        """One tick of the job sensor, so many seconds later; what it returns is recorded as the daemon does."""
        self.ahead += after
        now = time.time() + self.ahead
        repository = self.repository
        clocked = partial(sensor.Tick, now=now)
        with (
            mock.patch.object(sensor, "Tick", clocked),
            dg.build_sensor_context(
                instance=self.instance,
                cursor=self.cursor,
                repository_def=repository,
                resources={"thunderbit": self.thunderbit},
            ) as context,
            dg.partition_loading_context(dynamic_partitions_store=self.instance),
        ):
            result = repository.get_sensor_def(SENSOR_NAME).evaluate_tick(context)
        for event in result.asset_events:
            self.instance.report_runless_asset_event(event)
        self.cursor = result.cursor
        self.ticks.append(result)
        return result

    def launch(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult | None:
        """The run of a request; None when the daemon would drop it, having seen its key."""
        if self.instance.get_run_records(dg.RunsFilter(tags={RUN_KEY: request.run_key})):
            return None
        return self.repository.get_job(request.job_name).execute_in_process(
            instance=self.instance,
            partition_key=request.partition_key,
            tags={**request.tags, RUN_KEY: request.run_key},
            run_config={**QUIET, **request.run_config},
            raise_on_error=False,
        )

    def tick_and_launch(self, after: float = ALWAYS_DUE) -> list[dg.ExecuteInProcessResult]:
        launched = [self.launch(request) for request in self.tick(after).run_requests or []]
        return [run for run in launched if run is not None]

    def through(self, *keys: str) -> list[dg.ExecuteInProcessResult]:
        """The main line to its end: submit, wait for the pages, tick, collect."""
        assert self.submit(*keys).success
        self.until_jobs_end()
        runs = self.tick_and_launch()
        assert [run.success for run in runs] == [True] * len(runs)
        return runs

    # What came of it

    def _all_keys(self) -> tuple[str, ...]:
        return tuple(self.crawl.url_keys) if self.crawl.cadence is None else ()

    def rows(self, table: str, crawl: Crawl | None = None, **dimensions: str) -> list[dict[str, object]]:
        """The rows of one partition, by position; of the only one when none is named."""
        crawl = crawl or self.crawl
        where = dimensions or dict(zip(["urls"], crawl.url_keys, strict=False))
        rows = self.store.read(crawl.name, table, where).to_pylist()  # type: ignore[arg-type]
        return sorted(rows, key=lambda row: row["position"])

    def urls(self, table: str, **dimensions: str) -> list[object]:
        return [row["url"] for row in self.rows(table, **dimensions)]

    def codes(self, **dimensions: str) -> list[tuple[object, object, object]]:
        """Status, code and class of the failed rows."""
        failed = self.rows("failed", **dimensions)
        return [(row["status"], row["error_code"], row["error_class"]) for row in failed]

    def published(self, asset: str = "failed") -> set[str | None]:
        """The partitions that Dagster holds materialized."""
        if self.crawl.partitions_def is None:
            return {None} if self.instance.get_latest_materialization_event(self.crawl.key(asset)) else set()
        return set(self.instance.get_materialized_partitions(self.crawl.key(asset)))

    def metadata(self, asset: str, partition: str | None = None) -> dict[str, dg.MetadataValue]:
        """Of the newest materialization of a partition; of the only one when none is named."""
        wanted = dg.AssetRecordsFilter(
            asset_key=self.crawl.key(asset), asset_partitions=[partition] if partition else None
        )
        record = self.instance.fetch_materializations(wanted, limit=1).records[0]
        assert record.asset_materialization
        return dict(record.asset_materialization.metadata)

    def checks(self, run: dg.ExecuteInProcessResult) -> list[bool]:
        """Whether nothing is lost, and no field has changed; what the pages are like is another matter."""
        evaluations = run.get_asset_check_evaluations()
        return [check.passed for check in evaluations if check.check_name in ("conservation", "schema_drift")]


def records(value: dg.MetadataValue) -> list[dict[str, object]]:
    """The rows of a table in metadata."""
    assert isinstance(value, dg.TableMetadataValue)
    return [dict(record.data) for record in value.records]


def failure_of(run: dg.ExecuteInProcessResult) -> tuple[str, dict[str, object]]:
    """What the failed step says: its description, and its table of partitions and reasons."""
    [event] = [event for event in run.all_events if event.event_type_value == "STEP_FAILURE"]
    data = event.step_failure_data
    assert data.user_failure_data is not None, data.error
    table = data.user_failure_data.metadata["partitions that failed"]
    return data.user_failure_data.description or "", {str(row["partition"]): row["reason"] for row in records(table)}


def error_text(run: dg.ExecuteInProcessResult) -> str:
    """Everything the failed step says."""
    [event] = [event for event in run.all_events if event.event_type_value == "STEP_FAILURE"]
    return event.step_failure_data.error_display_string


@contextmanager
def waits(line: Line) -> Iterator[list[float]]:
    """Time passes in a run only while it waits, and then the pages are done."""
    slept: list[float] = []
    now = [time.time()]

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds
        line.emulator.release()
        line.until_jobs_end()

    with mock.patch.object(asset, "Waiter", partial(Waiter, clock=lambda: now[0], sleep=sleep)):
        yield slept
