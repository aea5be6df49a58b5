"""A key that can be recognised, looked for wherever Dagster, its UI and the tables could show it."""

from __future__ import annotations

import copy
import json
import pickle
import sqlite3
import textwrap
import traceback
import zlib
from pathlib import Path

import dagster as dg
import httpx
import pytest
from crawl_world import PLENTY, WIDE, Faults, Pages, one_partition, resource
from real_dagster import real_dagster

from thunderbit_dagster import Distill
from thunderbit_dagster.api.budget import MemoryBudget
from thunderbit_dagster.api.client import ThunderbitClient
from thunderbit_dagster.api.codes import JobKind
from thunderbit_dagster.api.errors import ThunderbitError
from thunderbit_dagster.api.models import JobRef
from thunderbit_dagster.api.requests import Webhook
from thunderbit_dagster.api.retry import RetryPolicy
from thunderbit_dagster.emulator import Emulator, Rule

KEY = "tb_ca4a41ca4a41ca4a41ca4a41ca4a4100"
WEBHOOK_SECRET = "whsec-canary-5512"
COOKIE = "session=cookie-canary-5512"
SECRETS = (KEY, KEY.removeprefix("tb_"), WEBHOOK_SECRET, COOKIE)
FAULTS = [
    *(Rule("status", status=status) for status in (400, 401, 402, 403, 404, 409, 422, 429, 500, 503)),
    Rule("status", status=502, html=True),
    Rule("drop_before"),
    Rule("drop_after"),
    Rule("truncate"),
    Rule("garbage"),
]


def hits(text: str) -> list[str]:
    return [secret for secret in SECRETS if secret in text]


@pytest.mark.parametrize("rule", FAULTS, ids=lambda rule: f"{rule.action}-{rule.status}")
def test_no_error_of_any_kind_holds_a_secret(spoiled, rule):
    emulator = spoiled(rule, api_key=KEY)
    ref = JobRef(JobKind.DISTILL, "batch_1")
    request = Distill(headers={"Cookie": COOKIE})
    hook = Webhook(url="https://example.org/hook", secret=WEBHOOK_SECRET)
    with ThunderbitClient(
        KEY, base_url=emulator.base_url, budget=MemoryBudget(PLENTY), retry=RetryPolicy(attempts=1), request_timeout=5.0
    ) as client:
        for call in (
            lambda: client.get_job(ref),
            lambda: client.submit(["https://example.org/"], request, webhook=hook),
            lambda: client.distill("https://example.org/", request),
            lambda: client.cancel_job(ref),
            lambda: list(client.iter_rows(ref)),
        ):
            with pytest.raises(ThunderbitError) as caught:
                call()
            assert hits(everything_about(caught.value)) == []
        assert hits(repr(client) + str(client) + repr(request) + repr(hook)) == []


def everything_about(error: BaseException) -> str:
    """What an error shows by itself, its causes, its traceback and its pickle."""
    told = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None and cause not in chain:
        chain.append(cause)
    shown = "".join(f"{one!r}{one}{one.args!r}{vars(one)!r}" for one in chain)
    return told + shown + repr(pickle.dumps(copy.copy(error)))


def test_nothing_that_dagster_keeps_of_a_code_location_holds_a_secret(line, pages, emulator, monkeypatch):
    """With secrets from the environment, as the documentation shows."""
    monkeypatch.setenv("CANARY_KEY", KEY)
    monkeypatch.setenv("CANARY_SECRET", WEBHOOK_SECRET)
    named = {"api_key": dg.EnvVar("CANARY_KEY"), "webhook_secret": dg.EnvVar("CANARY_SECRET")}
    thunderbit = resource(emulator, webhook_url=f"{pages.origin}/hook", **named)
    request = Distill(headers={"Cookie": COOKIE})
    docs = line(one_partition(["https://example.org/"], request=request), thunderbit=thunderbit)
    location = docs.repository
    snapshots = [dg.serialize_value(job.get_job_snapshot()) for job in map(location.get_job, location.job_names)]
    assert "CANARY_KEY" in "".join(snapshots)
    assert hits("".join(snapshots) + repr(docs.definitions) + repr(docs.crawl)) == []


def stored_snapshots(home: Path) -> str:
    """Dagster keeps what a job is made of compressed, where a search through its files finds nothing."""
    with sqlite3.connect(next(home.rglob("runs.db"))) as database:
        bodies = database.execute("SELECT snapshot_body FROM snapshots").fetchall()
    return "".join(zlib.decompress(body).decode() for (body,) in bodies)


DEFINITIONS = """
import dagster as dg
from thunderbit_dagster import Crawl, Distill, ParquetStore, ThunderbitResource, build_crawl_definitions

defs = build_crawl_definitions(
    [Crawl(name="site", urls={{"a": {urls}}}, request=Distill(headers={{"Cookie": {cookie!r}}}))],
    thunderbit=ThunderbitResource(
        api_key=dg.EnvVar("CANARY_KEY"), base_url="{api}", requests_per_minute=1000,
        webhook_url="http://127.0.0.1:9/hook", webhook_secret=dg.EnvVar("CANARY_SECRET"), on_lost_reply="resubmit",
    ),
    store=ParquetStore("{data}"),
    sensor_interval_seconds=5,
)
"""
INTROSPECTED = """
{ runsOrError { ... on Runs { results {
    runId status runConfigYaml tags { key value } stats { __typename }
    eventConnection { events { __typename ... on MessageEvent { message }
      ... on StepExpectationResultEvent { message }
      ... on ExecutionStepFailureEvent { error { message stack cause { message stack } } failureMetadata { label
          metadataEntries { label description ... on TableMetadataEntry { table { records } } } } }
      ... on MaterializationEvent { metadataEntries { label ... on JsonMetadataEntry { jsonString }
          ... on TextMetadataEntry { text } } }
      ... on ObservationEvent { metadataEntries { label ... on JsonMetadataEntry { jsonString } } } } } } } } }
"""
RESOURCES = """
query Resources($selector: RepositorySelector!) { allTopLevelResourceDetailsOrError(repositorySelector: $selector) {
  ... on ResourceDetailsList { results {
    name configFields { name defaultValueAsJson } configuredValues { key value type } } } } }
"""
SENSORS = """
query Sensors($selector: RepositorySelector!) { sensorsOrError(repositorySelector: $selector) {
  ... on Sensors { results { name sensorState { typeSpecificData { ... on SensorData { lastCursor } }
    ticks { status skipReason error { message stack } logKey } } } } } }
"""


@pytest.mark.slow
def test_the_real_daemon_and_webserver_show_no_secret_anywhere(tmp_path):
    rules = (
        Rule("status", method="POST", route="/batch/*", nth=(1,), status=402),
        Rule("drop_after", method="POST", route="/batch/*", nth=(2,)),
        Rule("status", method="GET", route="/batch/*", nth=(1,), status=400),
        Rule("garbage", method="GET", route="/batch/*", nth=(2, 3)),
        Rule("status", method="GET", route="/batch/*", nth=(4,), status=500),
    )
    with Pages().serving() as pages:
        options = {"plan": WIDE, "credits": PLENTY, "allow_origins": (pages.origin,), "faults": Faults(rules=rules)}
        with Emulator(api_key=KEY, **options) as emulator:
            definitions = tmp_path / "canary_definitions.py"
            urls = [*pages.urls(2), *pages.urls(1, "missing")]
            data = tmp_path / "parquet"
            definitions.write_text(
                textwrap.dedent(DEFINITIONS.format(urls=urls, cookie=COOKIE, api=emulator.base_url, data=data))
            )
            env = {"CANARY_KEY": KEY, "CANARY_SECRET": WEBHOOK_SECRET}
            with real_dagster(tmp_path / "home", definitions, env) as dagster:
                shown = watch_a_crawl(dagster)
    assert hits(shown) == []
    snapshots = stored_snapshots(tmp_path / "home")
    assert "CANARY_KEY" in snapshots
    assert hits(snapshots) == []
    # The definitions hold the cookie: the user wrote it there.
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")]
    assert {".db", ".parquet"} <= {path.suffix for path in files}
    assert any(path.suffix in (".err", ".out") for path in files), "no compute logs were kept"
    assert [path for path in files for secret in SECRETS if secret.encode() in path.read_bytes()] == []


def watch_a_crawl(dagster) -> str:
    """Submit until it works, let the sensor collect, and keep all that the webserver says of it."""
    for _ in range(4):
        run = dagster.materialize(["site/submissions"], "a")
        dagster.until(lambda run=run: dagster.finished(run), "the end of a run")
        if dagster.instance.get_run_by_id(run).is_success:
            break
    failed = dg.AssetKey(["site", "failed"])
    dagster.materialize(["site/succeeded", "site/failed"], "a")
    dagster.until(lambda: "a" in dagster.instance.get_materialized_partitions(failed), "the collection")
    name, location = dagster.api._repositories()[0]
    selector = {"repositoryName": name, "repositoryLocationName": location}
    answers = [
        dagster.graphql(INTROSPECTED),
        dagster.graphql(RESOURCES, selector=selector),
        dagster.graphql(SENSORS, selector=selector),
    ]
    assert "thunderbit" in json.dumps(answers[1])
    html = [
        httpx.get(f"{dagster.api.url}{path}", timeout=60).text
        for path in (
            "/",
            "/assets/site/succeeded",
            "/runs",
            "/server_info",
            f"/locations/{location}/resources/thunderbit",
        )
    ]
    return json.dumps(answers) + "".join(html)
